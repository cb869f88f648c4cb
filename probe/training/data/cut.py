"""One model's part of a run: its tokenizer, and the rows as it cuts them."""

from dataclasses import dataclass

from probe.errors import Problem, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training.data.rows import SplitRows
from probe.training.examples import Encoded, tokenize
from probe.training.model_files import directory_of
from probe.training.recipe import Recipe


@dataclass(frozen=True)
class Cut:
    """Rows in the tokens of one model."""

    source: str
    tokenizer: Tokenizer
    train: list[Encoded]
    dev: list[Encoded]


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
