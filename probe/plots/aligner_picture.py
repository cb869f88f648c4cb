"""A picture of a ranking of aligners: F1 by phenomenon of each, as a table in colours."""

from typing import TYPE_CHECKING, Any

import numpy as np

from probe.plots.style import our_style, palette
from probe.report.aligner_report import AlignerReport
from probe.scoring.hard_links import F1

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES_WIDE, CELL_WIDE, CELL_TALL, HEADS_TALL, BELOW = 1.5, 0.62, 0.2, 0.62, 0.32
"""Inches: of the names of phenomena, of a cell, of the names of aligners, and of the note."""
FONT, SMALL = 7.0, 6.0
HALF = 50
"""F1 in percent from which on a cell is dark on a light ground, and its number light."""


def aligner_figure(report: AlignerReport, *, dark: bool = False) -> "Figure":
    """F1 in percent, a row for each phenomenon and one for all texts, a column for each aligner, the best first.

    Args:
        report: on one pair.
        dark: draw on a dark background.
    """
    from matplotlib.figure import Figure

    rows = {"all texts": (len(report.sentences), report.figures.value[:, F1]), **report.by_phenomenon}
    values = 100 * np.stack([f1 for _, f1 in rows.values()])
    with our_style(colours := palette(dark=dark)):
        wide = NAMES_WIDE + CELL_WIDE * len(report.names)
        tall = HEADS_TALL + CELL_TALL * len(rows) + BELOW
        figure = Figure(figsize=(wide, tall))
        room = (NAMES_WIDE / wide, BELOW / tall, 1 - NAMES_WIDE / wide, CELL_TALL * len(rows) / tall)
        axes: Any = figure.add_axes(room)
        axes.imshow(values, cmap=colours.colour_map(), vmin=0, vmax=100, aspect="auto", interpolation="nearest")
        for place, value in np.ndenumerate(values):
            told = "–" if np.isnan(value) else f"{value:.0f}"
            on_dark = (value >= HALF) != dark
            axes.text(
                *place[::-1], told, ha="center", va="center", fontsize=FONT, color="white" if on_dark else "black"
            )
        names = [name.replace(" ", "\n", 1).replace(", ", ",\n") for name in report.names]
        axes.set_xticks(range(len(names)), names, fontsize=FONT)
        axes.set_yticks(range(len(rows)), [f"{name} ({texts})" for name, (texts, _) in rows.items()], fontsize=FONT)
        axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.axhline(0.5, color=colours.ground, linewidth=2)
        axes.spines[:].set_visible(False)
        told = f"F1 in percent, {report.pair}; in brackets, numbers of texts."
        figure.text(0.01, 0.3 * BELOW / tall, told, fontsize=SMALL, color=colours.muted)
    return figure
