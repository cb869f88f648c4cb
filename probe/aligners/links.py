"""From weights to hard links: each function links pairs of tokens, end of sequence left out.

Rows of the forward attention ``a`` sum to one, and columns of the backward attention ``b`` do. Both are student targets
× teacher targets, end of sequence last. No aligner sees gold; thresholds are swept, not tuned. All reckon in double
precision, and cast cell by cell: a copy of the weights of a long text takes much memory.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float

from probe.aligners.grid import SETTINGS, cell_scores, path_posterior

Weights = Float[np.ndarray, "*maps student_targets teacher_targets"]
Links = Bool[np.ndarray, "*maps student teacher"] | Float[np.ndarray, "*maps student teacher"]
"""True where a pair is linked; or, where equal solutions differ, the share of them that links it."""
Aligner = Callable[[Weights, Weights], Links]

ITERMAX_ALPHA, ITERMAX_ROUNDS = 0.9, 2
"""As in Jalili Sabet et al. 2020: what a cell keeps once its row or its column is linked, and how often to look."""

ORDERS = 8
"""Orders of the tokens that a one-to-one matching is sought in; of more than one solution, so many are averaged."""
LONG = 1 << 18
"""Pairs of tokens from which on one order is enough: a matching takes the cube of the length."""
LEVELS = 1 << 20
"""Steps of weight that a matching tells apart: far finer than float32 attention differs between machines."""

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
    links = np.zeros_like(a[..., :-1, :-1], dtype=bool)
    for _ in range(ITERMAX_ROUNDS):
        row_free, column_free = ~links.any(axis=-1, keepdims=True), ~links.any(axis=-2, keepdims=True)
        left = _similarity(a, b)  # anew: of a long text, to keep it takes much memory
        left *= np.where(row_free, 1.0, ITERMAX_ALPHA)
        left *= np.where(column_free, 1.0, ITERMAX_ALPHA)
        left *= row_free | column_free
        links |= _maxima(left, -1) & _maxima(left, -2) & (left > 0)
    return links


def matching(a: Weights, b: Weights) -> Float[np.ndarray, "*maps student teacher"]:
    """The one-to-one links with the largest sum of sqrt(a·b); a pair without weight is no link.

    Where several sums are equal, a pair counts by the share of solutions that have it, estimated by `ORDERS` seeded
    orders of the tokens: scipy takes the first solution in the order that it is given, so that equal weights, in the
    order of the text, would seem to know the diagonal.
    """
    # Whole numbers add without rounding, so sums that are equal are equal on every machine; float32 holds these.
    steps = _similarity(a, b)
    steps = np.rint(np.multiply(steps, LEVELS, out=steps), out=steps).astype(np.float32)
    links = np.zeros(steps.shape, dtype=np.float32)
    for place in np.ndindex(steps.shape[:-2]):
        links[place] = _share_of_matchings(steps[place])
    links[steps <= 0] = 0
    return links


def _share_of_matchings(steps: Float[np.ndarray, "student teacher"]) -> Float[np.ndarray, "student teacher"]:
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(0)
    orders = ORDERS if steps.size <= LONG else 1
    share = np.zeros(steps.shape, dtype=np.float32)
    for _ in range(orders):
        rows, columns = rng.permutation(steps.shape[0]), rng.permutation(steps.shape[1])
        found = linear_sum_assignment(np.negative(steps[np.ix_(rows, columns)], dtype=np.float64))
        share[rows[found[0]], columns[found[1]]] += 1 / orders
    return share


def path(a: Weights, b: Weights) -> Links:
    """The largest cells of each row and of each column after decoding by order (`probe.aligners.grid`)."""
    scores = cell_scores(a[..., :-1, :-1], b[..., :-1, :-1], SETTINGS["cma"], np.float64)
    posterior = path_posterior(scores.reshape(-1, *scores.shape[-2:])).reshape(scores.shape)
    return _maxima(posterior, -1) | _maxima(posterior, -2)


def above(threshold: float) -> Aligner:
    """All pairs with at least so much weight in ``a``."""
    return lambda a, b: a[..., :-1, :-1] >= np.float64(threshold)


ALIGNERS: Mapping[str, Aligner] = {
    "argmax": argmax,
    "backward argmax": argmax_over_student,
    "intersection": intersection,
    "itermax": itermax,
    "matching": matching,
    "grid": path,
    **{f"weight ≥ {threshold:g}": above(threshold) for threshold in THRESHOLDS},
}
NEED_BOTH = ("backward argmax", "intersection", "itermax", "matching", "grid")
"""Aligners that use the backward attention."""


def _similarity(a: Weights, b: Weights) -> Float[np.ndarray, "*maps student teacher"]:
    product = np.multiply(a[..., :-1, :-1], b[..., :-1, :-1], dtype=np.float64)
    return np.sqrt(product, out=product)


def _maxima(values: Float[np.ndarray, "*maps rows columns"], axis: int) -> Bool[np.ndarray, "*maps rows columns"]:
    return values == values.max(axis=axis, keepdims=True, initial=-np.inf)
