"""Annotating a gold file in a notebook."""

from pathlib import Path
from typing import TYPE_CHECKING

from probe.widgets.annotation import open_annotation
from probe.widgets.widget import needs_notebooks

if TYPE_CHECKING:
    from probe.widgets.annotator_widget import Annotator


def annotate(path: str | Path, *, row: str | None = None, suggest: bool = True) -> "Annotator":
    """A grid for each row of a gold file, to link tokens in; it writes to the file when it is told to.

    Args:
        path: the gold file. ``probe-pairs new`` makes one from sentences, `blank_pairs` one for a second reading.
        row: id of the row to begin with; default: the first one.
        suggest: show in grey what the half rule would link. Without, nothing on the page tells.

    Raises:
        MissingExtraError: the extra ``notebooks`` is not installed.
        PairsError: the file cannot be read, has no rows or no row of that id.

    Example:
        >>> import probe
        >>> grid = probe.annotate("alignments/second.tsv")  # at the end of a cell, it is shown
        >>> len(grid.rows), grid.rows[0].id
        (60, 'demo-011')
    """
    with needs_notebooks("annotate"):
        from probe.widgets.annotator_widget import Annotator
    return Annotator(open_annotation(path, row=row, suggest=suggest))
