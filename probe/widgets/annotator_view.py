"""What the annotator's page is told, and what it may ask for: one value to draw, one answer to each intent."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from probe.errors import ProbeError
from probe.gold.check import check_row
from probe.gold.half_rule import half_rule_links
from probe.gold.rows import PHENOMENA, Links
from probe.tokens import TokenizedText
from probe.widgets.annotation import (
    Annotation,
    clear,
    format_problems,
    go,
    jump,
    press,
    redo,
    save,
    set_note,
    toggle_tag,
    undo,
)

Intent = Mapping[str, Any]

_ACTS: Mapping[str, Callable[[Annotation, Intent], Annotation]] = {
    "press": lambda state, intent: press(state, (intent["student"], intent["teacher"]), intent["kind"]),
    "clear": lambda state, intent: clear(state, (intent["student"], intent["teacher"])),
    "tag": lambda state, intent: toggle_tag(state, intent["tag"]),
    "note": lambda state, intent: set_note(state, intent["note"]),
    "undo": lambda state, _: undo(state),
    "redo": lambda state, _: redo(state),
    "go": lambda state, intent: go(state, intent["by"]),
    "jump": lambda state, intent: jump(state, intent["id"]),
    "suggest": lambda state, intent: replace(state, suggest=intent["on"]),
    "save": lambda state, _: save(state),
}


def answer(state: Annotation, intent: Intent) -> Annotation:
    """The state after an intent of the page; what cannot be done leaves the rows as they are, and says why.

    Args:
        state: the state before.
        intent: ``do``, the name of an act, and what the act needs.
    """
    state = replace(state, message="", refused=False)
    try:
        return _ACTS[intent["do"]](state, intent)
    except ProbeError as error:
        return replace(state, message=str(error), refused=True)


def view(state: Annotation) -> dict[str, Any]:
    """All that is drawn, in what JSON can hold."""
    row, changed = state.row, state.changed
    linked = sum(bool(one.links.either) for one in state.rows)
    progress = f"row {state.current + 1} of {len(state.rows)} · {linked} with links · {len(changed)} not saved"
    return {
        "id": row.id,
        "pair": row.pair,
        "text": row.text,
        "student": _heads("student", row.student),
        "teacher": _heads("teacher", row.teacher),
        "links": _cells(row.links),
        "suggested": _cells(half_rule_links(row.student, row.teacher)) if state.suggest else {},
        "phenomena": {tag: tag in row.phenomena for tag in PHENOMENA},
        "note": row.note,
        "problems": problems(state),
        "progress": progress,
        "first": state.current == 0,
        "last": state.current == len(state.rows) - 1,
        "undo": bool(state.past),
        "redo": bool(state.future),
        "suggest": state.suggest,
        "unsaved": bool(changed),
        "message": state.message,
        "refused": state.refused,
    }


def problems(state: Annotation) -> list[str]:
    """What the checks say of the row.

    Without suggestions these are the problems that keep it from being saved alone: the others tell what the half rule
    would link.
    """
    found = list(format_problems(state.row))
    if state.suggest:
        found += check_row(state.row, f"row {state.row.id}")
    return [str(problem) for problem in found]


def _heads(side: str, text: TokenizedText) -> list[dict[str, str]]:
    """Each piece as it is shown, and as it is read aloud."""
    return [
        {"shown": shown, "name": f"{side} {number} '{shown.replace('␣', ' ')}'"}
        for number, shown in enumerate(text.display())
    ]


def _cells(links: Links) -> dict[str, str]:
    return {f"{i},{j}": links.kind((i, j)) for i, j in sorted(links.either)}
