"""Distance between queries and keys against training step, beside what the attention finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from probe.errors import Problem, ReportError
from probe.figures.chart import DASHES, DOTS, canvas, legend_above, reference, series
from probe.figures.paper import page
from probe.figures.saved import Saved
from probe.keyquery.values import Analysis
from probe.report.values import Findings
from probe.scoring.scores import METRICS
from probe.stats import RESAMPLES, as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure


VIEW = "forward"
DISTANCES = {"Fréchet": "Fréchet distance", "energy": "energy distance", "AUC linear": "AUC, linear classifier"}
TOP_1 = "top-1"
FLOOR, UNTRAINED = "two halves of the keys", "untrained projector"
CEILING = "bigram ceiling"


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of a checkpoint: a distance, or top-1 of its attention; low and high are its 95 % CI over sentences."""

    checkpoint: str
    method: str
    step: int
    figure: str
    value: float
    low: float
    high: float
    floor: float
    """Distance of two halves of the keys; top-1 of an untrained projector."""
    other: float
    """Distance of an untrained projector; top-1 of the bigram ceiling."""


@dataclass(frozen=True)
class Mismatch:
    """Checkpoints of one run, and single ones of other methods."""

    run: str
    others: tuple[str, ...]
    pair: str
    sentences: int
    tokens: int
    rows: tuple[Point, ...]

    @property
    def caption(self) -> str:
        """What the panels are."""
        return (
            f"Distance between queries and keys of a run without matching ({self.run}; {self.pair}) against its "
            f"training steps, in what the attention can see (keys centred, within the span of the query projector; "
            f"{self.sentences} sentences), beside checkpoints trained with matching "
            f"({', '.join(self.others)}; set apart to the right). AUC: "
            "telling queries from keys on unseen sentences, .5 is chance. Dashed: between two halves of the keys. "
            "Dotted: an untrained projector. Right: top-1 of the same attention on gold links "
            f"({self.tokens} tokens with a sure link), above an untrained projector (dotted) and below the bigram "
            f"ceiling (dashed). Bars: 95 % CI over sentences ({RESAMPLES} resamples for top-1, known "
            "for the run only). One training seed; steps of a run are not independent."
        )

    def draw(self, venue: str) -> "Figure":
        """A panel for each distance, and one for top-1, over the page."""
        with canvas(page(venue), 1.85, len(DISTANCES) + 1) as (figure, axes):
            for one, name in zip(axes, (*DISTANCES, TOP_1), strict=True):
                _panel(one, [point for point in self.rows if point.figure == name], name, self.run)
            legend_above(figure, axes[0], 3)
        return figure


def run_and_others(saved: Saved) -> tuple[list[Analysis], list[Analysis]]:
    """Checkpoints like the first one, by step, and those of other methods.

    Raises:
        ReportError: the report is missing, or a checkpoint does not say its steps.
    """
    first, *_ = analyses = saved.keyquery.analyses
    if unknown := [one.checkpoint for one in analyses if one.steps is None]:
        expected, remedy = "checkpoints that know their steps", "Leave the others out."
        raise ReportError(Problem(str(saved.path("keyquery.json")), expected, ", ".join(unknown), remedy))
    alike = [one for one in analyses if (one.method, one.criterion) == (first.method, first.criterion)]
    return sorted(alike, key=lambda one: one.steps or 0), [one for one in analyses if one not in alike]


def mismatch(saved: Saved) -> Mismatch:
    """Of the run and the other checkpoints of the key-query report, and of the run's alignment.

    Raises:
        ReportError: one of both reports is missing.
    """
    run, others = run_and_others(saved)
    name = run[-1].checkpoint
    points = [
        _distance(one, name if one in run else one.checkpoint, figure)
        for figure in DISTANCES
        for one in (*run, *others)
    ]
    reports = saved.run
    points += [_top_1(checkpoint, report, name) for checkpoint, report in reports.items()]
    points += [_top_1_alone(one) for one in others]
    pair, sentences = run[-1].pair, run[-1].sentences
    tokens = list(reports.values())[-1].rows
    return Mismatch(name, tuple(one.checkpoint for one in others), pair, sentences, tokens, tuple(points))


def _distance(analysis: Analysis, method: str, figure: str) -> Point:
    found = analysis.measurement(VIEW, figure)
    values = *found.pair, found.floor, found.untrained
    return Point(analysis.checkpoint, method, analysis.steps or 0, figure, *map(as_float, values))


def _top_1(checkpoint: str, report: Findings, method: str) -> Point:
    found, k = report.intervals, METRICS.index(TOP_1)
    floor, ceiling = (
        float(found.value[report.methods.index(one), k]) if one in report.methods else np.nan
        for one in ("random", "bigram")
    )
    value, low, high = map(as_float, found.at(0, k))
    return Point(checkpoint, method, report.origin.steps or 0, TOP_1, value, low, high, floor, ceiling)


def _top_1_alone(analysis: Analysis) -> Point:
    """Of a checkpoint of another method: the key-query report has its top-1 on the same gold, without an interval."""
    top_1 = next(one.top_1 for one in analysis.interventions if one.name == "trained")
    place = analysis.checkpoint, analysis.checkpoint, analysis.steps or 0, TOP_1
    return Point(*place, as_float(top_1), *(np.nan,) * 4)


def _panel(axes: Any, points: Sequence[Point], figure: str, run: str) -> None:
    scale = 100 if figure == TOP_1 else 1
    own = [one for one in points if one.method == run]
    steps = [one.step for one in own]
    for number, method in enumerate(dict.fromkeys(one.method for one in points)):
        of_method = [one for one in points if one.method == method]
        # Single checkpoints stand beside the run's last one, not on it.
        at = [one.step * 1.12**number for one in of_method]
        value, low, high = ([scale * getattr(one, part) for one in of_method] for part in ("value", "low", "high"))
        series(axes, number, at, value, (low, high), label=method)
    lines = (("other", DASHES), ("floor", DOTS)) if figure == TOP_1 else (("floor", DASHES), ("other", DOTS))
    labels = (CEILING, UNTRAINED) if figure == TOP_1 else (FLOOR, UNTRAINED)
    for (part, line), label in zip(lines, labels, strict=True):
        reference(axes, steps, [scale * getattr(one, part) for one in own], label=label, dashes=line)
    if min(steps) > 0:
        axes.set_xscale("log", base=2)
    axes.set_xticks(steps, [str(step) for step in steps])
    axes.minorticks_off()
    axes.set_xlabel("training step")
    axes.set_ylabel("top-1, %" if figure == TOP_1 else DISTANCES[figure])
    if not figure.startswith("AUC"):
        axes.set_ylim(bottom=0)
