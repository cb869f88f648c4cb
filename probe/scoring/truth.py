"""What the map of one sentence is scored against, worked out once for all methods."""

import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.chunks import one_to_one, overlap_mask, spellings
from probe.gold.rows import GoldRow, link_mask
from probe.scoring.destinations import destinations
from probe.tokens import TokenizedText, text_of

Links = Bool[np.ndarray, "student_targets teacher_targets"]
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
    links: Bool[np.ndarray, "stack teacher_targets"]
    """What counts as right for each of them."""
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
        return _with_eos(self.row, self.row.sure)

    @cached_property
    def either(self) -> Links:
        """Sure and possible links."""
        return _with_eos(self.row, self.row.links.either)

    @cached_property
    def linked(self) -> Rows:
        """Student targets with a sure link: the rows of every mean."""
        return _any(self.sure)

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
        kinds = ((chosen & self.linked, self.sure) for chosen in _kinds(self.row))
        return _stacked([(self.linked, self.sure), *kinds, *_readings(self.row, self.sure)])


def _stacked(slices: Sequence[tuple[Rows, Links]]) -> Stack:
    """The rows of each slice under its links, which few slices do not share; equal rows are one."""
    readings = list({id(links): links for _, links in slices}.values())
    students = len(readings[0])
    keys: dict[int, Int[np.ndarray, " student_targets"]] = {}
    for number, links in enumerate(readings):
        first = np.argmax([(links == other).all(axis=1) for other in readings[: number + 1]], axis=0)
        keys[id(links)] = first * students + np.arange(students)
    chosen = [keys[id(links)][rows] for rows, links in slices]
    stack, place = np.unique(np.concatenate(chosen), return_inverse=True)
    selector = np.zeros((len(slices), len(stack)), dtype=bool)
    selector[np.repeat(np.arange(len(slices)), list(map(len, chosen))), place] = True
    reading, rows = np.divmod(stack, students)
    links = np.concatenate([one[rows[reading == number]] for number, one in enumerate(readings)])
    return Stack(rows, links, selector)


def _with_eos(row: GoldRow, links: frozenset[tuple[int, int]]) -> Links:
    return link_mask(links, (row.sizes[0] + 1, row.sizes[1] + 1))


def _kinds(row: GoldRow) -> Iterator[Rows]:
    """Which student targets are of each of `KINDS`, in their order; end of sequence is of none."""
    student = row.student
    words = spellings(student)
    simple = {i for i, _ in one_to_one(student, row.teacher)}
    times = _times(words)
    again = [pair > 1 for pair in _times(list(zip([None, *words], words, strict=False)))]
    shown = [_shown_kinds(surface) for surface in words]
    of_tokens: list[Sequence[bool]] = [
        [i in simple for i in range(len(words))],
        [i not in simple for i in range(len(words))],
        [count == 1 for count in times],
        [count == 2 for count in times],
        [count > 2 for count in times],
        again,
        [count > 1 and not same for count, same in zip(times, again, strict=True)],
        [has_digit for has_digit, _, _ in shown],
        [is_punctuation for _, is_punctuation, _ in shown],
        _inside_words(student),
        [is_part for _, _, is_part in shown],
    ]
    kinds = np.zeros((len(of_tokens), len(words) + 1), dtype=bool)
    kinds[:, :-1] = of_tokens
    yield from kinds


@lru_cache(maxsize=1 << 16)
def _shown_kinds(surface: bytes) -> tuple[bool, bool, bool]:
    """Whether a token has a digit, is punctuation, and is part of a character."""
    text = text_of(surface)
    if text is None:
        return False, False, True
    punctuation = bool(text) and all(unicodedata.category(char)[0] in "PS" for char in text)
    return any(char.isdigit() for char in text), punctuation, False


def _readings(row: GoldRow, sure: Links) -> Iterator[tuple[Rows, Links]]:
    """Rows and links of each of `READINGS`, in their order."""
    # On most rows all readings link the same tokens, and a map scores the same by each. Only rows on which they differ
    # tell by which one it was made; and each of them needs a link there, or its score would be of other rows.
    overlap = np.pad(overlap_mask(row.student, row.teacher), ((0, 1), (0, 1)))
    linked, overlapped = _any(sure), _any(overlap)
    odd = linked & overlapped & _any(sure != overlap)
    inputs, starts = _inputs(sure), _starts(row)
    differ = linked & _any(inputs) & _any(starts) & _any((sure != inputs) | (sure != starts))
    yield overlapped, overlap
    yield from ((odd, links) for links in (sure, overlap))
    yield from ((differ, links) for links in (sure, inputs, starts))


def _any(links: Links) -> Rows:
    """Rows with a link."""
    return np.asarray(links.any(axis=1))


def _inputs(sure: Links) -> Links:
    """The links of the inputs: each target is the next position's input, and both prompts end at the first one."""
    links = np.zeros_like(sure)
    links[1:, 1:] = sure[:-1, :-1]
    links[0, 0] = True
    return links


def _starts(row: GoldRow) -> Links:
    student, teacher = (np.array([token.start for token in side.tokens]) for side in (row.student, row.teacher))
    return np.pad(student.reshape(-1, 1) == teacher.reshape(1, -1), ((0, 1), (0, 1)))


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
    sizes = np.array([len(char.encode()) for char in side.text], dtype=np.int64)
    of_byte = np.append(np.repeat(np.arange(len(sizes)), sizes), len(sizes))
    spans = [(of_byte[token.start], of_byte[token.end - 1] + 1 if token.end else 0) for token in side.tokens]
    spans = [(start, max(start, end)) for start, end in spans]
    return np.array([*spans, (len(sizes), len(sizes) + 1)], dtype=np.int64)


def _times(items: Sequence[Hashable]) -> list[int]:
    """How often each item occurs in the list."""
    counts = Counter(items)
    return [counts[item] for item in items]


def _inside_words(side: TokenizedText) -> list[bool]:
    """Whether a token begins with a letter that follows a letter."""
    letters = np.array([False, *(char.isalpha() for char in side.text)])
    ends = np.cumsum([len(char.encode()) for char in side.text])
    # As many characters end at or before the token.
    follows = letters[np.searchsorted(ends, [token.start for token in side.tokens], side="right")]
    return [bool(f) and _begins_with_letter(s) for f, s in zip(follows, side.surfaces(), strict=True)]


@lru_cache(maxsize=1 << 16)
def _begins_with_letter(surface: bytes) -> bool:
    """Whether the first whole character is one."""
    return surface.decode("utf-8", "ignore")[:1].isalpha()
