"""Intervals and tests: a cluster bootstrap and a paired permutation test over sentences, by scipy."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
PERMUTATIONS = 9999
FEW = 10
"""Of fewer sentences, resampling tells too little of others for bounds to be printed."""
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
