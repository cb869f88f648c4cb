"""Distances between two samples that look at points, not at moments.

MMD and energy distance are quadratic in points, so callers give them a subsample (`subsample`). Sliced Wasserstein
sorts, and is given a larger one.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from probe.errors import MissingExtraError, Problem

PACKAGES = {"sklearn": "scikit-learn", "ot": "POT"}

BLOCK_ROWS = 128
"""Of 1,000 columns they have 1 MB: what is made of them stays in the cache, and needs no new pages."""


def require_analysis() -> None:
    """Check that the packages of the extra ``analysis`` are there, before anything imports them.

    Raises:
        MissingExtraError: one of them is not.
    """
    missing = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        remedy = "Run: pip install 'cma-probe[analysis]', or '.[analysis]' in a clone."
        raise MissingExtraError(Problem("key-query analysis", "the extra analysis", f"no {', '.join(missing)}", remedy))


def only_numpy() -> None:
    """Keep POT from loading torch, or another framework that is installed: numpy is enough. Before its first import."""
    for backend in ("PYTORCH", "TENSORFLOW", "JAX", "CUPY"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")


def subsample(points: int, size: int, seed: int) -> Int[np.ndarray, " chosen"]:
    """Which of so many points to take: all, or ``size`` of them drawn without replacement, in order."""
    if points <= size:
        return np.arange(points)
    return np.sort(np.random.default_rng(seed).choice(points, size, replace=False))


def squared_distances(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """‖x_i - y_j‖² by ‖x‖² + ‖y‖² - 2 x·y in float64; what is below its rounding is exactly zero."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return _squared(x @ y.T, np.square(x).sum(axis=1), np.square(y).sum(axis=1))


def _squared(products: np.ndarray, x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "n m"]:
    """The same, in the place of the products, from them and from ‖x‖² and ‖y‖²."""
    sizes = x[:, None] + y
    products *= -2  # in place: such a matrix may have 32 MB, and pages that are new cost more than the arithmetic
    products += sizes
    sizes *= 64 * np.finfo(np.float64).eps
    products[products < sizes] = 0
    return products


def median_bandwidth(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """The median distance between points of both samples pooled (Gretton et al. 2012, section 8)."""
    pooled = np.concatenate([x, y])
    distances = squared_distances(pooled, pooled)[np.triu_indices(len(pooled), 1)]
    return float(np.sqrt(np.median(distances))) or 1.0


@dataclass(frozen=True)
class Sample:
    """Points, and what to divide them by: each distance is taken once for each of these sizes."""

    points: Float[np.ndarray, "n d"]
    """In float64."""
    sizes: tuple[float, ...] = (1.0,)

    @cached_property
    def squared(self) -> Float[np.ndarray, " n"]:
        """‖x_i‖²."""
        return np.square(self.points).sum(axis=1)


def pair_means(x: Sample, y: Sample, bandwidths: Sequence[float]) -> Float[np.ndarray, "sizes 2"]:
    """The mean of exp(-‖a - b‖² / (2 bandwidth²)), and that of ‖a - b‖, over all pairs of two samples, for each size.

    If both are one sample, the first is over pairs of different points.
    """
    products = x.points @ y.points.T
    found = np.zeros((len(x.sizes), 2))
    for row, s, t, bandwidth in zip(found, x.sizes, y.sizes, bandwidths, strict=True):
        for begin in range(0, len(products), BLOCK_ROWS):
            some = slice(begin, begin + BLOCK_ROWS)
            squared = _squared(products[some] * (1 / (s * t)), x.squared[some] / s**2, y.squared / t**2)
            squared = squared.astype(np.float32)  # differences are taken: roots and powers need no more
            row[1] += np.sqrt(squared).sum(dtype=np.float64)
            row[0] += _of_squared(squared, bandwidth).sum(dtype=np.float64)
        same = len(products) if x is y else 0
        row[:] = (row[0] - same) / (products.size - same), row[1] / products.size
    return found


def mmd2_and_energy(
    cross: Float[np.ndarray, "sizes 2"], own: Float[np.ndarray, "sizes 2"], other: Float[np.ndarray, "sizes 2"]
) -> Float[np.ndarray, "2 sizes"]:
    """Two distances from `pair_means` of x with y, of x and of y, for each size.

    The unbiased squared maximum mean discrepancy (Gretton et al. 2012, Eq. 3):

        mean_{i≠i'} k(x_i, x_i') + mean_{j≠j'} k(y_j, y_j') - 2 mean_{i,j} k(x_i, y_j)

    Being unbiased it may fall below zero, by about 2/n for two equal samples. And the energy distance (Székely & Rizzo
    2013), sqrt(2 E‖X - Y‖ - E‖X - X'‖ - E‖Y - Y'‖), over all pairs; in one dimension it is
    `scipy.stats.energy_distance`.
    """
    gap = own + other - 2 * cross
    return np.stack([gap[:, 0], np.sqrt(np.maximum(-gap[:, 1], 0))])


def mmd2(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], bandwidth: float | None = None) -> float:
    """MMD² of `mmd2_and_energy`, of points. Without a bandwidth it is the median heuristic's."""
    return _both(x, y, median_bandwidth(x, y) if bandwidth is None else bandwidth)[0]


def energy_distance(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """The energy distance of `mmd2_and_energy`, of points."""
    return _both(x, y, 1.0)[1]


def _both(x: np.ndarray, y: np.ndarray, bandwidth: float) -> list[float]:
    ours, theirs = (Sample(points.astype(np.float64)) for points in (x, y))
    means = (pair_means(*pair, [bandwidth]) for pair in ((ours, theirs), (ours, ours), (theirs, theirs)))
    return mmd2_and_energy(*means)[:, 0].tolist()


def mmd_p_value(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    *,
    seed: int,
    permutations: int = 500,
    bandwidth: float | None = None,
    groups: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]] | None = None,
) -> float:
    """Permutation p-value of `mmd2`: the share of relabelled samples, the real one included, that are as far apart.

    Without groups all labels are permuted (Gretton et al. 2012, section 5). With groups, such as the sentence of each
    point, the points of a group are not independent: then whole groups swap their x and their y, each by a coin.
    """
    kernel = _kernel(x, y, bandwidth)
    real = np.arange(len(x) + len(y)) < len(x)
    rng = np.random.default_rng(seed)
    if groups is None:
        labels = rng.permuted(np.tile(real, (permutations, 1)), axis=1)
    else:
        _, group = np.unique(np.concatenate(groups), return_inverse=True)
        labels = real ^ rng.integers(0, 2, (permutations, int(group.max()) + 1)).astype(bool)[:, group.reshape(-1)]
    found = _mmd2(kernel, np.concatenate([real[None], labels]))
    return float((found >= found[0] - 1e-12).mean())


def _kernel(x: np.ndarray, y: np.ndarray, bandwidth: float | None) -> Float[np.ndarray, "both both"]:
    pooled = np.concatenate([x, y])
    width = median_bandwidth(x, y) if bandwidth is None else bandwidth
    return _of_squared(squared_distances(pooled, pooled), width)


def _of_squared(squared: Float[np.ndarray, "n m"], bandwidth: float) -> Float[np.ndarray, "n m"]:
    """The kernel, in the place of the squared distances."""
    squared /= -2 * bandwidth**2
    return np.exp(squared, out=squared)


def _mmd2(kernel: Float[np.ndarray, "both both"], labels: np.ndarray) -> Float[np.ndarray, " labellings"]:
    """MMD² for each row of labels, true for x; a relabelling that leaves a side with fewer than two points is NaN."""
    ours = labels.astype(np.float64)
    n, both = ours.sum(axis=1), len(kernel)
    m = both - n
    rows = ours @ kernel
    xx = (rows * ours).sum(axis=1)
    xy = rows.sum(axis=1) - xx
    yy = kernel.sum() - xx - 2 * xy
    with np.errstate(divide="ignore", invalid="ignore"):
        return (xx - n) / (n * (n - 1)) + (yy - m) / (m * (m - 1)) - 2 * xy / (n * m)  # the diagonal is one


def sorted_projections(
    points: Float[np.ndarray, "n d"], *, seed: int, projections: int = 100
) -> Float[np.ndarray, "projections n"]:
    """The points along random directions, which depend on the seed and d alone, each time in order.

    In the precision of the points.
    """
    import ot

    # Given a number, POT seeds one generator that all threads share; a generator of its own draws the same directions.
    own = np.random.RandomState(seed)
    directions = ot.sliced.get_random_projections(points.shape[1], projections, own).astype(points.dtype)
    return np.sort((points @ directions).T, axis=1)


def sliced_wasserstein(x: Float[np.ndarray, "projections n"], y: Float[np.ndarray, "projections m"]) -> float:
    """Sliced 2-Wasserstein distance: the root mean square of one-dimensional W_2 along random directions.

    Bonneel et al. 2015, from `sorted_projections` of both samples. n log n in points. Of equally many points the r-th
    goes to the r-th; of others `ot.wasserstein_1d` finds the plan.
    """
    if x.shape == y.shape:
        return float(np.sqrt(np.square(x - y).mean(dtype=np.float64)))
    import ot

    squared: Any = ot.wasserstein_1d(x.T, y.T, p=2, require_sort=False)
    return float(np.sqrt(squared.mean()))
