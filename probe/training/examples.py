"""Instruction data as DSKD stores it, cut into the positions that cross-model attention sees.

A file is jsonl with the fields ``prompt`` (already templated) and ``output`` (a string, or a list of which the first is
used). Prompt and response are tokenised apart, as in DSKD: ids are prompt[:256] + response + EOS, cut at 512. Unlike
DSKD, the prompt carries the special tokens of its model: without BOS, Gemma's hidden states are not those it was
trained to have. Attention is not touched by this: it sees the response and the last prompt token alone.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from jaxtyping import Int

from probe.checkpoints.dskd import MAX_LENGTH, MAX_PROMPT
from probe.errors import Problem, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.output.reading import Wanted, decoded, opened, parse_json

Parsed = TypeVar("Parsed")
Row = tuple[str, Any]
"""Where a row of a file stands, as ``train.jsonl:7``, and what it holds; a `Problem` where it could not be read."""


@dataclass(frozen=True, slots=True)
class Example:
    """One instruction and its response."""

    prompt: str
    output: str
    where: str = field(default="", compare=False)
    """Its place in the file, as ``train.jsonl:7``."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one example for one model, and where its response begins."""

    ids: Int[np.ndarray, " tokens"]
    response_start: int

    @property
    def inputs(self) -> Int[np.ndarray, " positions"]:
        """x_i at response positions: the last prompt token up to the last token but one."""
        return self.ids[self.response_start - 1 : -1]

    @property
    def targets(self) -> Int[np.ndarray, " positions"]:
        """x_{i+1} at response positions: the response, then EOS where nothing was cut off."""
        return self.ids[self.response_start :]


@dataclass(frozen=True)
class Cut:
    """A corpus in the tokens of one model."""

    source: str
    tokenizer: Tokenizer
    train: list[Encoded]
    dev: list[Encoded]


def read_examples(path: Path) -> list[Example]:
    """Examples of a jsonl file.

    Raises:
        TrainingError: the file is missing, or lines are not JSON or lack a field; all bad lines are listed.
    """
    if not path.is_file():
        raise TrainingError(Problem(str(path), "a jsonl file", "no such file", "Name the file of training rows."))
    return parsed_rows(jsonl_rows(path), prompt_and_output)


def parsed_rows(
    rows: Iterable[Row], parse: Callable[[str, Any], Parsed | Problem], skipped: list[Problem] | None = None
) -> list[Parsed]:
    """What the rows of a file hold; ``parse`` is given where a row stands and what was read there.

    Args:
        rows: of the file.
        parse: makes the value of a row.
        skipped: takes what is wrong with rows that are left out; None where no row may be.

    Raises:
        TrainingError: rows cannot be used; all of them are listed.
    """
    found: list[Parsed] = []
    problems: list[Problem] = []
    for where, row in rows:
        parsed = row if isinstance(row, Problem) else parse(where, row)
        if isinstance(parsed, Problem):
            problems.append(parsed)
        else:
            found.append(parsed)
    if skipped is not None:
        skipped += problems
    elif problems:
        raise TrainingError(*problems)
    return found


def jsonl_rows(path: Path) -> Iterator[Row]:
    """What each line of a jsonl file holds."""
    wanted = Wanted("a JSON object", "Write one object a line.", TrainingError)
    with opened(path, wanted) as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path.name}:{number}"
            try:
                yield where, parse_json(decoded(line, where, wanted), where, wanted)
            except TrainingError as error:
                yield where, error.problems[0]


def prompt_and_output(where: str, row: Any) -> Example | Problem:
    """The example of a row as DSKD stores it."""
    prompt, output = text_of(where, row, "prompt"), text_of(where, row, "output")
    if isinstance(prompt, Problem):
        return prompt
    return output if isinstance(output, Problem) else Example(prompt, output, where)


def text_of(where: str, row: Any, field: str, *, may_be_empty: bool = False) -> str | Problem:
    """The text in a field of a row; of a list, the first."""
    if not isinstance(row, dict):
        return Problem(where, "a JSON object", json.dumps(row)[:60], "Write one object a line.")
    columns = cast(dict[str, Any], row)
    if field not in columns:
        got = f"only {', '.join(map(str, columns))}" if columns else "an empty row"
        return Problem(where, f"the field {field}", got, "Add it, or say which column holds it.")
    value = columns[field]
    if isinstance(value, list) and value:
        value = cast(list[Any], value)[0]
    if may_be_empty and value is None:
        return ""
    if not isinstance(value, str) or not (may_be_empty or value.strip()):
        return Problem(where, f"text in the field {field}", repr(value)[:60], "Fill it in, or remove the row.")
    # JSON can spell half of a surrogate pair, which is no character and which no tokenizer takes.
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        got = f"half of a surrogate pair in {ascii(value)[:60]}"
        return Problem(where, f"characters in the field {field}", got, "Mend it, or remove the row.")
    return value


def tokenize(
    example: Example, tokenizer: Tokenizer, *, max_prompt: int = MAX_PROMPT, max_length: int = MAX_LENGTH
) -> Encoded:
    """Ids of prompt, response and EOS, cut as published.

    Raises:
        TrainingError: the prompt has no token, so that the first response token has no input.
    """
    prompt = tokenizer.encode_prompt(example.prompt)[:max_prompt]
    if not prompt:
        raise TrainingError(Problem("training row", "a prompt", "an empty one", "Give every row a prompt."))
    ids = [*prompt, *tokenizer.encode(example.output), tokenizer.eos_id][:max_length]
    return Encoded(np.asarray(ids, dtype=np.int64), len(prompt))


def digest(examples: Sequence[Example]) -> str:
    """SHA-256 of the rows, in order: what a checkpoint records of its data."""
    lines = (json.dumps([e.prompt, e.output], ensure_ascii=False) + "\n" for e in examples)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def batches(lengths: Sequence[int], batch_size: int, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Endless (step, rows): every epoch shuffles, sorts by length within windows of 16 batches, shuffles the batches.

    The order depends on the seed and the epoch alone, so a run that goes on at step n sees what it would have seen.
    """
    step = 0
    for epoch in range(1_000_000):
        for rows in epoch_batches(lengths, batch_size, seed, epoch):
            yield step, rows
            step += 1


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> Iterator[list[int]]:
    """The batches of one epoch, each row once; one of them is smaller where rows are left over."""
    order = np.random.default_rng((seed, epoch)).permutation(len(lengths))
    window = 16 * batch_size
    grouped: list[list[int]] = []
    for begin in range(0, len(order), window):
        rows: list[int] = sorted(order[begin : begin + window].tolist(), key=lengths.__getitem__)
        grouped.extend(rows[i : i + batch_size] for i in range(0, len(rows), batch_size))
    for number in np.random.default_rng((seed, epoch, 1)).permutation(len(grouped)):
        yield grouped[number]
