"""``align.jsonl``: attention of responses as DSKD-KQ exports it, one JSON object a line.

    {"student": [tokens], "teacher": [tokens], "alignment": [[weights]]}

Rows are the student's. Tokens are *input* tokens: the first is the last one of the prompt, and end of sequence is not
among them. Row i therefore belongs to the bigram of tokens i and i + 1, and its target is token i + 1; the target of
the last row and of the last column is end of sequence.
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
from probe.tokens import BYTE_PIECE, TokenizedText, byte_level_bytes, sentencepiece_bytes

STUDENT, TEACHER, WEIGHTS = "student", "teacher", "alignment"
PROMPT_END = "⟨prompt⟩"
"""What is written for the last token of the prompt, which a gold file does not hold."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """One line of an ``align.jsonl``: the weights of a response, by *input* tokens, from the last one of the prompt on.

    Row i therefore belongs to the bigram of tokens i and i + 1; of the last row and column the target is EOS.
    """

    student: tuple[str, ...]
    teacher: tuple[str, ...]
    weights: Float[np.ndarray, "_ _"]


def read_alignments(path: Path, most: int | None = None) -> tuple[Alignment, ...]:
    """The first lines of an ``align.jsonl``, or all of them.

    Raises:
        MapError: the file cannot be read, or a line is no alignment.
    """
    try:
        with path.open(encoding="utf-8") as file:
            numbered = list(islice(((number, line) for number, line in enumerate(file, 1) if line.strip()), most))
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Check the path; the released analysis script writes it."
        raise MapError(Problem(str(path), "a file of one JSON object a line", str(error), remedy)) from error
    if not numbered:
        raise MapError(Problem(str(path), "one JSON object a line", "an empty file", "Export the alignments again."))
    return tuple(_alignment(line, f"{path}:{number}") for number, line in numbered)


def _alignment(line: str, where: str) -> Alignment:
    expected = '{"student": [tokens], "teacher": [tokens], "alignment": [[weights]]}'
    remedy = "Write each token and each weight; rows are the student's."
    try:
        read: Any = json.loads(line)
        student, teacher = read[STUDENT], read[TEACHER]
        weights = np.asarray(read[WEIGHTS], dtype=np.float64)
    except (ValueError, TypeError, KeyError) as error:
        got = f"none called {error}" if isinstance(error, KeyError) else str(error)
        raise MapError(Problem(where, expected, got, remedy)) from error
    if not all(isinstance(side, list) and all(isinstance(token, str) for token in side) for side in (student, teacher)):
        raise MapError(Problem(where, expected, "tokens that are no lists of strings", remedy))
    if weights.shape != (len(student), len(teacher)):
        got = f"{len(student)} and {len(teacher)} tokens, weights of shape {weights.shape}"
        raise MapError(Problem(where, expected, got, remedy))
    return Alignment(tuple(student), tuple(teacher), weights)


def alignment_of(row: GoldRow) -> Alignment:
    """The sure links of a row as equal weights; a token without any draws from end of sequence alone."""
    pieces = [(PROMPT_END, *side.pieces) for side in (row.student, row.teacher)]
    return Alignment(pieces[0], pieces[1], with_eos(gold_mask(row).astype(np.float64)))


def format_alignments(alignments: Iterable[Alignment]) -> str:
    """The lines of a file."""
    objects = ({STUDENT: a.student, TEACHER: a.teacher, WEIGHTS: a.weights.tolist()} for a in alignments)
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in objects)


def links_of(alignment: Alignment) -> Links:
    """For each target token of the student a sure link to the largest weight, to all of them where they tie.

    Where the largest weight is on end of sequence, the token has no link.
    """
    inner = alignment.weights[:-1]
    largest = (inner == inner.max(axis=1, keepdims=True, initial=-np.inf))[:, :-1]
    return Links(links_in(largest))


def spelled(student: tuple[str, ...], teacher: tuple[str, ...], where: str) -> tuple[TokenizedText, TokenizedText]:
    """Two runs of pieces, with a text that both of them spell.

    Raises:
        PairsError: there is none.
    """
    for text in _texts(student, teacher):
        with suppress(TokenError):
            return TokenizedText.from_pieces(text, student), TokenizedText.from_pieces(text, teacher)
    got = f"{' '.join(student)} and {' '.join(teacher)}"
    remedy = "Take the pieces of two vocabularies for one text, or name the rows with --rows."
    raise PairsError(Problem(where, "pieces that spell one text on both sides", got, remedy))


def _texts(*sides: tuple[str, ...]) -> Iterator[str]:
    """What pieces may spell, likely readings first."""
    byte_level = [side for side in sides if not any("▁" in piece or BYTE_PIECE.fullmatch(piece) for piece in side)]
    readings = [b"".join(map(byte_level_bytes, side)) for side in byte_level]
    pieces = [b"".join(map(sentencepiece_bytes, side)) for side in sides]
    # A space in front may be SentencePiece's dummy, so a reading without it comes first.
    for reading in [*readings, *(reading.removeprefix(b" ") for reading in pieces), *pieces]:
        with suppress(UnicodeDecodeError):
            if text := reading.decode():
                yield text
