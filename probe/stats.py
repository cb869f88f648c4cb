"""Intervals: a cluster bootstrap over sentences, by scipy."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95


def bootstrap_interval(
    counts: Float[np.ndarray, "sentences counts"],
    statistic: Callable[[Float[np.ndarray, "*batch counts"]], Float[np.ndarray, "*batch statistics"]],
) -> tuple[Float[np.ndarray, " statistics"], Float[np.ndarray, " statistics"]]:
    """Percentile bounds at 95 % of statistics of summed counts; sentences are drawn with replacement.

    Tokens of one sentence are not independent, so the sentence is the unit that is resampled.
    """
    from scipy.stats import bootstrap

    def of_resamples(index: np.ndarray, axis: int = -1) -> np.ndarray:
        # scipy puts the resamples in front and the drawn sentences on `axis`; statistics go first, as it expects.
        return np.moveaxis(statistic(counts[index].sum(axis=-2)), -1, 0)

    found = bootstrap(
        (np.arange(len(counts)),),
        of_resamples,
        n_resamples=RESAMPLES,
        batch=100,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(SEED),
    )
    return np.asarray(found.confidence_interval.low), np.asarray(found.confidence_interval.high)
