"""What the map of one sentence is scored against, worked out once for all methods."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.chunks import byte_links, common_bounds, numbered, pairs_of_ranges, spelling
from probe.gold.rows import GoldRow, link_mask
from probe.scoring.destinations import destinations
from probe.tokens import TokenizedText, char_sizes, text_of

Links = Bool[np.ndarray, "student_targets teacher_targets"]
Cells = Int[np.ndarray, "_"]
"""Links as one number each: the place of the cell in its map, row after row. They are in order."""
Rows = Bool[np.ndarray, " student_targets"]

KINDS = (
    "in a 1-1 chunk",
    "in another chunk",
    "occurs once",
    "occurs twice",
    "occurs 3+ times",
    "again, after the same token",
    "again, after another token",
    "with a digit",
    "punctuation",
    "continues a word",
    "part of a character",
)
"""Kinds of student tokens, by what the tokens alone show. A token is of several kinds."""

READINGS = (
    "overlap",
    "gold, not overlap",
    "overlap, not gold",
    "by target, where they differ",
    "by input, where they differ",
    "by start, where they differ",
)
"""Other links than gold's, and gold on the same rows.

By target: the *targets* belong together, as gold says. By input: the *inputs* do. By start: both targets begin at the
same byte. A map that is read one token off agrees with the reading by input, and only these rows can show it.
"""

SLICES = (*KINDS, *READINGS)

TARGET, OVERLAP, INPUT, START = range(4)
"""Numbers of the links that rows are ranked under: the sure ones, and others."""


@dataclass(frozen=True)
class Stack:
    """Rows of a map to be ranked, and which slice each of them is of. No row is ranked twice under the same links."""

    rows: Int[np.ndarray, " stack"]
    """Student targets, some of them more than once, under other links."""
    links: Int[np.ndarray, "2 links"]
    """What counts as right: places in the stack, in order and each at least once, and teacher targets."""
    selector: Bool[np.ndarray, "slices stack"]
    """Which of the stack each slice is made of: first all with a sure link, then the slices of `SLICES`."""


@dataclass(frozen=True)
class Truth:
    """Gold links of a sentence in the shape of its maps, and what follows from tokens and links alone.

    Each part is worked out when it is first asked for, and then serves all maps of the sentence.
    """

    row: GoldRow

    @cached_property
    def sure(self) -> Links:
        """Sure links; end of sequence has none here, because it is scored apart."""
        return link_mask(self.row.sure, self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Of a map, with the end of sequence on both sides."""
        return self.row.sizes[0] + 1, self.row.sizes[1] + 1

    @cached_property
    def linked(self) -> Rows:
        """Student targets with a sure link: the rows of every mean."""
        found = np.zeros(self.shape[0], dtype=bool)
        found[self.row.sure_links[:, 0]] = True
        return found

    @cached_property
    def distance(self) -> Float[np.ndarray, "student_targets teacher_targets"]:
        """Characters from a teacher token to the nearest sure span of a student target; 0 without sure link."""
        return _distances(self.row, self.sure)

    @cached_property
    def destinations(self) -> Int[np.ndarray, "student_targets teacher_targets"]:
        """What kind of cell each is, see `probe.scoring.destinations`."""
        return destinations(self.row)

    @cached_property
    def stack(self) -> Stack:
        """The rows to be ranked, for all slices together."""
        columns = self.shape[1]
        sure = _cells(self.row.sure_links, columns)
        readings = [sure, *_readings(self.row, sure)]
        differs = [_differ(sure, links, self.shape) for links in readings]
        selector = np.zeros((1 + len(SLICES), len(readings), self.shape[0]), dtype=bool)
        selector[0, 0] = self.linked
        selector[1 : 1 + len(KINDS), 0] = _kinds(self.row) & self.linked
        # Where the links of a row are the sure ones, it is no other row.
        for number, (rows, which) in enumerate(self._slices_of(readings, differs), start=1 + len(KINDS)):
            selector[number, 0] = rows & ~differs[which]
            selector[number, which] |= rows & differs[which]
        return _stacked(selector.reshape(len(selector), -1), readings, columns)

    def _slices_of(self, readings: Sequence[Cells], differs: Sequence[Rows]) -> list[tuple[Rows, int]]:
        """Rows of each of `READINGS`, and the number of the links that they have there."""
        # On most rows all readings link the same tokens, and a map scores the same by each. Only rows on which they
        # differ tell by which one it was made. Each of them needs a link there, or its score would be of other rows.
        linked, overlapped, by_input, by_start = (_rows(links, self.shape) for links in readings)
        odd = linked & overlapped & differs[OVERLAP]
        differ = linked & by_input & by_start & (differs[INPUT] | differs[START])
        return [
            (overlapped, OVERLAP),
            *((odd, which) for which in (TARGET, OVERLAP)),
            *((differ, which) for which in (TARGET, INPUT, START)),
        ]


def _stacked(selector: Bool[np.ndarray, "slices readings_and_rows"], readings: Sequence[Cells], columns: int) -> Stack:
    """The rows that a slice chose, with their links; ``selector`` has the rows of one reading after the other."""
    chosen, students = np.asarray(selector.any(axis=0)), selector.shape[1] // len(readings)
    shifted = [links + number * students * columns for number, links in enumerate(readings)]
    row, column = np.divmod(np.concatenate(shifted), columns)
    kept = chosen[row]
    places = (np.cumsum(chosen) - 1)[row[kept]]
    return Stack(np.flatnonzero(chosen) % students, np.stack([places, column[kept]]), selector[:, chosen])


def _kinds(row: GoldRow) -> Bool[np.ndarray, "kinds student_targets"]:
    """Which student targets are of each of `KINDS`; end of sequence is of none."""
    looks = list(map(_look, row.student.surfaces()))
    words = numbered([look.word for look in looks])
    with_before = words.copy()
    with_before[1:] += len(words) * (words[:-1] + 1)
    times, again = np.bincount(words)[words], _times(with_before) > 1
    simple = _alone(row)
    has_digit, is_punctuation, is_part, begins = np.array([look[1:] for look in looks], dtype=bool).reshape(-1, 4).T
    kinds = np.zeros((len(KINDS), len(words) + 1), dtype=bool)
    kinds[:, :-1] = (
        *(simple, ~simple),
        *(times == 1, times == 2, times > 2, again, (times > 1) & ~again),
        *(has_digit, is_punctuation, begins & _after_letters(row.student), is_part),
    )
    return kinds


def _alone(row: GoldRow) -> Bool[np.ndarray, " student"]:
    """Whether a student token is in a chunk of one token on each side."""
    bounds = common_bounds(row.student.spans, row.teacher.spans)
    sizes = np.diff(bounds, axis=0)
    return np.repeat((sizes == 1).all(axis=1), sizes[:, 0])


class _Look(NamedTuple):
    """What a token shows by itself."""

    word: bytes
    """Its bytes as `spellings` has them."""
    has_digit: bool
    is_punctuation: bool
    is_part: bool
    """Whether it is part of a character."""
    begins_with_letter: bool
    """Whether its first whole character is one."""


@lru_cache(maxsize=1 << 16)
def _look(surface: bytes) -> _Look:
    word = spelling(surface)
    begins = surface.decode("utf-8", "ignore")[:1].isalpha()
    text = text_of(word)
    if text is None:
        return _Look(word, False, False, True, begins)
    punctuation = bool(text) and all(unicodedata.category(char)[0] in "PS" for char in text)
    return _Look(word, any(char.isdigit() for char in text), punctuation, False, begins)


def _readings(row: GoldRow, sure: Cells) -> Iterator[Cells]:
    """The links by overlap, by input and by start."""
    columns = row.sizes[1] + 1
    yield _cells(byte_links(row.student.spans, row.teacher.spans), columns)
    # Each target is the next position's input, and both prompts end at the first one.
    yield np.append(0, sure + columns + 1)
    student, teacher = row.student.spans[:, 0], row.teacher.spans[:, 0]
    low, high = (np.searchsorted(teacher, student, side=side) for side in ("left", "right"))
    yield _cells(pairs_of_ranges(low, high), columns)


def _cells(links: Int[np.ndarray, "links 2"], columns: int) -> Cells:
    return links[:, 0] * columns + links[:, 1]


def _rows(cells: Cells, shape: tuple[int, int]) -> Rows:
    """Rows with a link."""
    found = np.zeros(shape[0], dtype=bool)
    found[cells // shape[1]] = True
    return found


def _differ(first: Cells, second: Cells, shape: tuple[int, int]) -> Rows:
    """Rows with other links."""
    return _rows(np.setxor1d(first, second, assume_unique=True), shape)


def _distances(row: GoldRow, sure: Links) -> Float[np.ndarray, "student_targets teacher_targets"]:
    """Mean distance of the characters of a token from the nearest sure span; it is 0 if they share a character."""
    spans = _characters(row.teacher).astype(np.float32)  # whole numbers and halves, so exact
    start, end = spans[:, 0], spans[:, 1]
    gap = np.maximum(start[:, None] - end[None, :], start[None, :] - end[:, None])
    touching = (gap < 0) | np.eye(len(spans), dtype=bool)
    between = np.where(touching, np.float32(0), gap + (end - start + 1)[:, None] / 2)
    distance = np.zeros(sure.shape, dtype=np.float32)
    student, teacher = np.nonzero(sure)
    if len(student):
        begins = np.flatnonzero(np.diff(student, prepend=-1))
        distance[student[begins]] = np.minimum.reduceat(between.T[teacher], begins, axis=0)
    return distance


def _characters(side: TokenizedText) -> Int[np.ndarray, "targets 2"]:
    """Spans in characters, with end of sequence as one more character after the sentence."""
    sizes = char_sizes(side.text)
    of_byte = np.append(np.repeat(np.arange(len(sizes)), sizes), len(sizes))
    begin, end = side.spans.T
    start, stop = of_byte[begin], np.where(end > 0, of_byte[end - 1] + 1, 0)
    inner = np.stack([start, np.maximum(start, stop)], axis=1)
    return np.concatenate([inner, [[len(sizes), len(sizes) + 1]]])


def _times(numbers: Int[np.ndarray, " items"]) -> Int[np.ndarray, " items"]:
    """How often each number occurs."""
    _, which, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return counts[which]


def _after_letters(side: TokenizedText) -> Bool[np.ndarray, " tokens"]:
    """Whether the last character that ends at or before a token is a letter."""
    letters = np.array([False, *map(str.isalpha, side.text)])
    ends = np.cumsum(char_sizes(side.text))
    return letters[np.searchsorted(ends, side.spans[:, 0], side="right")]
