"""What a student is asked: sets of prompts with one or several references each."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from probe.errors import Problem, TrainingError
from probe.training.examples import Example, jsonl_rows, parsed_rows, text_of

FILES = ("test.jsonl", "valid.jsonl")
"""A set's file in its directory; DSKD calls most of its test sets valid."""
HELD_OUT = "held-out"
"""The name of a run's own dev rows."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt as the model sees it, and its references."""

    prompt: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions under the name of their set."""

    name: str
    questions: tuple[Question, ...]

    @property
    def examples(self) -> list[Example]:
        """Each prompt with its first reference, for likelihoods."""
        return [Example(question.prompt, question.references[0]) for question in self.questions]

    def digest(self) -> str:
        """SHA-256 of prompts and references, in order."""
        lines = (json.dumps([q.prompt, *q.references], ensure_ascii=False) + "\n" for q in self.questions)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def held_out(dev: Sequence[Example]) -> QuestionSet:
    """The dev rows of a run as a set.

    Raises:
        TrainingError: there are none.
    """
    if not dev:
        raise TrainingError(Problem("evaluation", "dev rows or a set", "neither", "Set data.held_out, or name a set."))
    return QuestionSet(HELD_OUT, tuple(Question(row.prompt, (row.output,)) for row in dev))


def read_sets(sources: Mapping[str, str], max_rows: int | None = None) -> list[QuestionSet]:
    """Sets by name, from directories that hold ``test.jsonl`` or ``valid.jsonl``, or from jsonl files.

    Rows have the fields ``prompt`` and ``output``, which may be a list of several references.

    Raises:
        TrainingError: a source cannot be read; all bad rows of a file are listed.
    """
    return [QuestionSet(name, _read(Path(source))[:max_rows]) for name, source in sources.items()]


def _read(source: Path) -> tuple[Question, ...]:
    path = source
    if source.is_dir():
        path = next((source / name for name in FILES if (source / name).is_file()), source)
    if not path.is_file():
        expected = f"a jsonl file, or a directory with {' or '.join(FILES)}"
        got = "neither of them in it" if source.is_dir() else "no such file"
        raise TrainingError(Problem(str(source), expected, got, "Name the set's file."))
    questions = parsed_rows(jsonl_rows(path), _question)
    if not questions:
        raise TrainingError(Problem(str(path), "at least one question", "none", "Name another file."))
    return tuple(questions)


def _question(where: str, row: Any) -> Question | Problem:
    prompt, first = text_of(where, row, "prompt"), text_of(where, row, "output")
    for text in (prompt, first):
        if isinstance(text, Problem):
            return text
    output: Any = row["output"]
    several = cast(list[Any], output) if isinstance(output, list) else [output]
    for one in several:
        text = text_of(where, {"output": one} if isinstance(one, str) else {"output": [one]}, "output")
        if isinstance(text, Problem):
            return text
    return Question(str(prompt), tuple(several))
