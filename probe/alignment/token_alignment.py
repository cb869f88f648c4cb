"""Which tokens of two tokenizers share bytes of a text: for use inside of a trainer, without a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, overload

import numpy as np
from jaxtyping import Int

from probe.alignment.token_spans import TokenSpans, token_spans
from probe.checkpoints.open_model import tokenizer_of
from probe.chunks import byte_links, common_bounds
from probe.errors import ArgumentError
from probe.gold.rules import rule_links
from probe.models.sources import resolve
from probe.models.token_readers import FORMS, LibraryReader, TokenReader, reader_of
from probe.models.tokenizer import Tokenizer
from probe.tokens import Spans, beginning

Method = Literal["bytes", "rules"]
Link = tuple[int, int]
Group = tuple[range, range]
METHODS: tuple[Method, ...] = ("bytes", "rules")
CALL = "Write align_tokens(text, student_tokenizer, teacher_tokenizer)."


@dataclass(frozen=True, eq=False)
class TokenAlignment:
    """Two tokenisations of one text, and how their tokens lie to each other.

    Attributes:
        links: sorted pairs of a student token and a teacher token, counted from 0, special tokens too.
        groups: pairs of a range of student tokens and a range of teacher tokens, in order, that begin and end at the
            same bytes and cannot be cut further. Each token of the text is in one group.
        student: ids, byte spans and character spans of the student's tokens.
        teacher: likewise.

    Example:
        >>> import probe
        >>> found = probe.align_tokens("naïve", "bundled:demo/student", "bundled:demo/teacher")
        >>> found.teacher.pieces  # this tokenizer puts <s> in front
        ('<s>', '▁n', 'a', '<0xC3>', '<0xAF>', 've')
        >>> found.teacher.byte_spans.tolist()
        [[0, 0], [0, 1], [1, 2], [2, 3], [3, 4], [4, 6]]
        >>> found.teacher.char_spans.tolist()
        [[0, 0], [0, 1], [1, 2], [2, 3], [2, 3], [3, 5]]
    """

    links: tuple[Link, ...]
    groups: tuple[Group, ...]
    student: TokenSpans
    teacher: TokenSpans

    def __repr__(self) -> str:
        """Numbers of tokens, links and groups, and the beginning of the text."""
        sizes = f"{len(self.student)} student × {len(self.teacher)} teacher tokens"
        found = f"{len(self.links)} links, {len(self.groups)} groups"
        return f"<TokenAlignment {sizes}, {found}: {beginning(self.student.text)}>"


@overload
def align_tokens(
    text: str,
    student_tokenizer: object,
    teacher_tokenizer: object,
    method: Method = "bytes",
    *,
    add_special_tokens: bool = True,
) -> TokenAlignment: ...


@overload
def align_tokens(
    text: list[str] | tuple[str, ...],
    student_tokenizer: object,
    teacher_tokenizer: object,
    method: Method = "bytes",
    *,
    add_special_tokens: bool = True,
) -> list[TokenAlignment]: ...


def align_tokens(
    text: str | Sequence[str],
    student_tokenizer: object,
    teacher_tokenizer: object,
    method: Method = "bytes",
    *,
    add_special_tokens: bool = True,
) -> TokenAlignment | list[TokenAlignment]:
    """Cut a text by two tokenizers and find which tokens share bytes of it.

    A token with a part of a character has exactly the bytes that it holds. A normal form (NFC, NFKC) is mapped back to
    the text. The tokens that the tokenizers put around a text are linked by role: BOS with BOS, EOS with EOS; one that
    only one side has is linked to nothing. A special token that the text itself has, such as ``<|im_end|>``, is text.
    Padding, truncation and dropout that a tokenizer object has switched on are off while it is read.

    Args:
        text: one text, or a list of texts, which is faster than one after the other.
        student_tokenizer: of tokenizers, transformers or tiktoken; a model directory or ``tokenizer.json``; a hub id or
            a bundled model.
        teacher_tokenizer: likewise.
        method: ``"bytes"`` links tokens that share a byte; ``"rules"`` links by the guidelines of the gold data (sure
            links). The groups are the same.
        add_special_tokens: whether the tokenizers put their special tokens around texts. Pass False for the text of a
            chat template, which has them already.

    Returns:
        A `TokenAlignment`; for a list of texts a list of them.

    Raises:
        TokenError: a tokenizer changes a text, as one that lower-cases it.
        ArgumentError: an argument is no text, tokenizer or method.
        CheckpointError: there is no such model, or it has no ``tokenizer.json``.

    Example:
        >>> import probe
        >>> found = probe.align_tokens("Return the maximum.", "bundled:demo/student", "bundled:demo/teacher")
        >>> found
        <TokenAlignment 7 student × 5 teacher tokens, 7 links, 4 groups: 'Return the maximum.'>
        >>> found.links
        ((0, 1), (1, 2), (2, 3), (3, 3), (4, 3), (5, 3), (6, 4))
        >>> found.groups[2]
        (range(2, 6), range(3, 4))
    """
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, Sequence):
        raise ArgumentError.of("text", "a text or a list of texts", text, CALL)
    if wrong := [one for one in texts if not isinstance(one, str)]:
        raise ArgumentError.of("text", "a text or a list of texts", wrong[0], CALL)
    if method not in METHODS:
        raise ArgumentError.of("method", '"bytes" or "rules"', method, 'Write method="bytes".')
    named = (("student_tokenizer", student_tokenizer), ("teacher_tokenizer", teacher_tokenizer))
    readers = [(reader_named(tokenizer, where), where) for where, tokenizer in named]
    students, teachers = (token_spans(texts, reader, where, add_special_tokens) for reader, where in readers)
    found = [_aligned(ours, theirs, method) for ours, theirs in zip(students, teachers, strict=True)]
    return found[0] if isinstance(text, str) else found


def reader_named(tokenizer: object, where: str) -> TokenReader:
    """What reads a tokenizer object, or the tokenizer of a name; ``where`` is the argument, for messages.

    Raises:
        ArgumentError: it is neither.
        CheckpointError: there is none of this name.
    """
    if not isinstance(tokenizer, str | Path):
        return reader_of(tokenizer, where)
    found = resolve(str(tokenizer), Path.cwd())
    if tokenizer == "" or (isinstance(found, str) and any(char.isspace() for char in found)):
        raise ArgumentError.of(where, FORMS, tokenizer, CALL)
    file = tokenizer_of(found).path
    state = file.stat()
    return LibraryReader(_read(file, state.st_mtime_ns, state.st_size).backend)


@lru_cache(maxsize=8)
def _read(file: Path, _changed: int, _size: int) -> Tokenizer:
    """A tokenizer by path, kept, so that a trainer may name it at each call; a changed file is read again."""
    return Tokenizer(file)


def _aligned(student: TokenSpans, teacher: TokenSpans, method: Method) -> TokenAlignment:
    shift = student.content.start, teacher.content.start
    spans = _content(student), _content(teacher)
    roles = ((student.begin, teacher.begin), (student.end, teacher.end))
    first, last = ([(i, j)] if i is not None and j is not None else [] for i, j in roles)
    if method == "rules":
        linked = sorted(rule_links(student.tokenized(), teacher.tokenized()).sure)
        between = np.array(linked, dtype=np.int64).reshape(-1, 2)
    else:
        between = byte_links(*spans)
    links = [*first, *_pairs(between + shift), *last]
    bounds = common_bounds(*spans) + shift
    ours, theirs = ([range(a, b) for a, b in pairwise(side)] for side in bounds.T.tolist())
    groups = [*_singles(first), *zip(ours, theirs, strict=True), *_singles(last)]
    return TokenAlignment(tuple(links), tuple(groups), student, teacher)


def _content(side: TokenSpans) -> Spans:
    return side.byte_spans[side.content.start : side.content.stop]


def _pairs(links: Int[np.ndarray, "links 2"]) -> list[Link]:
    return list(zip(*links.T.tolist(), strict=True))


def _singles(links: Sequence[Link]) -> list[Group]:
    return [(range(i, i + 1), range(j, j + 1)) for i, j in links]
