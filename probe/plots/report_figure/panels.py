"""What the panels of a picture of a report show, as values: lines, and the figures on each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from probe.output.tables import percent
from probe.report.overview import ATTENTION, Line, grouped
from probe.report.values import Findings, Group
from probe.scoring.scores import METRICS, SLICE_METRICS
from probe.stats import FEW, Estimate

Section = Literal["phenomenon", "token"]
TITLES: Mapping[Section, str] = {"phenomenon": "Sentences that show …", "token": "Kinds of student tokens"}
CI = "95\u00a0%\u00a0CI"  # no line ends within it
BARS = f"Bars: {CI}."
HOLLOW = f"Hollow marks have no {CI}, which needs {FEW} sentences."


@dataclass(frozen=True, slots=True)
class Mark:
    """A figure to draw, of one of the checkpoints or, without a number, of a reference."""

    found: Estimate
    checkpoint: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a panel; without marks it is a heading."""

    label: str
    beside: str = ""
    """What is written at the right end."""
    marks: tuple[Mark, ...] = ()
    emphasised: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines below each other that share an axis from 0 to 100 %."""

    title: str
    beside: str
    """What the right ends of the lines are."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()
    """The names that tell marks on one line apart; empty if there is one mark a line."""
    band: tuple[float, float] | None = None
    """Values between which the ground is shaded."""
    whole: tuple[float, ...] = ()
    """A vertical line for each checkpoint."""

    @property
    def spoken(self) -> str:
        """All figures as one sentence, for readers who do not see the picture."""
        marks = [(row, mark) for row in self.rows for mark in row.marks]
        names = [f" of {self.checkpoints[mark.checkpoint or 0]}" if self.checkpoints else "" for _, mark in marks]
        figures = [f"{row.label}{name} {_in_words(mark.found)}" for (row, mark), name in zip(marks, names, strict=True)]
        return f"{self.title}, top-1 in percent: {'; '.join(figures)}."


def _in_words(found: Estimate) -> str:
    ends = "" if found.low is None else f", 95 % CI {percent(found.low)} to {percent(found.high)}"
    return (percent(found.value) or "unknown") + ends


def panels(reports: Mapping[str, Findings]) -> tuple[Panel, Panel | None, Panel | None]:
    """Those of methods, of phenomena and of kinds of tokens."""
    return methods_panel(reports), groups_panel(reports, "phenomenon"), groups_panel(reports, "token")


def methods_panel(reports: Mapping[str, Findings]) -> Panel:
    """The attention of each report between floors, baselines and ceilings, in the groups of the overview."""
    groups, rows = grouped(reports), list[Row]()
    for title, lines in groups.items():
        rows.append(Row(title))
        for n, line in enumerate(lines):
            own = title == ATTENTION
            mark = Mark(line.top_1, n if own else None)
            rows.append(Row(line.name, percent(line.top_1.value) or "–", (mark,), own))
    band = _band(groups)
    told = "Shaded: from the highest floor to the highest ceiling." if band else ""
    return Panel("Between floors and ceilings", "%", tuple(rows), _notes(rows, told), band=band)


def _band(groups: Mapping[str, list[Line]]) -> tuple[float, float] | None:
    known = {
        title: [line.top_1.value for line in lines if line.top_1.value is not None] for title, lines in groups.items()
    }
    floors, ceilings = known.get("floors"), known.get("ceilings")
    return (max(floors), max(ceilings)) if floors and ceilings else None


def groups_panel(reports: Mapping[str, Findings], section: Section) -> Panel | None:
    """Top-1 of each report by phenomenon or kind of token; None where no sentence is tagged."""
    by_report = [{one.name: one for one in report.groups(section)} for report in reports.values()]
    rows = [
        _group_row(name, [of_one.get(name) for of_one in by_report])
        for name in dict.fromkeys(name for of_one in by_report for name in of_one)
    ]
    if not rows:
        return None
    whole = [float(report.intervals.value[0, METRICS.index("top-1")]) for report in reports.values()]
    names = tuple(reports) if len(reports) > 1 else ()
    told = (
        "Vertical lines: all tokens of each checkpoint."
        if names
        else f"Vertical line: all tokens, {percent(whole[0])}."
    )
    return Panel(TITLES[section], "tokens", tuple(rows), _notes(rows, told), names, whole=tuple(whole))


def _group_row(name: str, found: list[Group | None]) -> Row:
    k = SLICE_METRICS.index("top-1")
    marks = tuple(Mark(one.figures.at(0, k), n) for n, one in enumerate(found) if one is not None)
    # Checkpoints with other tokenizers cut the same sentence into another number of tokens.
    sizes = sorted({one.rows for one in found if one is not None})
    return Row(name, "–".join(map(str, dict.fromkeys((sizes[0], sizes[-1])))), marks)


def _notes(rows: list[Row], told: str) -> tuple[str, ...]:
    known = [mark.found.low is not None for row in rows for mark in row.marks if mark.found.value is not None]
    marks = [BARS] if any(known) else []
    return tuple(note for note in (told, *marks, "" if all(known) else HOLLOW) if note)
