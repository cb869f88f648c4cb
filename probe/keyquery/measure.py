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

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.keyquery.classifier import LINEAR, MLP, held_out_area, held_out_auc
from probe.keyquery.clouds import Cloud, Clouds
from probe.keyquery.moments import gaussian_distance, moments
from probe.keyquery.two_samples import median_bandwidth, mmd2_and_energy, mmd_p_value, sliced_wasserstein, subsample
from probe.keyquery.values import Measurement, Settings
from probe.stats import CONFIDENCE, Estimate, known

FRECHET, MMD2, SLICED, ENERGY = "Fréchet", "MMD²", "sliced W₂", "energy"
AUC_LINEAR, AUC_MLP = "AUC linear", "AUC MLP"
KINDS = {AUC_LINEAR: LINEAR, AUC_MLP: MLP}
OF_HALVES = (FRECHET, MMD2, SLICED, ENERGY)
DISTANCES = (*OF_HALVES, *KINDS)
MOST_THREADS = 4
"""Each holds matrices of some tens of megabytes."""


def measure(
    view: str,
    trained: Clouds,
    untrained: Sequence[Clouds],
    settings: Settings,
    unscaled: Sequence[Measurement] = (),
) -> list[Measurement]:
    """All of `DISTANCES` in one view.

    Args:
        view: its name.
        trained: both clouds in its coordinates.
        untrained: the clouds of each untrained projector in the coordinates of its own view.
        settings: sizes and seed.
        unscaled: what was measured of the same clouds at another scale, if it was. Classifiers standardise their
            input, so that of keys against keys their areas are taken from there.
    """

    def few(points: Float[np.ndarray, "tokens width"], size: int = settings.subsample) -> np.ndarray:
        return points[subsample(len(points), size, settings.seed)]

    queries, keys = (few(cloud.points) for cloud in (trained.queries, trained.keys))
    bandwidth = median_bandwidth(queries, keys)  # one for all columns, or they could not be compared

    halves = list(half_splits(trained.sentences, settings.splits, settings.seed))
    over_halves = _over_halves(trained, untrained, halves, settings, bandwidth)
    found: list[Measurement] = []
    for name, (pair, floor, reference) in zip(OF_HALVES, over_halves, strict=True):
        p_value = _p_value(trained, settings, bandwidth) if name == MMD2 else None
        estimate = half_sample_estimate(float(pair.mean()), pair.tolist())
        kept = () if estimate.low is None else tuple(pair.tolist())
        found.append(Measurement(view, name, estimate, known(floor.mean()), known(reference.mean()), p_value, kept))
    floors = {one.distance: one.floor for one in unscaled}
    for name, kind in KINDS.items():
        floor = floors[name] if floors else _area_of_halves(kind, trained, halves, settings)
        found.append(_classified(view, name, trained, untrained, floor, settings))
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
    trained: Clouds,
    untrained: Sequence[Clouds],
    halves: Sequence[Bool[np.ndarray, " sentences"]],
    settings: Settings,
    bandwidth: float,
) -> Float[np.ndarray, "distances 3 halves"]:
    """Each distance of the pair, of the floor, and of an untrained projector, for each halving."""

    def of(cloud: Cloud, half: Bool[np.ndarray, " sentences"]) -> np.ndarray:
        tokens = np.flatnonzero(half[cloud.sentence])
        return cloud.points[tokens[subsample(len(tokens), settings.moment_subsample, settings.seed)]]

    def of_half(numbered: tuple[int, Bool[np.ndarray, " sentences"]]) -> Float[np.ndarray, "distances 3"]:
        number, half = numbered
        drawn = untrained[number % len(untrained)]
        samples = [of(trained.queries, half), of(trained.keys, half), of(drawn.queries, half)]
        others = of(trained.keys, ~half)
        own = others if drawn.keys.points is trained.keys.points else of(drawn.keys, ~half)  # in the raw view
        return _distances(samples, [others, own], settings, bandwidth)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:  # numpy lets others work
        return np.stack(list(pool.map(of_half, enumerate(halves))), axis=-1)


def _distances(
    samples: Sequence[np.ndarray], keys: Sequence[np.ndarray], settings: Settings, bandwidth: float
) -> Float[np.ndarray, "distances 3"]:
    """`OF_HALVES` of queries, of keys, and of untrained queries, to the keys of the other half, which may differ."""

    def few(points: np.ndarray, size: int) -> np.ndarray:
        return points[subsample(len(points), size, settings.seed)]

    others = [keys[0], keys[0], keys[1]]
    fitted = [moments(points) for points in samples]
    ours = moments(keys[0])
    theirs = ours if keys[1] is keys[0] else moments(keys[1])
    found = np.zeros((len(OF_HALVES), len(samples)))
    for column, (x, y, x_fit, y_fit) in enumerate(zip(samples, others, fitted, (ours, ours, theirs), strict=True)):
        gap, energy = mmd2_and_energy(few(x, settings.subsample), few(y, settings.subsample), bandwidth)
        some = (few(points, settings.sliced_subsample) for points in (x, y))
        sliced = sliced_wasserstein(*some, seed=settings.seed, projections=settings.projections)
        found[:, column] = gaussian_distance(x_fit, y_fit), gap, sliced, energy
    return found


def _p_value(trained: Clouds, settings: Settings, bandwidth: float) -> float:
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
    trained: Clouds,
    untrained: Sequence[Clouds],
    floor: float | None,
    settings: Settings,
) -> Measurement:
    def sample(clouds: Clouds) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        queries, keys = clouds.queries, clouds.keys
        rows, columns = (subsample(len(cloud.points), settings.subsample, settings.seed) for cloud in (queries, keys))
        return queries.points[rows], keys.points[columns], (queries.sentence[rows], keys.sentence[columns])

    kind, seed = KINDS[name], settings.seed
    reference = float(np.mean([held_out_area(*sample(clouds), kind=kind, seed=seed) for clouds in untrained]))
    pair = held_out_auc(*sample(trained), kind=kind, seed=seed)
    return Measurement(view, name, pair, floor, known(reference), None, ())


def _area_of_halves(
    kind: str, trained: Clouds, halves: Sequence[Bool[np.ndarray, " sentences"]], settings: Settings
) -> float | None:
    """The floor: keys of one half of the sentences against keys of the other, mean of some halvings."""
    keys = trained.keys

    def few(chosen: Bool[np.ndarray, " tokens"]) -> Int[np.ndarray, " chosen"]:
        tokens = np.flatnonzero(chosen)
        return tokens[subsample(len(tokens), settings.subsample, settings.seed)]

    areas: list[float] = []
    for half in halves[: settings.classifier_splits]:
        first = half[keys.sentence]
        one, other = few(first), few(~first)
        groups = keys.sentence[one], keys.sentence[other]
        areas.append(held_out_area(keys.points[one], keys.points[other], groups, kind=kind, seed=settings.seed))
    return known(float(np.mean(areas)))
