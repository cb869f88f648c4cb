"""What a notebook shows of maps, gold rows, reports and checkpoints: a picture, and a table to be opened below it."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.heatmap import Look, heatmap
from probe.plots.heatmaps.panels import Window
from probe.plots.report_figure.figure import methods_figure
from probe.plots.report_page.tables import element, markup, methods_table
from probe.plots.saving import png_bytes
from probe.report.report import ProbeReport
from probe.scoring.references import gold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLE = "Return the path of the file; if the file is missing, raise an error."
"""The sentence whose map a checkpoint shows."""
SHARPNESS = 1.5
"""Pixels of a picture over those that it takes on an ordinary screen."""
MOST = 64
"""Student tokens of a picture: of a longer text it shows the beginning."""


def map_html(map_: AttentionMap) -> str:
    """The heatmap of a map, and the largest weight of each token."""
    largest = map_.weights.argmax(axis=1)
    rows = [
        (label, map_.teacher_labels[j], f"{map_.weights[i, j]:.2f}")
        for i, (label, j) in enumerate(zip(map_.student_labels, largest, strict=True))
    ]
    table = _table(("student token", "draws most from", "weight"), rows)
    return _heatmap(map_, repr(map_)) + _details("the largest weight of each token", table)


def row_html(row: GoldRow) -> str:
    """The links of a gold row as a picture, and as a table."""
    student, teacher = row.student.display(), row.teacher.display()
    kinds = (("sure", row.sure), ("possible", row.possible))
    rows = [(student[i], teacher[j], kind) for kind, links in kinds for i, j in sorted(links)]
    about = f"{row.id}, {row.pair}: {', '.join(row.phenomena) or 'no phenomenon'}"
    table = _table(("student token", "teacher token", "link"), rows)
    return _said([about]) + _heatmap(gold(row), about, row) + _details("its links", table)


def report_html(report: ProbeReport) -> str:
    """The verdict of a report, its methods as a picture, and their figures."""
    said = report.verdict.splitlines()
    picture = _picture(methods_figure(report), said[0])
    return _said(said) + picture + _details("the figures of all methods", markup(methods_table(report)))


def checkpoint_html(opened: Any) -> str:
    """What an open checkpoint is, and its attention on an example."""
    one = opened.checkpoint
    steps = "unknown" if one.steps is None else f"{one.steps}"
    estimate = " (estimated)" if one.scales.key_is_estimate else ""
    rows = [
        ("method", f"{one.method}, {one.criterion}"),
        ("steps", steps),
        ("student", opened.student.source),
        ("teacher", opened.teacher.source),
        ("key scale", f"{one.scales.key:.4g}{estimate}"),
    ]
    return _table((one.name, ""), rows) + _heatmap(opened.map(EXAMPLE), f"the attention of {one.name} on an example")


def _heatmap(map_: AttentionMap, alt: str, row: GoldRow | None = None) -> str:
    students = len(map_.student.tokens)
    if students <= MOST:
        return _picture(heatmap(map_, gold=row), alt)
    window = Look(window=Window((0, MOST)))
    told = f"The first {MOST} of {students} student tokens."
    return _picture(heatmap(map_, gold=row, look=window), f"{alt}. {told}") + _said([told])


def _said(lines: Sequence[str]) -> str:
    return "".join(markup(element("p", line)) for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = element("tr", *(element("th", name) for name in heads))
    body = (element("tr", *(element("td", cell) for cell in row)) for row in rows)
    return markup(element("table", element("thead", head), element("tbody", *body)))


def _details(summary: str, hidden: str) -> str:
    return f"<details>{markup(element('summary', summary))}{hidden}</details>"


def _picture(figure: "Figure", alt: str) -> str:
    data = base64.b64encode(png_bytes(figure, round(SHARPNESS * figure.dpi))).decode()
    width = f"{figure.get_figwidth() * figure.dpi:.0f}"
    return markup(element("img", src=f"data:image/png;base64,{data}", alt=alt, width=width))
