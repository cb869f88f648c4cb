"""The one table that is printed by default: what was probed between floors and ceilings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from probe.output.tables import new_table, number, percent, points, with_interval
from probe.report.values import ProbeReport
from probe.report.verdict import BASELINES, CEILINGS, FLOORS, NAMES
from probe.scoring.scores import METRICS
from probe.stats import Estimate

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLUMNS = {"MRR": "MRR\n0–1", "F1": "F1\n%", "attention mass": "mass\n%"}
"""Beside top-1 where there is room, in this order; the last is dropped first."""
NAME, FIGURE, DIFFERENCE, OTHER = 28, 18, 21, 5
"""Columns that each part of the table takes."""
TOP_1 = METRICS.index("top-1")


def overview(reports: Mapping[str, ProbeReport], width: int = 80) -> "RenderableType":
    """Top-1 of the checkpoints, given by name, in the order floors, baselines, attention, ceilings.

    The other methods are those of the first report; all must be of the same sentences. Where the terminal is narrow,
    columns are left out.
    """
    first = next(iter(reports.values()))
    single = len(reports) == 1
    difference = single and width >= NAME + FIGURE + DIFFERENCE
    room = width - NAME - FIGURE - DIFFERENCE * difference
    shown = list(COLUMNS)[: max(0, room // OTHER)]
    heads = ["top-1, %\n[95 % CI]", *(COLUMNS[name] for name in shown)]
    table = new_table("", *heads, *([f"{first.methods[0]} − it\npoints [95 % CI]"] if difference else []))
    for title, names in (("floors", FLOORS), ("baselines", BASELINES)):
        _group(table, title, first, names, shown, difference)
    table.add_row("attention")
    for name, report in reports.items():
        table.add_row(f"  {report.methods[0] if single else name}", *_cells(report, 0, shown, own=True), style="bold")
    _group(table, "ceilings", first, CEILINGS, shown, difference)
    return table


def _group(
    table: "Table", title: str, report: ProbeReport, names: Sequence[str], shown: Sequence[str], difference: bool
) -> None:
    present = [name for name in names if name in report.methods[1:]]
    if present:
        table.add_row(title)
    for name in present:
        m = report.methods.index(name)
        behind = [with_interval(report.differences.at(m, TOP_1), points)] if difference else []
        table.add_row(f"  {NAMES[name]}", *_cells(report, m, shown, own=False), *behind)


def _cells(report: ProbeReport, m: int, shown: Sequence[str], *, own: bool) -> list[str]:
    top_1 = report.intervals.at(m, TOP_1)
    first = with_interval(top_1 if own else Estimate(top_1.value), percent)
    values = (report.intervals.value[m, METRICS.index(name)] for name in shown)
    return [first, *(_cell(name, value) for name, value in zip(shown, values, strict=True))]


def _cell(name: str, value: float) -> str:
    return number(value, ".2f").removeprefix("0") if name == "MRR" else percent(value, ".0f")


def together(reports: Mapping[str, ProbeReport]) -> list[dict[str, ProbeReport]]:
    """Reports of the same sentences of the same gold file, which share one table."""
    found: dict[tuple[str, ...], dict[str, ProbeReport]] = {}
    for name, report in reports.items():
        found.setdefault((report.origin.gold_sha256, *report.sentences), {})[name] = report
    return list(found.values())
