"""Scale and floor of the grid decoder for each attention that it decodes, and what they are worth on other texts.

The texts of the gold file are split by their SHA-256: those that begin with 0 to 3 are for tuning, the others for the
figures. Of each base, the setting with the highest top-1, mean over the checkpoints, is taken: `SETTINGS` in
`probe.aligners.grid` holds it. Figures are percent with a 95 % CI by bootstrap over texts.

    python benchmarks/grid_scales.py [CHECKPOINT …]
"""

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np

import probe
from probe.aligners.grid import SETTINGS, Setting, cell_scores, path_posterior
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap, with_eos
from probe.output.tables import percent, points, with_interval
from probe.scoring.references import diagonal, lexical, two_way
from probe.scoring.scores import top_1
from probe.scoring.truth import Truth
from probe.stats import estimates, paired_difference

SCALES, FLOORS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0), (1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2)
CHECKPOINTS = ("demo", "smollm2-gemma3-projectors")
BATCH = 16
Posteriors = dict[str, np.ndarray]


def for_tuning(row: GoldRow) -> bool:
    """Whether its text is of the quarter that settings are chosen on."""
    return hashlib.sha256(row.text.encode()).hexdigest()[0] in "0123"


def decoded(rows: Sequence[GoldRow], maps: Mapping[str, AttentionMap], setting: Setting) -> Posteriors:
    """The posterior of each row, in batches of like sizes."""
    found: Posteriors = {}
    by_size = sorted(rows, key=lambda row: row.sizes)
    for begin in range(0, len(by_size), BATCH):
        batch = by_size[begin : begin + BATCH]
        sizes = np.array([row.sizes for row in batch])
        scores = np.zeros((len(batch), *sizes.max(axis=0)))
        for padded, row, (n, m) in zip(scores, batch, sizes, strict=True):
            map_ = maps[row.id]
            padded[:n, :m] = cell_scores(map_.weights[:-1, :-1], map_.over_student[:-1, :-1], setting)
        posteriors = path_posterior(scores, *sizes.T)
        found |= {row.id: one[:n, :m] for row, one, (n, m) in zip(batch, posteriors, sizes, strict=True)}
    return found


def hits(rows: Sequence[GoldRow], inner: Mapping[str, np.ndarray]) -> np.ndarray:
    """By row, linked student tokens whose largest weight is on a sure link, and how many there are."""
    found: list[tuple[float, int]] = []
    for row in rows:
        truth = Truth(row)
        right = top_1(with_eos(inner[row.id])[truth.linked], truth.sure[truth.linked])
        found.append((float(right.sum()), len(right)))
    return np.array(found)


def share(summed: np.ndarray) -> np.ndarray:
    """Top-1 from its counts."""
    return summed[..., 0] / summed[..., 1]


def bases(name: str) -> tuple[list[GoldRow], dict[str, dict[str, AttentionMap]]]:
    """The rows of a checkpoint, and the maps that are decoded, by method."""
    opened = probe.load(name)
    rows = probe.fitting_rows(opened, probe.read_pairs("alignments/gold.tsv"))
    methods = {"cma": opened.map, "lexical": partial(two_way, lexical), "diagonal": partial(two_way, diagonal)}
    return rows, {base: {row.id: make(row) for row in rows} for base, make in methods.items()}


def chosen(found: Mapping[str, tuple[list[GoldRow], dict[str, dict[str, AttentionMap]]]], base: str) -> Setting:
    """The best setting on the texts for tuning; of equal ones the first."""
    means: dict[Setting, float] = {}
    for setting in map(Setting._make, product(SCALES, FLOORS)):
        of_each: list[float] = []
        for rows, maps in found.values():
            tuning = [row for row in rows if for_tuning(row)]
            of_each.append(float(share(hits(tuning, decoded(tuning, maps[base], setting)).sum(axis=0))))
        means[setting] = float(np.mean(of_each))
    best = max(means, key=means.__getitem__)
    near = sum(value > means[best] - 0.01 for value in means.values())
    print(f"  {base}: {best}, {percent(means[best])} on the texts for tuning; {near} of {len(means)} within a point")
    return best


def main(names: Sequence[str]) -> None:
    """Choose, and print what it gives on the other texts."""
    found = {name: bases(name) for name in names}
    print("chosen")
    settings = {base: chosen(found, base) for base in SETTINGS}
    print("as in probe.aligners.grid" if settings == dict(SETTINGS) else f"probe.aligners.grid has {dict(SETTINGS)}")
    for name, (rows, maps) in found.items():
        others = [row for row in rows if not for_tuning(row)]
        print(f"{name}, {len(others)} other texts of {len(rows)}")
        began = time.perf_counter()
        decode = {base: decoded(others, maps[base], SETTINGS[base]) for base in SETTINGS}
        counts = {base: hits(others, inner) for base, inner in decode.items()}
        print(f"  three maps of each text, decoded and ranked in {time.perf_counter() - began:.2f} s")
        for base in SETTINGS:
            plain = hits(others, {row.id: maps[base][row.id].weights[:-1, :-1] for row in others})
            before, after = (estimates(one, share).at() for one in (plain, counts[base]))
            print(f"  {base}: {with_interval(before, percent)}, decoded {with_interval(after, percent)}")
        for base in ("lexical", "diagonal"):
            more = paired_difference(counts[base], counts["cma"], share).at()
            print(f"  cma − {base}, both decoded: {with_interval(more, points)} points")


if __name__ == "__main__":
    main(sys.argv[1:] or CHECKPOINTS)
