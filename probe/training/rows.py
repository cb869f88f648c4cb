"""The rows that a recipe names: for training, and held out."""

import random
from typing import NamedTuple

from probe.errors import Problem, TrainingError
from probe.training.data import Example
from probe.training.recipe import DataPart

DOCSTRINGS, DOCSTRING_SEED = "docstrings", 10


class SplitRows(NamedTuple):
    """Rows to train on, and rows to look at."""

    train: list[Example]
    dev: list[Example]


def read_rows(part: DataPart, seed: int) -> SplitRows:
    """Rows of a recipe's data part.

    Raises:
        TrainingError: they cannot be read, or there are none.
    """
    if part.source == DOCSTRINGS:
        from probe.training.demo.corpus import docstring_examples

        rows = docstring_examples()
        # The bundled demo held out the same rows.
        random.Random(DOCSTRING_SEED).shuffle(rows)
        return _cut(SplitRows(rows[part.held_out :], rows[: part.held_out]), part)
    from pathlib import Path

    from probe.training.data import read_examples

    source = Path(part.source)
    if source.is_dir():
        dev = source / "dev.jsonl"
        return _cut(SplitRows(read_examples(source / "train.jsonl"), read_examples(dev) if dev.is_file() else []), part)
    rows = read_examples(source)
    random.Random(seed).shuffle(rows)
    return _cut(SplitRows(rows[part.held_out :], rows[: part.held_out]), part)


def _cut(rows: SplitRows, part: DataPart) -> SplitRows:
    if not rows.train:
        raise TrainingError(Problem(part.source, "rows to train on", "none", "Add rows, or hold out fewer."))
    return rows._replace(train=rows.train[: part.max_rows])
