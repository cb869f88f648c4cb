"""Alignments of published tools that need vectors: those of simalign, and soft dynamic time warping.

Both see a table of student tokens × teacher tokens: similarities or costs. `token_similarity` makes one of queries and
keys. The rules that see tokens alone are in `probe.aligners.of_tools`.
"""

from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from probe.aligners.grid import path_posterior
from probe.aligners.links import ITERMAX_ALPHA
from probe.gold.rows import Link

Array = Any  # numpy or torch, see projectors
Similarity = Float[np.ndarray, "student teacher"]
Method = Literal["simalign inter", "simalign itermax", "simalign matching"]


def token_similarity(
    queries: Float[np.ndarray, "student width"], keys: Float[np.ndarray, "teacher width"]
) -> Similarity:
    """The cosine of each query and each key; zero with a vector of zeros."""
    return _unit(queries) @ _unit(keys).T


def _unit(vectors: Float[np.ndarray, "tokens width"]) -> Float[np.ndarray, "tokens width"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def simalign_links(similarity: Similarity, method: Method) -> frozenset[Link]:
    """Links of a table of cosines, as simalign makes them (Jalili Sabet et al. 2020; cisnlp/simalign, ca1932a).

    ``inter`` takes pairs that are each other's most similar token. ``itermax`` seeks such pairs a second time, if both
    sides have a token left: then a cell counts by 0.9 if one of its tokens is linked, and not at all if both are.
    ``matching`` takes the one-to-one links with the largest sum. Cosines are moved to 0 to 1 first, and of equal ones
    the first counts. `probe.aligners.links` has the same three ideas for attention, where all of equal weights count.

    Differences from the tool: the matching is scipy's and not networkx's, which may settle equal sums differently.
    Vectors are not averaged over words, and no distortion is taken off, as by default there.

    Args:
        similarity: cosines.
        method: which of the three.

    Example:
        >>> similarity = np.array([[0.9, 0.2, 0.1], [0.8, 0.3, 0.1], [0.0, 0.1, 0.7]])
        >>> for method in ("simalign inter", "simalign itermax", "simalign matching"):
        ...     print(method, sorted(simalign_links(similarity, method)))
        simalign inter [(0, 0), (2, 2)]
        simalign itermax [(0, 0), (1, 0), (2, 2)]
        simalign matching [(0, 0), (1, 1), (2, 2)]
    """
    if not similarity.size:
        return frozenset()
    raised = (similarity + 1) / 2
    found = {"simalign inter": _mutual, "simalign itermax": _itermax, "simalign matching": _matching}[method](raised)
    return frozenset(zip(*(axis.tolist() for axis in found.nonzero()), strict=True))


def _mutual(similarity: Similarity) -> Bool[np.ndarray, "student teacher"]:
    links = np.zeros(similarity.shape, dtype=bool)
    rows = np.arange(len(similarity))
    best = similarity.argmax(axis=1)
    links[rows, best] = similarity.argmax(axis=0)[best] == rows
    return links


def _itermax(similarity: Similarity) -> Bool[np.ndarray, "student teacher"]:
    links = _mutual(similarity)
    row_free, column_free = ~links.any(axis=1, keepdims=True), ~links.any(axis=0, keepdims=True)
    # The tool does not look again at texts of up to two tokens, nor where one side has no token left.
    if min(similarity.shape) <= 2 or not (row_free.any() and column_free.any()):
        return links
    left = row_free | column_free
    weight = np.where(row_free & column_free, 1.0, ITERMAX_ALPHA) * left
    return links | (_mutual(similarity * weight) & left)


def _matching(similarity: Similarity) -> Bool[np.ndarray, "student teacher"]:
    from scipy.optimize import linear_sum_assignment

    links = np.zeros(similarity.shape, dtype=bool)
    links[linear_sum_assignment(similarity, maximize=True)] = True
    return links


def soft_dtw(costs: Float[Array, "student teacher"], gamma: float) -> Float[Array, "student teacher"]:
    """The expected alignment of soft dynamic time warping (Cuturi & Blondel 2017), as in DWA-KD (arXiv 2602.21669).

    The soft minimum over all monotone paths of the sum of their costs is ``-gamma · log Σ exp(-cost / gamma)``. Its
    gradient with respect to a cell is the posterior that a path passes the cell: `probe.aligners.grid.path_posterior`
    of ``-costs / gamma``. The smaller ``gamma``, the more it is the cheapest path alone.

    Differences from the paper: it takes the soft minimum itself as a loss between states of both models. This is the
    alignment that the gradient of that loss stands for.

    Args:
        costs: of student tokens × teacher tokens, at least one of each.
        gamma: above zero.

    Example:
        >>> costs = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
        >>> soft_dtw(costs, 0.1).round(2).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    return path_posterior((-costs / gamma)[None])[0]
