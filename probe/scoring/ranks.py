"""How the links of a row rank among its cells: top-1, mean reciprocal rank, area under the curve, attention mass.

All follow from two numbers of each link: how many cells of its row have less weight, and how many have the same.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

BLOCK = 1 << 20
"""Cells of rows that are copied at once: scoring takes little beside the maps, however long the sentence."""

Maps = Float[np.ndarray, "maps student_targets teacher_targets"]
PerLink = Float[np.ndarray, "maps links"]
PerRow = Float[np.ndarray, "maps rows"]


def blocks(rows: Int[np.ndarray, " rows"], cells: int) -> Iterator[Int[np.ndarray, " block"]]:
    """The rows, so many at a time that a copy of them is small; ``cells`` is the size of a row of all maps."""
    most = max(BLOCK // cells, 1)
    return (rows[begin : begin + most] for begin in range(0, len(rows), most))


def row_figures(
    weights: Maps, rows: Int[np.ndarray, " rows"], links: Int[np.ndarray, "2 links"]
) -> Float[np.ndarray, "maps rows 4"]:
    """Top-1, reciprocal rank, AUC and attention mass of some rows of each map.

    Top-1 is the share of the largest weights that is on a link. The reciprocal rank is that of the first link. The AUC
    is the probability that a link outweighs another cell of its row. Where weights tie, each is its expectation over
    orders of the tied cells.

    Args:
        weights: of some maps.
        rows: numbers of the rows; a row may come again, with other links.
        links: places in ``rows``, in order, and columns. Each row has a link, and a cell that is none.
    """
    if not len(rows):
        return np.zeros((len(weights), 0, 4))
    place, column = links
    cells, sizes = weights.shape[-1], np.bincount(place)
    starts = np.cumsum(sizes) - sizes
    own = weights[:, rows[place], column]
    below, tied = _below_and_tied(weights, rows[place], own)
    mass = np.add.reduceat(own, starts, axis=1)
    best = np.maximum.reduceat(below, starts, axis=1)
    is_best = below == best[:, place]
    hits = np.add.reduceat(is_best, starts, axis=1, dtype=np.float64)
    among = np.maximum.reduceat(tied * is_best, starts, axis=1)
    above = cells - best - among
    top_1 = np.where(above == 0, hits / among, 0)
    points = np.add.reduceat(below + tied / 2, starts, axis=1)
    # Each link met its whole row, the other links too. What links win among themselves is the same whatever the
    # weights: each tied with itself, and each pair shared one point, so s/2 + s(s - 1)/2 = s²/2 points are too many.
    auc = (points - sizes**2 / 2) / (sizes * (cells - sizes))
    return np.stack([top_1, _reciprocal_ranks(above, among, hits, cells + 1), auc, mass], axis=-1)


def _below_and_tied(weights: Maps, rows: Int[np.ndarray, " links"], own: PerLink) -> tuple[PerLink, PerLink]:
    """How many cells of the row of each link have less weight than it, and how many as much, itself included."""
    below, tied, one = np.empty(own.shape), np.empty(own.shape), np.ones(weights.shape[-1], dtype=np.float32)
    for block in blocks(np.arange(len(rows)), len(weights) * weights.shape[-1]):
        cells, value = weights[:, rows[block]], own[:, block, None]
        below[:, block], tied[:, block] = (cells < value) @ one, (cells == value) @ one  # faster than their sums
    return below, tied


def _reciprocal_ranks(above: PerRow, tied: PerRow, hits: PerRow, size: int) -> PerRow:
    """One over the rank of the first of ``hits`` links among ``tied`` cells, behind ``above`` others."""
    found = 1 / (above + 1)
    unsure = tied > hits
    if unsure.any():
        # Rows are few kinds: the expectation is worked out once for each.
        # As one number, for numpy sorts numbers many times faster than rows.
        kinds, which = np.unique(((above * size + tied) * size + hits)[unsure].astype(np.int64), return_inverse=True)
        parts = zip(*(part.tolist() for part in (kinds // size**2, kinds // size % size, kinds % size)), strict=True)
        found[unsure] = np.array([_expected_reciprocal(*kind) for kind in parts])[which]
    return found


@lru_cache(maxsize=4096)
def _expected_reciprocal(above: int, tied: int, hits: int) -> float:
    """Of the first of ``hits`` among ``tied`` in random order, behind ``above`` others."""
    place = np.arange(1, tied - hits + 2)
    # It stands at `place` with probability C(tied - place, hits - 1) / C(tied, hits): each from the one before.
    falls = (tied - hits + 1 - place[:-1]) / (tied - place[:-1])
    chance = hits / tied * np.cumprod(np.concatenate([[1.0], falls]))
    return float((chance / (above + place)).sum())
