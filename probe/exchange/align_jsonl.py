"""``align.jsonl``: the attention of responses as DSKD-KQ exports it, one JSON object on each line.

    {"student": [tokens], "teacher": [tokens], "alignment": [[weights]]}

Rows are student tokens. Tokens are *input* tokens: the first one is the last token of the prompt, and the end of
sequence is missing. So row i belongs to the pair of tokens i and i + 1, and its target is token i + 1. The target of
the last row and of the last column is the end of sequence.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.errors import MapError, PairsError, Problem, TokenError
from probe.gold.rows import GoldRow, Links, gold_mask, links_in
from probe.maps import with_eos
from probe.output.reading import Wanted, decoded, opened, parse_json
from probe.tokens import BYTE_PIECE, TokenizedText, byte_level_bytes, sentencepiece_bytes

STUDENT, TEACHER, WEIGHTS = "student", "teacher", "alignment"
PROMPT_END = "⟨prompt⟩"
"""Stands for the last token of the prompt, which a gold file does not have."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """One line of an ``align.jsonl``: the weights of a response by *input* tokens, from the last token of the prompt.

    Row i belongs to the pair of tokens i and i + 1; the target of the last row and column is the end of sequence.
    """

    student: tuple[str, ...]
    teacher: tuple[str, ...]
    weights: Float[np.ndarray, "_ _"]


def read_alignments(path: Path, most: int | None = None) -> tuple[Alignment, ...]:
    """The first lines of an ``align.jsonl``, or all of them.

    Raises:
        MapError: the file cannot be read, or a line is no alignment.
    """
    remedy = "Check the path. The released analysis script writes such a file."
    wanted = Wanted("a file with one JSON object on each line", remedy, MapError)
    with opened(path, wanted) as file:
        numbered = list(islice(((number, line) for number, line in enumerate(file, 1) if line.strip()), most))
    if not numbered:
        raise MapError(
            Problem(str(path), "one JSON object on each line", "an empty file", "Export the alignments again.")
        )
    lines = ((f"{path}:{number}", line) for number, line in numbered)
    return tuple(_alignment(decoded(line, where, wanted), where) for where, line in lines)


def _alignment(line: str, where: str) -> Alignment:
    expected = '{"student": [tokens], "teacher": [tokens], "alignment": [[weights]]}'
    remedy = "Write all tokens and weights, with a row for each student token."
    read: Any = parse_json(line, where, Wanted(expected, remedy, MapError))
    try:
        student, teacher = read[STUDENT], read[TEACHER]
        weights = np.asarray(read[WEIGHTS], dtype=np.float64)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        got = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise MapError(Problem(where, expected, got, remedy)) from error
    if not all(isinstance(side, list) and all(isinstance(token, str) for token in side) for side in (student, teacher)):
        raise MapError(Problem(where, expected, "tokens that are not lists of strings", remedy))
    if weights.shape != (len(student), len(teacher)):
        got = f"{len(student)} and {len(teacher)} tokens, weights of shape {weights.shape}"
        raise MapError(Problem(where, expected, got, remedy))
    return Alignment(tuple(student), tuple(teacher), weights)


def alignment_of(row: GoldRow) -> Alignment:
    """The sure links of a row as equal weights; a token without one has all weight on the end of sequence."""
    pieces = [(PROMPT_END, *side.pieces) for side in (row.student, row.teacher)]
    return Alignment(pieces[0], pieces[1], with_eos(gold_mask(row).astype(np.float64)))


def format_alignments(alignments: Iterable[Alignment]) -> str:
    """The lines of a file."""
    objects = ({STUDENT: a.student, TEACHER: a.teacher, WEIGHTS: a.weights.tolist()} for a in alignments)
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in objects)


def links_of(alignment: Alignment) -> Links:
    """Link each target token of the student, as sure, to its largest weight, or to all of them if several are tied.

    A token with its largest weight on the end of sequence has no link.
    """
    inner = alignment.weights[:-1]
    largest = (inner == inner.max(axis=1, keepdims=True, initial=-np.inf))[:, :-1]
    return Links(links_in(largest))


def spelled(student: tuple[str, ...], teacher: tuple[str, ...], where: str) -> tuple[TokenizedText, TokenizedText]:
    """Two sequences of tokens, with the sentence that both of them spell.

    Raises:
        PairsError: there is no such sentence.
    """
    for text in _texts(student, teacher):
        with suppress(TokenError):
            return TokenizedText.from_pieces(text, student), TokenizedText.from_pieces(text, teacher)
    got = f"{' '.join(student)} and {' '.join(teacher)}"
    remedy = "Give the tokens of two tokenizers for one sentence, or name the rows with --rows."
    raise PairsError(Problem(where, "tokens that spell one sentence on both sides", got, remedy))


def _texts(*sides: tuple[str, ...]) -> Iterator[str]:
    """Sentences that the tokens may spell, the most likely first."""
    byte_level = [side for side in sides if not any("▁" in piece or BYTE_PIECE.fullmatch(piece) for piece in side)]
    readings = [b"".join(map(byte_level_bytes, side)) for side in byte_level]
    pieces = [b"".join(map(sentencepiece_bytes, side)) for side in sides]
    # A leading space may be the dummy space of SentencePiece, so try without it first.
    for reading in [*readings, *(reading.removeprefix(b" ") for reading in pieces), *pieces]:
        with suppress(UnicodeDecodeError):
            if text := reading.decode():
                yield text
