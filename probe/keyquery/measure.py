"""Each distance of queries and keys, beside a floor and a reference.

A distance between finite samples is not zero where the distributions are equal, and how far off it is depends on the
sizes. So all three columns are measured on the same sizes: sentences are cut into random halves, and

    pair        queries of one half, keys of the other
    floor       keys of one half, keys of the other
    untrained   queries of an untrained projector of one half, keys of the other

each averaged over the halves. Around the pair stands a half-sample interval: the spread of a statistic over random
halves estimates the standard error of the statistic of all sentences (McCarthy 1966; half of the data has twice the
variance, and what the two halves share takes one half of it away).

A classifier needs no such care for .5 is its floor at any size, but it learns more from more sentences. So pair and
untrained are those of all sentences, at one size, with bounds from a bootstrap over sentences.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.documents import known
from probe.keyquery.classifier import LINEAR, MLP, held_out_auc
from probe.keyquery.clouds import Clouds
from probe.keyquery.moments import frechet
from probe.keyquery.two_samples import (
    energy_distance,
    median_bandwidth,
    mmd2,
    mmd_p_value,
    sliced_wasserstein,
    subsample,
)
from probe.keyquery.values import Estimate, Measurement, Settings
from probe.stats import CONFIDENCE

FRECHET, MMD2, SLICED, ENERGY = "Fréchet", "MMD²", "sliced W₂", "energy"
AUC_LINEAR, AUC_MLP = "AUC linear", "AUC MLP"
DISTANCES = (FRECHET, MMD2, SLICED, ENERGY, AUC_LINEAR, AUC_MLP)

Distance = Callable[[np.ndarray, np.ndarray], float]


def measure(view: str, trained: Clouds, untrained: Sequence[Clouds], settings: Settings) -> list[Measurement]:
    """All of `DISTANCES` in one view.

    Args:
        view: its name.
        trained: both clouds in its coordinates.
        untrained: the clouds of each untrained projector in the coordinates of its own view.
        settings: sizes and seed.
    """

    def few(points: Float[np.ndarray, "tokens width"], size: int = settings.subsample) -> np.ndarray:
        return points[subsample(len(points), size, settings.seed)]

    def sliced(x: np.ndarray, y: np.ndarray) -> float:
        x, y = (few(points, settings.sliced_subsample) for points in (x, y))
        return sliced_wasserstein(x, y, seed=settings.seed, projections=settings.projections)

    queries, keys = (few(cloud.points) for cloud in (trained.queries, trained.keys))
    bandwidth = median_bandwidth(queries, keys)  # one for all columns, or they could not be compared
    distances: dict[str, Distance] = {
        FRECHET: frechet,
        MMD2: lambda x, y: mmd2(few(x), few(y), bandwidth),
        SLICED: sliced,
        ENERGY: lambda x, y: energy_distance(few(x), few(y)),
    }
    halves = list(half_splits(trained.sentences, settings.splits, settings.seed))
    found = [
        _over_halves(view, name, distance, trained, untrained, halves, _p_value(trained, settings, bandwidth, name))
        for name, distance in distances.items()
    ]
    for name, kind in ((AUC_LINEAR, LINEAR), (AUC_MLP, MLP)):
        found.append(_classified(view, name, kind, trained, untrained, halves[: settings.classifier_splits], settings))
    return found


def half_splits(sentences: int, splits: int, seed: int) -> Iterator[Bool[np.ndarray, " sentences"]]:
    """Random halves of the sentences: true for the first half, which may be smaller by one."""
    rng = np.random.default_rng(seed)
    for _ in range(splits):
        chosen = np.zeros(sentences, dtype=bool)
        chosen[rng.permutation(sentences)[: sentences // 2]] = True
        yield chosen


def half_sample_estimate(value: float, values: Sequence[float]) -> Estimate:
    """A value, and bounds from the spread of a statistic over random halves of the sentences."""
    from scipy.stats import t

    if len(values) < 2 or not np.isfinite([value, *values]).all():
        return Estimate(known(value))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1))
    return Estimate(value, value - reach, value + reach)


def _over_halves(
    view: str,
    name: str,
    distance: Distance,
    trained: Clouds,
    untrained: Sequence[Clouds],
    halves: Sequence[Bool[np.ndarray, " sentences"]],
    p_value: float | None,
) -> Measurement:
    queries, keys = trained.queries, trained.keys
    pair: list[float] = []
    floor: list[float] = []
    reference: list[float] = []
    for number, half in enumerate(halves):
        other = keys.points[~half[keys.sentence]]
        pair.append(distance(queries.points[half[queries.sentence]], other))
        floor.append(distance(keys.points[half[keys.sentence]], other))
        drawn = untrained[number % len(untrained)]
        reference.append(
            distance(drawn.queries.points[half[queries.sentence]], drawn.keys.points[~half[keys.sentence]])
        )
    estimate = half_sample_estimate(float(np.mean(pair)), pair)
    return Measurement(view, name, estimate, known(float(np.mean(floor))), known(float(np.mean(reference))), p_value)


def _p_value(trained: Clouds, settings: Settings, bandwidth: float, name: str) -> float | None:
    if name != MMD2:
        return None
    queries, keys = trained.queries, trained.keys
    rows, columns = (subsample(len(cloud.points), settings.subsample, settings.seed) for cloud in (queries, keys))
    return mmd_p_value(
        queries.points[rows],
        keys.points[columns],
        seed=settings.seed,
        permutations=settings.permutations,
        bandwidth=bandwidth,
        groups=(queries.sentence[rows], keys.sentence[columns]),
    )


def _classified(
    view: str,
    name: str,
    kind: str,
    trained: Clouds,
    untrained: Sequence[Clouds],
    halves: Sequence[Bool[np.ndarray, " sentences"]],
    settings: Settings,
) -> Measurement:
    def area(
        x: Float[np.ndarray, "n width"],
        y: Float[np.ndarray, "m width"],
        x_sentence: Int[np.ndarray, " n"],
        y_sentence: Int[np.ndarray, " m"],
    ) -> tuple[float, float, float]:
        rows, columns = (subsample(len(points), settings.subsample, settings.seed) for points in (x, y))
        groups = x_sentence[rows], y_sentence[columns]
        return held_out_auc(x[rows], y[columns], groups, kind=kind, seed=settings.seed)

    def of_pair(clouds: Clouds) -> tuple[float, float, float]:
        queries, keys = clouds.queries, clouds.keys
        return area(queries.points, keys.points, queries.sentence, keys.sentence)

    def of_halves(half: Bool[np.ndarray, " sentences"]) -> float:
        keys = trained.keys
        first = half[keys.sentence]
        return area(keys.points[first], keys.points[~first], keys.sentence[first], keys.sentence[~first])[0]

    floor = float(np.mean([of_halves(half) for half in halves]))
    reference = float(np.mean([of_pair(clouds)[0] for clouds in untrained]))
    return Measurement(view, name, Estimate.of(*of_pair(trained)), known(floor), known(reference), None)
