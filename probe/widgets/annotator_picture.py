"""The annotator's grid as a figure: what a notebook shows where no kernel runs."""

from typing import TYPE_CHECKING, Any

from probe.gold.half_rule import half_rule_links
from probe.gold.rows import Links
from probe.plots.heatmaps.captions import LEGEND, legend_columns
from probe.plots.heatmaps.drawing import DASHES
from probe.plots.heatmaps.labels import Label, drawable
from probe.plots.heatmaps.layout import Content, Layout, lay_out
from probe.plots.style import LIGHT, settings
from probe.widgets.annotation import Annotation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SURE, SUGGESTED = "#1976d2", "#9e9e9e"
"""As in the page, in JupyterLab's light theme."""


def picture(state: Annotation) -> "Figure":
    """The row that is shown: student tokens as rows, teacher tokens as columns, links as the page has them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    row = state.row
    labels = [drawable(side.display()) for side in (row.student, row.teacher)]
    layout = lay_out(Content(labels[0], labels[1], 1, False, lines_below=3), None)
    handles = _legend(state)
    with mpl.rc_context(settings(LIGHT)):
        figure = Figure(figsize=(layout.width, layout.height))
        left, bottom, width, height = layout.panels[0]
        place = left / layout.width, bottom / layout.height, width / layout.width, height / layout.height
        axes: Any = figure.add_axes(place)
        _grid(axes, labels, layout)
        if state.suggest:
            _frames(axes, half_rule_links(row.student, row.teacher), row.links, layout)
        _links(axes, row.links, layout)
        title = f"{row.id} · {len(row.sure)} sure links, {len(row.possible)} possible"
        figure.text(layout.label_left / layout.width, layout.label_top / layout.height, title, fontsize=8)
        across = legend_columns(handles, layout.width)
        figure.legend(handles=handles, loc="lower left", ncols=across, **LEGEND)
    return figure


def _grid(axes: Any, labels: list[list[Label]], layout: Layout) -> None:
    from matplotlib.font_manager import FontProperties

    rows, columns = map(len, labels)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.hlines([i + 0.5 for i in range(rows - 1)], -0.5, columns - 0.5, color="#e0e0e0", linewidth=0.5)
    axes.vlines([j + 0.5 for j in range(columns - 1)], -0.5, rows - 0.5, color="#e0e0e0", linewidth=0.5)
    axes.tick_params(length=0, pad=4)
    axes.xaxis.tick_top()
    axes.set_xticks(range(columns), [label.text for label in labels[1]], rotation=90)
    axes.set_yticks(range(rows), [label.text for label in labels[0]])
    for texts, named in ((axes.get_yticklabels(), labels[0]), (axes.get_xticklabels(), labels[1])):
        for text, label in zip(texts, named, strict=True):
            text.set_fontproperties(FontProperties(fname=str(label.font), size=layout.font))


def _frames(axes: Any, suggested: Links, made: Links, layout: Layout) -> None:
    for kind, dashes in (("sure", "-"), ("possible", DASHES)):
        for link in getattr(suggested, kind) - getattr(made, kind):
            axes.add_patch(
                _box(link, 0.3, fill=False, edgecolor=SUGGESTED, linewidth=layout.cell * 4, linestyle=dashes)
            )


def _links(axes: Any, links: Links, layout: Layout) -> None:
    for link in links.sure:
        axes.add_patch(_box(link, 0.5, color=SURE, linewidth=0))
    for link in links.possible:
        axes.add_patch(_box(link, 0.34, fill=False, edgecolor=SURE, linewidth=layout.cell * 8))


def _box(link: tuple[int, int], reach: float, **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((link[1] - reach, link[0] - reach), 2 * reach, 2 * reach, **style)


def _legend(state: Annotation) -> list[Any]:
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Line2D:
        return Line2D([], [], label=label, linestyle="none", marker="s", markersize=6, **style)

    handles = [
        handle("sure link", color=SURE),
        handle("possible link", color=SURE, fillstyle="none", markeredgewidth=1.6),
    ]
    if state.suggest:
        handles.append(handle("proposed (dashed: possible)", color=SUGGESTED, fillstyle="none"))
    return handles
