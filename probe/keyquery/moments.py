"""What follows from means, covariances and norms alone. Every function is linear in the number of points."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BLOCK_ROWS = 1024
"""Of 1,280 columns they have 10 MB in float64: the allocator gives larger ones back, and new pages cost time."""


@dataclass(frozen=True)
class Moments:
    """How many points a cloud has, their mean, and the summed products of what they are apart from it; in float64."""

    count: int
    mean: Float[np.ndarray, " d"]
    products: Float[np.ndarray, "d d"]

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """The unbiased one."""
        return self.products / max(self.count - 1, 1)

    @cached_property
    def factor(self) -> tuple[Float[np.ndarray, "d d"], Int[np.ndarray, " d"]]:
        """An upper triangle U and an order p of the coordinates, UᵀU = Σ[p, p], by Cholesky's method with pivots.

        Σ may be singular: the rows of U below its rank are zero.
        """
        from scipy.linalg.lapack import dpstrf  # pyright: ignore[reportAttributeAccessIssue]

        upper, pivots, rank, _ = dpstrf(self.covariance)
        upper = np.triu(upper)
        upper[rank:] = 0
        return upper, pivots - 1

    @property
    def variance(self) -> float:
        """Of all coordinates together, the mean of ‖x - mean‖²."""
        return float(np.trace(self.products)) / self.count

    @property
    def size(self) -> float:
        """The root mean square norm, sqrt(mean ‖x‖²); 1 for a cloud that is all zero, so that it can divide."""
        return float(np.sqrt(self.variance + np.square(self.mean).sum())) or 1.0

    def along(self, axes: Float[np.ndarray, "d few"], shift: Float[np.ndarray, " few"] | float = 0.0) -> "Moments":
        """Those of the coordinates along some axes, and then shifted."""
        return Moments(self.count, self.mean @ axes + shift, axes.T @ self.products @ axes)

    def centred(self) -> "Moments":
        """Those of the cloud moved to mean zero."""
        return Moments(self.count, np.zeros_like(self.mean), self.products)


def moments(points: Float[np.ndarray, "n d"], times: Int[np.ndarray, " n"] | None = None) -> Moments:
    """Those of a cloud in which each point stands so many times; default: once."""
    times = np.ones(len(points), dtype=np.int64) if times is None else times
    count = int(times.sum())
    mean = np.sum([times[rows] @ block for rows, block in blocks(points)], axis=0) / count
    products = np.zeros((points.shape[1], points.shape[1]))
    for rows, block in blocks(points):
        block -= mean
        block *= np.sqrt(times[rows])[:, None]
        products += block.T @ block
    return Moments(count, mean, products)


def pair_moments(
    rows: Float[np.ndarray, "tokens d"], pairs: Int[np.ndarray, "n 2"], times: Int[np.ndarray, " n"]
) -> Moments:
    """Those of a cloud of points [rows[i]; rows[j]], in which each pair (i, j) stands so many times.

    There are far fewer tokens than pairs of them. With the counts N of all pairs, the summed products of the first and
    the second half are Σ_ij N_ij (r_i - μ)(r_j - ν)ᵀ = (R - μ)ᵀ N (R - ν), and those of a half with itself follow from
    how often each token stands there.
    """
    from scipy.sparse import csr_array

    tokens, places = np.unique(pairs[times > 0], return_inverse=True)
    rows = rows[tokens].astype(np.float64)
    counts = csr_array((times[times > 0], places.reshape(-1, 2).T), shape=(len(rows), len(rows)))
    first, second = (moments(rows, counts.sum(axis=side)) for side in (1, 0))
    cross = (rows - first.mean).T @ (counts @ (rows - second.mean))
    products = np.block([[first.products, cross], [cross.T, second.products]])
    return Moments(first.count, np.concatenate([first.mean, second.mean]), products)


def blocks(points: Float[np.ndarray, "n d"]) -> Iterator[tuple[slice, Float[np.ndarray, "rows d"]]]:
    """Some rows after others, each time as a copy in float64: a copy of all would be large."""
    for begin in range(0, len(points), BLOCK_ROWS):
        rows = slice(begin, begin + BLOCK_ROWS)
        yield rows, points[rows].astype(np.float64)


def frechet(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """`gaussian_distances` of the Gaussians with the clouds' means and covariances, as they are.

    It is biased upwards by about d²/n: read it beside a value for clouds of the same sizes.
    """
    return gaussian_distances(moments(x), moments(y))[0]


def gaussian_distances(x: Moments, y: Moments, sizes: Sequence[tuple[float, float]] = ((1.0, 1.0),)) -> list[float]:
    """Fréchet distances, squared, of two Gaussians: for each pair of sizes (s, t), those of x / s and y / t.

        ‖μ_x - μ_y‖² + tr(Σ_x + Σ_y - 2 (Σ_x^½ Σ_y Σ_x^½)^½)

    Dowson & Landau 1982; as "FID" Heusel et al. 2017. For Σ_y = UᵀU, the last trace is that of (U Σ_x Uᵀ)^½. So no
    root is taken of a matrix that is not symmetric, and singular covariances are no trouble.
    """
    from scipy.linalg.lapack import dsygst  # pyright: ignore[reportAttributeAccessIssue]

    own, other = (np.trace(side.covariance) for side in (x, y))
    upper, order = y.factor
    product, _ = dsygst(x.covariance[np.ix_(order, order)], upper, itype=2)  # U Σ_x Uᵀ, its upper triangle
    root = np.sqrt(np.maximum(np.linalg.eigvalsh(product, "U"), 0)).sum()
    found: list[float] = []
    for s, t in sizes:
        shift = np.square(x.mean / s - y.mean / t).sum()
        found.append(float(max(shift + own / s**2 + other / t**2 - 2 * root / (s * t), 0.0)))
    return found


def effective_rank(x: Moments) -> float:
    """Exp of the entropy of the singular values of the centred cloud, taken as shares of their sum.

    Roy & Vetterli 2007, "The effective rank". 1 for a line, d for an isotropic cloud.
    """
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(x.covariance), 0))
    shares = values[values > 0] / values.sum() if values.any() else np.ones(1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def norm_profile(norms: Float[np.ndarray, " n"]) -> tuple[float, ...]:
    """The `QUANTILES` of the norms."""
    return tuple(np.quantile(norms, QUANTILES).tolist())


def scale_ratio(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Root mean square norm of x over that of y; that of a cloud that is all zero counts as 1."""
    squares = (np.square(points, dtype=np.float64).sum() / len(points) for points in (x, y))
    own, other = (float(np.sqrt(square)) or 1.0 for square in squares)
    return own / other
