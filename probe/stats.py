"""Intervals and tests: bootstraps over sentences and training seeds, and a paired permutation test over sentences."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num


def known(value: float) -> float | None:
    """The figure, or None where it is no finite number: JSON has no others."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with 95 % bounds."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, low: float, high: float) -> "Estimate":
        """An estimate of three floats, any of which may be NaN."""
        return cls(known(value), known(low), known(high))


RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
PERMUTATIONS = 9999
FEW = 10
"""Of fewer sentences, resampling tells too little of others for bounds to be printed."""
ENOUGH_SEEDS = 5
"""Paired training seeds that a claim about methods, rather than checkpoints, needs."""
SEED_RESAMPLES = 9999
"""Of seeds and sentences: with few seeds the bounds lie farther out in the tails than 2,000 draws could show."""
BATCH_ELEMENTS = 2_000_000
"""Draws that scipy holds at a time: 16 MB of indices, however many sentences there are."""


def bootstrap_interval(
    counts: Float[np.ndarray, "sentences counts"],
    statistic: Callable[[Float[np.ndarray, "*batch counts"]], Float[np.ndarray, "*batch statistics"]],
) -> tuple[Float[np.ndarray, " statistics"], Float[np.ndarray, " statistics"]]:
    """Percentile bounds at 95 % of statistics of summed counts; sentences are drawn with replacement.

    Tokens of one sentence are not independent, so the sentence is the unit that is resampled. One sentence alone says
    nothing of another: its bounds are NaN.
    """
    from scipy.stats import DegenerateDataWarning, bootstrap

    size = len(counts)
    if size < 2:
        unknown = np.full_like(statistic(counts.sum(axis=0)), np.nan)
        return unknown, unknown

    def of_resamples(index: np.ndarray, axis: int = -1) -> np.ndarray:
        # How often each sentence was drawn, times its counts, is the sum over the draws. Statistics go first for scipy.
        draws = index.reshape(-1, size)
        shifted = draws + size * np.arange(len(draws))[:, None]
        times = np.bincount(shifted.ravel(), minlength=draws.size).reshape(draws.shape)
        summed = (times @ counts).reshape(*index.shape[:-1], counts.shape[1])
        return np.moveaxis(statistic(summed), -1, 0)

    with warnings.catch_warnings():
        # A figure may be undefined in a resample, as F1 is without a hit: its bounds are then NaN, which says it all.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (np.arange(size),),
            of_resamples,
            n_resamples=RESAMPLES,
            batch=max(1, BATCH_ELEMENTS // size),
            vectorized=True,
            method="percentile",
            confidence_level=CONFIDENCE,
            rng=np.random.default_rng(SEED),
        )
    return np.asarray(found.confidence_interval.low), np.asarray(found.confidence_interval.high)


def hierarchical_interval(
    first: Float[np.ndarray, "seeds sentences counts"],
    second: Float[np.ndarray, "seeds sentences counts"],
    statistic: Callable[[Float[np.ndarray, "*batch counts"]], Float[np.ndarray, "*batch statistics"]],
) -> tuple[Float[np.ndarray, " statistics"], Float[np.ndarray, " statistics"]]:
    """Bounds at 95 % of the difference of two methods, second minus first, over other seeds and other sentences.

    The difference is that of a statistic of counts summed over sentences, averaged over paired training seeds. Pairs
    of seeds are drawn with replacement, and so are sentences, which all drawn seeds share. Of one seed, or one
    sentence, the other level alone is resampled; of one of each the bounds are NaN.

    Plain percentiles are too narrow for few seeds: a resample has (n - 1)/n of their variance, and normal tails. So
    they are taken farther out ("expanded percentile", Hesterberg 2015), with Satterthwaite's degrees of freedom for the
    variances of both levels: where sentences make the bounds, next to nothing changes.
    """
    seeds, sentences, columns = first.shape

    def by_seed(times: Num[np.ndarray, "*batch sentences"]) -> Float[np.ndarray, "*batch seeds statistics"]:
        summed = (times @ np.moveaxis(side, 1, 0).reshape(sentences, -1) for side in (first, second))
        ours, theirs = (statistic(side.reshape(*times.shape[:-1], seeds, columns)) for side in summed)
        return theirs - ours

    observed = by_seed(np.ones(sentences))
    if seeds == sentences == 1:
        unknown = np.full(observed.shape[-1], np.nan)
        return unknown, unknown
    rng = np.random.default_rng(SEED)
    batch = max(1, BATCH_ELEMENTS // (sentences + 2 * seeds * columns))
    drawn: list[np.ndarray] = []
    of_all: list[np.ndarray] = []
    for begin in range(0, SEED_RESAMPLES, batch):
        size = min(batch, SEED_RESAMPLES - begin)
        found = by_seed(rng.multinomial(sentences, np.full(sentences, 1 / sentences), size))
        times = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size)
        drawn.append((times[..., None] * found).sum(axis=1) / seeds)
        of_all.append(found.mean(axis=1))
    parts = np.stack([observed.var(axis=0) / seeds, np.concatenate(of_all).var(axis=0)])
    tails = _expanded_tails(parts, np.array([seeds, sentences]))
    values = np.concatenate(drawn)
    low, high = (
        np.array([np.quantile(values[:, k], tail) for k, tail in enumerate(ends)]) for ends in (tails, 1 - tails)
    )
    return low, high


def _expanded_tails(
    variances: Float[np.ndarray, "levels statistics"], sizes: Int[np.ndarray, " levels"]
) -> Float[np.ndarray, " statistics"]:
    """The share of resamples beyond a bound, from the variance that resampling each level of such a size gives."""
    from scipy.stats import norm, t

    freedom = np.maximum(sizes - 1, 1)[:, None]
    total = variances.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = total**2 / (variances**2 / freedom).sum(axis=0)
        wider = np.sqrt((variances * sizes[:, None] / freedom).sum(axis=0) / total)
    tails = norm.cdf(-wider * t.ppf((1 + CONFIDENCE) / 2, degrees))
    return np.where(np.isnan(tails), (1 - CONFIDENCE) / 2, tails)  # nothing varies, or a figure is undefined


def permutation_p(
    first: Float[np.ndarray, "sentences counts"],
    second: Float[np.ndarray, "sentences counts"],
    statistic: Callable[[Float[np.ndarray, "*batch counts"]], Any],
) -> float:
    """Two-sided p of a difference between two systems on the same sentences.

    If the systems did not differ, it would not matter whose counts of a sentence are whose. So the two are swapped at
    random, sentence by sentence, and the statistic of the summed counts is taken anew: how often is the difference at
    least as large as the one that was seen? Two systems with equal counts have p = 1.

    Args:
        first: of one system.
        second: of the other, for the same sentences.
        statistic: one number for each set of summed counts.
    """
    from scipy.stats import permutation_test

    size = len(first)
    if size < 2:  # swapped or not, one sentence shows the same difference; scipy refuses it
        return 1.0
    both = np.concatenate([first, second])

    def difference(ours: np.ndarray, theirs: np.ndarray, axis: int = -1) -> np.ndarray:
        # Indices rather than counts are permuted, for a sentence has many counts.
        return np.asarray(statistic(both[ours].sum(axis=-2)) - statistic(both[theirs].sum(axis=-2)))

    found = permutation_test(
        (np.arange(size), size + np.arange(size)),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, BATCH_ELEMENTS // both.size),
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false finding among all of them (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()
