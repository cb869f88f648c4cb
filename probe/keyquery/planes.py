"""Two-dimensional coordinates of both clouds, as data for a picture."""

import importlib.util
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.keyquery.values import Plane, Point
from probe.keyquery.views import View, principal_axes, root_mean_square


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
