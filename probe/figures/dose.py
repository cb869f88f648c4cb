"""How much wrong alignment does harm: chunk-level attention with a share of its chunks moved, or dropped."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from probe.figures.chart import LABEL, canvas, landmark, legend_above, reference, series, signed
from probe.figures.saved import Saved
from probe.figures.study import BASELINE, STUDENT, TEACHER, UNTRAINED, Study, against, difference
from probe.output.tables import MILLI
from probe.stats import as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RIGHT, WRONG = "cla", "wrong"
SHARES = (25, 50, 75)


@dataclass(frozen=True, slots=True)
class Point:
    """Bits per byte at a fitted temperature, less those of the right links, with a 95 % t interval over seeds."""

    kind: str
    """``moved`` or ``dropped``; ``baseline``; ``reference``: the untrained student and the teacher."""
    arm: str
    percent: int
    seeds: int
    value: float
    low: float
    high: float
    hits: float
    """Mean share of targets that t2s predicted along the training, where D counts."""


@dataclass(frozen=True)
class Dose:
    """By kind and share."""

    rows: tuple[Point, ...]
    questions: int

    @property
    def caption(self) -> str:
        """What the points are."""
        beside = self.of("baseline") + self.of("reference")
        lines = ", ".join(f"{one.arm} {signed(MILLI * one.value)}" for one in beside)
        counts = [one.seeds for one in self.rows]
        return (
            "Dose and response: chunk-level attention (cla) with a share of its chunks moved to another chunk, or "
            f"dropped. Bits per byte at a fitted temperature less those of {RIGHT}, times 1000, on {self.questions} "
            f"held-out rows; bars: 95 % t interval over {min(counts)} paired training seeds ({max(counts)} at 100 %). "
            f"Beside them, over {max(counts)}: {lines}. Triangles: what lies beyond the axis."
        )

    def of(self, kind: str) -> list[Point]:
        """The points of a kind, by share."""
        return [one for one in self.rows if one.kind == kind]

    def draw(self, venue: str) -> "Figure":
        """Two lines in a column."""
        with canvas(venue, 2.0) as (figure, (axes,)):
            for number, kind in enumerate(("moved", "dropped")):
                shown = self.of(kind)
                values, low, high = ([MILLI * getattr(one, part) for one in shown] for part in ("value", "low", "high"))
                x = np.array([one.percent for one in shown]) + 1.2 * number
                series(axes, number, x, values, (low, high), label=f"chunks {kind}")
            for one in self.of("baseline"):
                reference(axes, (0, 100), [MILLI * one.value] * 2, label=one.arm)
            for one in self.of("reference"):
                landmark(axes, MILLI * one.value, f"{one.arm}: {signed(MILLI * one.value)}")
            axes.set_xticks(range(0, 101, 25))
            axes.set_xlabel("share of chunks, %")
            axes.set_ylabel(f"bits per byte − {RIGHT}\n× 1000 (lower is better)", fontsize=LABEL)
            legend_above(figure, axes, 3)
        return figure


def dose(saved: Saved) -> Dose:
    """Of the student that the secondary experiment has.

    Raises:
        ReportError: its results are missing.
    """
    study = saved.student(STUDENT)
    rows = [
        Point(kind, RIGHT, 0, len(study.runs(RIGHT)), 0.0, 0.0, 0.0, study.hits(RIGHT)) for kind in ("moved", "dropped")
    ]
    for share in SHARES:
        rows += [_point(study, kind, f"{kind}-{share}", share) for kind in ("moved", "dropped")]
    rows.append(_point(study, "moved", WRONG, 100))
    rows.append(_point(study, "baseline", BASELINE, 0))
    seeds = len(study.runs(RIGHT))
    for arm, run in ((UNTRAINED, study.untrained), (TEACHER, study.teacher)):
        rows.append(Point("reference", arm, 0, seeds, *map(as_float, against(run, study, RIGHT)), hits=math.nan))
    return Dose(tuple(rows), len(study.untrained.bytes))


def _point(study: Study, kind: str, arm: str, percent: int) -> Point:
    seeds = len(study.runs(arm).keys() & study.runs(RIGHT).keys())
    value, low, high = map(as_float, difference(study, arm, RIGHT))
    return Point(kind, arm, percent, seeds, value, low, high, study.hits(arm))
