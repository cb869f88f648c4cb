"""Pictures of a report, as matplotlib figures: what was probed between floors and ceilings, and where it fails."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from probe.errors import Problem, ReportError
from probe.plots.heatmaps.captions import wrapped
from probe.plots.report_figure.drawing import BOLD, COLUMN, draw_panel, panel_height
from probe.plots.report_figure.panels import Panel, Section, groups_panel, methods_panel, panels
from probe.plots.style import LARGEST_FONT, SCREEN_DPI, our_style, palette
from probe.report.comparison import MANY, together
from probe.report.values import Findings
from probe.report.verdict import verdict, verdict_of_several

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Reports = Findings | Mapping[str, Findings]
GAP, EDGE, TITLE_LINE = 0.25, 0.06, 0.15  # inches


def report_figure(reports: Reports, *, dark: bool = False) -> "Figure":
    """The answer in words, and panels of methods, phenomena and kinds of tokens; 7 inches wide.

    Args:
        reports: one report, or several of the same sentences by name, at most `MANY`.
        dark: draw on a dark background.

    Raises:
        ReportError: there are too many or none, or they are of other sentences.

    Example:
        >>> import probe
        >>> figure = probe.plot(probe.align("demo", "alignments/second.tsv"))
        >>> len(figure.axes)
        3
    """
    named = _named(reports)
    methods, phenomena, kinds = panels(named)
    # Without phenomena, kinds of tokens have the second column.
    columns = [[methods, kinds], [phenomena]] if phenomena else [[methods], [kinds]]
    drawn = [[panel for panel in column if panel] for column in columns]
    lead = verdict(*named.values()) if len(named) == 1 else verdict_of_several(named, (), (), ())
    return _figure([column for column in drawn if column], lead[0], dark=dark)


def methods_figure(reports: Reports, *, dark: bool = False) -> "Figure":
    """The attention of each report between floors, baselines and ceilings; 3.4 inches wide.

    Raises:
        ReportError: as `report_figure` does.
    """
    return panel_figure(methods_panel(_named(reports)), dark=dark)


def groups_figure(reports: Reports, section: Section, *, dark: bool = False) -> "Figure":
    """Top-1 by phenomenon or by kind of token; 3.4 inches wide.

    Raises:
        ReportError: as `report_figure` does, or no sentence shows a phenomenon.
    """
    panel = groups_panel(_named(reports), section)
    if panel is None:
        remedy = "Draw another section."
        raise ReportError(Problem("picture", f"sentences with a {section}", "none", remedy))
    return panel_figure(panel, dark=dark)


def panel_figure(panel: Panel, *, dark: bool = False) -> "Figure":
    """One panel as a figure of its own; 3.4 inches wide."""
    return _figure([[panel]], "", dark=dark)


def _named(reports: Reports) -> Mapping[str, Findings]:
    named = {reports.checkpoint: reports} if isinstance(reports, Findings) else reports
    if not 0 < len(named) <= MANY:
        remedy = "Draw some of them."
        raise ReportError(Problem("picture", f"1 to {MANY} reports", str(len(named)), remedy))
    if len(groups := together(named)) > 1:
        remedy = "Draw a figure of each."
        got = f"{', '.join(groups[0])} of some, {', '.join(groups[1])} of others"
        raise ReportError(Problem("picture", "reports of the same sentences", got, remedy))
    return named


def _figure(columns: Sequence[Sequence[Panel]], title: str, *, dark: bool) -> "Figure":
    """Panels in columns, from the top; each column is as wide as the column of a paper."""
    from matplotlib.figure import Figure

    wide = len(columns) * COLUMN + (len(columns) - 1) * GAP + 2 * EDGE
    lines = wrapped(title, (wide - 2 * EDGE) / BOLD, LARGEST_FONT)
    head = EDGE + len(lines) * TITLE_LINE + (0.1 if lines else 0)
    tall = head + max(sum(map(panel_height, column)) for column in columns) + EDGE
    with our_style(colours := palette(dark=dark)):
        figure = Figure(figsize=(wide, tall), dpi=SCREEN_DPI)
        for number, line in enumerate(lines):
            at = EDGE / wide, 1 - (EDGE + number * TITLE_LINE) / tall
            figure.text(*at, line, va="top", fontsize=LARGEST_FONT, fontweight="bold")
        for number, column in enumerate(columns):
            left, top = EDGE + number * (COLUMN + GAP), tall - head
            for panel in column:
                draw_panel(figure, panel, (left, top), colours)
                top -= panel_height(panel)
    return figure
