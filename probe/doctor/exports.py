"""Alignments that the run's own analysis exported: ``align.jsonl``, one response a line."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.doctor.findings import STUDENT, TEACHER, Notes
from probe.errors import MapError, Problem

_MOST_LINES = 100  # far more than one number needs


@dataclass(frozen=True, slots=True)
class Alignment:
    """One line of an ``align.jsonl``: the weights of a response, by *input* tokens, from the last one of the prompt on.

    Row i therefore belongs to the bigram of tokens i and i + 1; of the last row and column the target is EOS.
    """

    student: tuple[str, ...]
    teacher: tuple[str, ...]
    weights: Float[np.ndarray, "_ _"]


def read_lines(align: Path | None, notes: Notes) -> Sequence[Alignment]:
    """The alignments that the user names, if any."""
    return () if align is None else notes.attempt("alignment", lambda: read_alignments(align)) or ()


def read_alignments(path: Path, most: int = _MOST_LINES) -> tuple[Alignment, ...]:
    """The first lines of an ``align.jsonl``.

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
        weights = np.asarray(read["alignment"], dtype=np.float64)
    except (ValueError, TypeError, KeyError) as error:
        got = f"none called {error}" if isinstance(error, KeyError) else str(error)
        raise MapError(Problem(where, expected, got, remedy)) from error
    if not all(isinstance(side, list) and all(isinstance(token, str) for token in side) for side in (student, teacher)):
        raise MapError(Problem(where, expected, "tokens that are no lists of strings", remedy))
    if weights.shape != (len(student), len(teacher)):
        got = f"{len(student)} and {len(teacher)} tokens, weights of shape {weights.shape}"
        raise MapError(Problem(where, expected, got, remedy))
    return Alignment(tuple(student), tuple(teacher), weights)
