"""Distances between two samples that look at points, not at moments.

MMD and energy distance are quadratic in points, so callers give them a subsample (`subsample`). Sliced Wasserstein
sorts, and is given a larger one.
"""

import importlib.util
import os
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from probe.errors import MissingExtraError, Problem

PACKAGES = {"sklearn": "scikit-learn", "ot": "POT", "threadpoolctl": "threadpoolctl"}


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


BLOCK_ELEMENTS = 4_000_000
"""Distances held at a time by the energy distance: 32 MB."""


def subsample(points: int, size: int, seed: int) -> Int[np.ndarray, " chosen"]:
    """Which of so many points to take: all, or ``size`` of them drawn without replacement, in order."""
    if points <= size:
        return np.arange(points)
    return np.sort(np.random.default_rng(seed).choice(points, size, replace=False))


def squared_distances(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """‖x_i - y_j‖² by ‖x‖² + ‖y‖² - 2 x·y in float64; what is below its rounding is exactly zero."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    sizes = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    squared = x @ y.T
    squared *= -2  # in place: each such matrix is 32 MB, and pages that are new cost more than the arithmetic
    squared += sizes
    sizes *= 64 * np.finfo(np.float64).eps
    squared[squared < sizes] = 0
    return squared


def median_bandwidth(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """The median distance between points of both samples pooled (Gretton et al. 2012, section 8)."""
    pooled = np.concatenate([x, y])
    distances = squared_distances(pooled, pooled)[np.triu_indices(len(pooled), 1)]
    return float(np.sqrt(np.median(distances))) or 1.0


def mmd2(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], bandwidth: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel exp(-‖a - b‖² / (2 bandwidth²)).

        mean_{i≠i'} k(x_i, x_i') + mean_{j≠j'} k(y_j, y_j') - 2 mean_{i,j} k(x_i, y_j)

    Gretton et al. 2012, Eq. 3. Being unbiased it may fall below zero, by about 2/n for two equal samples. Without a
    bandwidth it is the median heuristic's. Quadratic in points.
    """
    kernel = _kernel(x, y, bandwidth)
    return float(_mmd2(kernel, np.arange(len(x) + len(y))[None] < len(x))[0])


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


def mmd2_and_energy(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], bandwidth: float) -> tuple[float, float]:
    """`mmd2` and `energy_distance` of the same points, from one matrix of distances."""
    pooled, n = np.concatenate([x, y]), len(x)
    squared = squared_distances(pooled, pooled)
    distances = np.sqrt(squared)
    cross, own, other = (part.mean() for part in (distances[:n, n:], distances[:n, :n], distances[n:, n:]))
    kernel = _of_squared(squared, bandwidth)
    gap = float(_mmd2(kernel, np.arange(len(pooled))[None] < n)[0])
    return gap, float(np.sqrt(max(2 * cross - own - other, 0.0)))


def _kernel(x: np.ndarray, y: np.ndarray, bandwidth: float | None) -> Float[np.ndarray, "both both"]:
    pooled = np.concatenate([x, y])
    width = median_bandwidth(x, y) if bandwidth is None else bandwidth
    return _of_squared(squared_distances(pooled, pooled), width)


def _of_squared(squared: Float[np.ndarray, "both both"], bandwidth: float) -> Float[np.ndarray, "both both"]:
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


def energy_distance(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Energy distance, sqrt(2 E‖X - Y‖ - E‖X - X'‖ - E‖Y - Y'‖), over all pairs.

    Székely & Rizzo 2013; in one dimension it is `scipy.stats.energy_distance`. Quadratic in time, not in memory.
    """
    cross, own, other = _mean_distance(x, y), _mean_distance(x, x), _mean_distance(y, y)
    return float(np.sqrt(max(2 * cross - own - other, 0.0)))


def _mean_distance(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    rows = max(1, BLOCK_ELEMENTS // len(y))
    blocks = (np.sqrt(squared_distances(x[begin : begin + rows], y)).sum() for begin in range(0, len(x), rows))
    return float(sum(blocks)) / (len(x) * len(y))


def sliced_wasserstein(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], *, seed: int, projections: int = 100
) -> float:
    """Sliced 2-Wasserstein distance: the root mean square of one-dimensional W_2 along random directions.

    Bonneel et al. 2015, by `ot.sliced_wasserstein_distance`. n log n in points. Of equally many points the r-th goes to
    the r-th, which takes a tenth of the time.
    """
    import ot

    # Given a number, POT seeds one generator that all threads share; a generator of its own draws the same directions.
    own = np.random.RandomState(seed)
    directions = ot.sliced.get_random_projections(x.shape[1], projections, own).astype(np.float64)
    x, y = x.astype(np.float64), y.astype(np.float64)
    if len(x) == len(y):
        ours, theirs = (np.sort(directions.T @ points.T, axis=1) for points in (x, y))
        return float(np.sqrt(np.square(ours - theirs).mean()))
    distance: Any = ot.sliced_wasserstein_distance(x, y, projections=directions)
    return float(distance)
