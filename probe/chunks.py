"""What two tokenisations of a sentence share: overlapping bytes, chunks with common boundaries, equal tokens."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int

from probe.errors import Problem, TokenError
from probe.tokens import Spans, TokenizedText, char_sizes

WHITE_SPACE = frozenset(" \t\n\r\v\f\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Runs of student and teacher tokens that begin and end at the same bytes and cannot be cut further."""

    student: range
    teacher: range


def shared_chunks(student: TokenizedText, teacher: TokenizedText) -> tuple[Chunk, ...]:
    """The smallest possible chunks, in order; each token of either side is in exactly one.

    Tokens of a side that share bytes (parts of a character or of a normalised segment) stay in one chunk. An empty
    token stays with a neighbour.

    Raises:
        TokenError: the texts differ, or only one side has tokens.

    Example:
        >>> from probe import TokenizedText, shared_chunks
        >>> student = TokenizedText.from_pieces("an unbelievable amygdala", ["an", "Ġunbelie", "vable", "Ġamygdala"])
        >>> teacher = TokenizedText.from_pieces("an unbelievable amygdala", ["an", "Ġunbelievable", "Ġamyg", "dala"])
        >>> for chunk in shared_chunks(student, teacher):
        ...     print(chunk.student, chunk.teacher)
        range(0, 1) range(0, 1)
        range(1, 3) range(1, 2)
        range(3, 4) range(2, 4)
    """
    _check_same_text(student, teacher)
    sizes = len(student.tokens), len(teacher.tokens)
    if 0 in sizes and sizes != (0, 0):
        raise TokenError(
            Problem(
                repr(student.text), "tokens on both sides", f"{sizes[0]} and {sizes[1]}", "Give tokens for both sides."
            )
        )
    bounds = common_bounds(student.spans, teacher.spans).T.tolist()
    return tuple(map(Chunk, *([range(*ends) for ends in pairwise(side)] for side in bounds)))


def chunk_numbers(
    student: TokenizedText, teacher: TokenizedText
) -> tuple[Int[np.ndarray, " student"], Int[np.ndarray, " teacher"]]:
    """The number of the chunk of each token."""
    _check_same_text(student, teacher)
    ours, theirs = (np.diff(side) for side in common_bounds(student.spans, teacher.spans).T)
    return np.repeat(np.arange(len(ours)), ours), np.repeat(np.arange(len(theirs)), theirs)


def common_bounds(student: Spans, teacher: Spans) -> Int[np.ndarray, "bounds 2"]:
    """How many tokens of each side lie before each cut that both have, from (0, 0) to all tokens.

    Between them are the chunks of `shared_chunks`; none where a side has no token.
    """
    if 0 in (len(student), len(teacher)):
        return np.zeros((1, 2), dtype=np.int64)
    (bytes_s, tokens_s), (bytes_t, tokens_t) = _cuts(student), _cuts(teacher)
    at = np.searchsorted(bytes_t, bytes_s)
    common = np.append(bytes_t, -1)[at] == bytes_s
    bounds = np.zeros((common.sum() + 2, 2), dtype=np.int64)
    bounds[1:-1, 0], bounds[1:-1, 1] = tokens_s[common], tokens_t[at[common]]
    bounds[-1] = len(student), len(teacher)
    return bounds


def _cuts(side: Spans) -> tuple[Int[np.ndarray, " cuts"], Int[np.ndarray, " cuts"]]:
    """The bytes at which a side can be cut, in order, and how many tokens lie before each of them."""
    able = 1 + np.flatnonzero(side[1:, 0] >= np.maximum.accumulate(side[:-1, 1]))
    # Empty tokens come after a cut at their byte, so keep the earliest cut.
    places = side[able, 0]
    earliest = np.append(True, places[1:] > places[:-1])[: len(places)]
    return places[earliest], able[earliest]


def byte_links(student: Spans, teacher: Spans) -> Int[np.ndarray, "links 2"]:
    """Sorted pairs of tokens that share a byte. Starts never fall from a token to the next one, nor do ends."""
    ours, theirs = (np.flatnonzero(side[:, 0] < side[:, 1]) for side in (student, teacher))
    # Of the tokens with bytes, the first that ends behind the start of this one, and the first that begins at its end.
    low = np.searchsorted(teacher[theirs, 1], student[ours, 0], side="right")
    high = np.searchsorted(teacher[theirs, 0], student[ours, 1], side="left")
    found = pairs_of_ranges(low, high)
    found[:, 0], found[:, 1] = ours[found[:, 0]], theirs[found[:, 1]]
    return found


def pairs_of_ranges(low: Int[np.ndarray, " items"], high: Int[np.ndarray, " items"]) -> Int[np.ndarray, "pairs 2"]:
    """Each number with all those from its ``low`` up to its ``high``."""
    counts = high - low
    before = np.cumsum(counts) - counts
    others = np.arange(counts.sum()) - np.repeat(before - low, counts)
    pairs = np.empty((len(others), 2), dtype=np.int64)
    pairs[:, 0], pairs[:, 1] = np.repeat(np.arange(len(counts)), counts), others
    return pairs


def _check_same_text(student: TokenizedText, teacher: TokenizedText) -> None:
    if student.text != teacher.text:
        raise TokenError(
            Problem(
                "pair",
                "one sentence on both sides",
                f"{student.text!r} and {teacher.text!r}",
                "Tokenise the same sentence.",
            )
        )
    if not (student.placed and teacher.placed):
        remedy = "Leave out rows of the judged layer that have no place in the text."
        raise TokenError(Problem(repr(student.text), "tokens whose bytes are known", "tokens without a place", remedy))


def chunk_mask(student: TokenizedText, teacher: TokenizedText) -> Bool[np.ndarray, "student teacher"]:
    """True where two tokens lie in the same chunk."""
    ours, theirs = chunk_numbers(student, teacher)
    return ours[:, None] == theirs


def overlap_mask(student: TokenizedText, teacher: TokenizedText) -> Bool[np.ndarray, "student teacher"]:
    """True where two tokens share a byte of the text."""
    _check_same_text(student, teacher)
    return _shared_bytes(student.spans, teacher.spans) > 0


def content_mask(student: TokenizedText, teacher: TokenizedText) -> Bool[np.ndarray, "student teacher"]:
    """True where two tokens share a byte that is not white space."""
    return shared_content(student, teacher) > 0


def layout_mask(student: TokenizedText, teacher: TokenizedText) -> Bool[np.ndarray, "student teacher"]:
    """True where a token of only white space shares a line break or a tab with a token that has more."""
    touching = shared_bytes(student, teacher) > 0
    blank = [content_sizes(side) == 0 for side in (student, teacher)]
    mask = (blank[0][:, None] ^ blank[1]) & touching
    text = student.text.encode()
    for i, j in zip(*mask.nonzero(), strict=True):
        sides = student.tokens[i], teacher.tokens[j]
        shared = text[max(side.start for side in sides) : min(side.end for side in sides)]
        mask[i, j] = b"\n" in shared or b"\t" in shared
    return mask


def equal_mask(students: Sequence[Hashable], teachers: Sequence[Hashable]) -> Bool[np.ndarray, "student teacher"]:
    """True where two items are equal."""
    numbers = numbered([*students, *teachers])
    return numbers[: len(students), None] == numbers[None, len(students) :]


def numbered(items: Sequence[Hashable]) -> Int[np.ndarray, " items"]:
    """A number for each item; equal items have the same one."""
    numbers = {item: number for number, item in enumerate(dict.fromkeys(items))}
    return np.array(list(map(numbers.__getitem__, items)), dtype=np.int64)


def spellings(side: TokenizedText) -> list[bytes]:
    """The bytes of each token, without spaces at both ends unless it has nothing else."""
    return list(map(spelling, side.surfaces()))


def spelling(surface: bytes) -> bytes:
    """The same of one token."""
    return surface.strip(b" ") or surface


def shared_bytes(student: TokenizedText, teacher: TokenizedText) -> Int[np.ndarray, "student teacher"]:
    """How many bytes of the text two tokens share."""
    _check_same_text(student, teacher)
    return np.maximum(_shared_bytes(student.spans, teacher.spans), 0)


def shared_content(student: TokenizedText, teacher: TokenizedText) -> Int[np.ndarray, "student teacher"]:
    """How many bytes that are not white space two tokens share."""
    _check_same_text(student, teacher)
    return np.maximum(_shared_bytes(content_spans(student), content_spans(teacher)), 0)


def byte_sizes(side: TokenizedText) -> Int[np.ndarray, " tokens"]:
    """How many bytes of the text each token covers."""
    return np.diff(side.spans, axis=1)[:, 0]


def content_sizes(side: TokenizedText) -> Int[np.ndarray, " tokens"]:
    """How many bytes that are not white space each token covers."""
    return np.diff(content_spans(side), axis=1)[:, 0]


def one_to_one(student: TokenizedText, teacher: TokenizedText) -> frozenset[tuple[int, int]]:
    """The links of all chunks of one token on each side. These links leave nothing to decide."""
    chunks = shared_chunks(student, teacher)
    return frozenset((c.student.start, c.teacher.start) for c in chunks if len(c.student) == len(c.teacher) == 1)


def content_spans(side: TokenizedText) -> Spans:
    """The span of each token in a text without white space."""
    return _content_before(side.text)[side.spans]


def _shared_bytes(student: Spans, teacher: Spans) -> Int[np.ndarray, "student teacher"]:
    ends = np.minimum(student[:, None, 1], teacher[None, :, 1])
    return ends - np.maximum(student[:, None, 0], teacher[None, :, 0])


@lru_cache(2)  # both sides of a row have one text, and each rule asks for it again
def _content_before(text: str) -> Int[np.ndarray, " bytes"]:
    """How many bytes before each place are not white space."""
    flags = np.array([char not in WHITE_SPACE for char in text], dtype=np.int64).repeat(char_sizes(text))
    found = np.concatenate([[0], np.cumsum(flags)])
    found.setflags(write=False)
    return found
