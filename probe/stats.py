"""Intervals: a cluster bootstrap over sentences, by scipy."""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
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
