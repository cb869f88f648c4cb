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
untrained are those of all sentences, at one size, with an interval from a bootstrap over sentences.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.keyquery.classifier import LINEAR, MLP, held_out_area, held_out_auc
from probe.keyquery.clouds import Cloud, Clouds
from probe.keyquery.moments import gaussian_distances
from probe.keyquery.threads import threads
from probe.keyquery.two_samples import (
    Sample,
    median_bandwidth,
    mmd2_and_energy,
    mmd_p_value,
    pair_means,
    sliced_wasserstein,
    sorted_projections,
    subsample,
)
from probe.keyquery.values import Measurement, Settings
from probe.stats import CONFIDENCE, Estimate, known

FRECHET, MMD2, SLICED, ENERGY = "Fréchet", "MMD²", "sliced W₂", "energy"
AUC_LINEAR, AUC_MLP = "AUC linear", "AUC MLP"
KINDS = {AUC_LINEAR: LINEAR, AUC_MLP: MLP}
OF_HALVES = (FRECHET, MMD2, SLICED, ENERGY)
DISTANCES = (*OF_HALVES, *KINDS)
SHAPE = "shape"
T = TypeVar("T")


class Few(NamedTuple):
    """A subsample of a cloud."""

    points: Float[np.ndarray, "few width"]
    sentence: Int[np.ndarray, " few"]

    def over(self, size: float) -> "Few":
        """The same over a size, in the precision of the points."""
        return Few(self.points / self.points.dtype.type(size), self.sentence)


def measure(view: str, trained: Clouds, untrained: Sequence[Clouds], settings: Settings) -> list[Measurement]:
    """All of `DISTANCES` in a view as it is, then with scale taken out: each cloud over its root mean square norm.

    Args:
        view: its name.
        trained: both clouds in its coordinates.
        untrained: the clouds of each untrained projector in the coordinates of its own view.
        settings: sizes and seed.
    """
    samples = [_few_of(clouds, settings) for clouds in (trained, *untrained)]
    bandwidths = [median_bandwidth(queries.points, keys.points) for queries, keys in samples[0]]
    halves = list(half_splits(trained.sentences, settings.splits, settings.seed))
    distances = partial(_distances, trained, settings=settings, bandwidths=bandwidths)
    with threads() as pool:
        drawn = [untrained[number % len(untrained)] for number in range(len(halves))]
        of_halves = pool.map(distances, drawn, halves)
        p_values = [
            pool.submit(_p_value, *few, bandwidth, settings)
            for few, bandwidth in zip(samples[0], bandwidths, strict=True)
        ]
        classify = partial(_classified, pool, trained.keys, samples, halves, settings)
        classified = {name: classify(kind) for name, kind in KINDS.items()}
        over_halves = np.stack(list(of_halves), axis=-1)
        found = []
        for scale, suffix in enumerate(("", f" {SHAPE}")):
            for name, columns in zip(OF_HALVES, over_halves[:, scale], strict=True):
                p_value = p_values[scale].result() if name == MMD2 else None
                found.append(_of_halves(view + suffix, name, columns, p_value))
            for name, areas in classified.items():
                found.append(Measurement(view + suffix, name, *areas(scale), None, ()))
    return found


def half_splits(sentences: int, splits: int, seed: int) -> Iterator[Bool[np.ndarray, " sentences"]]:
    """Random halves of the sentences: true for the first half, which may be smaller by one."""
    rng = np.random.default_rng(seed)
    for _ in range(splits):
        chosen = np.zeros(sentences, dtype=bool)
        chosen[rng.permutation(sentences)[: sentences // 2]] = True
        yield chosen


def half_sample_estimate(value: float, values: Sequence[float]) -> Estimate:
    """A value, and an interval from the spread of a statistic over random halves of the sentences."""
    from scipy.stats import t

    if len(values) < 2 or not np.isfinite([value, *values]).all():
        return Estimate(known(value))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1))
    return Estimate(value, value - reach, value + reach)


def _few_of(clouds: Clouds, settings: Settings) -> list[tuple[Few, Few]]:
    """A subsample of queries and of keys, as they are and over their sizes."""

    def few(cloud: Cloud) -> Few:
        tokens = subsample(len(cloud), settings.subsample, settings.seed)
        return Few(cloud.at(tokens), cloud.sentence[tokens])

    both = [(few(cloud), cloud.moments.size) for cloud in (clouds.queries, clouds.keys)]
    queries, keys = ((sample, sample.over(size)) for sample, size in both)
    return list(zip(queries, keys, strict=True))


def _of_halves(view: str, name: str, columns: Float[np.ndarray, "3 halves"], p_value: float | None) -> Measurement:
    pair, floor, reference = columns
    estimate = half_sample_estimate(float(pair.mean()), pair.tolist())
    kept = () if estimate.low is None else tuple(pair.tolist())
    return Measurement(view, name, estimate, known(floor.mean()), known(reference.mean()), p_value, kept)


class _Half:
    """The points of a cloud in half of the sentences, as each distance takes them, as they are and over their size."""

    def __init__(self, cloud: Cloud, half: Bool[np.ndarray, " sentences"], settings: Settings) -> None:
        """Draw them."""
        tokens = np.flatnonzero(half[cloud.sentence])
        tokens = tokens[subsample(len(tokens), settings.moment_subsample, settings.seed)]
        few, some = (
            cloud.at(tokens[subsample(len(tokens), size, settings.seed)])
            for size in (settings.subsample, settings.sliced_subsample)
        )
        self.sizes = 1.0, cloud.moments.size
        self.moments = cloud.moments_at(tokens)
        self.few = Sample(few.astype(np.float64), self.sizes)
        self.projections = sorted_projections(some, seed=settings.seed, projections=settings.projections)


def _distances(
    trained: Clouds,
    untrained: Clouds,
    half: Bool[np.ndarray, " sentences"],
    settings: Settings,
    bandwidths: Sequence[float],
) -> Float[np.ndarray, "distances scales 3"]:
    """`OF_HALVES` of queries, of keys, and of untrained queries in a half, to the keys of the other half."""
    samples = [_Half(cloud, half, settings) for cloud in (trained.queries, trained.keys, untrained.queries)]
    keys = _Half(trained.keys, ~half, settings)
    own = keys if untrained.keys is trained.keys else _Half(untrained.keys, ~half, settings)  # the same in the raw view
    within = {one: pair_means(one.few, one.few, bandwidths) for one in {*samples, keys, own}}
    found = np.zeros((len(OF_HALVES), 2, 3))
    for column, (x, y) in enumerate(zip(samples, (keys, keys, own), strict=True)):
        scales = list(zip(x.sizes, y.sizes, strict=True))
        gap, energy = mmd2_and_energy(pair_means(x.few, y.few, bandwidths), within[x], within[y])
        sliced = [sliced_wasserstein(x.projections / s, y.projections / t) for s, t in scales]
        found[..., column] = gaussian_distances(x.moments, y.moments, scales), gap, sliced, energy
    return found


def _p_value(queries: Few, keys: Few, bandwidth: float, settings: Settings) -> float:
    return mmd_p_value(
        queries.points,
        keys.points,
        seed=settings.seed,
        permutations=settings.permutations,
        bandwidth=bandwidth,
        groups=(queries.sentence, keys.sentence),
    )


def _classified(
    pool: Executor,
    keys: Cloud,
    samples: Sequence[Sequence[tuple[Few, Few]]],
    halves: Sequence[Bool[np.ndarray, " sentences"]],
    settings: Settings,
    kind: str,
) -> Callable[[int], tuple[Estimate, float | None, float | None]]:
    """For each scale, the area of the trained queries, the floor, and that of the untrained queries.

    The floor is that of keys in one half of the sentences against keys in the other, mean of some halvings, at any
    scale: classifiers standardise their input.
    """

    def area(function: Callable[..., T], x: Few, y: Few) -> "Future[T]":
        groups = x.sentence, y.sentence
        return pool.submit(function, x.points, y.points, groups, kind=kind, seed=settings.seed)

    def few(chosen: Bool[np.ndarray, " tokens"]) -> Few:
        tokens = np.flatnonzero(chosen)
        tokens = tokens[subsample(len(tokens), settings.subsample, settings.seed)]
        return Few(keys.at(tokens), keys.sentence[tokens])

    firsts = [half[keys.sentence] for half in halves[: settings.classifier_splits]]
    floors = [area(held_out_area, few(first), few(~first)) for first in firsts]
    trained, *untrained = samples
    pairs = [area(held_out_auc, *one) for one in trained]
    references = [[area(held_out_area, *one[scale]) for one in untrained] for scale in range(len(trained))]

    def at(scale: int) -> tuple[Estimate, float | None, float | None]:
        return pairs[scale].result(), _mean(floors), _mean(references[scale])

    return at


def _mean(areas: "Sequence[Future[float]]") -> float | None:
    return known(float(np.mean([area.result() for area in areas])))
