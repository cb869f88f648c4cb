"""Figures of a system over sets, training seeds and decoding seeds, each kind of variation apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from probe.errors import Problem, TrainingError
from probe.stats import CONFIDENCE, RESAMPLES, SEED, Estimate, as_float, known, over_seeds
from probe.training.evaluation.evaluate import Evaluation
from probe.training.evaluation.likelihood import Fitted

Metric = Literal["rouge_l", "exact_match"]
OUT_OF_DOMAIN = "out of domain"


@dataclass(frozen=True, slots=True)
class Score:
    """A mean and what it varies with. NaN where there is too little to tell."""

    mean: Estimate
    """Over questions, drawn anew within each set: of these models and these samples."""
    over_decoding: float
    """Standard deviation over decoding seeds: of a set's mean, within each training seed, pooled."""
    over_training: float
    """Standard deviation over training seeds, each the mean over its decoding seeds."""


@dataclass(frozen=True)
class System:
    """Models that differ in their training seed alone, each evaluated on the same sets with the same decoding."""

    name: str
    runs: Mapping[int | None, Sequence[Evaluation]]
    """By training seed; None for a model that this project did not train."""

    @property
    def sets(self) -> list[str]:
        """Names of the sets, the first in-domain."""
        return [one.questions.name for one in next(iter(self.runs.values()))]

    def scores(self, metric: Metric, set_: str) -> Float[np.ndarray, "training decoding questions"]:
        """Scores between 0 and 1 on a set.

        Raises:
            TrainingError: a run lacks the set, or has other questions or decoding seeds than the first.
        """
        found = [one for run in self.runs.values() for one in run if one.questions.name == set_]
        if len(found) != len(self.runs) or len(self.asked(set_)) > 1:
            remedy = "Evaluate all of them alike."
            expected = "each run once, with the same questions and decoding seeds"
            raise TrainingError(Problem(f"{self.name} on {set_}", expected, "others", remedy))
        return np.stack([getattr(one, metric) for one in found])

    def asked(self, set_: str) -> set[tuple[str, tuple[int, ...]]]:
        """Digests of the questions, and decoding seeds, that its runs had on a set: one pair where all is well."""
        every = (one for run in self.runs.values() for one in run)
        return {(one.questions.digest(), one.seeds) for one in every if one.questions.name == set_}

    def figure(self, metric: Metric, *sets: str) -> Score:
        """The mean over sets of a metric's means, in percent."""
        return figure([100 * self.scores(metric, name) for name in sets])

    def out_of_domain(self, metric: Metric) -> Score | None:
        """The same over all sets but the first; None where there is no other."""
        return self.figure(metric, *self.sets[1:]) if len(self.sets) > 1 else None

    def bits_per_byte(self, set_: str) -> tuple[float, float]:
        """Mean and standard deviation over training seeds."""
        values = self.bits(set_)
        return float(values.mean()), deviation(values)

    def fitted(self, set_: str) -> Fitted:
        """Means over training seeds."""
        found = [one.fitted for run in self.runs.values() for one in run if one.questions.name == set_]
        bits, temperature = (
            float(np.mean([as_float(value) for value in values]))
            for values in zip(*((one.bits_per_byte, one.temperature) for one in found), strict=True)
        )
        return Fitted(known(bits), known(temperature))

    def bits(self, set_: str, *, fitted: bool = False) -> Float[np.ndarray, " training"]:
        """Bits per byte of each training seed, as they are or at a fitted temperature."""
        found = [one for run in self.runs.values() for one in run if one.questions.name == set_]
        return np.array([as_float(one.fitted.bits_per_byte) if fitted else one.bits_per_byte for one in found])


def figure(scores: Sequence[Float[np.ndarray, "training decoding _"]]) -> Score:
    """The figure of the mean over sets, given the scores of each."""
    of_seeds = np.mean([one.mean(axis=2) for one in scores], axis=0)
    if not of_seeds.size:  # no response was sampled
        return Score(Estimate(None), math.nan, math.nan)
    over_decoding = math.nan if of_seeds.shape[1] < 2 else math.sqrt(of_seeds.var(axis=1, ddof=1).mean())
    mean = Estimate.of(float(of_seeds.mean()), *interval([one.mean(axis=(0, 1)) for one in scores]))
    return Score(mean, over_decoding, deviation(of_seeds.mean(axis=1)))


def difference(system: System, other: System, metric: Metric, set_: str) -> Score:
    """How much more a system has than another, in points, on the same questions and with the same seeds.

    Raises:
        TrainingError: they were not evaluated alike.
    """
    first, second = system.scores(metric, set_), other.scores(metric, set_)
    alike = system.asked(set_) == other.asked(set_) and first.shape == second.shape
    if not alike or list(system.runs) != list(other.runs):
        got = f"seeds {list(system.runs)} and {list(other.runs)}, scores {first.shape} and {second.shape}"
        raise TrainingError(
            Problem(f"{system.name} against {other.name}", "the same seeds and questions", got, "Pair.")
        )
    return figure([100 * (first - second)])


def bits_difference(system: System, other: System, set_: str, *, fitted: bool) -> Estimate:
    """How many bits per byte a system needs more than another, paired by training seed, with the t interval over seeds.

    Raises:
        TrainingError: they were not evaluated with the same seeds and questions.
    """
    if list(system.runs) != list(other.runs) or system.asked(set_) != other.asked(set_):
        got = f"seeds {list(system.runs)} and {list(other.runs)}"
        raise TrainingError(
            Problem(f"{system.name} against {other.name}", "the same seeds and questions", got, "Pair.")
        )
    return over_seeds(system.bits(set_, fitted=fitted) - other.bits(set_, fitted=fitted))


def interval(means: Sequence[Float[np.ndarray, " _"]]) -> tuple[float, float]:
    """Percentile interval of the mean over sets; questions are drawn anew within each. NaN where a set has one."""
    from scipy.stats import bootstrap

    if any(len(one) < 2 for one in means):
        return math.nan, math.nan
    if all(np.ptp(one) == 0 for one in means):  # nothing varies: every resample has this mean
        mean = float(np.mean([one.mean() for one in means]))
        return mean, mean

    def mean_of_means(*samples: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    found = bootstrap(
        means,
        mean_of_means,
        n_resamples=RESAMPLES,
        batch=RESAMPLES // 10,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def deviation(values: Float[np.ndarray, " _"]) -> float:
    """Standard deviation of a sample; NaN of a single value."""
    return math.nan if len(values) < 2 else float(values.std(ddof=1))
