"""What is shown first: the attention between its floors, its baselines and its ceilings, as lines and as a table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from probe.output.tables import new_table, number, percent, points, with_interval
from probe.report.values import Findings
from probe.report.verdict import BASELINES, CEILINGS, FLOORS, NAMES, ORDERED, decoded
from probe.scoring.scores import METRICS
from probe.stats import Estimate

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = {"MRR": "MRR\n0–1", "F1": "F1\n%"}
"""Beside top-1, where the terminal has room."""
TOP_1 = METRICS.index("top-1")
ATTENTION = "attention"
REFERENCES = {
    "floors": FLOORS,
    "baselines": BASELINES,
    ATTENTION: (),
    "with order": ORDERED,
    "ceilings": CEILINGS,
}
"""The methods of each group, in the order of the table; the attention is that of the checkpoints."""


@dataclass(frozen=True)
class Line:
    """One method of one report, under a name that needs no legend."""

    name: str
    report: Findings
    method: int
    """Its place among the methods of the report."""

    @property
    def top_1(self) -> Estimate:
        """Its top-1 with a 95 % CI."""
        return self.report.intervals.at(self.method, TOP_1)


def grouped(reports: Mapping[str, Findings]) -> dict[str, list[Line]]:
    """The lines of the overview by group, in order; a group without a line is left out.

    The methods are those of the first report. All reports must be of the same sentences. Two reports may differ in a
    reference, for instance because their embedding tables differ: then each has a line of its own.
    """
    several = len(reports) > 1
    own = [Line(name if several else report.methods[0], report, 0) for name, report in reports.items()]
    found = {
        group: own if group == ATTENTION else [line for name in names for line in _references(name, reports)]
        for group, names in (REFERENCES | {"with order": (*ORDERED, decoded(next(iter(reports.values()))))}).items()
    }
    return {group: lines for group, lines in found.items() if lines}


def _references(method: str, reports: Mapping[str, Findings]) -> Iterator[Line]:
    """One line of a method where all reports agree, else one for each report that has it."""
    first = next(iter(reports.values()))
    if method not in first.methods[1:]:
        return
    told = NAMES.get(method, NAMES["cma-grid"])
    lines = [
        Line(f"{told}, {name}", report, report.methods.index(method))
        for name, report in reports.items()
        if method in report.methods[1:]
    ]
    values = [line.report.intervals.value[line.method, TOP_1] for line in lines]
    if np.allclose(values, values[0], equal_nan=True):
        yield Line(told, first, lines[0].method)
    else:
        yield from lines


def overview(reports: Mapping[str, Findings]) -> "RenderableType":
    """Top-1 of the checkpoints, given by name, in the order floors, baselines, attention, ceilings.

    The other methods are those of the first report; all must be of the same sentences. A single checkpoint is set
    against each method.
    """
    first = next(iter(reports.values()))
    single = len(reports) == 1
    against = [f"{first.methods[0]} − this row\npoints [95 % CI]"] if single else []
    table = new_table("", "top-1, %\n[95 % CI]", *COLUMNS.values(), *against)
    for group, lines in grouped(reports).items():
        table.add_row(group)
        for line in lines:
            if group == ATTENTION:
                table.add_row(f"  {line.name}", with_interval(line.top_1, percent), *_cells(line), style="bold")
            else:
                behind = [with_interval(first.differences.at(line.method, TOP_1), points)] if single else []
                table.add_row(f"  {line.name}", percent(line.top_1.value), *_cells(line), *behind)
    return table


def _cells(line: Line) -> list[str]:
    mrr, f1 = (line.report.intervals.value[line.method, METRICS.index(name)] for name in COLUMNS)
    return [number(mrr, ".2f").removeprefix("0"), percent(f1, ".0f")]
