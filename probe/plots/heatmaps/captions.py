"""All text of a heatmap: the legend, the names of panels and axes, and the notes below."""

from textwrap import wrap
from typing import Any

import numpy as np

from probe.plots.fonts import default_font
from probe.plots.heatmaps import drawing
from probe.plots.heatmaps.drawing import COLUMN_AXIS, DASHES, ROW_AXIS, TIES
from probe.plots.heatmaps.labels import Label
from probe.plots.heatmaps.layout import LINE, Layout, text_width
from probe.plots.heatmaps.panels import Picture
from probe.plots.style import Palette

NOTE_FONT, LEGEND_FONT = 6.5, 7.0
LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": LEGEND_FONT,
    "borderpad": 0.1,
    "columnspacing": 1.2,
    "handletextpad": 0.4,
}
"""The options of a legend; `legend_columns` assumes them."""


def legend(picture: Picture, colours: Palette) -> list[Any]:
    """Handles only for what the picture shows."""
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Line2D:
        return Line2D([], [], label=label, **style)

    dot: Any = {"linestyle": "none", "marker": "o", "color": colours.ink, "markeredgewidth": 0.5}
    handles: list[Any] = []
    if picture.difference:
        first, second = picture.names
        handles.append(handle(f"largest weight in {first}", **dot, markersize=6, fillstyle="none"))
        # Most cells of a difference look like the ground, so most dots are of the colour of the text.
        handles.append(handle(f"largest weight in {second}", **dot, markersize=3.5, markeredgecolor=colours.ground))
        handles.append(handle("decrease", linestyle="none", marker="_", color=colours.ink, markersize=5))
    else:
        handles.append(handle("largest weight of the row", **dot, markersize=3.5, markerfacecolor=colours.ground))
    if picture.links is not None and picture.links.sure:
        square: Any = {"linestyle": "none", "marker": "s", "markersize": 6, "fillstyle": "none"}
        handles.append(handle("sure link", color=drawing.link_colour(picture, colours), **square))
    if picture.links is not None and picture.links.possible:
        handles.append(
            handle("possible link", color=drawing.link_colour(picture, colours), linestyle=DASHES, linewidth=1.1)
        )
    if drawing.several(picture.chunks):
        handles.append(handle("chunk", color=colours.chunk, linewidth=0.8))
    return handles


def legend_columns(handles: list[Any], width: float) -> int:
    """How many entries of a legend fit side by side."""
    widths = [_width(handle.get_label(), LEGEND_FONT) + 0.4 for handle in handles]
    for across in range(len(handles), 1, -1):
        # matplotlib gives the first columns one more entry if the last line is not full.
        if sum(float(column.max()) for column in np.array_split(widths, across)) <= width:
            return across
    return 1


def notes(picture: Picture, step: int, width: float) -> list[str]:
    """Notes that explain marks and left-out parts, in lines that fit the page."""
    sentences: list[str] = []
    ties = {tie for tie in (*picture.row_ties, *picture.column_ties) if tie is not None and tie < TIES}
    if ties:
        sentences.append("Repeated tokens share a colour and a marker.")
    if not picture.whole:
        rows, columns = (f"{span.start}–{span.stop - 1}" for span in (picture.rows, picture.columns))
        sizes = len(picture.student.tokens) + 1, len(picture.teacher.tokens) + 1
        outside = max(panel.outside for panel in picture.panels)
        sentences.append(
            f"Student tokens {rows} of {sizes[0]}, teacher tokens {columns} of {sizes[1]}; "
            f"{100 * outside:.0f} % of the weight of these rows is on tokens that are not shown."
        )
    if step > 1:
        ordinal = {2: "2nd", 3: "3rd"}.get(step, f"{step}th")
        sentences.append(f"Only every {ordinal} token is labelled.")
    return [line for sentence in sentences for line in _wrapped(sentence, width)]


def _wrapped(sentence: str, width: float) -> list[str]:
    return wrap(sentence, max(20, int(len(sentence) * (width - 0.1) / _width(sentence, NOTE_FONT))))


def _width(text: str, points: float) -> float:
    return text_width(Label(text, (default_font(),)), points)


def write(figure: Any, picture: Picture, lines: list[str], layout: Layout, colours: Palette) -> None:
    """Write the names of panels and axes, and the notes at the bottom."""
    wide, tall = layout.width, layout.height
    for panel, (left, _, width, _) in zip(picture.panels, layout.panels, strict=True):
        middle, top = (left + width / 2) / wide, layout.label_top
        figure.text(middle, top / tall, COLUMN_AXIS, ha="center", fontsize=LEGEND_FONT)
        if panel.name:
            name: Any = {"ha": "center", "fontsize": LEGEND_FONT, "fontweight": "bold"}
            figure.text(middle, (top + LINE) / tall, panel.name, **name)
    _, bottom, _, height = layout.panels[0]
    side: Any = {"rotation": 90, "ha": "center", "va": "center", "fontsize": LEGEND_FONT}
    figure.text(layout.label_left / wide, (bottom + height / 2) / tall, ROW_AXIS, **side)
    for number, line in enumerate(reversed(lines)):
        at = 0.05 / wide, (number + 0.3) * LINE / tall
        figure.text(*at, line, fontsize=NOTE_FONT, color=colours.muted)
