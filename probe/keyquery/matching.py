"""Training-free matching: move the queries so that one property of their cloud becomes that of the keys.

No links are looked at. What a match can change in the attention follows from the equation: one factor for all
queries, or one for each, leaves every row's order of weights as it is, and so top-1; a shift or a linear map does not.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from probe.keyquery.moments import scale_ratio


def match_scale(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Float[np.ndarray, "queries width"]:
    """One factor for all queries: their root mean square norm becomes that of the keys."""
    return queries / scale_ratio(queries, keys)


def match_mean(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Float[np.ndarray, "queries width"]:
    """One shift for all queries: their mean becomes that of the keys."""
    return queries - queries.mean(axis=0) + keys.mean(axis=0)


def match_mean_of_centred(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Float[np.ndarray, "queries width"]:
    """The same for keys without their mean. Attention cannot tell such keys apart, but the repair is another one."""
    return match_mean(queries, keys - keys.mean(axis=0))


def match_norms(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Float[np.ndarray, "queries width"]:
    """A factor for each query: the r-th smallest norm becomes the keys' quantile (r - ½)/n. Directions stay."""
    norms = np.linalg.norm(queries, axis=1)
    # Equal queries have equal norms, and must have equal ones afterwards: the mean place of those that tie.
    _, which, times = np.unique(norms, return_inverse=True, return_counts=True)
    places = (np.cumsum(times) - times / 2)[which.reshape(-1)] / len(norms)
    others = np.sort(np.linalg.norm(keys, axis=1))
    wanted = np.interp(places, np.linspace(0, 1, len(others)), others)  # np.quantile sorts anew for each place
    return queries * (wanted / np.where(norms > 0, norms, 1))[:, None]


def match_covariance(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Float[np.ndarray, "queries width"]:
    """One linear map around the mean: the covariance of the queries becomes that of the keys.

    CORAL (Sun, Feng & Saenko 2016): q ↦ (q - mean) Σ_q^-½ Σ_k^½ + mean. Both covariances are shrunk as Ledoit & Wolf
    2004 do, because a handful of sentences gives fewer points than dimensions. Directions of little variance are
    therefore matched less than the rest.
    """
    mean = queries.mean(axis=0, dtype=np.float64)
    back, forth = _power(queries, -0.5), _power(keys, 0.5)
    return (queries - mean) @ (back @ forth) + mean


def match_mean_and_covariance(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Float[np.ndarray, "queries width"]:
    """Both: the Gaussians that the Fréchet distance compares become one, but for shrinkage."""
    return match_mean(match_covariance(queries, keys), keys)


def match_transport(
    queries: Float[np.ndarray, "queries width"], keys: Float[np.ndarray, "keys width"]
) -> Float[np.ndarray, "queries width"]:
    """Both, by the map that moves the queries least: optimal transport between the two Gaussians.

        q ↦ mean_k + (q - mean_q) Σ_q^-½ (Σ_q^½ Σ_k Σ_q^½)^½ Σ_q^-½

    Dowson & Landau 1982, by `ot.gaussian.bures_wasserstein_mapping`. CORAL is one of many maps that make covariances
    equal: a rotation of the whitened queries is left open; this one closes it without asking which query is whose.
    """
    from ot.gaussian import bures_wasserstein_mapping

    ours, theirs = (points.mean(axis=0, dtype=np.float64) for points in (queries, keys))
    found: Any = bures_wasserstein_mapping(ours, theirs, _covariance(queries), _covariance(keys))
    linear, shift = found
    return queries @ linear + shift


def _covariance(points: Float[np.ndarray, "points width"]) -> Float[np.ndarray, "width width"]:
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(points.astype(np.float64))
    return covariance


def _power(points: Float[np.ndarray, "points width"], exponent: float) -> Float[np.ndarray, "width width"]:
    values, vectors = np.linalg.eigh(_covariance(points))
    floor = np.finfo(np.float64).eps * max(values[-1], 1e-300) * len(values)
    return (vectors * np.maximum(values, floor) ** exponent) @ vectors.T


MATCHES = {
    "scale": match_scale,
    "norms": match_norms,
    "mean": match_mean,
    "mean, centred": match_mean_of_centred,
    "covariance": match_covariance,
    "mean + cov.": match_mean_and_covariance,
    "transport": match_transport,
}
"""What is tried, by the property that is matched."""
