"""From weights to hard links: each function links pairs of tokens, end of sequence left out.

Rows of the forward attention ``a`` sum to one, and columns of the backward attention ``b`` do. Both are student targets
× teacher targets, end of sequence last. No aligner sees gold; thresholds are swept, not tuned.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float

Weights = Float[np.ndarray, "*maps student_targets teacher_targets"]
Links = Bool[np.ndarray, "*maps student teacher"]
Aligner = Callable[[Weights, Weights], Links]

ITERMAX_ALPHA, ITERMAX_ROUNDS = 0.9, 2
"""As in Jalili Sabet et al. 2020: what a cell keeps once its row or its column is linked, and how often to look."""

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)


def argmax(a: Weights, b: Weights) -> Links:
    """Each student token to its largest weight in ``a``; to all of them where they tie."""
    return _maxima(a, -1)[..., :-1, :-1]


def argmax_over_student(a: Weights, b: Weights) -> Links:
    """Each teacher token to its largest weight in ``b``; to all of them where they tie."""
    return _maxima(b, -2)[..., :-1, :-1]


def intersection(a: Weights, b: Weights) -> Links:
    """Pairs that are each other's largest weight, in ``a`` and in ``b``."""
    return argmax(a, b) & argmax_over_student(a, b)


def itermax(a: Weights, b: Weights) -> Links:
    """Mutual maxima of sqrt(a·b), then again among what is left over (Jalili Sabet et al. 2020).

    In the second round a cell counts in full where neither of its tokens is linked, by `ITERMAX_ALPHA` where one is,
    and not at all where both are.
    """
    similarity = _similarity(a, b)
    links = np.zeros(similarity.shape, dtype=bool)
    for _ in range(ITERMAX_ROUNDS):
        row_free, column_free = ~links.any(axis=-1, keepdims=True), ~links.any(axis=-2, keepdims=True)
        kept = np.where(row_free & column_free, 1.0, np.where(row_free | column_free, ITERMAX_ALPHA, 0.0))
        left = similarity * kept
        links = links | (_maxima(left, -1) & _maxima(left, -2) & (left > 0))
    return links


def matching(a: Weights, b: Weights) -> Links:
    """The one-to-one links with the largest sum of sqrt(a·b), by scipy; a pair without weight is no link."""
    from scipy.optimize import linear_sum_assignment

    similarity = _similarity(a, b)
    links = np.zeros(similarity.shape, dtype=bool)
    for place in np.ndindex(similarity.shape[:-2]):
        links[place][linear_sum_assignment(similarity[place], maximize=True)] = True
    return links & (similarity > 0)


def above(threshold: float) -> Aligner:
    """All pairs with at least so much weight in ``a``."""
    return lambda a, b: a[..., :-1, :-1] >= threshold


ALIGNERS: Mapping[str, Aligner] = {
    "argmax": argmax,
    "backward argmax": argmax_over_student,
    "intersection": intersection,
    "itermax": itermax,
    "matching": matching,
    **{f"weight ≥ {threshold:g}": above(threshold) for threshold in THRESHOLDS},
}
NEED_BOTH = ("backward argmax", "intersection", "itermax", "matching")
"""Aligners that use the backward attention."""


def _similarity(a: Weights, b: Weights) -> Float[np.ndarray, "*maps student teacher"]:
    return np.sqrt(a[..., :-1, :-1] * b[..., :-1, :-1])


def _maxima(values: Float[np.ndarray, "*maps rows columns"], axis: int) -> Bool[np.ndarray, "*maps rows columns"]:
    return values == values.max(axis=axis, keepdims=True, initial=-np.inf)
