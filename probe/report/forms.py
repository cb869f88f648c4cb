"""Reports as tables for other programs: CSV, LaTeX and Markdown."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from probe.output.documents import escape_latex, escape_markdown, markdown_table
from probe.output.tables import number, percent, with_interval
from probe.report.tables import IN_PERCENT
from probe.report.values import Findings
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import LINK_METRICS, METRICS, SLICE_METRICS
from probe.stats import Estimates

PAPER_METRICS = ("top-1", "MRR", "AUC", "F1", "AER")
"""Columns of a table for a paper: those that do not depend on temperature."""

LONGEST_METHOD, UNBROKEN = 12, 24
"""Letters: of a method in a column of 219 points, and of a name that LaTeX may not break anywhere."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a report, as one line of a table."""

    checkpoint: str
    steps: int | None
    section: str
    """Which table it is of: method, backward, phenomenon, length, token, aligner or destination."""
    group: str
    method: str
    metric: str
    value: float | None
    low: float | None
    """95 % CI over sentences; None where there is none."""
    high: float | None
    sentences: int
    rows: int


def figures(name: str, report: Findings) -> Iterator[Line]:
    """Every figure of a report, that of the probed method first."""
    whole = "all", len(report.sentences), report.rows
    tables: list[tuple[str, Sequence[str], tuple[str, int, int], Estimates]] = [
        ("method", METRICS, whole, report.intervals),
        ("backward", METRICS, whole, report.backward_intervals),
    ]
    tables += [
        (section, metrics, (group.name, group.sentences, group.rows), group.figures)
        for section, metrics, groups in (
            ("phenomenon", METRICS, report.by_phenomenon),
            ("length", METRICS, report.by_length),
            ("token", SLICE_METRICS, report.by_slice),
            ("aligner", LINK_METRICS, report.by_aligner),
            ("destination", DESTINATIONS, (report.destinations,)),
        )
        for group in groups
    ]
    for section, metrics, (group, sentences, rows), found in tables:
        for m, method in enumerate(report.methods):
            for k, metric in enumerate(metrics):
                value, low, high = found.at(m, k)
                place = name, report.origin.steps, section, group, method, metric
                yield Line(*place, value, low, high, sentences, rows)


def to_csv(reports: Mapping[str, Findings]) -> str:
    """Every figure, a line each; empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Line.__slots__)
    for name, report in reports.items():
        for one in figures(name, report):
            writer.writerow(asdict(one).values())
    return out.getvalue()


def to_latex(reports: Mapping[str, Findings]) -> str:
    """The table of methods for a column of a two-column paper; it needs the package booktabs."""
    lines = [
        r"% top-1, F1, AER in percent; 95 % CI of top-1 over sentences in brackets",
        # Of the same size in every class: \footnotesize of one with 11 points would be too wide for 219 points.
        r"{\fontsize{8}{9.5}\selectfont\def\interval{\fontsize{7}{8}\selectfont}\setlength{\tabcolsep}{0pt}"
        r"\begin{tabular*}{\linewidth}{@{}l@{\extracolsep{\fill}}" + "r" * len(PAPER_METRICS) + "@{}}",
        r"\toprule",
        " & ".join(["", *PAPER_METRICS]) + r" \\",
    ]
    for name, report in reports.items():
        lines += [r"\midrule", _tex_title(f"{name}, {report.origin.pair}")]
        for m, method in enumerate(report.methods):
            cells = [cell.replace("100.0", "100") for cell in _paper_cells(report, m)]  # as wide as 99.9, almost
            cells[0] = cells[0].replace("[", r"{\interval [").replace("]", "]}")
            lines.append(" & ".join([_tex(_shortened(method)), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular*}}"]) + "\n"


def _tex_title(text: str) -> str:
    """A line over all columns, or several: a box without width, so that a long name pushes no column aside."""
    pieces = re.sub(rf"([/_.]|[^\s/_.-]{{{UNBROKEN}}})(?=\S)", "\\1\0", text).split("\0")
    breakable = r"\allowbreak ".join(map(_tex, pieces))
    box = rf"\rlap{{\parbox[t]{{\linewidth}}{{\raggedright {breakable}\strut}}}}"
    return rf"\multicolumn{{{len(PAPER_METRICS) + 1}}}{{@{{}}l@{{}}}}{{{box}}} \\"


def _shortened(method: str) -> str:
    """Its beginning and its end, if it is too long for the first column."""
    half = LONGEST_METHOD // 2
    return method if len(method) <= LONGEST_METHOD else f"{method[:half]}…{method[-half + 1 :]}"


def to_markdown(reports: Mapping[str, Findings]) -> str:
    """The tables of methods and of phenomena for a document."""
    parts: list[str] = []
    for name, report in reports.items():
        rows = [(method, *_paper_cells(report, m)) for m, method in enumerate(report.methods)]
        title = f"**{escape_markdown(name)}**: {escape_markdown(report.origin.pair)}"
        parts.append(f"{title}, {len(report.sentences)} sentences, {report.rows} tokens\n")
        parts.append(markdown_table(("method", *PAPER_METRICS), rows))
        rows = [
            (one.name, str(one.sentences), str(one.rows), with_interval(one.figures.at(0, 0), percent) or "–")
            for one in report.by_phenomenon
        ]
        parts.append(markdown_table(("phenomenon", "sentences", "tokens", f"{report.methods[0]} top-1"), rows))
    return "\n".join(parts)


def _paper_cells(report: Findings, m: int) -> list[str]:
    found = {metric: report.intervals.at(m, METRICS.index(metric)) for metric in PAPER_METRICS}
    cells = [percent(one.value) if metric in IN_PERCENT else number(one.value, ".2f") for metric, one in found.items()]
    cells[0] = with_interval(found["top-1"], percent)
    return [cell or "–" for cell in cells]


def _tex(text: str) -> str:
    return escape_latex(text).replace("←", r"$\leftarrow$").replace("×", r"$\times$")
