"""Draws one panel of a picture of a report; all places are in inches from the lower left corner."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe.plots.fonts import default_font, font_properties
from probe.plots.heatmaps.captions import wrapped
from probe.plots.heatmaps.labels import Label, drawable
from probe.plots.heatmaps.layout import text_width
from probe.plots.report_figure.panels import Mark, Panel, Row
from probe.plots.style import Palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN = 3.4
ROW, MARK_STEP, LEGEND_LINE, NOTE_LINE = 0.165, 0.06, 0.15, 0.125
TITLE, AXIS, BELOW = 0.24, 0.29, 0.16
WIDEST_LABEL, BESIDE, INDENT, BETWEEN = 1.6, 0.45, 0.08, 0.12
LONGEST = 60
"""Characters of a label; hardly a label of more would fit."""
FONT, NOTE_FONT = 7.0, 6.0
BOLD = 1.15
"""A bold text is about so much wider than the same text in regular letters."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
"""Of each checkpoint: with the markers alone they can be told apart."""

Place = tuple[float, float]


@dataclass(frozen=True)
class _Canvas:
    """Where a panel is drawn, and where in it the axes begin and end."""

    figure: "Figure"
    colours: Palette
    left: float
    axes_left: float
    axes_right: float

    def write(self, text: str, x: float, y: float, **style: Any) -> None:
        wide, tall = self.figure.get_size_inches()
        options: Any = {"va": "center", "fontsize": FONT, **style}
        self.figure.text(x / wide, y / tall, text, **options)

    @property
    def right(self) -> float:
        return self.left + COLUMN


def panel_height(panel: Panel) -> float:
    """Inches that a panel takes, with the room below it."""
    rows = sum(_row_height(panel, row) for row in panel.rows)
    legend = LEGEND_LINE * len(panel.checkpoints)
    return TITLE + legend + rows + AXIS + NOTE_LINE * len(_note_lines(panel)) + BELOW


def _row_height(panel: Panel, row: Row) -> float:
    """Marks of several checkpoints lie below each other, so that their bars do not cover each other."""
    most = max(len(panel.checkpoints), 1) if row.marks else 1
    return ROW + MARK_STEP * (most - 1)


def _note_lines(panel: Panel) -> list[str]:
    return wrapped(" ".join(panel.notes), COLUMN, NOTE_FONT)


def draw_panel(figure: "Figure", panel: Panel, corner: Place, colours: Palette) -> None:
    """Draw it with its upper left corner here."""
    left, top = corner
    labels = [_fitted(row.label, WIDEST_LABEL, bold=row.emphasised) for row in panel.rows]
    headings = any(not row.marks for row in panel.rows)
    widest = max(_width(one, row.emphasised) for row, one in zip(panel.rows, labels, strict=True)) + INDENT * headings
    canvas = _Canvas(figure, colours, left, left + widest + BETWEEN, left + COLUMN - BESIDE)
    canvas.write(panel.title, left, top - TITLE / 2, fontweight="bold")
    canvas.write(panel.beside, canvas.right, top - TITLE / 2, ha="right", color=colours.muted)
    top -= TITLE
    for number, name in enumerate(panel.checkpoints):
        _name(canvas, number, name, top - LEGEND_LINE * (number + 0.5))
    top -= LEGEND_LINE * len(panel.checkpoints)
    ends = top - np.cumsum([0.0, *(_row_height(panel, row) for row in panel.rows)])
    for row, label, middle in zip(panel.rows, labels, (ends[:-1] + ends[1:]) / 2, strict=True):
        style = {"fontweight": "bold"} if row.emphasised else {} if row.marks else {"color": colours.muted}
        indented = left + (INDENT if headings and row.marks else 0)
        canvas.write(label.text, indented, middle, **_fonts(label), **style)
        canvas.write(row.beside, canvas.right, middle, ha="right", **style)
    _draw_axes(canvas, panel, ends)
    for number, line in enumerate(_note_lines(panel)):
        y = float(ends[-1]) - AXIS - NOTE_LINE * (number + 0.5)
        canvas.write(line, left, y, fontsize=NOTE_FONT, color=colours.muted)


def _width(label: Label, bold: bool = False) -> float:
    return text_width(label, FONT) * (BOLD if bold else 1)


def _fonts(label: Label) -> dict[str, Any]:
    """What draws characters that the font of the style lacks."""
    return {} if label.fonts == (default_font(),) else {"fontproperties": font_properties(label.fonts, FONT)}


def _fitted(name: str, width: float, *, bold: bool = False) -> Label:
    """A name in fonts that draw it; of a long one, which may be a path, the middle is left out."""
    (label,) = drawable([name], longest=LONGEST * len(name))
    text, half = label.text, min(LONGEST, len(label.text)) // 2
    shown = label if len(text) <= LONGEST else replace(label, text=f"{text[:half]}…{text[-half:]}")
    while half > 1 and _width(shown, bold) > width:
        half -= 1
        shown = replace(label, text=f"{text[:half]}…{text[-half:]}")
    return shown


def _name(canvas: _Canvas, number: int, name: str, y: float) -> None:
    """A line of the legend."""
    from matplotlib.lines import Line2D

    wide, tall = canvas.figure.get_size_inches()
    mark: Any = {"marker": MARKERS[number], "color": _colour(canvas.colours, number), "linestyle": "none"}
    canvas.figure.add_artist(Line2D([(canvas.left + 0.05) / wide], [y / tall], markersize=4, **mark))
    label = _fitted(name, COLUMN - LEGEND_LINE)
    canvas.write(label.text, canvas.left + LEGEND_LINE, y, **_fonts(label))


def _colour(colours: Palette, checkpoint: int | None) -> str:
    return colours.muted if checkpoint is None else colours.repeats[checkpoint % len(colours.repeats)]


def _draw_axes(canvas: _Canvas, panel: Panel, ends: Float[np.ndarray, " ends"]) -> None:
    """The axis from 0 to 100 % with the ground behind the marks, then the marks; heights are in inches."""
    wide, tall = canvas.figure.get_size_inches()
    bottom, height = float(ends[-1]), float(ends[0] - ends[-1])
    width = canvas.axes_right - canvas.axes_left
    axes = canvas.figure.add_axes((canvas.axes_left / wide, bottom / tall, width / wide, height / tall))
    axes.set(xlim=(0, 100), ylim=(bottom, ends[0]), yticks=[], xticks=[0, 25, 50, 75, 100])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=2, width=0.4, labelsize=NOTE_FONT, pad=2)
    axes.set_xlabel("top-1, %", fontsize=NOTE_FONT, labelpad=1)
    axes.patch.set_visible(False)
    for x in (25, 50, 75, 100):
        axes.axvline(x, color=canvas.colours.muted, linewidth=0.3, alpha=0.35, zorder=0)
    if panel.band:
        low, high = (100 * end for end in panel.band)
        axes.axvspan(low, high, color=canvas.colours.muted, alpha=0.14, linewidth=0, zorder=0)
    for number, value in enumerate(panel.whole):
        axes.axvline(100 * value, color=_colour(canvas.colours, number), linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    _draw_marks(axes, panel, (ends[:-1] + ends[1:]) / 2, canvas.colours)


def _draw_marks(axes: Any, panel: Panel, middles: Float[np.ndarray, " rows"], colours: Palette) -> None:
    placed: dict[int | None, list[tuple[Mark, float]]] = {}
    for row, middle in zip(panel.rows, middles.tolist(), strict=True):
        for mark in row.marks:
            if mark.found.value is not None:
                lower = (mark.checkpoint or 0) - (len(panel.checkpoints) - 1) / 2 if panel.checkpoints else 0.0
                placed.setdefault(mark.checkpoint, []).append((mark, middle - MARK_STEP * lower))
    for checkpoint, marks in placed.items():
        _draw_series(axes, checkpoint, marks, colours)


def _draw_series(axes: Any, checkpoint: int | None, marks: Sequence[tuple[Mark, float]], colours: Palette) -> None:
    """All marks of a checkpoint, or of the references, which are smaller; hollow without a 95 % CI."""
    colour, own = _colour(colours, checkpoint), checkpoint is not None
    shape: Any = {"marker": MARKERS[checkpoint or 0], "markersize": 4.6 if own else 2.8, "color": colour}
    width = 1.3 if own else 0.7
    shape |= {"linestyle": "none", "zorder": 3, "clip_on": False, "markeredgewidth": 0.8}
    for known in (True, False):
        chosen = [(mark.found, y) for mark, y in marks if (mark.found.low is not None) == known]
        if not chosen:
            continue
        heights = [y for _, y in chosen]
        values, low, high = 100 * np.array([list(found) for found, _ in chosen], dtype=np.float64).T
        fill = {"markerfacecolor": colour if known else colours.ground}
        axes.plot(values, heights, **shape, **fill)
        if known:
            axes.hlines(heights, low, high, color=colour, linewidth=width, zorder=2, clip_on=False)
