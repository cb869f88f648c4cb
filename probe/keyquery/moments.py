"""What follows from means, covariances and norms alone. Every function is linear in the number of points."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from probe.keyquery.views import BLOCK_ROWS, root_mean_square

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Moments:
    """Mean and covariance Σ of a cloud, the latter as a factor F with at most d rows and Fᵀ F = Σ."""

    mean: Float[np.ndarray, " d"]
    factor: Float[np.ndarray, "rows d"]


def moments(points: Float[np.ndarray, "n d"]) -> Moments:
    """In float64; F is the centred points themselves, or a root of their summed products."""
    mean = points.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(max(len(points) - 1, 1))
    if len(points) <= points.shape[1]:
        return Moments(mean, (points - mean) / scale)
    products = np.zeros((points.shape[1], points.shape[1]))
    for begin in range(0, len(points), BLOCK_ROWS):
        block = points[begin : begin + BLOCK_ROWS] - mean
        products += block.T @ block
    values, vectors = np.linalg.eigh(products)
    return Moments(mean, np.sqrt(np.maximum(values, 0))[:, None] * vectors.T / scale)


def frechet(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """`gaussian_distance` of the Gaussians with the clouds' means and covariances.

    It is biased upwards by about d²/n: read it beside a value for clouds of the same sizes.
    """
    return gaussian_distance(moments(x), moments(y))


def gaussian_distance(x: Moments, y: Moments) -> float:
    """Fréchet distance, squared, of two Gaussians.

        ‖μ_x - μ_y‖² + tr(Σ_x + Σ_y - 2 (Σ_x^½ Σ_y Σ_x^½)^½)

    Dowson & Landau 1982; as "FID" Heusel et al. 2017. The last trace is the nuclear norm of F_x F_yᵀ. So neither a
    matrix root nor an eigenvalue of a product is taken, and singular covariances are no trouble.
    """
    shift = np.square(x.mean - y.mean).sum()
    root = np.linalg.svd(x.factor @ y.factor.T, compute_uv=False).sum()
    return float(max(shift + np.square(x.factor).sum() + np.square(y.factor).sum() - 2 * root, 0.0))


def effective_rank(x: Float[np.ndarray, "n d"]) -> float:
    """Exp of the entropy of the singular values of the centred cloud, taken as shares of their sum.

    Roy & Vetterli 2007, "The effective rank". 1 for a line, d for an isotropic cloud.
    """
    values = np.linalg.svd(moments(x).factor, compute_uv=False)
    shares = values[values > 0] / values.sum() if values.any() else np.ones(1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def norm_profile(x: Float[np.ndarray, "n d"]) -> tuple[float, ...]:
    """The `QUANTILES` of the norms."""
    return tuple(np.quantile(np.linalg.norm(x.astype(np.float64), axis=1), QUANTILES).tolist())


def scale_ratio(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Root mean square norm of x over that of y: what a shape view takes out."""
    return root_mean_square(x) / root_mean_square(y)
