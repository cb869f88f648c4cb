"""What a notebook shows of maps, reports, gold rows and checkpoints: a picture, and a table to be opened below it."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

EXAMPLE = "Return the path of the file; if the file is missing, raise an error."
"""The sentence whose map a checkpoint shows."""
SHARPNESS = 1.5
"""Pixels of a picture over those that it takes on an ordinary screen."""
# Only what is shown is imported, and only then: registering costs nothing.
SHOWN: Mapping[str, str] = {
    "probe.maps.AttentionMap": "map_html",
    "probe.gold.rows.GoldRow": "row_html",
    "probe.report.report.ProbeReport": "report_html",
    "probe.checkpoints.opened.OpenCheckpoint": "checkpoint_html",
}


def register() -> None:
    """Tell IPython how to show them, where there is a session."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        return
    html = shell.display_formatter.formatters["text/html"]
    for path, name in SHOWN.items():
        module, _, class_ = path.rpartition(".")
        html.for_type_by_name(module, class_, _later(name))


def _later(name: str) -> Callable[[Any], str]:
    return lambda shown: globals()[name](shown)


def map_html(map_: Any) -> str:
    """The heatmap of a map, and the largest weight of each token."""
    from probe.plots.heatmaps.heatmap import heatmap

    largest = map_.weights.argmax(axis=1)
    rows = [
        (label, map_.teacher_labels[j], f"{map_.weights[i, j]:.2f}")
        for i, (label, j) in enumerate(zip(map_.student_labels, largest, strict=True))
    ]
    table = _table(("student token", "draws most from", "weight"), rows)
    return _shown(_picture(heatmap(map_), repr(map_)), ("the largest weight of each token", table))


def row_html(row: Any) -> str:
    """The links of a gold row as a picture, and as a table."""
    from probe.plots.heatmaps.heatmap import heatmap
    from probe.scoring.references import gold

    student, teacher = row.student.display(), row.teacher.display()
    kinds = (("sure", row.sure), ("possible", row.possible))
    rows = [(student[i], teacher[j], kind) for kind, links in kinds for i, j in sorted(links)]
    about = f"{row.id}, {row.pair}: {', '.join(row.phenomena) or 'no phenomenon'}"
    table = _table(("student token", "teacher token", "link"), rows)
    return _shown(_said([about]) + _picture(heatmap(gold(row), gold=row), about), ("its links", table))


def report_html(report: Any) -> str:
    """The verdict of a report, its methods as a picture, and their figures."""
    from probe.plots.report_figure.figure import methods_figure
    from probe.plots.report_page.tables import markup, methods_table

    said = report.verdict.splitlines()
    picture = _picture(methods_figure(report), said[0])
    return _shown(_said(said) + picture, ("the figures of all methods", markup(methods_table(report))))


def checkpoint_html(opened: Any) -> str:
    """What a checkpoint is, and its attention on an example."""
    from probe.plots.heatmaps.heatmap import heatmap

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
    table = _table((one.name, ""), rows)
    return table + _shown(_picture(heatmap(opened.map(EXAMPLE)), f"the attention of {one.name} on an example"))


def _said(lines: list[str]) -> str:
    from probe.plots.report_page.tables import element, markup

    return "".join(markup(element("p", line)) for line in lines)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    from probe.plots.report_page.tables import element, markup

    head = element("tr", *(element("th", name) for name in heads))
    body = (element("tr", *(element("td", cell) for cell in row)) for row in rows)
    return markup(element("table", element("thead", head), element("tbody", *body)))


def _picture(figure: Any, alt: str) -> str:
    from probe.plots.report_page.tables import element, markup
    from probe.plots.saving import png_bytes

    data = base64.b64encode(png_bytes(figure, round(SHARPNESS * figure.dpi))).decode()
    width = f"{figure.get_figwidth() * figure.dpi:.0f}"
    return markup(element("img", src=f"data:image/png;base64,{data}", alt=alt, width=width))


def _shown(picture: str, details: tuple[str, str] | None = None) -> str:
    from probe.plots.report_page.tables import element, markup

    if details is None:
        return picture
    summary = markup(element("summary", details[0]))
    return f"{picture}<details>{summary}{details[1]}</details>"
