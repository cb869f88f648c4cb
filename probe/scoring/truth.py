"""What the map of one sentence is scored against, worked out once for all methods."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.chunks import byte_links, common_bounds, numbered, pairs_of_ranges, spellings
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
        return _rows(self.row.sure_links @ (self.shape[1], 1), self.shape)

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
        sure = self.row.sure_links @ (self.shape[1], 1)
        kinds = _kinds(self.row) & self.linked
        return _stacked(np.concatenate([self.linked[None], kinds]), sure, _readings(self.row, sure), self.shape)


def _stacked(
    of_sure: Bool[np.ndarray, "slices student_targets"],
    sure: Cells,
    others: Sequence[tuple[Rows, Cells]],
    shape: tuple[int, int],
) -> Stack:
    """The rows of each slice under its links. Where those of a row are the sure ones, it is no other row."""
    readings = list({id(links): links for links in (sure, *(links for _, links in others))}.values())
    differs = {id(links): _differ(sure, links, shape) for links in readings}
    selector = np.zeros((len(of_sure) + len(others), len(readings), shape[0]), dtype=bool)
    selector[: len(of_sure), 0] = of_sure
    for number, (rows, links) in enumerate(others, start=len(of_sure)):
        which = next(k for k, one in enumerate(readings) if one is links)
        selector[number, 0] = rows & ~differs[id(links)]
        selector[number, which] |= rows & differs[id(links)]
    selector = selector.reshape(len(selector), -1)
    chosen = selector.any(axis=0)
    row, column = np.divmod(
        np.concatenate([links + number * shape[0] * shape[1] for number, links in enumerate(readings)]), shape[1]
    )
    kept = chosen[row]
    places = (np.cumsum(chosen) - 1)[row[kept]]
    return Stack(np.flatnonzero(chosen) % shape[0], np.stack([places, column[kept]]), selector[:, chosen])


def _kinds(row: GoldRow) -> Bool[np.ndarray, "kinds student_targets"]:
    """Which student targets are of each of `KINDS`; end of sequence is of none."""
    surfaces = spellings(row.student)
    words = numbered(surfaces)
    before = np.concatenate([[-1], words[:-1]]) + 1
    times, again = _times(words), _times(before * len(words) + words) > 1
    simple = _alone(row)
    kinds = np.zeros((len(KINDS), len(words) + 1), dtype=bool)
    kinds[:7, :-1] = simple, ~simple, times == 1, times == 2, times > 2, again, (times > 1) & ~again
    kinds[[7, 8, 10], :-1] = np.array([_shown_kinds(surface) for surface in surfaces], dtype=bool).reshape(-1, 3).T
    kinds[9, :-1] = _inside_words(row.student)
    return kinds


def _alone(row: GoldRow) -> Bool[np.ndarray, " student"]:
    """Whether a student token is in a chunk of one token on each side."""
    bounds = common_bounds(row.student.spans, row.teacher.spans)
    sizes = np.diff(bounds, axis=0)
    return np.repeat((sizes == 1).all(axis=1), sizes[:, 0])


@lru_cache(maxsize=1 << 16)
def _shown_kinds(surface: bytes) -> tuple[bool, bool, bool]:
    """Whether a token has a digit, is punctuation, and is part of a character."""
    text = text_of(surface)
    if text is None:
        return False, False, True
    punctuation = bool(text) and all(unicodedata.category(char)[0] in "PS" for char in text)
    return any(char.isdigit() for char in text), punctuation, False


def _readings(row: GoldRow, sure: Cells) -> list[tuple[Rows, Cells]]:
    """Rows and links of each of `READINGS`, in their order."""
    # On most rows all readings link the same tokens, and a map scores the same by each. Only rows on which they differ
    # tell by which one it was made; and each of them needs a link there, or its score would be of other rows.
    shape = row.sizes[0] + 1, row.sizes[1] + 1
    columns = shape[1]
    overlap = byte_links(row.student.spans, row.teacher.spans) @ (columns, 1)
    # Each target is the next position's input, and both prompts end at the first one.
    inputs = np.concatenate([[0], sure + columns + 1])
    starts = _starts(row) @ (columns, 1)
    linked, overlapped, by_input, by_start = (_rows(links, shape) for links in (sure, overlap, inputs, starts))
    odd = linked & overlapped & _differ(sure, overlap, shape)
    differ = linked & by_input & by_start & (_differ(sure, inputs, shape) | _differ(sure, starts, shape))
    return [
        (overlapped, overlap),
        *((odd, links) for links in (sure, overlap)),
        *((differ, links) for links in (sure, inputs, starts)),
    ]


def _rows(cells: Cells, shape: tuple[int, int]) -> Rows:
    """Rows with a link."""
    found = np.zeros(shape[0], dtype=bool)
    found[cells // shape[1]] = True
    return found


def _differ(first: Cells, second: Cells, shape: tuple[int, int]) -> Rows:
    """Rows with other links."""
    return _rows(np.setxor1d(first, second, assume_unique=True), shape)


def _starts(row: GoldRow) -> Int[np.ndarray, "links 2"]:
    """Pairs of tokens that begin at the same byte."""
    student, teacher = row.student.spans[:, 0], row.teacher.spans[:, 0]
    low, high = (np.searchsorted(teacher, student, side=side) for side in ("left", "right"))
    return pairs_of_ranges(low, high)


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


def _inside_words(side: TokenizedText) -> list[bool]:
    """Whether a token begins with a letter that follows a letter."""
    letters = np.array([False, *(char.isalpha() for char in side.text)])
    ends = np.cumsum(char_sizes(side.text))
    # As many characters end at or before the token.
    follows = letters[np.searchsorted(ends, side.spans[:, 0], side="right")].tolist()
    return [f and _begins_with_letter(s) for f, s in zip(follows, side.surfaces(), strict=True)]


@lru_cache(maxsize=1 << 16)
def _begins_with_letter(surface: bytes) -> bool:
    """Whether the first whole character is one."""
    return surface.decode("utf-8", "ignore")[:1].isalpha()
