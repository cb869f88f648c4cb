"""All text of a heatmap: the legend, the names of panels and axes, and the notes below."""

from textwrap import wrap
from typing import Any

import numpy as np

from probe.plots.fonts import default_font
from probe.plots.heatmaps import drawing
from probe.plots.heatmaps.drawing import COLUMN_AXIS, DASHES, ROW_AXIS, TIES
from probe.plots.heatmaps.labels import Label
from probe.plots.heatmaps.layout import GAP, LINE, Layout, text_width
from probe.plots.heatmaps.panels import Picture
from probe.plots.style import Palette

NOTE_FONT, LEGEND_FONT, BAR_FONT = 6.5, 7.0, 6.5
MOST_LINES = 3
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
    return [line for sentence in sentences for line in wrapped(sentence, width, NOTE_FONT)]


def wrapped(text: str, width: float, points: float) -> list[str]:
    """A text in lines of so many inches at most, but for the spread of its letters."""
    return wrap(text, max(20, int(len(text) * (width - 0.1) / _width(text, points)))) if text else []


def names(picture: Picture, layout: Layout) -> list[list[str]]:
    """The name of each panel in lines that end before the next panel, and before the border of the page."""
    left, _, width, _ = layout.panels[0]
    middle = left + width / 2
    several = len(layout.panels) > 1
    room = layout.panels[1][0] - left if several else 2 * min(middle, layout.width - middle)
    return [_name_lines(panel.name, room - GAP / 2) for panel in picture.panels]


def _name_lines(name: str, room: float) -> list[str]:
    """A name that needs too many lines loses its middle: the names of two checkpoints often differ at the end."""
    width = text_width(Label(name, (default_font(bold=True),)), LEGEND_FONT) if name else 0.0
    if width <= room:
        return [name] if name else []
    across = max(6, int(len(name) * room / width * 0.95))  # a line may have more wide letters than the others
    lines = wrap(name, across)
    if len(lines) <= MOST_LINES:
        return lines
    half = across * MOST_LINES // 2 - 1
    return wrap(f"{name[:half]}…{name[-half:]}", across, break_on_hyphens=False)


def side(bar: str) -> float:
    """Inches of the longest text along the side of a panel or of the colour bar."""
    return max(_width(ROW_AXIS, LEGEND_FONT), _width(bar, BAR_FONT))


def bar_middle(label: str, layout: Layout) -> float:
    """Where the label of the colour bar has its middle, as a share of the bar."""
    _, bottom, _, height = layout.bar
    return (layout.middle(layout.bar, _width(label, BAR_FONT)) - bottom) / height


def _width(text: str, points: float) -> float:
    return text_width(Label(text, (default_font(),)), points)


def write(figure: Any, named: list[list[str]], lines: list[str], layout: Layout, colours: Palette) -> None:
    """Write the names of panels and axes, and the notes at the bottom."""
    wide, tall = layout.width, layout.height
    top, style = layout.label_top, {"ha": "center", "fontsize": LEGEND_FONT}
    middles = [left + width / 2 for left, _, width, _ in layout.panels]
    for middle, name in zip(middles, named, strict=True):
        for number, line in enumerate(reversed(name)):
            figure.text(middle / wide, (top + (number + 1) * LINE) / tall, line, fontweight="bold", **style)
    if len(middles) > 1 and middles[1] - middles[0] < _width(COLUMN_AXIS, LEGEND_FONT) + GAP:
        middles = [(middles[0] + middles[-1]) / 2]  # for all panels, which are too narrow for one each
    for middle in middles:
        figure.text(middle / wide, top / tall, COLUMN_AXIS, **style)
    middle = layout.middle(layout.panels[0], _width(ROW_AXIS, LEGEND_FONT))
    figure.text(layout.label_left / wide, middle / tall, ROW_AXIS, rotation=90, va="center", **style)
    for number, line in enumerate(reversed(lines)):
        at = 0.05 / wide, (number + 0.3) * LINE / tall
        figure.text(*at, line, fontsize=NOTE_FONT, color=colours.muted)
