"""Figures with their intervals, and tests: resampled over sentences, and over training seeds."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num


def known(value: float) -> float | None:
    """The figure, or None where it is no finite number: JSON has no others."""
    return float(value) if math.isfinite(value) else None


def as_float(value: float | None) -> float:
    """The figure, or NaN where it is not known: charts and rows of CSV have no None."""
    return math.nan if value is None else float(value)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % CI; None where it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, low: float, high: float) -> "Estimate":
        """An estimate of three floats, any of which may be NaN."""
        return cls(known(value), known(low), known(high))

    def __repr__(self) -> str:
        """The figure and its interval, in three digits."""
        value = "unknown" if self.value is None else f"{self.value:.3g}"
        return value if self.low is None or self.high is None else f"{value} [{self.low:.3g}, {self.high:.3g}]"

    def __float__(self) -> float:
        """The figure; NaN where it is not known."""
        return as_float(self.value)

    def __neg__(self) -> "Estimate":
        """That of the difference the other way round."""
        return Estimate(*(None if end is None else -end for end in (self.value, self.high, self.low)))

    def __iter__(self) -> Iterator[float | None]:
        """The figure and both ends of its interval."""
        return iter((self.value, self.low, self.high))


@dataclass(frozen=True)
class Estimates:
    """Figures with their 95 % CI, in arrays of one shape; NaN where one is not known."""

    value: Float[np.ndarray, "*figures"]
    low: Float[np.ndarray, "*figures"]
    high: Float[np.ndarray, "*figures"]

    def __getitem__(self, place: Any) -> "Estimates":
        """Some of them, as numpy picks them."""
        return Estimates(*(np.asarray(part[place]) for part in (self.value, self.low, self.high)))

    def at(self, *place: int) -> Estimate:
        """One of them."""
        return Estimate.of(*(float(part[place]) for part in (self.value, self.low, self.high)))

    def each(self) -> list[Estimate]:
        """All of them, in the order of the flattened arrays."""
        return [self.at(*place) for place in np.ndindex(self.value.shape)]


RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
PERMUTATIONS = 9999
FEW = 10
"""Of fewer sentences, resampling tells too little of others for an interval to be printed."""
ENOUGH_SEEDS = 5
"""Paired training seeds that a claim about methods, rather than checkpoints, needs."""
SEED_RESAMPLES = 9999
"""Of seeds and sentences: with few seeds an interval reaches farther into the tails than 2,000 draws could show."""


def resampling(unit: str = "sentence") -> dict[str, Any]:
    """How intervals were made, for a document; ``unit`` is what was drawn anew."""
    return {"unit": unit, "resamples": RESAMPLES, "seed": SEED, "confidence": CONFIDENCE}


BATCH_ELEMENTS = 2_000_000
"""Draws that are held at a time: 16 MB of indices, however many sentences there are."""


Statistic = Callable[[Float[np.ndarray, "*batch_and_counts"]], Float[np.ndarray, "*batch_and_figures"]]
"""Figures of summed counts; whatever axes come before those of the counts stay as they are."""


def over_seeds(values: Sequence[float] | Float[np.ndarray, " seeds"]) -> Estimate:
    """The mean of a number for each training seed, with its 95 % t interval; of one seed without interval.

    Seeds whose number is NaN are left out.
    """
    found = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    if len(found) < 2:
        return Estimate(float(found[0]) if len(found) else None)
    from scipy.stats import t

    value = float(found.mean())
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found)))
    return Estimate(value, value - half, value + half)


def by_cluster(
    counts: Float[np.ndarray, "sentences ..."], clusters: Sequence[str]
) -> Float[np.ndarray, "clusters ..."]:
    """Counts of sentences, summed over those that are resampled together because they have one cluster."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    if len(numbers) == len(clusters):
        return counts
    summed = np.zeros((len(numbers), *counts.shape[1:]))
    np.add.at(summed, [numbers[name] for name in clusters], counts)
    return summed


def estimates(
    counts: Float[np.ndarray, "sentences ..."],
    statistic: Statistic,
    sentences: Int[np.ndarray, "..."] | None = None,
    least: int = FEW,
) -> Estimates:
    """Figures of counts summed over sentences, with percentile intervals at 95 %; sentences are drawn with replacement.

    Tokens of one sentence are not independent, so the sentence is the unit that is resampled. Of few sentences, which
    say too little of others, the intervals are not known, and of one alone they never are.

    Args:
        counts: of each sentence, in as many axes as the statistic takes.
        statistic: the figures.
        sentences: how many sentences have something to say of each figure; without it, all of them.
        least: how many sentences an interval needs.
    """
    value, size = np.asarray(statistic(counts.sum(axis=0))), len(counts)
    if size < max(least, 2):
        return _without_intervals(value)
    resampled = [statistic(summed).reshape(-1, value.size) for summed in _resampled(counts)]
    enough = np.broadcast_to(True if sentences is None else sentences >= least, value.shape)
    ends = (end.reshape(value.shape) for end in _percentiles(np.concatenate(resampled).T))
    return Estimates(value, *(np.where(enough, end, np.nan) for end in ends))


def _resampled(counts: Float[np.ndarray, "sentences ..."]) -> Iterator[Float[np.ndarray, "batch ..."]]:
    """The sums over as many sentences, drawn with replacement, `RESAMPLES` times in all.

    Draws are those of `scipy.stats.bootstrap`, which takes a second to import.
    """
    rng, size, flat = np.random.default_rng(SEED), len(counts), counts.reshape(len(counts), -1)
    most = max(1, BATCH_ELEMENTS // size)
    for begin in range(0, RESAMPLES, most):
        batch = min(most, RESAMPLES - begin)
        # How often each sentence was drawn, times its counts, is the sum over the draws.
        draws = rng.integers(0, size, (batch, size)) + size * np.arange(batch)[:, None]
        times = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
        yield (times.astype(np.float64) @ flat).reshape(batch, *counts.shape[1:])


def _percentiles(
    resampled: Float[np.ndarray, "figures resamples"],
) -> tuple[Float[np.ndarray, " figures"], Float[np.ndarray, " figures"]]:
    """Both ends of what `CONFIDENCE` of the resamples of each figure lie in; NaN where it is undefined in any."""
    tail = (1 - CONFIDENCE) / 2
    places = [share * resampled.shape[1] - share for share in (tail, 1 - tail)]
    below = [int(place) for place in places]
    ordered = np.partition(resampled, [*below, *(place + 1 for place in below), -1], axis=1)  # NaN is the last
    low, high = ((1 - p % 1) * ordered[:, k] + p % 1 * ordered[:, k + 1] for p, k in zip(places, below, strict=True))
    undefined = np.isnan(ordered[:, -1])
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


def paired_difference(
    first: Float[np.ndarray, "sentences counts"],
    second: Float[np.ndarray, "sentences counts"],
    statistic: Statistic,
) -> Estimates:
    """What the second has more than the first of each figure; sentences are drawn with the counts of both."""
    return estimates(
        np.stack([first, second], axis=1),
        lambda summed: statistic(summed[..., 1, :]) - statistic(summed[..., 0, :]),
    )


def _without_intervals(value: Float[np.ndarray, "*figures"]) -> Estimates:
    unknown = np.full_like(value, np.nan)
    return Estimates(value, unknown, unknown)


def difference_over_seeds(
    first: Float[np.ndarray, "seeds sentences counts"],
    second: Float[np.ndarray, "seeds sentences counts"],
    statistic: Statistic,
) -> Estimates:
    """Differences of two methods, second minus first, with intervals at 95 % over other seeds and other sentences.

    A difference is that of a statistic of counts summed over sentences, averaged over paired training seeds. Pairs of
    seeds are drawn with replacement, and so are sentences, which all drawn seeds share. Of one seed sentences alone are
    resampled; of few sentences the intervals are not known.

    Plain percentiles are too narrow for few seeds: a resample has (n - 1)/n of their variance, and normal tails. So
    they are taken farther out ("expanded percentile", Hesterberg 2015), with Satterthwaite's degrees of freedom for the
    variances of both levels: where sentences make the interval, next to nothing changes.
    """
    seeds, sentences, columns = first.shape

    def by_seed(times: Num[np.ndarray, "*batch sentences"]) -> Float[np.ndarray, "*batch seeds statistics"]:
        summed = (times @ np.moveaxis(side, 1, 0).reshape(sentences, -1) for side in (first, second))
        ours, theirs = (statistic(side.reshape(*times.shape[:-1], seeds, columns)) for side in summed)
        return theirs - ours

    observed = by_seed(np.ones(sentences))
    if sentences < FEW:
        return _without_intervals(observed.mean(axis=0))
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
    return Estimates(observed.mean(axis=0), low, high)


def _expanded_tails(
    variances: Float[np.ndarray, "levels statistics"], sizes: Int[np.ndarray, " levels"]
) -> Float[np.ndarray, " statistics"]:
    """The share of resamples beyond an end, from the variance that resampling each level of such a size gives."""
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
        # Indices rather than counts are permuted, because a sentence has many counts.
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
