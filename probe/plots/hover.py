"""What the page says of a cell under the pointer."""

from html import escape

from probe.plots.panels import Picture
from probe.tokens import TokenizedText

FIRST_STRONG, POP = "\u2068", "\u2069"  # a label in Arabic must not turn the words around it


def hover(picture: Picture, number: int) -> list[list[str]]:
    """For each cell of a panel: both tokens with their bytes of the text, weight, kind of link, entropy and mass."""
    panel = picture.panels[number]
    sides = (
        _side("student", picture.student, picture.rows, picture.row_labels),
        _side("teacher", picture.teacher, picture.columns, picture.column_labels),
    )
    what, sign = ("change of weight", "+") if picture.difference else ("weight", "")
    rows = [
        f"{line}<br>entropy of the row {value:{sign}.3f} of its maximum"
        for line, value in zip(sides[0], panel.entropy, strict=True)
    ]
    columns = [
        f"{line}<br>mass of the column {value:{sign}.2f} tokens"
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
        lines.append(f"{name} target {number}: <b>{FIRST_STRONG}{escape(label)}{POP}</b>, {place}")
    return lines


def _link(picture: Picture, i: int, j: int) -> str:
    return "" if picture.links is None else f"<br>link: {picture.links.kind((i, j))}"
