"""The state of an annotation: the rows of a gold file while they are edited, and the acts that change them.

Every act takes a state and returns a new one. So undo returns to an earlier state, and tests need no browser. Only
`save` writes the file, and only if nobody has changed it since it was read.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from probe.chunks import one_to_one, shared_chunks
from probe.errors import PairsError, Problem
from probe.gold.declared import unsaid
from probe.gold.drafts import SECOND_READING, WHITE_SPACE_NOTE, with_reason
from probe.gold.half_rule import half_rule_links
from probe.gold.judged import misplaced
from probe.gold.pairs import format_pairs, read_pairs
from probe.gold.rows import HEADS, JUDGED, PHENOMENA, GoldRow, Link, Links, format_row, parse_row
from probe.output.files import replacing_file
from probe.output.provenance import file_sha256
from probe.widgets.unsaved import draft_of, keep, kept

Kind = Literal["sure", "possible"]
KINDS: tuple[Kind, ...] = ("sure", "possible")
Suggest = Literal["nothing", "1-1 chunks", "half rule"]
SUGGESTIONS: tuple[Suggest, ...] = ("nothing", "1-1 chunks", "half rule")
"""What the page gives away, each with what is before it: chunks of one token on each side are filled in, and the links
of the half rule are shown in grey."""
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
        suggest: one of `SUGGESTIONS`.
        filled: by the id of a row that was looked through, the links that were filled in and not accepted yet.
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
    suggest: Suggest = "nothing"
    filled: Mapping[str, frozenset[Link]] = field(default_factory=dict[str, frozenset[Link]])
    message: str = ""
    refused: bool = False

    @property
    def row(self) -> GoldRow:
        """The row on the screen."""
        return self.rows[self.current]

    @property
    def changed(self) -> tuple[str, ...]:
        """Ids of the rows that `save` would write, because they differ from the file."""
        return tuple(row.id for row, old in zip(self.kept, self.saved, strict=True) if row != old)

    @property
    def kept(self) -> tuple[GoldRow, ...]:
        """The rows, but as in the file where nothing was done but filling in: such a row was only looked at."""
        both = zip(self.rows, self.saved, strict=True)
        return tuple(old if self._only_filled(row, old) else row for row, old in both)

    @property
    def open_chunks(self) -> tuple[Link, ...]:
        """Where the chunks begin that have no link: the first student and the first teacher token of each."""
        row = self.row
        if not _placed(row):
            return ()
        linked = row.links.either
        return tuple(
            (chunk.student.start, chunk.teacher.start)
            for chunk in shared_chunks(row.student, row.teacher)
            # A chunk of no byte has an empty token on each side, and no link.
            if row.student.tokens[chunk.student[-1]].end > row.student.tokens[chunk.student[0]].start
            and not any((i, j) in linked for i in chunk.student for j in chunk.teacher)
        )

    def _only_filled(self, row: GoldRow, old: GoldRow) -> bool:
        filled = self.filled.get(row.id, frozenset())
        return filled <= row.sure and replace(row, sure=row.sure - filled) == old


def open_annotation(path: str | Path, *, row: str | None = None, suggest: Suggest | None = None) -> Annotation:
    """Read a gold file to annotate it, starting at the row with that id.

    Args:
        path: the file.
        row: id of the first row to show.
        suggest: one of `SUGGESTIONS`; default: ``half rule``, but ``1-1 chunks`` of a file for a second reading.

    Raises:
        PairsError: the file cannot be read, has no rows or no row of that id; or there is no such suggestion.
    """
    path = Path(path)
    # Take the digest first: if the file changes before it is read, saving then refuses and does not overwrite it.
    digest = _digest(path)
    gold = read_pairs(path)
    if not gold.rows:
        remedy = "Make some from your sentences: probe-pairs new."
        raise PairsError(Problem(str(path), "rows to annotate", "none", remedy))
    if suggest is None:
        suggest = "1-1 chunks" if SECOND_READING in gold.comments else "half rule"
    state = Annotation(path, digest or "", gold.comments, gold.rows, gold.rows)
    if drafts := kept(path, gold.rows):
        rows = tuple(drafts.get(one.id, one) for one in gold.rows)
        are = "row is a draft" if len(drafts) == 1 else "rows are drafts"
        message = f"{len(drafts)} {are}: {', '.join(drafts)}. Mend what is found below the grid, and save."
        state = replace(state, rows=rows, message=message)
    return set_suggest(state if row is None else jump(state, row), suggest)


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
    return replace(row, sure=row.sure - {link}, possible=row.possible - {link}, heads=row.heads - {link})


def toggle_head(state: Annotation, link: Link) -> Annotation:
    """Make a sure link the head of the word, the only one, or no head any more.

    Raises:
        PairsError: the row is no judged word, or this is no sure link of it.
    """
    row = state.row
    if row.judged != HEADS:
        got = row.judged or "a row of rule gold"
        raise PairsError(Problem(row.id, f"a word, which has the tag {HEADS}", got, "Other rows have no head."))
    if problems := misplaced(row, frozenset({link}), row.id):
        raise PairsError(*problems)
    return _edited(state, replace(row, heads=frozenset({link}) - row.heads))


def toggle_tag(state: Annotation, tag: str) -> Annotation:
    """Add a phenomenon to the row, or remove it.

    Raises:
        PairsError: it is not on the list of phenomena.
    """
    if tag not in PHENOMENA:
        raise PairsError(Problem(state.row.id, "a phenomenon of the list", repr(tag), "Choose one of the list."))
    wanted = {tag} ^ set(state.row.phenomena)
    return _edited(state, replace(state.row, phenomena=tuple(name for name in (*JUDGED, *PHENOMENA) if name in wanted)))


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


# What is suggested


def set_suggest(state: Annotation, suggest: str) -> Annotation:
    """Choose what is suggested from now on. What was filled in before stays.

    Raises:
        PairsError: there is no such suggestion.
    """
    for known in SUGGESTIONS:
        if suggest == known:
            return _with_filled(replace(state, suggest=known))
    raise PairsError(Problem("suggest", f"one of {', '.join(SUGGESTIONS)}", repr(suggest), "Choose one of these."))


def half_rule(state: Annotation) -> Links:
    """The links of the half rule for the row on the screen, if they are suggested and defined."""
    row = state.row
    return half_rule_links(row.student, row.teacher) if state.suggest == "half rule" and _placed(row) else Links()


def _with_filled(state: Annotation) -> Annotation:
    """The state with the 1-1 chunks of the row on the screen filled in, once, if it has no links."""
    row = state.row
    if state.suggest == "nothing" or row.id in state.filled or row.links.either or not _placed(row):
        return state
    # Two empty tokens can make a 1-1 chunk, too; it has no link.
    links = one_to_one(row.student, row.teacher) & half_rule_links(row.student, row.teacher).sure
    state = replace(state, filled={**state.filled, row.id: links})
    # What was undone can still be redone: no step to come is of this row, which was never on the screen.
    return replace(_edited(state, replace(row, sure=links)), future=state.future)


def _placed(row: GoldRow) -> bool:
    return row.student.placed and row.teacher.placed


# Moving between rows


def go(state: Annotation, by: int) -> Annotation:
    """Move by that many rows, and stop at the first and the last one."""
    return _with_filled(replace(state, current=min(max(state.current + by, 0), len(state.rows) - 1)))


def jump(state: Annotation, id_: str) -> Annotation:
    """Show the row with that id.

    Raises:
        PairsError: there is none.
    """
    for number, row in enumerate(state.rows):
        if row.id == id_:
            return _with_filled(replace(state, current=number))
    expected = f"the id of a row, such as {state.rows[0].id} or {state.rows[-1].id}"
    raise PairsError(Problem(state.path.name, expected, repr(id_), "Type an id of this file."))


# Saving


def finish(state: Annotation) -> Annotation:
    """Save, and go to the next row; stay if this row could only be kept as a draft.

    Raises:
        PairsError: as `save` does.
        OutputError: as `save` does.
    """
    done = save(state)
    return done if done.row.id in done.changed else go(done, 1)


def save(state: Annotation) -> Annotation:
    """Write the rows to the file. Those that would break its format are kept beside it, as drafts.

    Links that were filled in are written where the row was worked on, and of the row on the screen. Notes that follow
    from the half rule are written by the way.

    Raises:
        PairsError: the file has changed since it was read.
        OutputError: the place cannot be written to.
    """
    state = _accepted(state, {*state.changed, state.row.id})
    changed = state.changed
    if not changed:
        return replace(state, message=f"Nothing to save: {state.path.name} has all changes.")
    rows = tuple(_with_note(row) if row.id in changed else row for row in state.rows)
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
    """Write the changed rows but drafts; all others stay in the file as they were."""
    changed = [id_ for id_ in state.changed if id_ not in drafts]
    rows = tuple(old if row.id in drafts else row for row, old in zip(state.kept, state.saved, strict=True))
    text = format_pairs(rows, unsaid(state.path, state.comments), str(state.path)).encode()
    with replacing_file(state.path) as temporary:
        temporary.write_bytes(text)
        _check_unchanged(state)  # as late as possible: the file is replaced directly after this
    some = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    message = f"Saved {state.path.name}: {some} changed; {len(rows)} rows in total."
    return replace(state, digest=hashlib.sha256(text).hexdigest(), saved=rows, message=message)


def _accepted(state: Annotation, ids: Collection[str]) -> Annotation:
    """The state in which links that were filled into these rows count as made by the annotator."""
    none: frozenset[Link] = frozenset()
    return replace(state, filled={id_: none if id_ in ids else links for id_, links in state.filled.items()})


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
