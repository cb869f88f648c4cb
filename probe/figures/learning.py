"""The alignment of an attention along training, against what its student is worth at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from probe.figures.chart import DOTS, LABEL, TICK, canvas, landmark, series
from probe.figures.paper import page
from probe.figures.saved import Saved
from probe.figures.study import ARMS, ATTENDING, STUDENT, TEACHER, UNTRAINED, Run, Study
from probe.plots.style import LIGHT, SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE_HEIGHT = 0.07
"""Of a name, as a share of the panel."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The attention of one run at one step, and what its student is worth at the end."""

    arm: str
    seed: str
    step: int
    top_1: float
    in_chunk: float
    entropy: float
    fan_in: float
    bits_per_byte: float
    """At a fitted temperature, at the end of the run."""


@dataclass(frozen=True)
class Learning:
    """Every saved step of every run with an attention."""

    rows: tuple[Stage, ...]
    untrained: float
    teacher: float
    without: tuple[tuple[str, float], ...]
    """Arms whose attention is none, equal or masked, and their mean bits per byte."""

    @property
    def caption(self) -> str:
        """What the points are."""
        lines = ", ".join(f"{arm} {bits:.4f}" for arm, bits in self.without)
        return (
            f"Left: top-1 of the attention on the gold sentences along training, mean over {len(self.seeds)} training "
            "seeds (bars: the range over seeds). Right: its mean over the saved steps against bits per byte of the "
            f"student at the end, at a fitted temperature; a point is a training seed. {STUDENT} student. Dotted: arms "
            f"whose attention is none, equal or masked ({lines}). Triangles: what lies "
            f"beyond the axis; the untrained student has {self.untrained:.4f}, the teacher {self.teacher:.4f}."
        )

    @property
    def seeds(self) -> list[str]:
        """Training seeds."""
        return sorted({one.seed for one in self.rows})

    def draw(self, venue: str) -> "Figure":
        """Both panels, over the page."""
        arms = list(dict.fromkeys(one.arm for one in self.rows))
        with canvas(page(venue), 2.3, 2) as (figure, (left, right)):
            for number, arm in enumerate(arms):
                _along(left, number, [one for one in self.rows if one.arm == arm])
                _ends(right, number, [one for one in self.rows if one.arm == arm])
            _lines(right, sorted(self.without, key=lambda named: named[1]))
            landmark(right, self.untrained, f"{UNTRAINED}: {self.untrained:.3f}")
            landmark(right, self.teacher, f"{TEACHER}: {self.teacher:.3f}")
            left.set_ylabel("top-1, %")
            left.set_xlabel("step")
            right.set_xlabel("mean top-1 along training, %")
            right.set_ylabel("bits per byte at the end\n(lower is better)", fontsize=LABEL)
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=TICK)
        return figure


def _along(axes: Any, number: int, of_arm: list[Stage]) -> None:
    steps = sorted({one.step for one in of_arm})
    values = [[100 * one.top_1 for one in of_arm if one.step == step] for step in steps]
    means = [float(np.mean(each)) for each in values]
    series(
        axes,
        number,
        steps,
        means,
        ([min(each) for each in values], [max(each) for each in values]),
        label=of_arm[0].arm,
    )


def _ends(axes: Any, number: int, of_arm: list[Stage]) -> None:
    colour, marker, _ = SERIES[number % len(SERIES)]
    seeds = sorted({one.seed for one in of_arm})
    means = [float(np.mean([100 * one.top_1 for one in of_arm if one.seed == seed])) for seed in seeds]
    ends = [next(one.bits_per_byte for one in of_arm if one.seed == seed) for seed in seeds]
    axes.plot(means, ends, color=colour, marker=marker, linestyle="none", markersize=3)


def _lines(axes: Any, without: Sequence[tuple[str, float]]) -> None:
    """A dotted line for each arm, lowest first, and its name at the right; lines that lie close share a place."""
    low, high = axes.get_ylim()
    close: list[list[tuple[str, float]]] = []
    for one in without:
        axes.axhline(one[1], color=LIGHT.muted, linewidth=0.8, linestyle=DOTS, zorder=1)
        if close and one[1] - close[-1][-1][1] < LINE_HEIGHT * (high - low):
            close[-1].append(one)
        else:
            close.append([one])
    for lines in close:
        place = float(np.mean([bits for _, bits in lines]))
        names = "\n".join(arm for arm, _ in reversed(lines))
        axes.text(1.01, place, names, transform=axes.get_yaxis_transform(), fontsize=TICK, va="center")


def learning(saved: Saved) -> Learning:
    """Of the arms of the primary experiment.

    Raises:
        ReportError: their results are missing.
    """
    study = saved.student(STUDENT)
    arms = [arm for arm in ARMS if arm in study.arms]
    followed = [(arm, seed, run) for arm in arms if arm in ATTENDING for seed, run in study.arms[arm].items()]
    rows = [stage for one in followed for stage in _stages(*one)]
    without = tuple((arm, _mean(study, arm)) for arm in arms if arm not in ATTENDING)
    return Learning(tuple(rows), study.untrained.fitted, study.teacher.fitted, without)


def _stages(arm: str, seed: str, run: Run) -> list[Stage]:
    return [
        Stage(arm, seed, int(one["step"]), one["top_1"], one["in_chunk"], one["entropy"], one["fan_in"], run.fitted)
        for one in run.trajectory
    ]


def _mean(study: Study, arm: str) -> float:
    return float(np.mean(list(study.fitted(arm).values())))
