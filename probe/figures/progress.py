"""Alignment against bits per byte: methods, training seeds and steps."""

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from probe.errors import Problem, ReportError
from probe.figures.chart import DASHES, DOTS, TICK, canvas, legend_above
from probe.figures.saved import Saved
from probe.plots.style import LIGHT, SERIES
from probe.scoring.scores import METRICS
from probe.stats import ENOUGH_SEEDS, RESAMPLES, Estimate, as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure


TOP_1, UNTRAINED_SEED = "top-1", "None"
REFERENCES = {
    "bigram": ("bigram ceiling", DASHES),
    "lexical": ("lexical", (0, (3, 1, 1, 1))),
    "random": ("untrained projector", DOTS),
}
"""Of the probes of the reproduction: what top-1 is read against."""


@dataclass(frozen=True, slots=True)
class Point:
    """A student: bits per byte of held-out references, and top-1 with its 95 % CI over sentences."""

    source: str
    """The reproduction, or the checkpoint of a run."""
    method: str
    seed: str
    step: int | None
    bits_per_byte: float
    top_1: float
    low: float
    high: float


@dataclass(frozen=True)
class Progress:
    """Every student with its attention, those without attention, and what top-1 is read against."""

    recipe: str
    set_: str
    questions: int
    rows: tuple[Point, ...]
    references: dict[str, float]

    @property
    def probed(self) -> list[Point]:
        """Those with an attention."""
        return [one for one in self.rows if not isnan(one.top_1)]

    @property
    def others(self) -> list[Point]:
        """Those without."""
        return [one for one in self.rows if isnan(one.top_1)]

    @property
    def caption(self) -> str:
        """What the points are."""
        runs = [one for one in self.rows if one.source != self.recipe]
        seeds, of_runs = (", ".join(sorted({one.seed for one in some})) for some in (self.ends, runs))
        steps = ", ".join(map(str, sorted({one.step or 0 for one in runs})))
        return (
            f"Alignment against bits per byte of {self.questions} {self.set_} references (further left is better), "
            f"recipe {self.recipe}. Large markers: students at the end of training, one for each training seed "
            f"({seeds}). Small joined markers: a run of each of {_listed(runs)} (seed {of_runs}) at its steps {steps}. "
            "What coincides is drawn one within the other. "
            "Below: students without a cross-model attention to probe. Bars: 95 % CI of top-1 over sentences "
            f"({RESAMPLES} resamples). Horizontal lines: what top-1 is read against. Fewer than {ENOUGH_SEEDS} seeds: "
            "of these checkpoints, not of the methods."
        )

    @property
    def ends(self) -> list[Point]:
        """Students at the end of training, of all seeds."""
        return [one for one in self.rows if one.source == self.recipe and one.seed != UNTRAINED_SEED]

    def draw(self, venue: str) -> "Figure":
        """In a column: top-1 above, students without attention below, over one axis of bits per byte."""
        others = list(dict.fromkeys(one.method for one in self.others))
        with canvas(venue, 2.9 + 0.13 * len(others), heights=(17.0, 0.6 + len(others))) as (figure, (above, below)):
            for number, method in enumerate(dict.fromkeys(one.method for one in self.probed)):
                _method(above, number, [one for one in self.probed if one.method == method], self.recipe)
            _references(above, self)
            _steps(above, self)
            above.set_ylabel("top-1, %")
            below.set_xlim(*_limits(self.probed))
            _strip(below, self.others, others)
            below.set_xlabel(f"bits per byte, {self.set_}")
            legend_above(figure, above, 3)
        return figure


def progress(saved: Saved) -> Progress:
    """Of the students of a reproduction, and of runs at their steps.

    Raises:
        ReportError: an input is missing, or no bits per byte are known of a checkpoint that was probed.
    """
    found = saved.reproduction
    ends = [
        Point(found.recipe, system.name, seed, None, bits, *map(as_float, own))
        for system in found.systems
        for seed, bits in system.bits.items()
        for own in [system.probes[seed].own[TOP_1] if seed in system.probes else Estimate(None)]
    ]
    probed = [one.figures for system in found.systems for one in system.probes.values()]
    first = probed[0] if probed else {}
    references = {name: as_float(first[name][TOP_1].value) for name in REFERENCES if name in first}
    return Progress(found.recipe, found.set_, found.questions, (*ends, *_runs(saved)), references)


def _runs(saved: Saved) -> list[Point]:
    k = METRICS.index(TOP_1)
    points: list[Point] = []
    for name, report in saved.progress.items():
        if name not in saved.evaluation:
            expected, remedy = f"bits per byte of {name}", f"Evaluate it under this name: {name}={name}."
            got = ", ".join(saved.evaluation)
            raise ReportError(Problem(str(saved.path("evaluation.json")), expected, got, remedy))
        evaluated, top_1 = saved.evaluation[name], report.intervals.at(0, k)
        place = name, _run_name(name), evaluated.seed, report.origin.steps
        points.append(Point(*place, evaluated.bits, *map(as_float, top_1)))
    return points


def _run_name(checkpoint: str) -> str:
    """The directory of the run: it is named by its method."""
    return checkpoint.rstrip("/").split("/")[-2] if "/" in checkpoint else checkpoint


def _listed(points: list[Point]) -> str:
    return ", ".join(dict.fromkeys(one.method for one in points))


def _method(axes: Any, number: int, points: list[Point], recipe: str) -> None:
    colour, marker, _ = SERIES[number % len(SERIES)]
    common: Any = {"color": colour, "marker": marker, "zorder": 3 + number}
    run = sorted((one for one in points if one.source != recipe), key=lambda one: one.step or 0)
    # Methods may coincide: each later one is thinner and smaller, so that those below stay in sight.
    thin = max(0.5, 2.2 - 0.6 * number)
    axes.plot(
        [one.bits_per_byte for one in run],
        [100 * one.top_1 for one in run],
        markersize=1.5 + thin,
        linewidth=thin,
        **common,
    )
    ends = [one for one in points if one.source == recipe]
    bars = [[100 * (one.top_1 - one.low) for one in ends], [100 * (one.high - one.top_1) for one in ends]]
    style: Any = {
        "linestyle": "none",
        "markersize": max(2.6, 7.2 - 1.15 * number),
        "elinewidth": 0.6,
        "capsize": 1.2,
        "capthick": 0.6,
    }
    style |= {"markeredgewidth": 0, "label": points[0].method}
    axes.errorbar([one.bits_per_byte for one in ends], [100 * one.top_1 for one in ends], yerr=bars, **style, **common)


def _references(axes: Any, found: Progress) -> None:
    """Lines; a reference far above all points is written at the top instead: it would press them together."""
    top = 1.6 * 100 * max(one.high for one in found.probed)
    axes.set_ylim(0, top)
    for name, value in found.references.items():
        label, line = REFERENCES[name]
        if 100 * value < top:
            axes.axhline(100 * value, color=LIGHT.muted, linewidth=0.8, linestyle=line, label=label, zorder=1)
        else:
            text = f"↑ {label} {100 * value:.1f}"
            axes.text(0.99, 0.985, text, transform=axes.transAxes, ha="right", va="top", fontsize=TICK)


def _steps(axes: Any, found: Progress) -> None:
    """The steps of the first run, beside its points."""
    from matplotlib.patheffects import withStroke

    runs = [one for one in found.probed if one.source != found.recipe]
    for one in runs:
        if one.method == runs[0].method:
            place: Any = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": TICK - 0.5, "zorder": 9}
            place |= {"path_effects": [withStroke(linewidth=1.5, foreground="white")]}
            axes.annotate(f"{one.step}", (one.bits_per_byte, 100 * one.top_1), **place)


def _limits(points: list[Point]) -> tuple[float, float]:
    bits = [one.bits_per_byte for one in points]
    room = 0.12 * (max(bits) - min(bits))
    return min(bits) - room, max(bits) + room


def _strip(axes: Any, points: list[Point], methods: list[str]) -> None:
    """A line for each method; what lies outside is written at the edge that it lies beyond."""
    low, high = axes.get_xlim()
    for one in points:
        at, bits = methods.index(one.method), one.bits_per_byte
        if low <= bits <= high:
            axes.plot(bits, at, color=LIGHT.ink, marker="|", markersize=5, markeredgewidth=0.9)
        else:
            side: Any = {"x": 0.01, "ha": "left"} if bits < low else {"x": 0.99, "ha": "right"}
            text = f"← {bits:.3f}" if bits < low else f"{bits:.3f} →"
            place = axes.get_yaxis_transform()
            axes.text(side["x"], at, text, transform=place, ha=side["ha"], va="center", fontsize=TICK - 0.5)
    axes.set_yticks(range(len(methods)), methods)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(methods) - 0.4, -0.6)
