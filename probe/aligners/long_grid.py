"""The posterior of monotone paths through the grid of one long text, in little memory; see `probe.aligners.grid`.

The cells of an antidiagonal lie at equal distances in the memory of a grid, row after row. So they are a slice of it,
and a grid that is read backwards in memory is the one from the last cell to the first. Beside the scores there is one
grid of results, and two antidiagonals.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

NOTHING = -1e30
"""Log weight of a cell that no path may pass; finite, so that gradients are."""


def long_posterior(scores: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    """The posterior of each cell.

    In double precision whatever the scores are: the sums of some thousand cells leave few digits of a float32.
    """
    cells = scores.ravel()
    found = np.empty(cells.shape)
    for diagonal, before in _sums_before(cells, scores.shape[1]):
        found[diagonal] = before
    found -= found[-1] + cells[-1]  # the log weight of all paths
    cells, backwards = cells[::-1], found[::-1]
    for diagonal, before in _sums_before(cells, scores.shape[1]):
        backwards[diagonal] += before + cells[diagonal]
    return np.exp(found, out=found).reshape(scores.shape)


def _sums_before(cells: Float[np.ndarray, " cells"], columns: int) -> Iterator[tuple[slice, Float[np.ndarray, " _"]]]:
    """Each antidiagonal, and for each of its cells the log weight of all paths to it, without its own score."""
    rows = len(cells) // columns
    step = max(columns - 1, 1)
    # The sums with the own score on the last two antidiagonals, by row; first comes the row before the grid.
    last, second = (np.full(rows + 1, NOTHING) for _ in range(2))
    for number in range(rows + columns - 1):
        first, stop = max(number - columns + 1, 0), min(number + 1, rows)
        begin = number + first * (columns - 1)
        diagonal = slice(begin, begin + (stop - first - 1) * step + 1, step)
        left, above, both = last[first + 1 : stop + 1], last[first:stop], second[first:stop]
        before = np.logaddexp(np.logaddexp(left, above), both) if number else np.zeros(1)
        yield diagonal, before
        second, last = last, np.full(rows + 1, NOTHING)
        last[first + 1 : stop + 1] = before + cells[diagonal]
