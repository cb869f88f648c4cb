"""Order as a decoder: the share of monotone paths through a grid of two token sequences that pass each cell.

A path goes from the first pair of tokens to the last pair, by steps of one student token, one teacher token, or both.
Its weight is the product of exp(score) over its cells. With α_ij the sum over all paths from the first cell to (i, j),
and β_ij the sum over all paths from (i, j) to the last cell, both with the cell itself:

    α_ij = exp(score_ij) · (α_{i-1,j} + α_{i,j-1} + α_{i-1,j-1})
    P_ij = α_ij · β_ij / (exp(score_ij) · Z)          Z = α of the last cell

P_ij is the posterior that a path passes (i, j). It is the forward-backward algorithm of hidden Markov models (Rabiner
1989), in log space, one antidiagonal after the other, for numpy and torch alike.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device
from jaxtyping import Float, Int

from probe.aligners.long_grid import NOTHING, long_posterior
from probe.arrays import Array, array_namespace
from probe.errors import MapError, Problem
from probe.maps import AttentionMap, with_eos
from probe.tokens import TokenizedText

LARGE = 1 << 20
"""Cells from which on memory counts for more than time: one text of more is decoded by `probe.aligners.long_grid`."""


class Setting(NamedTuple):
    """How much the weights of a map count beside the order of the tokens."""

    scale: float
    """What the mean log weight of a cell is multiplied by."""
    floor: float
    """The least weight: one zero would close all paths through its cell."""


SETTINGS: Mapping[str, Setting] = {
    "cma": Setting(0.5, 1e-2),
    "lexical": Setting(0.1, 1e-9),
    "diagonal": Setting(0.5, 1e-12),
}
"""By method; other attentions are decoded as cma is. ``benchmarks/grid_scales.py`` chose them on a quarter of the texts
of the gold file, and tells what they give on the others. Of 42 settings, 9, 29 and 42 are within a point of the best.
"""


def path_posterior(
    scores: Float[Array, "batch student teacher"],
    students: Int[Array, " batch"] | None = None,
    teachers: Int[Array, " batch"] | None = None,
) -> Float[Array, "batch student teacher"]:
    """The posterior of each cell on monotone paths; zero in the padding.

    Args:
        scores: log weight of each cell; what lies in the padding is not read.
        students: numbers of student tokens of each text; default: all are whole.
        teachers: likewise.
    """
    xp = array_namespace(scores)
    batch, rows, columns = scores.shape
    one_whole = batch == 1 and students is None and teachers is None
    if one_whole and rows * columns > LARGE and isinstance(scores, np.ndarray):
        return long_posterior(scores[0])[None]
    sizes = [
        xp.full((batch,), full, dtype=xp.int64, device=device(scores)) if given is None else given
        for given, full in ((students, rows), (teachers, columns))
    ]
    # From the last cell to the first is the same walk on the turned grid.
    inside, turned_row, turned_column = _turned(xp, scores, sizes)
    number = xp.arange(batch, device=device(scores))
    one = number[:, None, None]
    scores = xp.where(inside, scores, xp.full_like(scores, NOTHING))
    turned = xp.where(inside, scores[one, turned_row, turned_column], scores)
    if rows * columns > LARGE:  # gradients need all sums, but not both ways at once
        from_first, from_last = _sums_over_paths(xp, scores), _sums_over_paths(xp, turned)
    else:  # as one batch, which is faster
        sums = _sums_over_paths(xp, xp.concat([scores, turned], axis=0))
        from_first, from_last = sums[:batch], sums[batch:]
    from_last = from_last[one, turned_row, turned_column]
    whole = from_first[number, sizes[0] - 1, sizes[1] - 1][:, None, None]
    posterior = xp.exp(from_first + from_last - scores - whole)
    return xp.where(inside, posterior, xp.zeros_like(posterior))


def _turned(xp: Any, scores: Array, sizes: list[Array]) -> tuple[Array, Array, Array]:
    """Which cells are of a text, and for each the row and column that it has when the text is read backwards."""
    i, j = (xp.arange(size, device=device(scores)) for size in scores.shape[1:])
    i, j = i[None, :, None], j[None, None, :]
    students, teachers = (size[:, None, None] for size in sizes)
    inside = (i < students) & (j < teachers)
    row, column = students - 1 - i, teachers - 1 - j
    return inside, xp.where(row >= 0, row, i), xp.where(column >= 0, column, j)


def _sums_over_paths(xp: Any, scores: Float[Array, "batch rows columns"]) -> Float[Array, "batch rows columns"]:
    """Log of α. Cells of one antidiagonal do not depend on each other, so each is one step."""
    _, rows, columns = scores.shape
    i = xp.arange(rows, device=device(scores))
    j = xp.arange(rows + columns - 1, device=device(scores))[:, None] - i
    there = (j >= 0) & (j < columns)
    skewed = scores[:, i, xp.where(there, j, xp.zeros_like(j))]
    skewed = xp.where(there, skewed, xp.full_like(skewed, NOTHING))
    before = xp.full_like(skewed[:, 0, :1], NOTHING)
    found = [skewed[:, 0]]
    moved_by_both = xp.full_like(found[0], NOTHING)
    for diagonal in range(1, rows + columns - 1):
        last = found[-1]
        moved = xp.concat([before, last[:, :-1]], axis=1)
        found.append(skewed[:, diagonal] + xp.logaddexp(xp.logaddexp(last, moved), moved_by_both))
        moved_by_both = moved
    return xp.stack(found, axis=1)[:, i[:, None] + xp.arange(columns, device=device(scores)), i[:, None]]


def grid(map_: AttentionMap, *, scale: float | None = None, floor: float | None = None) -> AttentionMap:
    """A map in which order counts: the posterior of its cells on monotone paths, both attentions together.

    The score of a cell is ``scale`` times the mean of log A and log B, the forward and the backward attention, each at
    least ``floor``. The end of sequence is set apart: it goes to itself. This tells what order adds to an attention. It
    is no better than chunks of bytes where both tokenizers give the place of each token in the text.

    Args:
        map_: with the backward attention.
        scale: default: that of `SETTINGS`.
        floor: likewise.

    Raises:
        MapError: the backward attention is not known.

    Example:
        >>> import probe
        >>> gold = probe.read_pairs("alignments/gold.tsv")
        >>> row = gold["demo-026"]
        >>> map_ = probe.load("demo").map(row)
        >>> for one in (map_, probe.grid(map_)):  # tokens whose largest weight is on a sure link, of 31
        ...     print(one.method, len(row.sure & set(enumerate(one.weights[:-1].argmax(axis=1).tolist()))))
        cma 15
        cma-grid 28
    """
    if map_.over_student is None:
        remedy = "Decode a map that has both."
        raise MapError(Problem(f"map of {map_.method}", "over_student, the backward attention", "none", remedy))
    usual = SETTINGS.get(map_.method, SETTINGS["cma"])
    setting = Setting(usual.scale if scale is None else scale, usual.floor if floor is None else floor)
    scores = cell_scores(map_.weights[:-1, :-1], map_.over_student[:-1, :-1], setting)
    method, student, teacher = f"{map_.method}-grid", map_.student, map_.teacher
    del map_  # of a long text it is large, and nobody else may need it
    posterior = path_posterior(scores[None])[0]
    del scores
    return posterior_map(method, student, teacher, posterior)


def posterior_map(
    method: str, student: TokenizedText, teacher: TokenizedText, posterior: Float[np.ndarray, "student teacher"]
) -> AttentionMap:
    """A posterior as a map: shares of each student token's paths, and of each teacher token's."""
    return AttentionMap(method, student, teacher, with_eos(posterior), with_eos(posterior.T).T)


def cell_scores(
    forward: Float[Array, "*maps student teacher"],
    backward: Float[Array, "*maps student teacher"],
    setting: Setting,
    dtype: type[np.float64] | None = None,
) -> Float[Array, "*maps student teacher"]:
    """Log weights of cells, from the forward and the backward attention without the end of sequence.

    Those of numpy are of their ``dtype``, or of the given one.
    """
    if isinstance(forward, np.ndarray):  # in place, for memory; torch needs all steps for its gradients
        scores, others = (np.maximum(one, setting.floor, dtype=dtype) for one in (forward, backward))
        scores = np.log(scores, out=scores)
        scores += np.log(others, out=others)
        scores *= setting.scale * 0.5
        return scores
    xp = array_namespace(forward, backward)
    floor = xp.full_like(forward, setting.floor)
    return setting.scale * 0.5 * (xp.log(xp.maximum(forward, floor)) + xp.log(xp.maximum(backward, floor)))
