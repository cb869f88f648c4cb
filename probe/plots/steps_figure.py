"""The picture of training: top-1 of each checkpoint of a run against its step, one line a run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe.errors import Problem, ReportError
from probe.plots.report_figure.drawing import MARKERS
from probe.plots.report_figure.panels import CI
from probe.plots.style import SERIES, Palette, our_style, palette
from probe.report.comparison import MANY, together
from probe.report.steps import in_order, is_run
from probe.report.values import Findings
from probe.report.verdict import NAMES
from probe.scoring.scores import METRICS
from probe.stats import as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Runs = Mapping[str, Mapping[Any, Findings]]
TOP_1 = METRICS.index("top-1")
REFERENCES = {"bigram": (0, (4, 2)), "diagonal": (0, (3, 1, 1, 1)), "uniform": (0, (1, 1.5))}
"""A ceiling, a baseline and a floor, with their dashes; more lines would cover each other."""
WIDE, TALL, LEGEND_LINE = 6.6, 3.0, 0.18  # inches
FONT, SMALL = 8.0, 7.0
LEAST_GAP = 0.06
"""Between two names at the right edge, as a share of the axis."""


def steps_figure(runs: Runs, *, dark: bool = False) -> "Figure":
    """Top-1 by training step, with its 95 % CI, one line a run; 6.6 inches wide.

    Args:
        runs: for each run, by name, the reports of its checkpoints, by whatever names. The steps are those of the
            checkpoints.
        dark: draw on a dark background.

    Raises:
        ReportError: reports are not steps of one run, there are too many runs, or they are of other sentences.
    """
    from matplotlib.figure import Figure

    _check(runs)
    named = len(runs) > 1
    with our_style(colours := palette(dark=dark)):
        figure = Figure(figsize=(WIDE, TALL + LEGEND_LINE * named), layout="constrained")
        axes = figure.subplots()
        for number, (name, reports) in enumerate(runs.items()):
            _draw_run(axes, number, name, list(in_order(reports).values()), colours, alpha=0.11 if named else 0.16)
        references = _references(runs)
        _frame(axes, references, colours)
        _name_references(axes, references, colours)
        if named:
            style: Any = {"frameon": False, "fontsize": FONT, "handlelength": 2.6, "columnspacing": 1.4}
            figure.legend(loc="outside upper left", ncols=4, **style)
        figure.supxlabel(f"Shaded: {CI} over sentences.", x=0.01, ha="left", fontsize=SMALL, color=colours.muted)
    return figure


def _check(runs: Runs) -> None:
    if len(runs) > MANY:
        raise ReportError(Problem("picture", f"1 to {MANY} runs", str(len(runs)), "Draw some of them."))
    for name, reports in runs.items():
        if not is_run(list(reports.values())):
            found = ", ".join(f"{one.checkpoint} at step {one.origin.steps}" for one in list(reports.values())[:3])
            where = f"picture of {name}" if name else "picture"
            remedy = "Give two or more checkpoints of one run, scored on the same sentences; of several runs, by name."
            raise ReportError(Problem(where, "reports of the steps of one run", found, remedy))
    every = {f"{name} {key}".strip(): report for name, reports in runs.items() for key, report in reports.items()}
    if len(groups := together(every)) > 1:
        got = f"{next(iter(groups[0]))} of some, {next(iter(groups[1]))} of others"
        raise ReportError(Problem("picture", "reports of the same sentences", got, "Draw a figure of each."))


def _draw_run(axes: Any, number: int, name: str, reports: list[Findings], colours: Palette, *, alpha: float) -> None:
    """One line with its band. Runs may coincide: each later one is thinner, so that those below stay in sight."""
    steps = [report.origin.steps for report in reports]
    found = [list(report.intervals.at(0, TOP_1)) for report in reports]
    values, low, high = 100 * np.array(found, dtype=np.float64).T
    colour = colours.repeats[number % len(colours.repeats)]
    thin = max(0.8, 2.0 - 0.6 * number)
    style: Any = {"color": colour, "marker": MARKERS[number], "linestyle": SERIES[number % len(SERIES)][2]}
    axes.plot(steps, values, linewidth=thin, markersize=2.2 + thin, label=name, zorder=3 + number, **style)
    axes.fill_between(steps, low, high, color=colour, alpha=alpha, linewidth=0, zorder=2)


def _references(runs: Runs) -> dict[str, float]:
    """What top-1 is read against, in percent, from the first report that has it: no training changes it."""
    found: dict[str, float] = {}
    for report in (report for reports in runs.values() for report in reports.values()):
        for method in REFERENCES:
            if method in report.methods[1:] and method not in found:
                found[method] = 100 * as_float(report.intervals.value[report.methods.index(method), TOP_1])
    return found


def _frame(axes: Any, references: Mapping[str, float], colours: Palette) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2, width=0.4, labelsize=SMALL, pad=2)
    axes.set_xlabel("training steps", fontsize=FONT)
    axes.set_ylabel("top-1, %", fontsize=FONT)
    axes.margins(x=0.02)
    top = max(axes.get_ylim()[1], *(1.06 * value for value in references.values()), 0)
    axes.set_ylim(0, min(top, 100))
    axes.grid(axis="y", color=colours.muted, linewidth=0.3, alpha=0.35)
    axes.set_axisbelow(True)


def _name_references(axes: Any, references: Mapping[str, float], colours: Palette) -> None:
    """Thin lines, named at their right ends."""
    place = axes.get_yaxis_transform()
    top = axes.get_ylim()[1]
    heights = spread(np.array(sorted(references.values())), LEAST_GAP * top)
    for (method, value), height in zip(sorted(references.items(), key=lambda one: one[1]), heights, strict=True):
        line: Any = {"color": colours.muted, "linewidth": 0.8, "linestyle": REFERENCES[method], "zorder": 1}
        axes.axhline(value, **line)
        text = f"{NAMES[method]}, {value:.1f}"
        axes.text(1.01, height, text, transform=place, va="center", fontsize=SMALL, color=colours.muted)


def spread(heights: Float[np.ndarray, " names"], gap: float) -> Float[np.ndarray, " names"]:
    """Rising heights, moved up as little as needed to be so far apart."""
    room = gap * np.arange(len(heights))
    return np.maximum.accumulate(heights - room) + room
