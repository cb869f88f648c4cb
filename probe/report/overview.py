"""The one table that is printed by default: what was probed between floors and ceilings."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from probe.output.tables import new_table, number, percent, points, with_interval
from probe.report.values import Findings
from probe.report.verdict import BASELINES, CEILINGS, FLOORS, NAMES
from probe.scoring.scores import METRICS

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = {"MRR": "MRR\n0–1", "F1": "F1\n%"}
"""Beside top-1, where the terminal has room."""
TOP_1 = METRICS.index("top-1")


def overview(reports: Mapping[str, Findings]) -> "RenderableType":
    """Top-1 of the checkpoints, given by name, in the order floors, baselines, attention, ceilings.

    The other methods are those of the first report; all must be of the same sentences. A single checkpoint is set
    against each method.
    """
    first = next(iter(reports.values()))
    single = len(reports) == 1
    against = [f"{first.methods[0]} − it\npoints [95 % CI]"] if single else []
    table = new_table("", "top-1, %\n[95 % CI]", *COLUMNS.values(), *against)
    for title, names in (("floors", FLOORS), ("baselines", BASELINES), ("attention", ()), ("ceilings", CEILINGS)):
        present = [name for name in names if name in first.methods[1:]]
        if title == "attention" or present:
            table.add_row(title)
        for name in present:
            m = first.methods.index(name)
            behind = [with_interval(first.differences.at(m, TOP_1), points)] if single else []
            top_1 = percent(first.intervals.value[m, TOP_1])
            table.add_row(f"  {NAMES[name]}", top_1, *_cells(first, m), *behind)
        for name, report in reports.items() if title == "attention" else ():
            top_1 = with_interval(report.intervals.at(0, TOP_1), percent)
            table.add_row(f"  {report.methods[0] if single else name}", top_1, *_cells(report, 0), style="bold")
    return table


def _cells(report: Findings, m: int) -> list[str]:
    mrr, f1 = (report.intervals.value[m, METRICS.index(name)] for name in COLUMNS)
    return [number(mrr, ".2f").removeprefix("0"), percent(f1, ".0f")]
