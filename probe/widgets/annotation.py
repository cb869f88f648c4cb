"""The state of an annotation: rows of a gold file as they are being edited, and how each act changes them.

Every act takes a state and returns another, so that undoing is going back, and all of it is tested without a browser.
The file is written by `save` alone, and only where it still is what was read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from probe.errors import PairsError, Problem
from probe.gold.pairs import format_pairs, read_pairs
from probe.gold.rows import PHENOMENA, GoldRow, Link, format_row, parse_row
from probe.output.files import replacing_file
from probe.output.provenance import file_sha256

Kind = Literal["sure", "possible"]
KINDS: tuple[Kind, ...] = ("sure", "possible")
Step = tuple[int, GoldRow]


@dataclass(frozen=True, slots=True)
class Annotation:
    """Rows of a gold file: as the file holds them, and as they are now.

    Attributes:
        path: the file.
        digest: SHA-256 of its bytes when it was read or last saved.
        comments: its comment lines.
        saved: its rows.
        rows: the rows as they are now, in the same order.
        current: number of the row that is shown.
        past: rows before each act, with their numbers, the latest last.
        future: rows before each act that was undone, the latest last.
        suggest: whether the half rule's links are shown.
        message: what the last act has to say.
        refused: whether that is an error.
    """

    path: Path
    digest: str
    comments: tuple[str, ...]
    saved: tuple[GoldRow, ...]
    rows: tuple[GoldRow, ...]
    current: int = 0
    past: tuple[Step, ...] = ()
    future: tuple[Step, ...] = ()
    suggest: bool = True
    message: str = ""
    refused: bool = False

    @property
    def row(self) -> GoldRow:
        """The row that is shown."""
        return self.rows[self.current]

    @property
    def changed(self) -> tuple[str, ...]:
        """Ids of the rows that differ from the file."""
        return tuple(row.id for row, old in zip(self.rows, self.saved, strict=True) if row != old)


def open_annotation(path: str | Path, *, row: str | None = None, suggest: bool = True) -> Annotation:
    """Read a gold file to annotate it, beginning with the row of that id.

    Raises:
        PairsError: the file cannot be read, has no rows or no row of that id.
    """
    path = Path(path)
    # The digest comes first: where the file changes before it is read, saving refuses instead of overwriting.
    digest = _digest(path)
    gold = read_pairs(path)
    if not gold.rows:
        remedy = "Draft some from your sentences: probe-pairs new."
        raise PairsError(Problem(str(path), "rows to annotate", "none", remedy))
    state = Annotation(path, digest or "", gold.comments, gold.rows, gold.rows, suggest=suggest)
    return state if row is None else jump(state, row)


# Acts


def press(state: Annotation, link: Link, kind: Kind) -> Annotation:
    """Link two tokens as sure or as possible; where they are linked so already, unlink them.

    Raises:
        PairsError: there are no such tokens, or no such kind.
    """
    row = state.row
    sizes = row.sizes
    if kind not in KINDS or not all(0 <= number < size for number, size in zip(link, sizes, strict=True)):
        expected = f"sure or possible, and a link within {sizes[0]} × {sizes[1]} tokens"
        raise PairsError(Problem(row.id, expected, f"{kind} {link}", "Name one of them."))
    off = unlinked(row, link)
    return _edited(state, off if row.links.kind(link) == kind else replace(off, **{kind: getattr(off, kind) | {link}}))


def clear(state: Annotation, link: Link) -> Annotation:
    """Unlink two tokens."""
    return _edited(state, unlinked(state.row, link))


def unlinked(row: GoldRow, link: Link) -> GoldRow:
    """The row without that link."""
    return replace(row, sure=row.sure - {link}, possible=row.possible - {link})


def toggle_tag(state: Annotation, tag: str) -> Annotation:
    """Add a phenomenon to the row, or take it away.

    Raises:
        PairsError: it is not on the closed list.
    """
    if tag not in PHENOMENA:
        raise PairsError(Problem(state.row.id, "phenomena of the closed list", repr(tag), "Choose one of them."))
    wanted = {tag} ^ set(state.row.phenomena)
    return _edited(state, replace(state.row, phenomena=tuple(name for name in PHENOMENA if name in wanted)))


def set_note(state: Annotation, note: str) -> Annotation:
    """Write the row's note."""
    return _edited(state, replace(state.row, note=note))


def _edited(state: Annotation, row: GoldRow) -> Annotation:
    if row == state.row:
        return state
    past = (*state.past, (state.current, state.row))
    return replace(_with_row(state, state.current, row), past=past, future=())


def _with_row(state: Annotation, number: int, row: GoldRow) -> Annotation:
    rows = (*state.rows[:number], row, *state.rows[number + 1 :])
    return replace(state, rows=rows, current=number)


def undo(state: Annotation) -> Annotation:
    """Take the last act back, and show its row."""
    if not state.past:
        return replace(state, message="There is nothing to undo.")
    number, row = state.past[-1]
    step = number, state.rows[number]
    return replace(_with_row(state, number, row), past=state.past[:-1], future=(*state.future, step))


def redo(state: Annotation) -> Annotation:
    """Do again what was undone last, and show its row."""
    if not state.future:
        return replace(state, message="There is nothing to redo.")
    number, row = state.future[-1]
    step = number, state.rows[number]
    return replace(_with_row(state, number, row), past=(*state.past, step), future=state.future[:-1])


# Going about


def go(state: Annotation, by: int) -> Annotation:
    """Show the row that many places on; the first and the last row are the ends."""
    return replace(state, current=min(max(state.current + by, 0), len(state.rows) - 1))


def jump(state: Annotation, id_: str) -> Annotation:
    """Show the row of that id.

    Raises:
        PairsError: there is none.
    """
    for number, row in enumerate(state.rows):
        if row.id == id_:
            return replace(state, current=number)
    expected = f"the id of a row, as {state.rows[0].id} or {state.rows[-1].id}"
    raise PairsError(Problem(state.path.name, expected, repr(id_), "Name one that is there."))


# Saving


def save(state: Annotation) -> Annotation:
    """Write all rows to the file.

    Raises:
        PairsError: the file is no longer what was read, or a row that was changed could not be read back.
        OutputError: the place cannot be written to.
    """
    changed = state.changed
    if not changed:
        return replace(state, message=f"Nothing to save: {state.path.name} holds all of this.")
    if problems := [problem for row in state.rows if row.id in changed for problem in format_problems(row)]:
        raise PairsError(*problems)
    text = format_pairs(state.rows, state.comments, str(state.path)).encode()
    with replacing_file(state.path) as temporary:
        temporary.write_bytes(text)
        _check_unchanged(state)  # as late as can be: the file is replaced right behind this
    some = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    message = f"Saved {state.path.name}: {some} changed, {len(state.rows)} rows in all."
    return replace(state, digest=hashlib.sha256(text).hexdigest(), saved=state.rows, message=message)


def format_problems(row: GoldRow) -> Iterator[Problem]:
    """What would keep the row from being read back, as links that only a note may justify."""
    found = parse_row(format_row(row), f"row {row.id}")
    yield from () if isinstance(found, GoldRow) else found


def _check_unchanged(state: Annotation) -> None:
    now = _digest(state.path)
    if now != state.digest:
        got = "no file" if now is None else "other bytes: it was changed meanwhile"
        remedy = (
            "Nothing was written. Keep your rows elsewhere, probe.write_pairs(PATH, widget.rows, widget.comments), and"
            " open the file again."
        )
        raise PairsError(Problem(str(state.path), "the file as it was opened", got, remedy))


def _digest(path: Path) -> str | None:
    """SHA-256 of a file, none where there is no file that can be read."""
    try:
        return file_sha256(path)
    except OSError:
        return None
