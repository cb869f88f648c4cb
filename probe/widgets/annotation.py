"""The state of an annotation: the rows of a gold file while they are edited, and the acts that change them.

Every act takes a state and returns a new one. So undo returns to an earlier state, and tests need no browser. Only
`save` writes the file, and only if nobody has changed it since it was read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from probe.errors import PairsError, Problem
from probe.gold.declared import unsaid
from probe.gold.drafts import WHITE_SPACE_NOTE, with_reason
from probe.gold.half_rule import half_rule_links
from probe.gold.pairs import format_pairs, read_pairs
from probe.gold.rows import PHENOMENA, GoldRow, Link, format_row, parse_row
from probe.output.files import replacing_file
from probe.output.provenance import file_sha256
from probe.widgets.unsaved import draft_of, keep, kept

Kind = Literal["sure", "possible"]
KINDS: tuple[Kind, ...] = ("sure", "possible")
Step = tuple[int, GoldRow]


@dataclass(frozen=True, slots=True)
class Annotation:
    """Rows of a gold file: as they are in the file, and as they are now.

    Attributes:
        path: the file.
        digest: SHA-256 of its bytes when it was read or last saved.
        comments: its comment lines.
        saved: the rows in the file.
        rows: the rows as they are now, in the same order.
        current: number of the row on the screen.
        past: for each act, the number of its row and the row before the act; the latest last.
        future: for each act that was undone, the number of its row and the row after the act; the latest last.
        suggest: whether the links of the half rule are shown.
        message: what the last act reports.
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
        """The row on the screen."""
        return self.rows[self.current]

    @property
    def changed(self) -> tuple[str, ...]:
        """Ids of the rows that differ from the file."""
        return tuple(row.id for row, old in zip(self.rows, self.saved, strict=True) if row != old)


def open_annotation(path: str | Path, *, row: str | None = None, suggest: bool = True) -> Annotation:
    """Read a gold file to annotate it, starting at the row with that id.

    Raises:
        PairsError: the file cannot be read, has no rows or no row of that id.
    """
    path = Path(path)
    # Take the digest first: if the file changes before it is read, saving then refuses and does not overwrite it.
    digest = _digest(path)
    gold = read_pairs(path)
    if not gold.rows:
        remedy = "Make some from your sentences: probe-pairs new."
        raise PairsError(Problem(str(path), "rows to annotate", "none", remedy))
    state = Annotation(path, digest or "", gold.comments, gold.rows, gold.rows, suggest=suggest)
    if drafts := kept(path, gold.rows):
        rows = tuple(drafts.get(one.id, one) for one in gold.rows)
        are = "row is a draft" if len(drafts) == 1 else "rows are drafts"
        message = f"{len(drafts)} {are}: {', '.join(drafts)}. Mend what is found below the grid, and save."
        state = replace(state, rows=rows, message=message)
    return state if row is None else jump(state, row)


# Acts


def press(state: Annotation, link: Link, kind: Kind) -> Annotation:
    """Link two tokens as sure or as possible. If they have that link already, remove it.

    Raises:
        PairsError: there are no such tokens, or no such kind.
    """
    row = state.row
    sizes = row.sizes
    if kind not in KINDS or not all(0 <= number < size for number, size in zip(link, sizes, strict=True)):
        expected = f"sure or possible, and a link within {sizes[0]} × {sizes[1]} tokens"
        raise PairsError(Problem(row.id, expected, f"{kind} {link}", "Choose one of these."))
    off = unlinked(row, link)
    return _edited(state, off if row.links.kind(link) == kind else replace(off, **{kind: getattr(off, kind) | {link}}))


def clear(state: Annotation, link: Link) -> Annotation:
    """Remove the link between two tokens."""
    return _edited(state, unlinked(state.row, link))


def unlinked(row: GoldRow, link: Link) -> GoldRow:
    """The row without that link."""
    return replace(row, sure=row.sure - {link}, possible=row.possible - {link})


def toggle_tag(state: Annotation, tag: str) -> Annotation:
    """Add a phenomenon to the row, or remove it.

    Raises:
        PairsError: it is not on the list of phenomena.
    """
    if tag not in PHENOMENA:
        raise PairsError(Problem(state.row.id, "a phenomenon of the list", repr(tag), "Choose one of the list."))
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
    """Undo the last act, and show its row."""
    if not state.past:
        return replace(state, message="There is nothing to undo.")
    number, row = state.past[-1]
    step = number, state.rows[number]
    return replace(_with_row(state, number, row), past=state.past[:-1], future=(*state.future, step))


def redo(state: Annotation) -> Annotation:
    """Redo the act that was undone last, and show its row."""
    if not state.future:
        return replace(state, message="There is nothing to redo.")
    number, row = state.future[-1]
    step = number, state.rows[number]
    return replace(_with_row(state, number, row), past=(*state.past, step), future=state.future[:-1])


# Moving between rows


def go(state: Annotation, by: int) -> Annotation:
    """Move by that many rows, and stop at the first and the last one."""
    return replace(state, current=min(max(state.current + by, 0), len(state.rows) - 1))


def jump(state: Annotation, id_: str) -> Annotation:
    """Show the row with that id.

    Raises:
        PairsError: there is none.
    """
    for number, row in enumerate(state.rows):
        if row.id == id_:
            return replace(state, current=number)
    expected = f"the id of a row, such as {state.rows[0].id} or {state.rows[-1].id}"
    raise PairsError(Problem(state.path.name, expected, repr(id_), "Type an id of this file."))


# Saving


def save(state: Annotation) -> Annotation:
    """Write the rows to the file. Those that would break its format are kept beside it, as drafts.

    Notes that follow from the half rule are written by the way.

    Raises:
        PairsError: the file has changed since it was read.
        OutputError: the place cannot be written to.
    """
    if not state.changed:
        return replace(state, message=f"Nothing to save: {state.path.name} has all changes.")
    rows = tuple(row if row == old else _with_note(row) for row, old in zip(state.rows, state.saved, strict=True))
    state = replace(state, rows=rows)
    problems = {row.id: list(format_problems(row)) for row in rows if row.id in state.changed}
    drafts = {id_: found for id_, found in problems.items() if found}
    _check_unchanged(state)
    keep(state.path, [row for row in rows if row.id in problems], drafts)
    done = _write(state, frozenset(drafts)) if len(drafts) < len(problems) else state
    if not drafts:
        return done
    are = "This row is a draft" if len(drafts) == 1 else "These rows are drafts"
    wrong = "\n".join(str(problem) for found in drafts.values() for problem in found)
    message = f"{done.message}\n{wrong}\n{are} in {draft_of(state.path).name} until mended and saved."
    return replace(done, message=message.lstrip(), refused=True)


def _write(state: Annotation, drafts: frozenset[str]) -> Annotation:
    """Write all rows but drafts, which stay in the file as they were."""
    both = zip(state.rows, state.saved, strict=True)
    rows = tuple(old if row.id in drafts else row for row, old in both)
    changed = [id_ for id_ in state.changed if id_ not in drafts]
    text = format_pairs(rows, unsaid(state.path, state.comments), str(state.path)).encode()
    with replacing_file(state.path) as temporary:
        temporary.write_bytes(text)
        _check_unchanged(state)  # as late as possible: the file is replaced directly after this
    some = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    message = f"Saved {state.path.name}: {some} changed; {len(rows)} rows in total."
    return replace(state, digest=hashlib.sha256(text).hexdigest(), saved=rows, message=message)


def _with_note(row: GoldRow) -> GoldRow:
    """The row with its note on sure links of white space, where the half rule has them too; others need a reason."""
    by_rule = row.sure & half_rule_links(row.student, row.teacher).sure
    named = with_reason(replace(row, sure=by_rule, possible=frozenset()), WHITE_SPACE_NOTE)
    return replace(row, note=named.note)


def format_problems(row: GoldRow) -> Iterator[Problem]:
    """Problems that break the format of the row, such as links that need a note and have none."""
    found = parse_row(format_row(row), f"row {row.id}")
    yield from () if isinstance(found, GoldRow) else found


def _check_unchanged(state: Annotation) -> None:
    now = _digest(state.path)
    if now != state.digest:
        got = "no file" if now is None else "a file that was changed in the meantime"
        remedy = (
            "Nothing was written. Save your rows to another file with probe.write_pairs(PATH, widget.rows, "
            "widget.comments), and open this file again."
        )
        raise PairsError(Problem(str(state.path), "the file as it was opened", got, remedy))


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None if it cannot be read."""
    try:
        return file_sha256(path)
    except OSError:
        return None
