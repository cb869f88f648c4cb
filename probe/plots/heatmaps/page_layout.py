"""Sizes, axes and labels of the page, in screen pixels."""

from collections.abc import Sequence
from html import escape
from typing import Any
from unicodedata import east_asian_width

import numpy as np

from probe.plots.heatmaps.drawing import ROW_AXIS, TIES, tie_style
from probe.plots.heatmaps.panels import Picture
from probe.plots.style import Palette
from probe.tokens import TokenizedText

FIRST_STRONG, POP = "\u2068", "\u2069"  # a label in Arabic must not turn the words around it


def hover(picture: Picture, number: int) -> list[list[str]]:
    """The hover text of each cell: both tokens with their bytes, weight, kind of link, entropy and attention mass."""
    panel = picture.panels[number]
    sides = (
        _side("student", picture.student, picture.rows, picture.row_labels),
        _side("teacher", picture.teacher, picture.columns, picture.column_labels),
    )
    what, sign = ("change of weight", "+") if picture.difference else ("weight", "")
    rows = [
        f"{line}<br>entropy of the row: {value:{sign}.3f} (0 to 1)"
        for line, value in zip(sides[0], panel.entropy, strict=True)
    ]
    columns = [
        f"{line}<br>attention mass of the column: {value:{sign}.2f}"
        for line, value in zip(sides[1], panel.mass, strict=True)
    ]
    return [
        [
            f"{row}<br>{column}<br><b>{what} {panel.weights[i, j]:{sign}.4f}</b>{_link(picture, i, j)}"
            for j, column in enumerate(columns)
        ]
        for i, row in enumerate(rows)
    ]


def _side(name: str, side: TokenizedText, numbers: range, labels: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for number, label in zip(numbers, labels, strict=True):
        token = side.tokens[number] if number < len(side.tokens) else None
        place = "end of sequence" if token is None else f"bytes {token.start}–{token.end}"
        lines.append(f"{name} token {number}: <b>{FIRST_STRONG}{escape(label)}{POP}</b>, {place}")
    return lines


def _link(picture: Picture, i: int, j: int) -> str:
    return "" if picture.links is None else f"<br>link: {picture.links.kind((i, j))}"


VIEW = 48
"""Tokens on each side that the page shows at first, divided among the panels; longer sentences get an overview."""

CELL, LETTER, GAP, BAR, TITLES = 22, 7.2, 24, 110, 84
FONTS = "DejaVu Sans, Noto Sans, sans-serif"  # browsers use other fonts for characters that these lack
SHAPES = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "p": "⬟"}


def arrange(figure: Any, picture: Picture, colours: Palette) -> None:
    """Set equal square cells, labels with their marks, and a first view of at most `VIEW` tokens on each side."""
    panels = len(picture.panels)
    view = min(len(picture.columns), max(16, VIEW // panels)), min(len(picture.rows), VIEW)
    left = 60 + LETTER * max(_letters(label) + 2 for label in picture.row_labels)
    head = TITLES + 0.85 * LETTER * max(_letters(label) + 3 for label in picture.column_labels)
    plot = panels * view[0] * CELL + (panels - 1) * GAP
    width, height = max(left + plot + BAR, 640), head + view[1] * CELL + 70
    grid = {"showgrid": False, "zeroline": False, "showline": True, "linecolor": colours.muted, "mirror": True}
    figure.update_layout(
        template="plotly",  # not what the user has made the default
        width=width,
        height=height,
        margin={"l": left, "r": width - left - plot, "t": head, "b": 70},
        paper_bgcolor=colours.ground,
        plot_bgcolor=colours.ground,
        font={"family": FONTS, "size": 12, "color": colours.ink},
        hoverlabel={"font": {"family": FONTS, "size": 12}, "align": "left"},
        dragmode="pan",
        legend={"orientation": "h", "x": 0, "y": -10 / (view[1] * CELL), "yanchor": "top", "traceorder": "reversed"},
        meta={
            "rows": _labels(picture.row_labels, picture.row_ties, colours),
            "columns": _labels(picture.column_labels, picture.column_ties, colours),
            "navigator": view != (len(picture.columns), len(picture.rows)),
            "link": colours.link,
            "ink": colours.ink,
            "links": sorted(picture.links.sure) if picture.links else [],
            "largest": np.argwhere(picture.panels[0].largest[-1]).tolist(),
        },
    )
    figure.update_yaxes(range=[view[1] - 0.5, -0.5], **_bounds(len(picture.rows)), **grid)
    figure.update_xaxes(side="top", tickangle=-60, range=[-0.5, view[0] - 0.5], **_bounds(len(picture.columns)), **grid)
    figure.update_xaxes(tickvals=list(range(len(picture.columns))), ticktext=figure.layout.meta["columns"])
    figure.update_yaxes(tickvals=list(range(len(picture.rows))), ticktext=figure.layout.meta["rows"])
    figure.update_yaxes(title={"text": ROW_AXIS, "standoff": 8}, row=1, col=1)
    for number in range(panels):
        begin = number * (view[0] * CELL + GAP)
        domain = [begin / plot, (begin + view[0] * CELL) / plot]
        figure.update_xaxes(domain=domain, matches="x" if number else None, row=1, col=number + 1)
        figure.layout.annotations[number].update(x=sum(domain) / 2)
    # Place titles from the top of the page, because only the browser knows the height of the labels.
    figure.update_annotations(font={"size": 13}, yanchor="bottom", yshift=head - TITLES + 8)


def _bounds(size: int) -> dict[str, Any]:
    return {"minallowed": -0.5, "maxallowed": size - 0.5, "ticks": "", "fixedrange": False}


def _letters(label: str) -> int:
    """The width of a label in letters; Chinese, Japanese and Korean ones count twice."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in label)


def _labels(labels: Sequence[str], ties: Sequence[int | None], colours: Palette) -> list[str]:
    shown: list[str] = []
    for label, tie in zip(labels, ties, strict=True):
        text = f"{FIRST_STRONG}{escape(label)}{POP}"
        if tie is not None and tie < TIES:
            colour, marker = tie_style(tie, colours)
            text = f'<span style="color:{colour}">{text} {SHAPES[marker]}</span>'
        shown.append(text)
    return shown
