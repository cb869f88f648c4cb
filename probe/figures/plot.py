"""One function that draws whatever the package hands out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from probe.errors import ArgumentError
from probe.figures.keyquery_picture import key_query_figure
from probe.gold.rows import GoldRow
from probe.keyquery.report import KeyQueryReport
from probe.maps import AttentionMap
from probe.plots.aligner_picture import aligner_figure
from probe.plots.heatmaps.heatmap import Look, heatmap
from probe.plots.report_figure.figure import groups_figure, methods_figure, report_figure
from probe.plots.steps_figure import steps_figure
from probe.report.aligner_report import AlignerReport
from probe.report.values import Findings
from probe.scoring.references import gold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECTIONS = ("method", "phenomenon", "token", "step")


def plot(
    shown: Any, section: Literal["method", "phenomenon", "token", "step"] | None = None, *, dark: bool = False
) -> "Figure":
    """Draw a map or several by name, a report or several by name, a report of another kind, or a gold row.

    Reports of checkpoints of one training run, ``{0: report, 100: report}``, or of several runs,
    ``{"with": {0: report, 100: report}, "without": …}``, are drawn as curves over its steps.

    Args:
        shown: what to draw.
        section: of a report: its methods, its phenomena, or its kinds of tokens alone; default: all three. ``step``: of
            several reports, by whatever names, top-1 by training step.
        dark: draw on a dark background.

    Raises:
        ArgumentError: it is none of these, or a report has no such section.
        ReportError: there are too many reports, or they are of other sentences, or not of one run.

    Example:
        >>> import probe
        >>> figure = probe.plot(probe.load("demo").map("Return the path."))
        >>> links = probe.plot(probe.read_pairs("alignments/gold.tsv")["sg-003"])
        >>> [label.get_text() for label in links.axes[0].get_yticklabels()][:3]
        ['The', '␣cat', '␣chased']
    """
    if section in (None, "step") and (runs := _runs(shown, section)):
        return steps_figure(runs, dark=dark)
    if isinstance(shown, Findings) or _all(shown, Findings):
        return _report(shown, section, dark=dark)
    if section is not None:
        raise ArgumentError.of("plot", "a report, of which to draw a section", shown, "Leave the section out.")
    if isinstance(shown, AlignerReport):
        return aligner_figure(shown, dark=dark)
    if isinstance(shown, KeyQueryReport):
        return key_query_figure(shown, dark=dark)
    if isinstance(shown, GoldRow):
        return heatmap(gold(shown), gold=shown, look=Look(dark=dark))
    if isinstance(shown, AttentionMap) or _all(shown, AttentionMap):
        return heatmap(shown, look=Look(dark=dark))
    remedy = 'Draw a map, a report or a gold row: plot(probe.load("demo").map("The cat sat.")).'
    raise ArgumentError.of("plot", "a map, a report or a gold row", shown, remedy)


def _report(reports: Any, section: Any, *, dark: bool) -> "Figure":
    if section is None:
        return report_figure(reports, dark=dark)
    if section not in SECTIONS:
        remedy = f"Choose one of {', '.join(SECTIONS)}."
        raise ArgumentError.of("plot", "a section that has a picture", section, remedy)
    if section == "step":
        remedy = "Give a report for each of its checkpoints: {0: report, 100: report}."
        raise ArgumentError.of("plot", "the reports of a training run, by step", reports, remedy)
    return methods_figure(reports, dark=dark) if section == "method" else groups_figure(reports, section, dark=dark)


def _runs(shown: Any, section: str | None) -> Mapping[str, Mapping[Any, Findings]]:
    """What is to be drawn by step, as runs by name; nothing if another picture is meant."""
    if _all(shown, Mapping) and all(_all(run, Findings) for run in shown.values()):
        return shown
    by_step = _all(shown, Findings) and (section == "step" or all(isinstance(key, int) for key in shown))
    return {"": shown} if by_step else {}


def _all(shown: Any, of: type) -> bool:
    return isinstance(shown, Mapping) and bool(shown) and all(isinstance(one, of) for one in shown.values())
