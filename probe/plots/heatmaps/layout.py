"""Places and sizes of all parts of a page, in inches; a figure for a column has exactly its width."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, radians, sin

from probe.errors import MapError, Problem
from probe.plots.heatmaps.labels import Label
from probe.plots.style import LARGEST_FONT, SMALLEST_FONT

LARGEST_CELL, LARGEST_PAGE, TALLEST = 0.24, 10.0, 9.0
SMALLEST_CELL = 0.012  # about one dot of a screen
STRIP = 0.34  # bars beside a panel
BAR = 0.58  # colour bar, its ticks and its label
BAR_WITHOUT_TICKS = 0.3
TICK_FONT = 6.0
LINE = 0.15  # a line of 7 points
GAP = 0.1
MARKER = 0.11  # between a label and its row
EDGE = 0.06  # between text along the side and the legend below or the names above


Box = tuple[float, float, float, float]
"""Left, bottom, width and height."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a page, in inches from its lower left corner; ``font`` is in points, ``step`` in tokens."""

    width: float
    height: float
    cell: float
    font: float
    step: int
    angle: int
    panels: tuple[Box, ...]
    bar: Box
    label_left: float
    label_top: float
    legend_top: float
    names_bottom: float

    def share(self, box: Box) -> Box:
        """The box as fractions of the page, for matplotlib."""
        left, bottom, width, height = box
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def middle(self, box: Box, length: float) -> float:
        """Where the middle of a text along the side of a box lies, so that all of it is between legend and names."""
        _, bottom, _, height = box
        return min(max(bottom + height / 2, self.legend_top + length / 2), self.names_bottom - length / 2)


@dataclass(frozen=True, slots=True)
class Content:
    """What needs room: labels, panels side by side, bars, lines of text below and above, and text along the side."""

    rows: Sequence[Label]
    columns: Sequence[Label]
    panels: int
    marginals: bool
    lines_below: int
    lines_above: int = 2
    side: float = 0.0
    """Inches of the longest text along a side."""
    ticks: Sequence[Label] = ()
    """Of the colour bar."""


def lay_out(content: Content, width: float | None) -> Layout:
    """Sizes for a page of a given width, or of the width that the cells need.

    Labels have 8 points, or down to 5 if the cells are small. If 5 points do not fit, only every second, third, … label
    is written.

    Raises:
        MapError: cells of this width would be too small to be seen.
    """
    cell, font, angle = LARGEST_CELL, LARGEST_FONT, 60
    margins = _Margins.of(content, font, angle, cell)
    for _ in range(6):  # margins depend on the label size, which depends on the cell size
        cell = _cell(content, margins, width)
        font = min(LARGEST_FONT, max(SMALLEST_FONT, cell * 72 * 0.72))
        angle = 60 if cell >= 0.14 else 90
        margins = _Margins.of(content, font, angle, cell)
    if cell < SMALLEST_CELL:
        got = f"{content.panels} × {len(content.columns)} columns and {len(content.rows)} rows"
        expected = f"cells of at least {SMALLEST_CELL} inches in a width of {width} inches"
        raise MapError(Problem("heatmap", expected, got, "Draw a window of the sentence, or a wider page."))
    return _place(content, margins, width, cell, font, angle)


def text_width(label: Label, points: float) -> float:
    """Inches of a label."""
    from matplotlib.font_manager import get_font

    font = get_font(label.fonts)
    font.set_size(64, 72)  # measure at a large size, because hinting rounds to whole dots
    font.set_text(label.text, 0.0)
    return font.get_width_height()[0] / 64 / 64 * points / 72


@dataclass(frozen=True, slots=True)
class _Margins:
    left: float
    right: float
    top: float
    bottom: float
    between: float

    @classmethod
    def of(cls, content: Content, font: float, angle: int, cell: float) -> "_Margins":
        rows = max(text_width(label, font) for label in content.rows)
        columns = [text_width(label, font) for label in content.columns]
        slant = radians(angle)
        last = len(columns) - 1
        overhang = max(w * cos(slant) - (last - j + 0.5) * cell for j, w in enumerate(columns))
        strip = STRIP + GAP / 2 if content.marginals else 0.0
        top = content.lines_above * LINE + 0.12 + max(columns) * sin(slant) + font / 72 * cos(slant) + MARKER
        side = content.side + 2 * EDGE + (content.lines_above - 1) * LINE - top - cell * len(content.rows)
        below = max(strip + (0.16 if content.marginals else 0.1), side)
        ticks = max((text_width(label, TICK_FONT) for label in content.ticks), default=0.0)
        bar = max(BAR, BAR_WITHOUT_TICKS + ticks)  # a small difference has many digits
        return cls(
            left=LINE + 0.05 + rows + MARKER + 0.04,
            right=max(strip + GAP + bar, overhang + 0.05),
            top=top,
            bottom=below + content.lines_below * LINE,
            between=GAP + strip,
        )


def _cell(content: Content, margins: _Margins, width: float | None) -> float:
    across, down = content.panels * len(content.columns), len(content.rows)
    if width is None:
        return min(LARGEST_CELL, LARGEST_PAGE / max(across, down))
    room = width - margins.left - margins.right - (content.panels - 1) * margins.between
    return min(LARGEST_CELL, room / across, (TALLEST - margins.top - margins.bottom) / down)


def _place(content: Content, margins: _Margins, width: float | None, cell: float, font: float, angle: int) -> Layout:
    box = cell * len(content.columns), cell * len(content.rows)
    used = margins.left + margins.right + content.panels * box[0] + (content.panels - 1) * margins.between
    page = used if width is None else width
    start = margins.left + (page - used) / 2
    lefts = [start + number * (box[0] + margins.between) for number in range(content.panels)]
    strip = STRIP + GAP / 2 if content.marginals else 0.0
    tall = min(box[1], 2.2)
    return Layout(
        width=page,
        height=margins.top + box[1] + margins.bottom,
        cell=cell,
        font=font,
        step=max(1, ceil(SMALLEST_FONT * 1.12 / 72 / cell)),
        angle=angle,
        panels=tuple((left, margins.bottom, *box) for left in lefts),
        bar=(lefts[-1] + box[0] + strip + GAP, margins.bottom + box[1] - tall, 0.09, tall),
        label_left=start - margins.left + LINE / 2,
        label_top=margins.bottom + box[1] + margins.top - content.lines_above * LINE + 0.02,
        legend_top=content.lines_below * LINE + EDGE,
        names_bottom=margins.bottom + box[1] + margins.top - (content.lines_above - 1) * LINE - EDGE,
    )
