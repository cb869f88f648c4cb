"""Axes, series and legends of the charts, all in the one style of `probe.plots.style`."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from probe.plots.heatmaps.captions import legend_columns
from probe.plots.style import LIGHT, SCREEN_DPI, SERIES, our_style, venue_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LABEL, TICK = 7.0, 6.5  # points
DOTS, DASHES = (0, (1, 1.5)), (0, (4, 2))
ROOM = 0.09
"""For what stands at an edge, as a share of the axes."""


@contextmanager
def canvas(
    venue: str, height: float, panels: int = 1, *, heights: Sequence[float] = (1.0,)
) -> Generator[tuple["Figure", Sequence[Any]]]:
    """A figure as wide as a venue's column or page and so many inches high, and its axes, row by row.

    ``heights`` says how high rows are against each other; rows share their x-axis.
    """
    from matplotlib.figure import Figure

    with our_style(LIGHT):
        figure = Figure(figsize=(venue_width(venue), height), dpi=SCREEN_DPI, layout="constrained")
        engine: Any = figure.get_layout_engine()
        engine.set(w_pad=0.03, h_pad=0.03, wspace=0.05)
        grid: Any = {"sharex": "col", "squeeze": False, "height_ratios": heights}
        axes = np.ravel(figure.subplots(len(heights), panels, **grid)).tolist()
        for one in axes:
            plain(one)
        yield figure, axes


def plain(axes: Any) -> None:
    """Two thin spines, small ticks, labels that can be read in a column."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2, width=0.4, labelsize=TICK, pad=2)
    axes.xaxis.label.set_size(LABEL)
    axes.yaxis.label.set_size(LABEL)
    axes.xaxis.labelpad = axes.yaxis.labelpad = 2
    axes.title.set_size(LABEL)


def series(axes: Any, number: int, x: Any, y: Any, ends: tuple[Any, Any], *, label: str) -> None:
    """Points with bars from low to high; NaN draws no bar. ``number`` chooses colour, marker and line."""
    colour, marker, line = SERIES[number % len(SERIES)]
    y, low, high = (np.asarray(values, dtype=np.float64) for values in (y, *ends))
    axes.errorbar(
        x,
        y,
        yerr=np.stack([y - low, high - y]),
        color=colour,
        marker=marker,
        linestyle=line,
        label=label,
        markersize=3.2,
        linewidth=1.0,
        elinewidth=0.7,
        capsize=1.4,
        capthick=0.6,
        zorder=3,
    )


def reference(axes: Any, x: Any, y: Any, *, label: str, dashes: Any = DASHES) -> None:
    """A floor or a ceiling: a thin grey line."""
    axes.plot(x, y, color=LIGHT.muted, linewidth=0.8, linestyle=dashes, label=label, zorder=2)


def landmark(axes: Any, value: float, name: str) -> None:
    """A floor or a ceiling that may lie far off: a line with its name, or its name at the edge behind which it lies."""
    low, high = axes.get_ylim()
    style: dict[str, Any] = {"ha": "center", "fontsize": TICK, "color": LIGHT.muted}
    if low <= value <= high:
        axes.axhline(value, color=LIGHT.muted, linewidth=0.8, linestyle=DOTS, zorder=1)
        axes.text(0.5, value, name, transform=axes.get_yaxis_transform(), va="bottom", **style)
        return
    room = ROOM * (high - low)
    below = value < low
    axes.set_ylim(*((low - room, high) if below else (low, high + room)))
    arrow, place, edge = ("▾", 0, "bottom") if below else ("▴", 1, "top")
    axes.text(0.5, place, f"{arrow} {name}", transform=axes.transAxes, va=edge, **style)


def signed(value: float) -> str:
    """With its sign, and the minus of the ticks."""
    return f"{value:+.1f}".replace("-", "−")


def legend_above(figure: "Figure", axes: Any, columns: int) -> None:
    """One legend for the whole figure, above its panels, where no data can be; of fewer columns for long names."""
    from matplotlib.container import ErrorbarContainer

    handles, labels = axes.get_legend_handles_labels()
    named = sorted(zip(labels, handles, strict=True), key=lambda one: not isinstance(one[1], ErrorbarContainer))
    figure.legend(
        [handle for _, handle in named],
        [label for label, _ in named],
        loc="outside upper center",
        ncols=min(columns, legend_columns([handle for _, handle in named], figure.get_figwidth())),
        frameon=False,
        fontsize=TICK,
        columnspacing=1.2,
        handletextpad=0.5,
        handlelength=2.2,
        borderpad=0.1,
        labelspacing=0.3,
    )
