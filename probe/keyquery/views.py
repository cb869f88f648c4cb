"""Views: the clouds as each softmax can see them.

Forward attention, softmax_j(q_i·k_j), does not change when one vector c is added to all keys, because q_i·(k_j + c)
adds the same q_i·c to all j of a row. Backward attention, softmax_i(q_i·k_j), does not change when one vector is added
to all queries. Neither changes when keys lose what is orthogonal to every query; queries are W_q x + b, so they all lie
in the span of the columns of [W_q, b]. So the views

    raw       q, k
    forward   Bᵀq, Bᵀ(k - mean k)          B: an orthonormal basis of the span
    backward  Bᵀ(q - mean q), Bᵀk

have the same forward, or backward, attention as the clouds themselves. For distances the last two are then cut to
leading principal components; the share of variance that this keeps is reported, and the attention of the cut clouds is
only near.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.errors import Problem, ProjectorError
from probe.keyquery.values import Plane, Point
from probe.projectors import Linear, Projector

RAW, FORWARD, BACKWARD = "raw", "forward", "backward"
SHAPE = "shape"
VIEWS = (RAW, FORWARD, BACKWARD)
BLOCK_ROWS = 8192
TOLERANCE = 1e-6
"""Singular values below this share of the largest are taken for rounding of float32 weights."""


@dataclass(frozen=True)
class View:
    """Both clouds in the coordinates of a view, and the share of each one's variance that lies in them."""

    name: str
    queries: Float[np.ndarray, "queries width"]
    keys: Float[np.ndarray, "keys width"]
    kept_queries: float
    kept_keys: float

    def shape(self) -> "View":
        """The same with scale taken out: each cloud over its root mean square norm."""
        queries, keys = (points / points.dtype.type(root_mean_square(points)) for points in (self.queries, self.keys))
        return View(f"{self.name} {SHAPE}", queries, keys, self.kept_queries, self.kept_keys)


def span_basis(query: Projector) -> Float[np.ndarray, "width rank"]:
    """An orthonormal basis of the span of [W, b] of the last linear map: every query lies in it.

    Raises:
        ProjectorError: the projector does not end in a linear map.
    """
    last = query.layers[-1] if query.layers else None
    if not isinstance(last, Linear):
        raise ProjectorError(
            Problem(f"query {query.structure}", "a linear map at the end", "none", "Name a trained checkpoint.")
        )
    weight, bias = (query.tensors[f"{last.index}.{name}"].astype(np.float64) for name in ("weight", "bias"))
    left, values, _ = np.linalg.svd(np.concatenate([weight, bias[:, None]], axis=1), full_matrices=False)
    return left[:, values > TOLERANCE * values[0]]


def attended(
    queries: Float[np.ndarray, "queries width"],
    keys: Float[np.ndarray, "keys width"],
    basis: Float[np.ndarray, "width rank"],
    name: str,
) -> tuple[Float[np.ndarray, "queries rank"], Float[np.ndarray, "keys rank"]]:
    """What the attention ``name``, forward or backward, can see of both clouds; it is the same for the result."""
    queries, keys = (points @ basis.astype(points.dtype) for points in (queries, keys))
    if name == FORWARD:
        return queries, keys - keys.mean(axis=0)
    return queries - queries.mean(axis=0), keys


def view(
    queries: Float[np.ndarray, "queries width"],
    keys: Float[np.ndarray, "keys width"],
    basis: Float[np.ndarray, "width rank"],
    name: str,
    components: int,
) -> View:
    """The view ``name`` of `VIEWS`; all but raw are cut to ``components`` leading principal components."""
    if name == RAW:
        return View(RAW, queries, keys, 1.0, 1.0)
    seen = attended(queries, keys, basis, name)
    axes, _ = principal_axes(*seen, components)
    few, cut = (points @ axes for points in seen)
    return View(name, few, cut, _share(few, seen[0]), _share(cut, seen[1]))


def principal_axes(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"], components: int
) -> tuple[Float[np.ndarray, "width components"], Float[np.ndarray, " components"]]:
    """Leading principal axes of both clouds together, and the share of variance along each.

    The clouds are pooled on equal terms, each over its root mean square norm and with equal weight: else the axes would
    be those of the larger one. At most ``width`` components come back.
    """
    sizes = [root_mean_square(points) for points in (queries, keys)]
    means = [points.mean(axis=0) / size for points, size in zip((queries, keys), sizes, strict=True)]
    middle = (means[0] + means[1]) / 2
    moments = np.zeros((len(middle), len(middle)))
    for points, size in zip((queries, keys), sizes, strict=True):
        for begin in range(0, len(points), BLOCK_ROWS):  # a copy of a block, not of the cloud
            block = points[begin : begin + BLOCK_ROWS] / size - middle
            moments += block.T @ block / (2 * len(points))
    values, vectors = np.linalg.eigh(moments)
    order = np.argsort(values)[::-1][:components]
    return vectors[:, order], np.maximum(values[order], 0) / (values.sum() or 1.0)


def outside_share(keys: Float[np.ndarray, "keys width"], basis: Float[np.ndarray, "width rank"]) -> float:
    """The share of the keys' variance that no query can meet: 1 - ‖Bᵀ(k - mean k)‖² / ‖k - mean k‖²."""
    return 1 - _share(keys @ basis, keys)


def root_mean_square(points: Float[np.ndarray, "points width"]) -> float:
    """The root mean square norm, sqrt(mean ‖x‖²); 1 for a cloud that is all zero, so that it can divide."""
    total = sum(
        np.square(points[begin : begin + BLOCK_ROWS], dtype=np.float64).sum()
        for begin in range(0, len(points), BLOCK_ROWS)
    )
    return float(np.sqrt(total / len(points))) or 1.0


def _share(part: Float[np.ndarray, "points few"], whole: Float[np.ndarray, "points width"]) -> float:
    """The share of variance that is left in ``part``; all of it where there is none."""
    total = _variance(whole)
    return _variance(part) / total if total else 1.0


def _variance(points: Float[np.ndarray, "points width"]) -> float:
    return float(np.var(points, axis=0, dtype=np.float64).sum())


def planes(view: View, *, seed: int) -> list[Plane]:
    """The plane of the first two principal components and, where the package ``umap`` is installed, UMAP's."""
    found = [principal_plane(view)]
    if importlib.util.find_spec("umap") is not None:
        found.append(umap_plane(view, seed=seed))
    return found


def principal_plane(view: View) -> Plane:
    """Both clouds on the first two principal axes of the clouds pooled on equal terms, in the view's own units."""
    axes, shares = principal_axes(view.queries, view.keys, 2)
    return Plane(view.name, "PCA", _numbers(shares), _points(view.queries @ axes), _points(view.keys @ axes))


def umap_plane(view: View, *, seed: int) -> Plane:
    """McInnes et al. 2018, of both clouds, each over its root mean square norm. It explains no share of variance."""
    import umap  # pyright: ignore[reportMissingImports]

    scaled = [points / root_mean_square(points) for points in (view.queries, view.keys)]
    flat: Any = umap.UMAP(random_state=seed, n_jobs=1).fit_transform(np.concatenate(scaled))
    count = len(view.queries)
    return Plane(view.name, "UMAP", (), _points(flat[:count]), _points(flat[count:]))


def _points(coordinates: Float[np.ndarray, "points two"]) -> tuple[Point, ...]:
    padded = np.pad(coordinates, ((0, 0), (0, 2 - coordinates.shape[1])))  # a view of one dimension
    return tuple((_short(x), _short(y)) for x, y in padded.tolist())


def _numbers(values: Float[np.ndarray, " values"]) -> tuple[float, ...]:
    return tuple(map(_short, values.tolist()))


def _short(value: float) -> float:
    """Five digits: more than a picture shows, and a file of a third of the size."""
    return float(f"{value:.5g}")
