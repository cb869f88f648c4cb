"""A ranking of aligners in words, on a terminal, and as CSV, LaTeX and Markdown."""

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from probe.output.documents import escape_latex, escape_markdown, markdown_table
from probe.output.tables import new_table, number, percent, with_interval
from probe.report.aligner_report import AlignerReport
from probe.report.verdict import in_percent
from probe.scoring.hard_links import F1, FIGURES
from probe.stats import FEW

if TYPE_CHECKING:
    from rich.console import RenderableType

HEADS = (
    "wrong per\n100 tokens",
    "linked\n%",
    "F1, %\n[95 % CI]",
    "largest\ngroup",
    "precision\n%",
    "recall\n%",
    "AER\n%",
    "many-to-many\n%",
)
MOST_BROKEN, MOST_NAMED = 3, 4
"""Aligners whose failures the verdict tells, and phenomena that it names of each."""
BY_CONSTRUCTION = (
    "The right links follow from bytes by rule, so aligners that use bytes win by construction. "
    "The figures say how far the others are from bytes. They do not say what a model needs."
)


def verdict(report: AlignerReport) -> list[str]:
    """Which aligner to use on this pair, and what breaks the others."""
    best = report.best
    wrong, covered, f1 = (report.figure(best, name) for name in FIGURES[:3])
    lines = [
        f"{report.pair}: use {best}. F1 is {in_percent(f1)}; {percent(covered.value)} % of the tokens have a link, and "
        f"{number(wrong.value, '.1f')} links per 100 tokens are wrong."
    ]
    if len(report.sentences) < FEW:
        lines.append(f"{len(report.sentences)} texts are too few for a 95 % CI, which takes {FEW}.")
    broken = [line for name in report.names[:0:-1] if (line := _broken(report, name))]
    return [*lines, *broken[:MOST_BROKEN]]


def _broken(report: AlignerReport, name: str) -> str:
    """Where an aligner has less than half of F1; nothing where it holds."""
    broken = report.breaks_on(name)
    if not broken:
        return ""
    where = "all phenomena" if len(broken) == len(report.of_enough_texts) else ", ".join(broken[:MOST_NAMED])
    more = len(broken) - MOST_NAMED
    behind = f" and {more} more" if more > 0 and where != "all phenomena" else ""
    return f"{name} breaks on {where}{behind}: F1 is below 50 % there."


def heading(report: AlignerReport) -> str:
    """The pair, and what was scored."""
    return f"{report.pair}: {len(report.sentences)} texts of {report.source}"


def table(report: AlignerReport) -> "RenderableType":
    """All aligners, the highest F1 first."""
    weights = any(one.value is not None for one in report.top_1.each())
    found = new_table("", *HEADS, *(["top-1\n%"] if weights else []), words=0)
    found.columns[0].justify = "left"
    for k, name in enumerate(report.names):
        found.add_row(name, *cells(report, k), *([percent(report.top_1.at(k).value)] if weights else []))
    return found


def phenomena(report: AlignerReport) -> "RenderableType":
    """F1 of each aligner by phenomenon."""
    found = new_table("F1, %", "texts", *(name.replace(" ", "\n") for name in report.names))
    for name, (texts, f1) in report.by_phenomenon.items():
        found.add_row(name, str(texts), *(percent(float(value)) or "–" for value in f1))
    return found


def cells(report: AlignerReport, k: int) -> list[str]:
    """The figures of one aligner under `HEADS`."""
    of = {name: report.figures.at(k, place) for place, name in enumerate(FIGURES)}
    aer, precision, recall, many = (
        percent(of[name].value) or "–" for name in ("AER", "precision", "recall", "many-to-many")
    )
    return [
        number(of["wrong per 100 tokens"].value, ".1f"),
        percent(of["coverage"].value),
        with_interval(of["F1"], percent) or "–",
        str(int(report.largest[:, k].max())),
        precision,
        recall,
        aer,
        many,
    ]


def to_csv(reports: Mapping[str, AlignerReport]) -> str:
    """Every figure, a line each; empty where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("pair", "aligner", "group", "figure", "value", "low", "high", "texts"))
    for pair, report in reports.items():
        for k, name in enumerate(report.names):
            size = len(report.sentences)
            for place, figure in enumerate(FIGURES):
                writer.writerow((pair, name, "all", figure, *report.figures.at(k, place), size))
            writer.writerow((pair, name, "all", "largest group", int(report.largest[:, k].max()), "", "", size))
            writer.writerow((pair, name, "all", "top-1", *report.top_1.at(k), size))
            for tag, (texts, f1) in report.by_phenomenon.items():
                writer.writerow((pair, name, tag, "F1", float(f1[k]), "", "", texts))
    return out.getvalue()


def to_markdown(reports: Mapping[str, AlignerReport]) -> str:
    """For each pair the table and the verdict."""
    heads = "aligner", *(head.replace("\n", " ") for head in HEADS)
    parts: list[str] = []
    for report in reports.values():
        rows = [(name, *cells(report, k)) for k, name in enumerate(report.names)]
        parts += [f"**{escape_markdown(heading(report))}**\n", markdown_table(heads, rows)]
        parts += [f"{escape_markdown(line)}\n" for line in verdict(report)]
    return "\n".join([*parts, BY_CONSTRUCTION]) + "\n"


def to_latex(reports: Mapping[str, AlignerReport]) -> str:
    """Aligners × pairs: F1 with its 95 % CI, and wrong links per 100 tokens; it needs the package booktabs."""
    names = list(dict.fromkeys(name for report in reports.values() for name in report.names))
    lines = [
        r"% F1 in percent with a 95 % CI over texts; wrong: links per 100 tokens",
        r"\begin{tabular}{@{}l" + "rr" * len(reports) + "@{}}",
        r"\toprule",
        " & ".join(["", *(rf"\multicolumn{{2}}{{c}}{{{escape_latex(pair)}}}" for pair in reports)]) + r" \\",
        " & ".join(["", *(["F1", "wrong"] * len(reports))]) + r" \\",
        r"\midrule",
    ]
    for name in names:
        cells: list[str] = []
        for report in reports.values():
            k = report.names.index(name) if name in report.names else None
            cells += ["–", "–"] if k is None else _papercells(report, k)
        lines.append(" & ".join([escape_latex(name), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _papercells(report: AlignerReport, k: int) -> list[str]:
    f1, wrong = report.figures.at(k, F1), report.figures.at(k, 0)
    return [with_interval(f1, percent) or "–", number(wrong.value, ".1f")]
