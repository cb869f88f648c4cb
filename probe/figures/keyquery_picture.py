"""A picture of a report on queries and keys: do they lie in the same place, and does it matter?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from probe.figures.chart import TICK, legend_above, plain
from probe.figures.clouds import draw_panel, panel
from probe.keyquery.interventions import TRAINED
from probe.keyquery.report import KeyQueryReport
from probe.keyquery.values import Analysis, Intervention
from probe.keyquery.views import FORWARD, RAW
from probe.output.tables import number, percent
from probe.plots.style import SCREEN_DPI, Palette, our_style, palette
from probe.stats import as_float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = {RAW: "as they are", FORWARD: "as the attention sees them"}
WIDE, TALL, LEGEND = 7.2, 2.55, 0.25  # inches


def key_query_figure(report: KeyQueryReport, *, dark: bool = False) -> "Figure":
    """Both clouds in two views, and the change of top-1 if queries are moved to the keys; a line a checkpoint."""
    from matplotlib.figure import Figure

    moved = any(one.interventions for one in report.analyses)
    names = [f"{one.checkpoint}\n" if len(report.analyses) > 1 else "" for one in report.analyses]
    with our_style(colours := palette(dark=dark)):
        figure = Figure(figsize=(WIDE, LEGEND + TALL * len(names)), dpi=SCREEN_DPI, layout="constrained")
        grid = figure.subplots(len(names), len(VIEWS) + moved, squeeze=False)
        for line, analysis, name in zip(grid, report.analyses, names, strict=True):
            _draw_clouds(line, analysis, name, colours)
            if analysis.interventions:
                _draw_changes(line[-1], analysis.interventions, name, colours)
            elif moved:
                line[-1].set_axis_off()
        legend_above(figure, grid[0, 0], 2)
    return figure


def _draw_clouds(line: Any, analysis: Analysis, name: str, colours: Palette) -> None:
    for axes, (view, words) in zip(line, VIEWS.items(), strict=False):
        plain(axes)
        draw_panel(axes, panel(analysis, view), f"{name}{words}", colours.repeats)


def _draw_changes(axes: Any, interventions: Sequence[Intervention], name: str, colours: Palette) -> None:
    """A line for each intervention: its change of top-1 with the 95 % CI, and the distance that is left."""
    trained = next(one for one in interventions if one.name == TRAINED)
    others = [one for one in interventions if one.name != TRAINED]
    value, low, high = np.array([[100 * as_float(end) for end in one.top_1_change] for one in others]).T
    heights = np.arange(len(others))[::-1]
    plain(axes)
    axes.axvline(0, color=colours.muted, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    axes.hlines(heights, low, high, color=colours.repeats[0], linewidth=1.0, zorder=2)
    axes.plot(value, heights, "o", color=colours.repeats[0], markersize=3.6, zorder=3)
    axes.set_yticks(heights, [one.name for one in others])
    axes.set_ylim(-0.6, len(others) - 0.4)
    axes.tick_params(axis="y", length=0)
    for height, one in zip(heights, others, strict=True):
        beside: Any = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "left", "annotation_clip": False}
        axes.annotate(number(one.frechet, ".3g"), (1.03, height), fontsize=TICK, color=colours.muted, **beside)
    axes.set_title(
        f"{name}queries moved to the keys\ntop-1 {percent(trained.top_1)} % before; right: Fréchet", fontsize=TICK
    )
    axes.set_xlabel("change of top-1, points")
