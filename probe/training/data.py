"""Instruction data as DSKD stores it, cut into the positions that cross-model attention sees.

A file is jsonl with the fields ``prompt`` (already templated) and ``output`` (a string, or a list of which the first is
used). Prompt and response are tokenised apart, as in DSKD: ids are prompt[:256] + response + EOS, cut at 512. Unlike
DSKD, the prompt carries the special tokens of its model: without BOS, Gemma's hidden states are not those it was
trained to have. Attention is not touched by this, for it sees the response and the last prompt token alone.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from probe.errors import Problem, TrainingError
from probe.tokenizer import Tokenizer

MAX_PROMPT, MAX_LENGTH = 256, 512
"""Tokens of the prompt, and of prompt and response together, as published."""


@dataclass(frozen=True, slots=True)
class Example:
    """One instruction and its response."""

    prompt: str
    output: str


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


def read_examples(path: Path) -> list[Example]:
    """Examples of a jsonl file.

    Raises:
        TrainingError: the file is missing, or lines are not JSON or lack a field; all bad lines are listed.
    """
    if not path.is_file():
        raise TrainingError(Problem(str(path), "a jsonl file", "no such file", "Name the file of training rows."))
    examples: list[Example] = []
    problems: list[Problem] = []
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            parsed = _parse(line, f"{path.name}:{number}")
            (examples if isinstance(parsed, Example) else problems).append(parsed)  # type: ignore[arg-type]
    if problems:
        raise TrainingError(*problems)
    return examples


def _parse(line: str, where: str) -> Example | Problem:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        return Problem(where, "a JSON object", str(error), "Write one object a line.")
    prompt, output = (row.get("prompt"), row.get("output")) if isinstance(row, dict) else (None, None)
    if isinstance(output, list) and output:
        output = output[0]
    if not isinstance(prompt, str) or not isinstance(output, str) or not output:
        return Problem(where, "the fields prompt and output, both with text", line.strip()[:60], "Add what is missing.")
    return Example(prompt, output)


def tokenize(example: Example, tokenizer: Tokenizer) -> Encoded:
    """Ids of prompt, response and EOS, cut as published.

    Raises:
        TrainingError: the prompt has no token, so that the first response token has no input.
    """
    prompt = tokenizer.encode_prompt(example.prompt)[:MAX_PROMPT]
    if not prompt:
        raise TrainingError(Problem("training row", "a prompt", "an empty one", "Give every row a prompt."))
    ids = [*prompt, *tokenizer.encode(example.output), tokenizer.eos_id][:MAX_LENGTH]
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
        order = np.random.default_rng((seed, epoch)).permutation(len(lengths))
        window = 16 * batch_size
        grouped: list[list[int]] = []
        for begin in range(0, len(order), window):
            rows: list[int] = sorted(order[begin : begin + window].tolist(), key=lengths.__getitem__)
            grouped.extend(rows[i : i + batch_size] for i in range(0, len(rows), batch_size))
        for number in np.random.default_rng((seed, epoch, 1)).permutation(len(grouped)):
            yield step, grouped[number]
            step += 1
