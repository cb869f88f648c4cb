"""Whitened embeddings: every direction of a table has the same variance, so that one step size serves them all.

With Σ the covariance of a table's rows, the query learns from Σ_s^-½ (E_s - mean) and keys Σ_t^-½ E_t. Logits are
bilinear in the two, so the map that has learnt is folded into a projector that takes embeddings as they are:

    l = (W Σ_s^-½ (e - mean) + b) · Σ_t^-½ k   =   (Σ_t^-½ W Σ_s^-½ e + Σ_t^-½ (b - W Σ_s^-½ mean)) · k
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from probe.projectors import Linear, Projector

LEAST = 1e-4
"""The smallest variance of a direction, as a share of the largest: directions without one are not blown up."""


class Whitening(NamedTuple):
    """Of one table: x ↦ matrix · (x - mean). The matrix is symmetric; the mean of keys is left at 0."""

    mean: Float[np.ndarray, " width"]
    matrix: Float[np.ndarray, "width width"]


def whitening(rows: Float[np.ndarray, "tokens width"]) -> Whitening:
    """The map after which the rows have no mean and one variance in every direction."""
    rows = rows.astype(np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / len(rows))
    scaled = directions * np.maximum(variances, variances.max() * LEAST) ** -0.5
    return Whitening(mean.astype(np.float32), (scaled @ directions.T).astype(np.float32))


def none(width: int) -> Whitening:
    """Embeddings as they are."""
    return Whitening(np.zeros(width, np.float32), np.eye(width, dtype=np.float32))


def folded(query: Projector, student: Whitening, teacher: Whitening, key_scale: float) -> Projector:
    """A query of whitened embeddings as one of embeddings as they are, for keys divided by ``key_scale``."""
    first, last = query.layers[0], query.layers[-1]
    tensors = {name: np.asarray(tensor, dtype=np.float64) for name, tensor in query.tensors.items()}
    if isinstance(first, Linear):  # a query that begins with relu learns from embeddings as they are
        weight = tensors[f"{first.index}.weight"] @ _twice(student.matrix)
        tensors[f"{first.index}.bias"] = tensors[f"{first.index}.bias"] - weight @ np.tile(student.mean, 2)
        tensors[f"{first.index}.weight"] = weight
    out = _twice(teacher.matrix) * key_scale
    for name in ("weight", "bias"):
        tensors[f"{last.index}.{name}"] = out @ tensors[f"{last.index}.{name}"]
    return Projector(query.structure, query.layers, {name: one.astype(np.float32) for name, one in tensors.items()})


def _twice(matrix: Float[np.ndarray, "width width"]) -> Float[np.ndarray, "two_widths two_widths"]:
    """The matrix for input and target side by side."""
    return np.kron(np.eye(2), matrix)
