"""Minimal triples: which rows of a gold file belong together, as their notes say, and whether they do.

A row says it at the beginning of its note: ``triple T07 same.``, ``triple T07 other.``, ``triple T07 synonym.``
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from probe.errors import Problem
from probe.gold.rows import GoldRow

KINDS = ("same", "other", "synonym")
_MARK = re.compile(r"triple (\w+) (same|other|synonym)\.")
_NUMBERED = re.compile(r"T(\d+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """Which triple a row belongs to, and which of its three sentences it is."""

    triple: str
    kind: str


def mark_of(note: str) -> Mark | None:
    """What the note of a row says of triples."""
    found = _MARK.match(note)
    return Mark(found[1], found[2]) if found else None


def cluster_of(id_: str, mark: Mark | None) -> str:
    """What is resampled together: the sentences of a triple, which are not independent, or a row of this id."""
    return f"triple {mark.triple}" if mark else id_


def check_triples(rows: Sequence[GoldRow], wheres: Sequence[str]) -> Iterator[Problem]:
    """Triples that are incomplete, of several pairs, no triples at all, or misnumbered.

    Args:
        rows: of a file, in order.
        wheres: what messages call each.
    """
    found: dict[str, list[tuple[str, GoldRow, str]]] = defaultdict(list)
    for row, where in zip(rows, wheres, strict=True):
        mark = mark_of(row.note)
        if mark is not None and _NUMBERED.fullmatch(mark.triple):
            found[mark.triple].append((mark.kind, row, where))
        elif row.note.startswith("triple "):
            remedy = "Write the number of the triple, and the kind of the sentence."
            yield Problem(where, "a note such as `triple T07 same.`", row.note[:40], remedy)
    for name, members in found.items():
        yield from _check_members(name, members)
    for before, after in pairwise(found):
        expected = f"T{int(before[1:]) + 1:02}"
        if after != expected:
            remedy = "Number triples in the order of the file, without gaps."
            yield Problem(found[after][0][2], f"triple {expected} after {before}", after, remedy)


def _check_members(name: str, members: Sequence[tuple[str, GoldRow, str]]) -> Iterator[Problem]:
    kinds, where = [kind for kind, _, _ in members], members[0][2]
    if sorted(kinds) != sorted(KINDS) or len({row.pair for _, row, _ in members}) > 1:
        expected = f"the sentences {', '.join(KINDS)} of triple {name}, each once and of one pair"
        got = ", ".join(f"{kind} of {row.pair}" for kind, row, _ in members)
        yield Problem(where, expected, got, "Correct the notes, or restore the row that is gone.")
        return
    by_kind: Mapping[str, GoldRow] = {kind: row for kind, row, _ in members}
    for kind, row, place in members:
        if kind != "same" and not _differ_in_one_place(by_kind["same"], row):
            expected = f"a sentence of triple {name} that differs from {by_kind['same'].id} in one word"
            yield Problem(place, expected, repr(row.text[:60]), "Correct the number in the note, or the sentence.")


def _differ_in_one_place(a: GoldRow, b: GoldRow) -> bool:
    """Whether both sides have equal numbers of tokens, which differ in one run of less than half of them."""
    for ours, theirs in ((a.student.pieces, b.student.pieces), (a.teacher.pieces, b.teacher.pieces)):
        if len(ours) != len(theirs):
            return False
        places = [n for n, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other]
        if not places or places[-1] - places[0] + 1 != len(places) or 2 * len(places) >= len(ours):
            return False
    return True
