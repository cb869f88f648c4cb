"""What a paper figure is, and how it is written: as pictures, with its numbers and its caption beside it."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from probe.errors import OutputError, Problem
from probe.output.documents import escape_latex
from probe.output.files import replacing_file
from probe.plots.saving import SUFFIXES, save_figure
from probe.plots.style import VENUES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from matplotlib.figure import Figure


PAGE, DPI = "-page", 200
FAMILIES = tuple(name for name in VENUES if not name.endswith(PAGE))
"""Venues without the distinction of column and page, which each figure makes for itself."""


@runtime_checkable
class PaperFigure(Protocol):
    """The numbers of a figure, as a frozen value."""

    @property
    def rows(self) -> "Sequence[DataclassInstance]":
        """What is drawn, a value a number or point: the lines of the CSV file."""
        ...

    @property
    def caption(self) -> str:
        """What is shown, of what, how many, and what the intervals are; plain text."""
        ...

    def draw(self, venue: str) -> "Figure":
        """The picture, exactly as wide as a column or a page of the venue."""
        ...


@runtime_checkable
class PaperTable(Protocol):
    """The numbers of a table."""

    @property
    def rows(self) -> "Sequence[DataclassInstance]":
        """The lines of the CSV file."""
        ...

    @property
    def caption(self) -> str:
        """As of a figure."""
        ...

    @property
    def latex(self) -> str:
        """The table; it needs the package booktabs."""
        ...


def page(venue: str) -> str:
    """The name of the width over both columns; venues of one column have one width."""
    return f"{venue}{PAGE}" if f"{venue}{PAGE}" in VENUES else venue


def check_venue(venue: str) -> None:
    """Check that the venue is known.

    Raises:
        OutputError: it is not.
    """
    if venue not in FAMILIES:
        raise OutputError(Problem("venue", f"one of {', '.join(FAMILIES)}", repr(venue), "Choose one of them."))


def save(
    name: str, figure: PaperFigure | PaperTable, directory: Path, *, venue: str, suffixes: Sequence[str] = SUFFIXES
) -> list[Path]:
    """Write NAME.pdf, .svg and .png, or NAME.tex of a table, and beside them NAME.csv and NAME-caption.tex.

    Equal inputs give equal bytes, with the same matplotlib and numpy.

    Raises:
        OutputError: the directory is missing or cannot be written to.
    """
    texts = {
        directory / f"{name}.csv": numbers(figure.rows),
        directory / f"{name}-caption.tex": _caption(name, figure),
    }
    written: list[Path] = []
    if isinstance(figure, PaperTable):
        texts[directory / f"{name}.tex"] = figure.latex
    else:
        picture = figure.draw(venue)
        for suffix in suffixes:
            written.append(directory / f"{name}{suffix}")
            save_figure(picture, written[-1], dpi=DPI)
    for path, text in texts.items():
        with replacing_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
        written.append(path)
    return written


def numbers(rows: "Sequence[DataclassInstance]") -> str:
    """Values of one type as CSV: a line each, with nine digits, and nothing where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(rows[0])])
    writer.writerows([_cell(cell) for cell in astuple(row)] for row in rows)
    return out.getvalue()


def _cell(cell: Any) -> Any:
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.9g}"
    return cell


def _caption(name: str, figure: PaperFigure | PaperTable) -> str:
    kind = "tab" if isinstance(figure, PaperTable) else "fig"
    made = f"% probe-figures --only {name}; docs/reproducing.md says what made its reports"
    return f"{made}\n\\caption{{{tex(figure.caption)}}}\n\\label{{{kind}:{name}}}\n"


def tex(text: str) -> str:
    """Text for LaTeX with the signs that captions use."""
    signs = {
        "←": r"$\leftarrow$",
        "×": r"$\times$",
        "±": r"$\pm$",
        "−": "$-$",
        "²": "$^2$",
        "₂": "$_2$",
        "≥": r"$\geq$",
    }
    return "".join(signs.get(char, char) for char in escape_latex(text))
