"""Tokens that belong together: do their queries and keys agree more than those that do not?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.gold.rows import GoldRow, link_mask
from probe.keyquery.clouds import Cloud, Clouds, sentence_logits
from probe.keyquery.moments import BLOCK_ROWS
from probe.stats import Estimate, estimates

GOLD, ARGMAX = "sure links of gold", "largest weights"

Cells = tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]
"""Positions of the query cloud, and positions of the key cloud."""


@dataclass(frozen=True)
class Matches:
    """Which cells of all sentences are matched, and which are matched or may be; the end of sequence is in neither."""

    by: str
    matched: Cells
    possible: Cells
    """All others of a sentence, but for the end of sequence, surely are not matched."""


def gold_matches(clouds: Clouds, rows: Sequence[GoldRow]) -> Matches:
    """Matched: sure links. Unmatched: cells that are neither sure nor possible."""
    sure = [link_mask(row.sure, row.sizes) for row in rows]
    either = [mask | link_mask(row.possible, row.sizes) for mask, row in zip(sure, rows, strict=True)]
    return Matches(GOLD, _cells(clouds, sure), _cells(clouds, either))


def argmax_matches(clouds: Clouds) -> Matches:
    """Matched: the largest weight of each row, all of them where they tie. Unmatched: the others."""
    logits = (sentence_logits(clouds, number)[:-1, :-1] for number in range(clouds.sentences))
    cells = _cells(clouds, [one == one.max(axis=1, keepdims=True) if one.size else one > 0 for one in logits])
    return Matches(ARGMAX, cells, cells)


def _cells(clouds: Clouds, masks: Sequence[Bool[np.ndarray, "_ _"]]) -> Cells:
    found = [np.nonzero(mask) for mask in masks]
    begins = (np.searchsorted(cloud.sentence, np.arange(len(masks))) for cloud in (clouds.queries, clouds.keys))
    rows, columns = (
        np.concatenate([own[side] + begin for own, begin in zip(found, starts, strict=True)])
        for side, starts in enumerate(begins)
    )
    return rows, columns


def cka(clouds: Clouds, rows: Int[np.ndarray, " pairs"], columns: Int[np.ndarray, " pairs"]) -> float:
    """`linear_cka` of some positions of the queries and some of the keys."""
    own = own_hsic(clouds.queries, rows), own_hsic(clouds.keys, columns)
    return normalised(cross_hsic(clouds, rows, columns), *own)


def cross_hsic(clouds: Clouds, rows: Int[np.ndarray, " pairs"], columns: Int[np.ndarray, " pairs"]) -> float:
    """`hsic` of some positions of the queries and some of the keys; equal pairs are computed once."""
    queries, keys = clouds.queries.bigram[rows], clouds.keys.bigram[columns]
    most = len(clouds.keys.distinct)
    pairs, times = np.unique(queries * most + keys, return_counts=True)
    queries, keys = np.divmod(pairs, most)
    return hsic(clouds.queries.distinct[queries], clouds.keys.distinct[keys], times)


def own_hsic(cloud: Cloud, tokens: Int[np.ndarray, " some"]) -> float:
    """`hsic` of some positions of a cloud with themselves; equal ones are computed once."""
    numbers, times = np.unique(cloud.bigram[tokens], return_counts=True)
    points = cloud.distinct[numbers]
    return hsic(points, points, times)


def normalised(cross: float, own: float, other: float) -> float:
    """HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)), which is NaN where that is no number."""
    with np.errstate(invalid="ignore"):
        return float(cross / np.sqrt(np.float64(own) * other))


def linear_cka(x: Float[np.ndarray, "pairs d"], y: Float[np.ndarray, "pairs other"]) -> float:
    """Linear centred kernel alignment of matched points, HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)), debiased.

    Kornblith et al. 2019, Eq. 2, with the unbiased HSIC of Song et al. 2012, Eq. 5, as in Nguyen et al. 2021: the plain
    one is near 1 for any two clouds of fewer points than dimensions. 1 for a rotated, scaled and shifted copy; about 0,
    and possibly below, for independent clouds. Linear in pairs, of which it needs four; NaN with fewer.
    """
    times = np.ones(len(x), dtype=np.int64)
    return normalised(hsic(x, y, times), hsic(x, x, times), hsic(y, y, times))


def hsic(
    x: Float[np.ndarray, "pairs d"], y: Float[np.ndarray, "pairs other"], times: Int[np.ndarray, " pairs"]
) -> float:
    """Unbiased HSIC of linear kernels K, L without their diagonals, from products of d × other; NaN of fewer than four.

    Products are in the precision of the points, and what is summed of them is in float64.

    Args:
        x: points.
        y: those that belong to them, or x itself.
        times: how often each pair is there.
    """
    n = int(times.sum())
    if n < 4:
        return float("nan")

    def centred(points: Float[np.ndarray, "pairs width"]) -> Float[np.ndarray, "pairs width"]:
        mean = np.einsum("n,nd->d", times, points, dtype=np.float64) / n
        return points - mean.astype(points.dtype)

    first = centred(x)
    second = first if y is x else centred(y)
    diagonals = [np.einsum("nd,nd->n", points, points, dtype=np.float64) for points in (first, second)]
    root = np.sqrt(times)[:, None].astype(x.dtype)
    weighted = first * root
    products = weighted.T @ (weighted if y is x else second * root)
    trace = np.square(products, dtype=np.float64).sum() - times @ (diagonals[0] * diagonals[1])
    # Without its diagonal, a row of a kernel of centred points sums to minus that diagonal.
    sums = times @ diagonals[0], times @ diagonals[1]
    corrected = trace + sums[0] * sums[1] / ((n - 1) * (n - 2)) - 2 * (times @ (diagonals[0] * diagonals[1])) / (n - 2)
    return float(corrected / (n * (n - 3)))


def cosine_counts(clouds: Clouds, matches: Matches) -> Float[np.ndarray, "sentences counts"]:
    """For each sentence: sum of cosines and number of cells, matched, then unmatched."""
    both = clouds.queries, clouds.keys
    sentence = clouds.queries.sentence
    over = [1 / np.where(lengths > 0, lengths, 1) for lengths in (cloud.lengths for cloud in both)]

    def of(cells: Cells) -> Float[np.ndarray, "2 sentences"]:
        rows, columns = (cloud.bigram[own] for cloud, own in zip(both, cells, strict=True))
        cosines = over[0][rows] * over[1][columns]
        for begin in range(0, len(rows), BLOCK_ROWS):
            some = slice(begin, begin + BLOCK_ROWS)
            points = both[0].distinct[rows[some]], both[1].distinct[columns[some]]
            cosines[some] *= np.einsum("nd,nd->n", *points)
        own = (np.bincount(sentence[cells[0]], weights, clouds.sentences) for weights in (cosines, None))
        return np.stack(list(own))

    # The cosines of all cells of a sentence sum to the product of its summed queries and its summed keys.
    (summed, rows), (others, columns) = map(_summed, both, over)
    all_ = np.stack([np.sum(summed * others, axis=1, dtype=np.float64), rows * columns])
    matched = of(matches.matched)
    unmatched = all_ - (matched if matches.possible is matches.matched else of(matches.possible))
    unmatched[0, unmatched[1] == 0] = 0  # no cell is left, but rounding is
    return np.concatenate([matched, unmatched]).T


def _summed(
    cloud: Cloud, over: Float[np.ndarray, " bigrams"]
) -> tuple[Float[np.ndarray, "sentences width"], Int[np.ndarray, " sentences"]]:
    """The sum of the points of each sentence times a factor each, and their number, without the end of sequence."""
    from scipy.sparse import csr_array

    some = ~cloud.eos
    shape, bigram = (int(cloud.sentence[-1]) + 1, len(over)), cloud.bigram[some]
    times = csr_array((over[bigram].astype(cloud.distinct.dtype), (cloud.sentence[some], bigram)), shape=shape)
    return times @ cloud.distinct, np.bincount(cloud.sentence[some], minlength=shape[0])


def cosine_contrast(summed: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch three"]:
    """Mean cosine of matched cells, of unmatched cells, and the difference, from summed counts."""
    with np.errstate(divide="ignore", invalid="ignore"):
        matched, unmatched = summed[..., 0] / summed[..., 1], summed[..., 2] / summed[..., 3]
    return np.stack([matched, unmatched, matched - unmatched], axis=-1)


def cosine_difference(clouds: Clouds, matches: Matches) -> tuple[Estimate, ...]:
    """Mean cosine of matched cells, of unmatched cells, and the difference, over sentences."""
    return tuple(estimates(cosine_counts(clouds, matches), cosine_contrast).each())
