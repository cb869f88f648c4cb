"""Tokens that belong together: do their queries and keys agree more than those that do not?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.gold.rows import GoldRow, link_mask
from probe.keyquery.clouds import Clouds, sentence_logits
from probe.stats import Estimate, estimates

GOLD, ARGMAX = "sure links of gold", "largest weights"


@dataclass(frozen=True)
class Matches:
    """For each sentence which cells are matched and which surely are not, end of sequence left out of both."""

    by: str
    matched: tuple[np.ndarray, ...]
    unmatched: tuple[np.ndarray, ...]

    def indices(self, clouds: Clouds) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """Matched cells as points of the query cloud and points of the key cloud."""
        rows: list[np.ndarray] = []
        columns: list[np.ndarray] = []
        for number, mask in enumerate(self.matched):
            i, j = np.nonzero(mask)
            rows.append(i + clouds.queries.of(number).start)
            columns.append(j + clouds.keys.of(number).start)
        return np.concatenate(rows), np.concatenate(columns)


def gold_matches(rows: Sequence[GoldRow]) -> Matches:
    """Matched: sure links. Unmatched: cells that are neither sure nor possible."""
    matched: list[np.ndarray] = []
    unmatched: list[np.ndarray] = []
    for row in rows:
        sure, possible = link_mask(row.sure, row.sizes), link_mask(row.possible, row.sizes)
        matched.append(_with_eos(sure))
        unmatched.append(_with_eos(~(sure | possible)))
    return Matches(GOLD, tuple(matched), tuple(unmatched))


def argmax_matches(clouds: Clouds) -> Matches:
    """Matched: the largest weight of each row, all of them where they tie. Unmatched: the others."""
    logits = [sentence_logits(clouds, number)[:-1, :-1] for number in range(clouds.sentences)]
    largest = [one == one.max(axis=1, keepdims=True) if one.size else one > 0 for one in logits]
    return Matches(ARGMAX, tuple(map(_with_eos, largest)), tuple(_with_eos(~mask) for mask in largest))


def _with_eos(mask: Bool[np.ndarray, "students teachers"]) -> Bool[np.ndarray, "rows columns"]:
    return np.pad(mask, ((0, 1), (0, 1)))


def linear_cka(x: Float[np.ndarray, "pairs d"], y: Float[np.ndarray, "pairs other"]) -> float:
    """Linear centred kernel alignment of matched points, HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)), debiased.

    Kornblith et al. 2019, Eq. 2, with the unbiased HSIC of Song et al. 2012, Eq. 5, as in Nguyen et al. 2021: the plain
    one is near 1 for any two clouds of fewer points than dimensions. 1 for a rotated, scaled and shifted copy; about 0,
    and possibly below, for independent clouds. Linear in pairs, of which it needs four; NaN with fewer.
    """
    if len(x) < 4:
        return float("nan")
    x, y = (points.astype(np.float64) - points.mean(axis=0, dtype=np.float64) for points in (x, y))
    with np.errstate(invalid="ignore"):
        return float(_hsic(x, y) / np.sqrt(_hsic(x, x) * _hsic(y, y)))


def _hsic(x: Float[np.ndarray, "pairs d"], y: Float[np.ndarray, "pairs other"]) -> float:
    """Unbiased HSIC of linear kernels K, L without their diagonals, from products of d × other."""
    n = len(x)
    diagonals = np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    trace = np.square(x.T @ y).sum() - diagonals[0] @ diagonals[1]
    sums = [points @ points.sum(axis=0) - own for points, own in zip((x, y), diagonals, strict=True)]
    corrected = trace + sums[0].sum() * sums[1].sum() / ((n - 1) * (n - 2)) - 2 * (sums[0] @ sums[1]) / (n - 2)
    return float(corrected / (n * (n - 3)))


def cosine_counts(clouds: Clouds, matches: Matches) -> Float[np.ndarray, "sentences counts"]:
    """For each sentence: sum of cosines and number of cells, matched, then unmatched."""
    counts = np.zeros((clouds.sentences, 4))
    for number, masks in enumerate(zip(matches.matched, matches.unmatched, strict=True)):
        cosines = (
            _unit(clouds.queries.points[clouds.queries.of(number)])
            @ _unit(clouds.keys.points[clouds.keys.of(number)]).T
        )
        counts[number] = [part for mask in masks for part in (cosines[mask].sum(), mask.sum())]
    return counts


def _unit(points: Float[np.ndarray, "tokens width"]) -> Float[np.ndarray, "tokens width"]:
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(norms > 0, norms, 1)


def cosine_contrast(summed: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch three"]:
    """Mean cosine of matched cells, of unmatched cells, and the difference, from summed counts."""
    with np.errstate(divide="ignore", invalid="ignore"):
        matched, unmatched = summed[..., 0] / summed[..., 1], summed[..., 2] / summed[..., 3]
    return np.stack([matched, unmatched, matched - unmatched], axis=-1)


def cosine_difference(clouds: Clouds, matches: Matches) -> tuple[Estimate, ...]:
    """Mean cosine of matched cells, of unmatched cells, and the difference, over sentences."""
    return tuple(estimates(cosine_counts(clouds, matches), cosine_contrast).each())
