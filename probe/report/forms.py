"""Reports as tables for other programs: data frames, CSV, LaTeX and Markdown."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from probe.errors import MissingExtraError, Problem
from probe.output.documents import escape_latex, markdown_table, number
from probe.report.tables import IN_PERCENT
from probe.report.values import Group, Intervals, ProbeReport
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import COUNTS, LINK_METRICS, METRICS, SLICE_METRICS

if TYPE_CHECKING:
    from pandas import DataFrame


PAPER_METRICS = ("top-1", "MRR", "AUC", "F1", "AER")
"""Columns of a table for a paper: those that do not depend on temperature."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its bounds, as one line of a table."""

    checkpoint: str
    steps: int | None
    section: str
    """Which table it is of: method, A′, phenomenon, length, token, aligner or destination."""
    group: str
    method: str
    metric: str
    value: float
    low: float
    """95 % bounds over sentences; NaN where there are none."""
    high: float
    sentences: int
    rows: int


def figures(name: str, report: ProbeReport) -> Iterator[Figure]:
    """Every figure of a report, that of the probed method first."""
    for section, found in (("method", report.intervals), ("A′", report.backward_intervals)):
        yield from _of_methods(name, report, section, found)
    sections: Sequence[tuple[str, Sequence[str], Sequence[Group]]] = (
        ("phenomenon", METRICS, report.by_phenomenon),
        ("length", METRICS, report.by_length),
        ("token", SLICE_METRICS, report.by_slice),
        ("aligner", LINK_METRICS, report.by_aligner),
        ("destination", DESTINATIONS, (report.destinations,)),
    )
    for section, metrics, groups in sections:
        for group in groups:
            for m, method in enumerate(report.methods):
                for k, metric in enumerate(metrics):
                    bounds = (float(group.low[k]), float(group.high[k])) if m == 0 else (np.nan, np.nan)
                    place = name, report.origin.steps, section, group.name, method, metric
                    yield Figure(*place, float(group.values[m, k]), *bounds, group.sentences, group.rows)


def _of_methods(name: str, report: ProbeReport, section: str, found: Intervals) -> Iterator[Figure]:
    for m, method in enumerate(report.methods):
        for k, metric in enumerate(METRICS):
            values = (float(found.value[m, k]), float(found.low[m, k]), float(found.high[m, k]))
            place = name, report.origin.steps, section, "all", method, metric
            yield Figure(*place, *values, len(report.sentences), report.rows)


def frame(reports: Mapping[str, ProbeReport]) -> "DataFrame":
    """Every figure as a row, with the columns of `Figure`.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    pandas = _pandas()
    return pandas.DataFrame([asdict(one) for name, report in reports.items() for one in figures(name, report)])


def sentence_frame(report: ProbeReport) -> "DataFrame":
    """The counts of each sentence and method (`probe.scoring.scores.COUNTS`), a row each.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    pandas = _pandas()
    sentences, methods, _ = report.counts.shape
    table = pandas.DataFrame(report.counts.reshape(sentences * methods, -1), columns=list(COUNTS))
    table.insert(0, "method", list(report.methods) * sentences)
    table.insert(0, "phenomena", np.repeat([",".join(tags) for tags in report.phenomena], methods))
    table.insert(0, "sentence", np.repeat(list(report.sentences), methods))
    return table


def _pandas():
    try:
        import pandas
    except ImportError as error:
        remedy = "Install it: pip install 'cma-probe[notebooks]'. CSV needs no pandas."
        raise MissingExtraError(Problem("data frame", "pandas", "none", remedy)) from error
    return pandas


def to_csv(reports: Mapping[str, ProbeReport]) -> str:
    """Every figure, a line each; empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Figure.__slots__)
    for name, report in reports.items():
        for one in figures(name, report):
            cells = asdict(one).values()
            writer.writerow(["" if isinstance(cell, float) and np.isnan(cell) else cell for cell in cells])
    return out.getvalue()


def to_latex(reports: Mapping[str, ProbeReport]) -> str:
    """The table of methods for a column of a two-column paper; it needs the package booktabs."""
    lines = [
        r"% top-1, F1, AER in percent; 95 % bounds of top-1 over sentences in brackets",
        r"\begin{tabular}{@{}l" + "r" * len(PAPER_METRICS) + "@{}}",
        r"\toprule",
        " & ".join(["", *PAPER_METRICS]) + r" \\",
    ]
    for name, report in reports.items():
        title = rf"\multicolumn{{{len(PAPER_METRICS) + 1}}}{{@{{}}l}}{{{_tex(name)}, {_tex(report.origin.pair)}}} \\"
        lines += [r"\midrule", title]
        for m, method in enumerate(report.methods):
            cells = _paper_cells(report, m)
            cells[0] = cells[0].replace("[", r"{\scriptsize [").replace("]", "]}")
            lines.append(" & ".join([_tex(method), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_markdown(reports: Mapping[str, ProbeReport]) -> str:
    """The tables of methods and of phenomena for a document."""
    parts: list[str] = []
    for name, report in reports.items():
        rows = [(method, *_paper_cells(report, m)) for m, method in enumerate(report.methods)]
        parts.append(f"**{name}**: {report.origin.pair}, {len(report.sentences)} sentences, {report.rows} tokens\n")
        parts.append(markdown_table(("method", *PAPER_METRICS), rows))
        rows = [
            (one.name, str(one.sentences), str(one.rows), _bounded(one.values[0, 0], one.low[0], one.high[0]))
            for one in report.by_phenomenon
        ]
        parts.append(markdown_table(("phenomenon", "texts", "tokens", f"{report.methods[0]} top-1"), rows))
    return "\n".join(parts)


def _paper_cells(report: ProbeReport, m: int) -> list[str]:
    found = report.intervals
    places = {metric: METRICS.index(metric) for metric in PAPER_METRICS}
    first = _bounded(*(float(values[m, places["top-1"]]) for values in (found.value, found.low, found.high)))
    values = {metric: float(found.value[m, k]) for metric, k in places.items() if metric != "top-1"}
    return [
        first,
        *(number(100 * v, 1) if metric in IN_PERCENT else number(v, 2) for metric, v in values.items()),
    ]


def _bounded(value: float, low: float, high: float) -> str:
    bounds = "" if np.isnan(low) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{number(100 * value, 1)}{bounds}"


def _tex(text: str) -> str:
    return escape_latex(text).replace("←", r"$\leftarrow$").replace("×", r"$\times$")
