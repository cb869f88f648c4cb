"""Where training rows come from: a directory in DSKD's layout, one file, or a dataset on the hub.

DSKD's layout is ``train.jsonl``, ``dev.jsonl`` and ``test.jsonl`` in one directory, with the prompt as the model sees
it. Of other datasets a `ColumnMap` says which column is what, and a `Template` makes the prompt. Files are ``.jsonl``,
``.csv`` with a header, or ``.parquet``.
"""

import csv
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from probe.checkpoints.dskd import PROMPT
from probe.errors import MissingExtraError, Problem, TrainingError
from probe.models.sources import reads_as_path
from probe.models.table_sources import Download
from probe.training.examples import Example, Row, jsonl_rows, parsed_rows, prompt_and_output, text_of

Split = Literal["train", "dev", "test"]


class ColumnMap(NamedTuple):
    """Names of the columns of a dataset that is not in DSKD's layout."""

    instruction: str = "instruction"
    input: str | None = None
    """What the instruction is about; may be empty in any row. None where the dataset has no such column."""
    response: str = "response"


class Template(NamedTuple):
    """How a prompt is made of an instruction, with and without an input."""

    with_input: str
    without_input: str

    def prompt(self, instruction: str, input_: str) -> str:
        """The prompt as the model sees it."""
        form = self.with_input if input_ else self.without_input
        return form.format(instruction=instruction, input=input_)


PUBLISHED = Template(
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n",
    PROMPT,
)
"""Alpaca's, in which the prompts of DSKD's data are written."""


def read_corpus(
    source: str,
    split: Split,
    columns: ColumnMap | None = None,
    template: Template = PUBLISHED,
    *,
    download: Download | None = None,
    skipped: list[Problem] | None = None,
) -> list[Example]:
    """Rows of one split.

    Args:
        source: a directory that holds ``train.jsonl`` and the like; a file, which is read whole whatever the split; or
            a hub dataset ``owner/name[@revision][:file]``, where the file is ``train.jsonl`` and the like if not named.
        split: which part.
        columns: what the columns are called; None for the fields ``prompt`` and ``output``.
        template: makes the prompt, where ``columns`` are given.
        download: replaces `huggingface_hub.hf_hub_download`.
        skipped: takes what is wrong with rows that are left out; None where no row may be.

    Raises:
        TrainingError: there is no such source, split or row, or rows cannot be used; all bad rows are listed.
        MissingExtraError: the file is parquet, and pyarrow is missing.
    """
    path = _locate(source, split, download)
    parse = prompt_and_output if columns is None else partial(_templated, columns=columns, template=template)
    examples = parsed_rows(_rows(path), parse, skipped)
    if not examples:
        raise TrainingError(Problem(str(path), "at least one row", "none", "Name a file with training rows."))
    return examples


def hold_out(rows: Sequence[Example], count: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Split rows into those to train on and ``count`` held out, both in their order; a function of the seed.

    Raises:
        TrainingError: the count leaves nothing on one side.
    """
    if not 0 < count < len(rows):
        expected = f"between 1 and {len(rows) - 1} rows to hold out of {len(rows)}"
        raise TrainingError(Problem("held-out rows", expected, str(count), "Change the count, or bring more rows."))
    held = set(np.random.default_rng(seed).permutation(len(rows))[:count].tolist())
    return (
        [row for number, row in enumerate(rows) if number not in held],
        [row for number, row in enumerate(rows) if number in held],
    )


def _templated(where: str, row: Any, columns: ColumnMap, template: Template) -> Example | Problem:
    instruction = text_of(where, row, columns.instruction)
    # A column that is not there is an error in every row: a misspelled name would drop all inputs without a word.
    input_ = text_of(where, row, columns.input, may_be_empty=True) if columns.input else ""
    response = text_of(where, row, columns.response)
    for text in (instruction, input_, response):
        if isinstance(text, Problem):
            return text
    return Example(template.prompt(str(instruction), str(input_)), str(response), where)


# Files


def _locate(source: str, split: Split, download: Download | None) -> Path:
    path = Path(source)
    if source and path.is_dir():  # Path("") is the current directory
        return _file_of(path, split)
    if path.is_file():
        return path
    match = re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)(?:@([^\s:]+))?(?::(\S+))?", source)
    # A parent that is a directory here makes it a mistyped path, which is nobody else's to look up.
    if match is None or path.parent.is_dir() or reads_as_path(source):
        got = f"{source!r}, which is none of them"
        remedy = "Check the path; a hub dataset is owner/name, owner/name:file or owner/name@revision:file."
        raise TrainingError(Problem("training data", "a directory, a file or a hub dataset", got, remedy))
    return _fetch(match[1], match[2], match[3] or f"{split}.jsonl", download)


def _file_of(directory: Path, split: Split) -> Path:
    """The file of a split; where it is there in several forms, the first of `READERS`."""
    names = [f"{split}{suffix}" for suffix in READERS]
    for name in names:
        if (directory / name).is_file():
            return directory / name
    there = sorted(path.name for path in directory.iterdir())
    got = f"only {', '.join(there)}" if there else "an empty directory"
    remedy = f"Name another directory, a file, or rows to hold out where there is no {split} split."
    raise TrainingError(Problem(str(directory), f"{', '.join(names[:-1])} or {names[-1]}", got, remedy))


def _fetch(repository: str, revision: str | None, name: str, download: Download | None) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path((download or hf_hub_download)(repository, name, repo_type="dataset", revision=revision))
    # Broad, because the hub's releases raise the errors of three HTTP libraries; none of them is swallowed.
    except Exception as error:
        got = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        remedy = "Check the path if you meant one here, else the names and the network; or run `hf download` first."
        where = f"hub dataset {repository}" + (f"@{revision}" if revision else "")
        raise TrainingError(Problem(where, f"the file {name}", got, remedy)) from error


def _rows(path: Path) -> Iterator[Row]:
    reader = READERS.get(path.suffix)
    if reader is None:
        remedy = "Convert it; jsonl is one JSON object a line."
        raise TrainingError(Problem(str(path), f"a file that ends in {', '.join(READERS)}", path.suffix, remedy))
    return reader(path)


def _csv_rows(path: Path) -> Iterator[Row]:
    # utf-8-sig, because spreadsheets write a byte order mark, which would become part of the first column's name.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        begin = 1
        try:
            for row in reader:
                # A row may span lines, and its place is the first of them.
                yield f"{path.name}:{begin + 1}", {name: text for name, text in row.items() if text is not None}
                begin = reader.line_num
        except (csv.Error, UnicodeDecodeError) as error:  # nothing after it can be told apart
            where = f"{path.name}:{begin + 1}"
            yield where, Problem(where, "comma-separated values in UTF-8", str(error), "Mend the file from there on.")


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        table: Any = importlib.import_module("pyarrow.parquet").read_table(path)
    except ImportError as error:
        remedy = "Run: pip install pyarrow, or save the file as jsonl."
        raise MissingExtraError(Problem(str(path), "the package pyarrow, to read parquet", "none", remedy)) from error
    except (ValueError, OSError) as error:
        raise TrainingError(Problem(str(path), "a parquet file", str(error), "Save it again, or as jsonl.")) from error
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{path.name}:{number}", row


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": jsonl_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}
