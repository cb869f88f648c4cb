"""The comparisons of the study that were announced: each difference with its interval, one student beside the other."""

from dataclasses import asdict, dataclass
from math import nan
from textwrap import fill
from typing import TYPE_CHECKING, Any

from probe.figures.chart import DOTS, LABEL, TICK, canvas, signed
from probe.figures.paper import page
from probe.figures.saved import Saved
from probe.figures.study import (
    ARMS,
    BASELINE,
    MARGIN,
    PRIMARY,
    TEACHER,
    UNTRAINED,
    Study,
    against,
    by_importance,
    compare,
    difference,
)
from probe.output.tables import MILLI
from probe.plots.style import LIGHT, SERIES
from probe.stats import as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 28
"""Letters of a label."""
APART = 0.24
"""Rows between a line and each of the two students' references, so that their numbers do not touch."""
SMALL = 6.0  # points


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the figure, in bits per byte at a fitted temperature; NaN where it is not known."""

    student: str
    panel: str
    """``arm`` or ``reference``, both less the baseline and at the left, or ``comparison``."""
    name: str
    difference: str
    seeds: int
    value: float
    low: float
    """95 % t interval over training seeds."""
    high: float
    as_is: float = nan
    """The difference without the fit. This and what follows is of comparisons alone; see `Compared`."""
    rows_low: float = nan
    rows_high: float = nan
    deviation: float = nan
    p: float = nan
    p_holm: float = nan
    outcome: str = ""


@dataclass(frozen=True)
class Forest:
    """Arms against fine-tuning, and the comparisons."""

    rows: tuple[Difference, ...]
    questions: int

    @property
    def caption(self) -> str:
        """What the points are."""
        seeds = {one.student: one.seeds for one in self.rows if one.panel == "arm"}
        count = ", ".join(f"{student}: {number}" for student, number in seeds.items())
        return (
            "Does alignment matter? Bits per byte at a fitted temperature, times 1000. Left: each arm, the untrained "
            f"student and the teacher less fine-tuning ({BASELINE}). Right: the comparisons that were announced; the "
            f"grey band is the margin of equality. Bars: 95 % t interval over paired training seeds ({count}), "
            f"{self.questions} held-out rows fixed. Below 0 the first arm is better, but P3 is a difference of two "
            "differences. Triangles: what lies beyond the axis."
        )

    def of(self, student: str, panel: str) -> list[Difference]:
        """The lines of one student of one kind."""
        return [one for one in self.rows if (one.student, one.panel) == (student, panel)]

    def draw(self, venue: str) -> "Figure":
        """Both panels, over the page."""
        students = list(dict.fromkeys(one.student for one in self.rows))
        with canvas(page(venue), 2.9, 2) as (figure, axes):
            for one, panel in zip(axes, ("arm", "comparison"), strict=True):
                _panel(one, [self.of(student, panel) for student in students])
            _references(axes[0], [self.of(student, "reference") for student in students])
            axes[0].set_title(f"arm − {BASELINE}", fontsize=LABEL)
            axes[1].set_title("announced comparisons (grey: equal)", fontsize=LABEL)
            axes[1].axvspan(-MILLI * MARGIN, MILLI * MARGIN, color=LIGHT.muted, alpha=0.15, linewidth=0, zorder=0)
            figure.supxlabel("difference in bits per byte × 1000 (below 0: the first arm is better)", fontsize=LABEL)
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=TICK)
        return figure


def _panel(axes: Any, of_students: list[list[Difference]]) -> None:
    names = [one.name for one in of_students[0]]
    for number, lines in enumerate(of_students):
        for one in lines:
            if one.name in names:
                place = names.index(one.name) + 0.16 * (2 * number - len(of_students) + 1)
                _point(axes, number, one, place, one.student if one is lines[0] else None)
    axes.axvline(0, color=LIGHT.muted, linewidth=0.7, linestyle=DOTS, zorder=1)
    labels = [
        fill(f"{one.name}: {one.difference}", WIDTH) if one.panel == "comparison" else one.name
        for one in of_students[0]
    ]
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _point(axes: Any, number: int, one: Difference, place: float, label: str | None = None) -> None:
    colour, marker, _ = SERIES[number]
    axes.errorbar(
        MILLI * one.value,
        place,
        xerr=[[MILLI * (one.value - one.low)], [MILLI * (one.high - one.value)]],
        color=colour,
        marker=marker,
        markersize=2.6,
        elinewidth=0.8,
        capsize=1.8,
        linestyle="none",
        label=label,
    )


def _references(axes: Any, of_students: list[list[Difference]]) -> None:
    """Lines for what was not trained, below the others; at the edge what lies beyond it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    names = [one.name for one in of_students[0]]
    for number, lines in enumerate(of_students):
        for one in lines:
            place = bottom + 0.5 + names.index(one.name) + APART * (2 * number - len(of_students) + 1)
            if left <= MILLI * one.value <= right:
                _point(axes, number, one, place)
            else:
                _beyond(axes, number, MILLI * one.value, place, (left, right))
    labels = [one.get_text() for one in axes.get_yticklabels()]
    axes.set_yticks(range(len(labels) + len(names)), [*labels, *names])
    axes.set_ylim(bottom + len(names), top)
    axes.set_xlim(left, right)


def _beyond(axes: Any, number: int, value: float, place: float, ends: tuple[float, float]) -> None:
    """A number at the end of the axis behind which it lies."""
    low = value < ends[0]
    told = f"◂ {signed(value)}" if low else f"{signed(value)} ▸"
    end, side, inwards = (ends[0], "left", 2) if low else (ends[1], "right", -2)
    options: dict[str, Any] = {"ha": side, "va": "center", "fontsize": SMALL, "color": SERIES[number][0]}
    options |= {"xytext": (inwards, 0), "textcoords": "offset points"}
    ground = {"facecolor": LIGHT.ground, "edgecolor": "none", "pad": 0.4}
    axes.annotate(told, (end, place), bbox=ground, **options)


def forest(saved: Saved) -> Forest:
    """Of every student whose results are saved.

    Raises:
        ReportError: there are none.
    """
    rows: list[Difference] = []
    for student, study in by_importance(saved.study):
        rows += [*_arms(student, study), *_untrained(student, study), *_comparisons(student, study)]
    return Forest(tuple(rows), len(next(iter(saved.study.values())).untrained.bytes))


def _arms(student: str, study: Study) -> list[Difference]:
    found: list[Difference] = []
    for arm in ARMS:
        if arm == BASELINE or arm not in study.arms:
            continue
        value, low, high = map(as_float, difference(study, arm, BASELINE))
        seeds = len(study.arms[arm].keys() & study.runs(BASELINE).keys())
        found.append(Difference(student, "arm", arm, f"{arm} − {BASELINE}", seeds, value, low, high))
    return found


def _untrained(student: str, study: Study) -> list[Difference]:
    """The student as it was and the teacher, less the baseline of each training seed."""
    seeds = len(study.runs(BASELINE))
    found: list[Difference] = []
    for name, run in ((UNTRAINED, study.untrained), (TEACHER, study.teacher)):
        value, low, high = map(as_float, against(run, study, BASELINE))
        found.append(Difference(student, "reference", name, f"{name} − {BASELINE}", seeds, value, low, high))
    return found


def _comparisons(student: str, study: Study) -> list[Difference]:
    return [Difference(student, "comparison", **asdict(one)) for one in compare(study, PRIMARY)]
