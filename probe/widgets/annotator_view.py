"""The view that the page of the annotator draws, and the answer to each intent that it sends.

Without a kernel, a notebook shows the grid as a figure.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from probe.errors import ProbeError
from probe.gold.check import check_row
from probe.gold.rows import PHENOMENA, GoldRow, Link, Links
from probe.plots.fonts import font_properties
from probe.plots.heatmaps.captions import LEGEND, legend_columns
from probe.plots.heatmaps.drawing import DASHES
from probe.plots.heatmaps.labels import Label, drawable
from probe.plots.heatmaps.layout import Content, Layout, lay_out
from probe.plots.style import LIGHT, our_style
from probe.tokens import TokenizedText
from probe.widgets.annotation import (
    SUGGESTIONS,
    Annotation,
    clear,
    finish,
    format_problems,
    go,
    half_rule,
    jump,
    press,
    redo,
    save,
    set_note,
    set_suggest,
    toggle_head,
    toggle_tag,
    undo,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SURE, SUGGESTED = "#1976d2", "#9e9e9e"
"""The colours of the page in the light theme of JupyterLab."""

Intent = Mapping[str, Any]

_ACTS: Mapping[str, Callable[[Annotation, Intent], Annotation]] = {
    "press": lambda state, intent: press(state, (intent["student"], intent["teacher"]), intent["kind"]),
    "clear": lambda state, intent: clear(state, (intent["student"], intent["teacher"])),
    "head": lambda state, intent: toggle_head(state, (intent["student"], intent["teacher"])),
    "tag": lambda state, intent: toggle_tag(state, intent["tag"]),
    "note": lambda state, intent: set_note(state, intent["note"]),
    "undo": lambda state, _: undo(state),
    "redo": lambda state, _: redo(state),
    "go": lambda state, intent: go(state, intent["by"]),
    "jump": lambda state, intent: jump(state, intent["id"]),
    "suggest": lambda state, intent: set_suggest(state, intent["what"]),
    "save": lambda state, _: save(state),
    "finish": lambda state, _: finish(state),
}


def answer(state: Annotation, intent: Intent) -> Annotation:
    """The state after an intent of the page. If it fails, the rows stay as they are and the message says why.

    Args:
        state: the state before.
        intent: ``do``, the name of an act, and the arguments of the act. ``row``, if given, is the id of the row that
            the user saw; if another one came on the screen since, nothing is done.
    """
    if intent.get("row", state.row.id) != state.row.id:
        return state
    state = replace(state, message="", refused=False)
    try:
        return _ACTS[intent["do"]](state, intent)
    except ProbeError as error:
        return replace(state, message=str(error), refused=True)


def view(state: Annotation) -> dict[str, Any]:
    """Everything that is drawn, as JSON values."""
    row, changed = state.row, state.changed
    open_chunks = state.open_chunks
    linked = sum(bool(one.links.either) for one in state.kept)
    progress = (
        f"row {state.current + 1} of {len(state.rows)} · open chunks: {len(open_chunks)} · {linked} with links · "
        f"{len(changed)} not saved"
    )
    return {
        "id": row.id,
        "pair": row.pair,
        "text": row.text,
        "student": _heads("student", row.student),
        "teacher": _heads("teacher", row.teacher),
        "links": _kinds(row),
        "filled": [_key(link) for link in sorted(state.filled.get(row.id, frozenset()) & row.sure)],
        "open": [list(link) for link in open_chunks],
        "suggested": _cells(half_rule(state)),
        "phenomena": {tag: tag in row.phenomena for tag in PHENOMENA},
        "note": row.note,
        "problems": problems(state),
        "progress": progress,
        "first": state.current == 0,
        "last": state.current == len(state.rows) - 1,
        "undo": bool(state.past),
        "redo": bool(state.future),
        "suggest": state.suggest,
        "suggestions": list(SUGGESTIONS),
        "unsaved": bool(changed),
        "message": state.message,
        "refused": state.refused,
    }


def problems(state: Annotation) -> list[str]:
    """The findings of the checks on the row.

    If the half rule is not suggested, these are only the problems that prevent saving, because the others would show
    its links.
    """
    found = list(format_problems(state.row))
    if state.suggest == "half rule":
        found += check_row(state.row, f"row {state.row.id}")
    return [str(problem) for problem in found]


def _heads(side: str, text: TokenizedText) -> list[dict[str, str]]:
    """Each token as it is shown, and as a screen reader says it."""
    return [
        {"shown": shown, "name": f"{side} {number} '{shown.replace('␣', ' ')}'"}
        for number, shown in enumerate(text.display())
    ]


def _cells(links: Links) -> dict[str, str]:
    return {_key(link): links.kind(link) for link in sorted(links.either)}


def _kinds(row: GoldRow) -> dict[str, str]:
    """What each cell has: a sure or a possible link, the head of a word, or a role link."""
    judged = {"head": row.heads, "role": row.roles}
    return _cells(row.links) | {_key(link): kind for kind, links in judged.items() for link in sorted(links)}


def _key(link: Link) -> str:
    return f"{link[0]},{link[1]}"


# Without a kernel


def picture(state: Annotation) -> "Figure":
    """The row on the screen: student tokens as rows, teacher tokens as columns, links as on the page."""
    from matplotlib.figure import Figure

    row = state.row
    rows, columns = row.student.display(), row.teacher.display()
    both = drawable((*rows, *columns))
    labels = [both[: len(rows)], both[len(rows) :]]
    layout = lay_out(Content(labels[0], labels[1], 1, False, lines_below=3), None)
    handles = _legend(state)
    with our_style(LIGHT):
        figure = Figure(figsize=(layout.width, layout.height))
        axes: Any = figure.add_axes(layout.share(layout.panels[0]))
        _grid(axes, labels, layout)
        _frames(axes, half_rule(state), row.links, layout)
        _draw_links(axes, row.links, layout)
        title = f"{row.id} · {len(row.sure)} sure links, {len(row.possible)} possible"
        figure.text(layout.label_left / layout.width, layout.label_top / layout.height, title, fontsize=8)
        across = legend_columns(handles, layout.width)
        figure.legend(handles=handles, loc="lower left", ncols=across, **LEGEND)
    return figure


def _grid(axes: Any, labels: list[list[Label]], layout: Layout) -> None:
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
            text.set_fontproperties(font_properties(label.fonts, layout.font))


def _frames(axes: Any, suggested: Links, made: Links, layout: Layout) -> None:
    for kind, dashes in (("sure", "-"), ("possible", DASHES)):
        for link in getattr(suggested, kind) - getattr(made, kind):
            axes.add_patch(
                _box(link, 0.3, fill=False, edgecolor=SUGGESTED, linewidth=layout.cell * 4, linestyle=dashes)
            )


def _draw_links(axes: Any, links: Links, layout: Layout) -> None:
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
    if state.suggest == "half rule":
        handles.append(handle("half rule (dashed: possible)", color=SUGGESTED, fillstyle="none"))
    return handles
