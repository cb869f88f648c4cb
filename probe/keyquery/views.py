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
from probe.keyquery.clouds import Clouds
from probe.keyquery.moments import Moments, moments
from probe.keyquery.values import Plane, Point
from probe.projectors import Linear, Projector

RAW, FORWARD, BACKWARD = "raw", "forward", "backward"
VIEWS = (RAW, FORWARD, BACKWARD)
TOLERANCE = 1e-6
"""Singular values below this share of the largest are taken for rounding of float32 weights."""


@dataclass(frozen=True)
class View:
    """Both clouds in the coordinates of a view, and the share of each one's variance that lies in them."""

    name: str
    clouds: Clouds
    kept_queries: float
    kept_keys: float


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


def views(clouds: Clouds, basis: Float[np.ndarray, "width rank"], components: int) -> tuple[View, ...]:
    """The views of `VIEWS`, in their order; all but raw are cut to ``components`` leading principal components.

    Args:
        clouds: queries and keys as they are.
        basis: of the span of the queries.
        components: of both clouds together, see `principal_axes`.
    """
    queries, keys = (cloud.moments for cloud in (clouds.queries, clouds.keys))
    spans = queries.along(basis), keys.along(basis)
    seen = {FORWARD: (spans[0], spans[1].centred()), BACKWARD: (spans[0].centred(), spans[1])}
    found = [View(RAW, clouds, 1.0, 1.0)]
    for name, fits in seen.items():
        axes, _ = principal_axes(*fits, components)
        lost = [fit.mean - whole.mean for fit, whole in zip(fits, spans, strict=True)]
        both = zip((clouds.queries, clouds.keys), lost, strict=True)
        moved = [cloud.along(basis @ axes, shift @ axes) for cloud, shift in both]
        found.append(View(name, Clouds(*moved), *(_share(fit.along(axes), fit) for fit in fits)))
    return tuple(found)


def principal_axes(
    queries: Moments, keys: Moments, components: int
) -> tuple[Float[np.ndarray, "width components"], Float[np.ndarray, " components"]]:
    """Leading principal axes of both clouds together, and the share of variance along each.

    The clouds are pooled on equal terms, each over its root mean square norm and with equal weight: else the axes would
    be those of the larger one. At most ``width`` components come back.
    """
    fits = [(fit.mean / fit.size, fit.products / (fit.count * fit.size**2)) for fit in (queries, keys)]
    apart = (fits[0][0] - fits[1][0]) / 2
    values, vectors = np.linalg.eigh((fits[0][1] + fits[1][1]) / 2 + np.outer(apart, apart))
    order = np.argsort(values)[::-1][:components]
    return vectors[:, order], np.maximum(values[order], 0) / (values.sum() or 1.0)


def outside_share(keys: Moments, basis: Float[np.ndarray, "width rank"]) -> float:
    """The share of the keys' variance that no query can meet: 1 - ‖Bᵀ(k - mean k)‖² / ‖k - mean k‖²."""
    whole = np.trace(keys.products)
    return 1 - float(((keys.products @ basis) * basis).sum() / whole) if whole else 0.0


def _share(part: Moments, whole: Moments) -> float:
    """The share of variance that is left in ``part``; all of it where there is none."""
    return part.variance / whole.variance if whole.variance else 1.0


def planes(
    name: str, queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"], *, seed: int
) -> list[Plane]:
    """The plane of the first two principal components and, where the package ``umap`` is installed, UMAP's."""
    found = [principal_plane(name, queries, keys)]
    if importlib.util.find_spec("umap") is not None:
        found.append(umap_plane(name, queries, keys, seed=seed))
    return found


def principal_plane(
    name: str, queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Plane:
    """Both clouds on the first two principal axes of the clouds pooled on equal terms, in the view's own units."""
    axes, shares = principal_axes(moments(queries), moments(keys), 2)
    return Plane(name, "PCA", _numbers(shares), _points(queries @ axes), _points(keys @ axes))


def umap_plane(
    name: str, queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"], *, seed: int
) -> Plane:
    """McInnes et al. 2018, of both clouds, each over its root mean square norm. It explains no share of variance."""
    import umap  # pyright: ignore[reportMissingImports]

    scaled = [points / points.dtype.type(moments(points).size) for points in (queries, keys)]
    flat: Any = umap.UMAP(random_state=seed, n_jobs=1).fit_transform(np.concatenate(scaled))
    count = len(queries)
    return Plane(name, "UMAP", (), _points(flat[:count]), _points(flat[count:]))


def _points(coordinates: Float[np.ndarray, "points two"]) -> tuple[Point, ...]:
    padded = np.pad(coordinates, ((0, 0), (0, 2 - coordinates.shape[1])))  # a view of one dimension
    return tuple((_short(x), _short(y)) for x, y in padded.tolist())


def _numbers(values: Float[np.ndarray, " values"]) -> tuple[float, ...]:
    return tuple(map(_short, values.tolist()))


def _short(value: float) -> float:
    """Five digits: more than a picture shows, and a file of a third of the size."""
    return float(f"{value:.5g}")
