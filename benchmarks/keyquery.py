"""Time and memory of the key-query distances at 1,000, 10,000 and 100,000 tokens of each cloud.

    python benchmarks/keyquery.py

Clouds are Gaussian, 32 wide as in the views A and A', cut into sentences of 20 tokens. Printed is each distance alone,
its seconds over those of the size before (10 is linear, 1 is a subsample), and the whole of one view: all distances on
all halves, with floor, untrained reference and p-value.
"""

import resource
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from probe.keyquery.classifier import held_out_auc
from probe.keyquery.clouds import Cloud, Clouds
from probe.keyquery.extra import only_numpy
from probe.keyquery.matched import linear_cka
from probe.keyquery.matching import MATCHES
from probe.keyquery.measure import measure
from probe.keyquery.moments import effective_rank, frechet
from probe.keyquery.two_samples import energy_distance, mmd2, mmd_p_value, sliced_wasserstein, subsample
from probe.keyquery.values import Settings

SIZES = (1_000, 10_000, 100_000)
WIDTH, SENTENCE = 32, 20


def clouds(tokens: int) -> Clouds:
    """Keys N(0, I), queries N(e₁, 1.2² I)."""
    rng = np.random.default_rng(0)
    sentence, none = np.arange(tokens) // SENTENCE, np.zeros(tokens, dtype=bool)
    queries = 1.2 * rng.normal(size=(tokens, WIDTH)) + np.eye(WIDTH)[0]
    keys = rng.normal(size=(tokens, WIDTH))
    return Clouds(Cloud(queries, sentence, none, sentence), Cloud(keys, sentence, none, sentence))


def parts(both: Clouds, settings: Settings) -> dict[str, Callable[[], object]]:
    """What is timed."""
    queries, keys, sentence = both.queries.points, both.keys.points, both.keys.sentence
    few = subsample(len(keys), settings.subsample, 0)
    some = subsample(len(keys), settings.sliced_subsample, 0)
    x, y, groups = queries[few], keys[few], (sentence[few], sentence[few])
    return {
        "Fréchet": lambda: frechet(queries, keys),
        "sliced W₂": lambda: sliced_wasserstein(queries[some], keys[some], seed=0),
        "MMD²": lambda: mmd2(x, y),
        "MMD² p": lambda: mmd_p_value(x, y, seed=0, groups=groups),
        "energy": lambda: energy_distance(x, y),
        "AUC linear": lambda: held_out_auc(x, y, groups, kind="linear", seed=0),
        "AUC MLP": lambda: held_out_auc(x, y, groups, kind="mlp", seed=0),
        "CKA": lambda: linear_cka(queries, keys),
        "effective rank": lambda: effective_rank(queries),
        "all matches": lambda: [match(queries, keys) for match in MATCHES.values()],
        "one view, all": lambda: measure("A", both, [both], settings),
    }


def main() -> None:
    """Print a line for each part, a column for each size."""
    only_numpy()
    settings = Settings()
    frechet(*np.random.default_rng(0).normal(size=(2, 50, 2)))
    sliced_wasserstein(*np.random.default_rng(0).normal(size=(2, 50, 2)), seed=0)
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
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {megabytes:.0f} MB; at most {settings.subsample} points for MMD², energy and AUC")


if __name__ == "__main__":
    main()
