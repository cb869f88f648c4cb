"""The rows that a recipe names, for training and held out, and the same in the tokens of one model."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from probe.errors import Problem, TokenError, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText
from probe.training.data.corpus import ColumnMap, hold_out, read_corpus
from probe.training.examples import Cut, Example, tokenize
from probe.training.model_files import directory_of
from probe.training.parts import DataPart
from probe.training.recipe import Recipe

DOCSTRINGS, DOCSTRING_SEED = "docstrings", 10


class SplitRows(NamedTuple):
    """Rows to train on, and rows to look at."""

    train: list[Example]
    dev: list[Example]


def read_rows(part: DataPart, seed: int, skipped: list[Problem] | None = None) -> SplitRows:
    """Rows of a recipe's data part; ``skipped`` takes what is wrong with those that it lets be left out.

    Raises:
        TrainingError: they cannot be read, or there are none.
    """
    found = _docstrings(part) if part.source == DOCSTRINGS else _corpus(part, seed, skipped)
    if not found.train:
        raise TrainingError(Problem(part.source, "rows to train on", "none", "Add rows, or hold out fewer."))
    return found._replace(train=found.train[: part.max_rows])


@cache
def _all_docstrings() -> tuple[Example, ...]:
    """Read once for all runs of a process: it takes seconds."""
    from probe.training.data.docstrings import docstring_examples

    return tuple(docstring_examples())


def _docstrings(part: DataPart) -> SplitRows:
    rows = list(_all_docstrings())
    # The bundled demo held out the same rows.
    random.Random(DOCSTRING_SEED).shuffle(rows)
    return SplitRows(rows[part.held_out :], rows[: part.held_out])


def _corpus(part: DataPart, seed: int, skipped: list[Problem] | None) -> SplitRows:
    bad = None if not part.skip_bad_rows else [] if skipped is None else skipped
    columns = None if part.columns is None else ColumnMap(**part.columns.model_dump())
    rows = read_corpus(part.source, "train", columns, skipped=bad)
    if (Path(part.source) / "dev.jsonl").is_file():
        return SplitRows(rows, read_corpus(part.source, "dev", columns, skipped=bad))
    if not part.held_out:
        return SplitRows(rows, [])
    return SplitRows(*hold_out(rows, part.held_out, seed if part.held_out_seed is None else part.held_out_seed))


def linkable_rows(recipe: Recipe, sources: Sequence[str], rows: SplitRows, skipped: list[Problem]) -> SplitRows:
    """The rows without training rows whose responses a tokenizer does not spell, which no method of links can use.

    Args:
        recipe: its method says whether that matters, its data part whether such rows may be left out.
        sources: the models.
        rows: all rows.
        skipped: takes what is wrong with rows that are left out.

    Raises:
        TrainingError: there are such rows, and none may be left out; all of them are listed.
    """
    if recipe.objective.needs.links is None:
        return rows
    wrong: dict[int, Problem] = {}
    for tokenizer in [Tokenizer.load(directory_of(source)) for source in sources]:
        pieces = tokenizer.pieces([row.output for row in rows.train])
        for number, (row, cut) in enumerate(zip(rows.train, pieces, strict=True)):
            try:
                TokenizedText.from_pieces(row.output, cut)
            except TokenError as error:
                remedy = "Mend the row, or leave such rows out: data.skip_bad_rows=true."
                where = row.where or f"training row {number + 1}"
                got = error.problems[0].got[:60]
                wrong[number] = Problem(where, "a response that both tokenizers spell byte for byte", got, remedy)
    if wrong and not recipe.data.skip_bad_rows:
        raise TrainingError(*wrong.values())
    skipped += wrong.values()
    return rows._replace(train=[row for number, row in enumerate(rows.train) if number not in wrong])


def cut_rows(recipe: Recipe, source: str, rows: SplitRows) -> Cut:
    """Tokenise all rows for one model.

    Raises:
        CheckpointError: the model has no tokenizer.
        TrainingError: a row has an empty prompt, or one that leaves no room for a response.
    """
    tokenizer = Tokenizer.load(directory_of(source))
    part = recipe.data
    train, dev = (
        [tokenize(row, tokenizer, max_prompt=part.max_prompt, max_length=part.max_length) for row in each]
        for each in rows
    )
    full = sum(not len(example.targets) for example in (*train, *dev))
    if full:
        expected = f"room for a response within data.max_length = {part.max_length}"
        got = f"{full} of {len(train) + len(dev)} rows whose prompt fills it (data.max_prompt = {part.max_prompt})"
        raise TrainingError(Problem("data", expected, got, "Raise max_length, or lower max_prompt."))
    return Cut(source, tokenizer, train, dev)
