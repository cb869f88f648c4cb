"""What two tokenisations of a sentence share: overlapping bytes, chunks with common boundaries, equal tokens."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from probe.errors import Problem, TokenError
from probe.tokens import TokenizedText

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
    cuts = _cuts(student), _cuts(teacher)
    common = sorted(cuts[0].keys() & cuts[1].keys())
    # Both sides must have new tokens before a cut; the last chunk takes all tokens that are left.
    ends = [(cuts[0][byte], cuts[1][byte]) for byte in common] + [sizes]
    chunks: list[Chunk] = []
    begin = (0, 0)
    for end in ends:
        if end[0] > begin[0] and end[1] > begin[1]:
            chunks.append(Chunk(range(begin[0], end[0]), range(begin[1], end[1])))
            begin = end
    return tuple(chunks)


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


def _cuts(side: TokenizedText) -> dict[int, int]:
    """The byte offsets at which the side can be cut, each with the number of tokens before it."""
    cuts: dict[int, int] = {}
    reached = 0
    for index, token in enumerate(side.tokens):
        if index and token.start >= reached:
            # Empty tokens come after a cut at their byte, so keep the earliest cut.
            cuts.setdefault(token.start, index)
        reached = max(reached, token.end)
    return cuts


def chunk_mask(student: TokenizedText, teacher: TokenizedText) -> Bool[np.ndarray, "student teacher"]:
    """True where two tokens lie in the same chunk."""
    mask = np.zeros((len(student.tokens), len(teacher.tokens)), dtype=bool)
    for chunk in shared_chunks(student, teacher):
        mask[chunk.student.start : chunk.student.stop, chunk.teacher.start : chunk.teacher.stop] = True
    return mask


def overlap_mask(student: TokenizedText, teacher: TokenizedText) -> Bool[np.ndarray, "student teacher"]:
    """True where two tokens share a byte of the text."""
    _check_same_text(student, teacher)
    return _shared_bytes(_bounds(student), _bounds(teacher)) > 0


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
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)


def spellings(side: TokenizedText) -> list[bytes]:
    """The bytes of each token, without spaces at both ends unless it has nothing else."""
    return [surface.strip(b" ") or surface for surface in side.surfaces()]


def shared_bytes(student: TokenizedText, teacher: TokenizedText) -> Int[np.ndarray, "student teacher"]:
    """How many bytes of the text two tokens share."""
    _check_same_text(student, teacher)
    return np.maximum(_shared_bytes(_bounds(student), _bounds(teacher)), 0)


def shared_content(student: TokenizedText, teacher: TokenizedText) -> Int[np.ndarray, "student teacher"]:
    """How many bytes that are not white space two tokens share."""
    _check_same_text(student, teacher)
    return np.maximum(_shared_bytes(_content_bounds(student), _content_bounds(teacher)), 0)


def byte_sizes(side: TokenizedText) -> Int[np.ndarray, " tokens"]:
    """How many bytes of the text each token covers."""
    return np.diff(_bounds(side), axis=1)[:, 0]


def content_sizes(side: TokenizedText) -> Int[np.ndarray, " tokens"]:
    """How many bytes that are not white space each token covers."""
    return np.diff(_content_bounds(side), axis=1)[:, 0]


def one_to_one(student: TokenizedText, teacher: TokenizedText) -> frozenset[tuple[int, int]]:
    """The links of all chunks of one token on each side. These links leave nothing to decide."""
    chunks = shared_chunks(student, teacher)
    return frozenset((c.student.start, c.teacher.start) for c in chunks if len(c.student) == len(c.teacher) == 1)


def _bounds(side: TokenizedText) -> Int[np.ndarray, "tokens 2"]:
    return np.array([(token.start, token.end) for token in side.tokens], dtype=np.int64).reshape(-1, 2)


def _content_bounds(side: TokenizedText) -> Int[np.ndarray, "tokens 2"]:
    return _content_before(side.text)[_bounds(side)]


def _shared_bytes(
    student: Int[np.ndarray, "student 2"], teacher: Int[np.ndarray, "teacher 2"]
) -> Int[np.ndarray, "student teacher"]:
    ends = np.minimum(student[:, None, 1], teacher[None, :, 1])
    return ends - np.maximum(student[:, None, 0], teacher[None, :, 0])


@lru_cache(2)  # both sides of a row have one text, and each rule asks for it again
def _content_before(text: str) -> Int[np.ndarray, " bytes"]:
    """How many bytes before each place are not white space."""
    counts = [(0 if char in WHITE_SPACE else 1, len(char.encode())) for char in text]
    flags = np.repeat([flag for flag, _ in counts], [size for _, size in counts])
    found = np.concatenate([[0], np.cumsum(flags)]).astype(np.int64)
    found.setflags(write=False)
    return found
