"""Time and memory of `probe-keyquery` and of its distances at 1,000, 10,000 and 100,000 tokens of each cloud.

    python benchmarks/keyquery.py [CHECKPOINT]

First each distance alone: clouds are Gaussian, 32 wide as in most views, cut into sentences of 20 tokens.
Printed are its seconds over those of the size before (10 is linear, 1 is a subsample), and the whole of one view: all
distances on all halves, with floor, untrained reference and p-value. Then the whole command at the two larger sizes,
on lines of words of the gold texts of the checkpoint (default demo), drawn with one seed, that have so many student
tokens. Its time also stands over that of importing torch, which is measured before each, and over that of the size
before.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from startup import measure as measure_command

from probe.alignment.fitting import fitting_rows
from probe.checkpoints.loading import load
from probe.gold.pairs import read_pairs
from probe.keyquery.classifier import held_out_auc, quiet
from probe.keyquery.clouds import Cloud, Clouds
from probe.keyquery.matched import linear_cka
from probe.keyquery.matching import MATCHES
from probe.keyquery.measure import measure
from probe.keyquery.moments import effective_rank, frechet, moments
from probe.keyquery.two_samples import (
    energy_distance,
    mmd2,
    mmd_p_value,
    only_numpy,
    sliced_wasserstein,
    sorted_projections,
    subsample,
)
from probe.keyquery.values import Settings

GOLD = Path(__file__).parent.parent / "alignments" / "gold.tsv"
SIZES = (1_000, 10_000, 100_000)
WIDTH, SENTENCE = 32, 20


def clouds(tokens: int) -> Clouds:
    """Keys N(0, I), queries N(e₁, 1.2² I)."""
    rng = np.random.default_rng(0)
    place, none = np.arange(tokens), np.zeros(tokens, dtype=bool)
    queries = 1.2 * rng.normal(size=(tokens, WIDTH)) + np.eye(WIDTH)[0]
    keys = rng.normal(size=(tokens, WIDTH))
    return Clouds(*(Cloud(points, place, place // SENTENCE, none) for points in (queries, keys)))


def parts(both: Clouds, settings: Settings) -> dict[str, Callable[[], object]]:
    """What is timed."""
    queries, keys, sentence = both.queries.points, both.keys.points, both.keys.sentence
    few = subsample(len(keys), settings.subsample, 0)
    some = subsample(len(keys), settings.sliced_subsample, 0)
    x, y, groups = queries[few], keys[few], (sentence[few], sentence[few])
    return {
        "Fréchet": lambda: frechet(queries, keys),
        "sliced W₂": lambda: sliced(queries[some], keys[some]),
        "MMD²": lambda: mmd2(x, y),
        "MMD² p": lambda: mmd_p_value(x, y, seed=0, groups=groups),
        "energy": lambda: energy_distance(x, y),
        "AUC linear": lambda: held_out_auc(x, y, groups, kind="linear", seed=0),
        "AUC MLP": lambda: held_out_auc(x, y, groups, kind="mlp", seed=0),
        "CKA": lambda: linear_cka(queries, keys),
        "effective rank": lambda: effective_rank(moments(queries)),
        "all matches": lambda: [match(queries, keys) for match in MATCHES.values()],
        "one view, all": lambda: measure("forward", both, [both], settings),
    }


def sliced(x: np.ndarray, y: np.ndarray) -> float:
    """The sliced Wasserstein distance of two clouds."""
    return sliced_wasserstein(*(sorted_projections(points, seed=0) for points in (x, y)))


def lines(checkpoint: str, tokens: int) -> str:
    """Lines of 6 to 24 words with so many student tokens, end of sequence included."""
    opened = load(checkpoint)
    rows = fitting_rows(opened, read_pairs(GOLD))
    words = np.array([word for row in rows for word in row.text.split()], dtype=object)
    rng = np.random.default_rng(0)
    made: list[str] = []
    count = 0
    while count < tokens:
        made.append(" ".join(rng.choice(words, rng.integers(6, 25))))
        count += len(opened.tokenize(made[-1])[0].tokens) + 1
    return "".join(f"{line}\n" for line in made)


def print_commands(checkpoint: str) -> None:
    """Time and memory of the whole command at the larger sizes."""
    last = 0.0
    with tempfile.TemporaryDirectory() as directory:
        for size in SIZES[1:]:
            path = Path(directory) / f"{size}.txt"
            path.write_text(lines(checkpoint, size), encoding="utf-8")
            command = [sys.executable, "-m", "probe.cli.keyquery", "--texts", str(path), "--checkpoint", checkpoint]
            torch, _ = measure_command([sys.executable, "-c", "import torch"])
            seconds, megabytes = measure_command(command)
            print(f"probe-keyquery, {checkpoint}, {size:,} tokens: {seconds:.1f} s, {megabytes:.0f} MB", end="")
            print(f", {seconds / torch:.1f} × import torch", end=f", ×{seconds / last:.1f}" if last else "")
            print("; aim 60 s, 3,000 MB" if size == SIZES[-1] else "", flush=True)
            last = seconds


def print_parts() -> None:
    """A line for each part, a column for each size."""
    only_numpy()
    settings = Settings()
    frechet(*np.random.default_rng(0).normal(size=(2, 50, 2)))
    sliced(*np.random.default_rng(0).normal(size=(2, 50, 2)))
    held_out_auc(*np.ones((2, 50, 2)), (np.arange(50), np.arange(50)), kind="linear", seed=0)  # imports are not timed
    taken: dict[str, list[float]] = {}
    for size in SIZES:
        for name, part in parts(clouds(size), settings).items():
            begin = time.perf_counter()
            part()
            taken.setdefault(name, []).append(time.perf_counter() - begin)
    print(f"{'':<16}" + "".join(f"{size:>16,}" for size in SIZES))
    for name, seconds in taken.items():
        ratios = [None, *(now / before for before, now in pairwise(seconds))]
        cells = [
            f"{s:8.2f} s" + (" " * 6 if r is None else f" ×{r:<4.1f}") for s, r in zip(seconds, ratios, strict=True)
        ]
        print(f"{name:<16}" + "".join(f"{cell:>16}" for cell in cells))
    print(f"at most {settings.subsample} points for MMD², energy and AUC")


def main() -> None:
    """Parts, and then the whole command."""
    with quiet():  # classifiers stop before they converge, and are to
        print_parts()
    print_commands(sys.argv[1] if len(sys.argv) > 1 else "demo")


if __name__ == "__main__":
    main()
