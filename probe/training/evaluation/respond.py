"""Who is asked, and how: the model of a run or of a directory, and its responses to a set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from probe.checkpoints.checkpoint import STUDENT, load_checkpoint
from probe.checkpoints.manifest import is_ours
from probe.errors import Problem, TrainingError
from probe.models.tokenizer import FILE, Tokenizer
from probe.training.criteria.views import plain_head
from probe.training.evaluation.generate import GenerationSettings
from probe.training.model_files import WHOLE_MODEL, base_of, causal_model, directory_of, running_device
from probe.training.parts import EvaluationPart


class Model(NamedTuple):
    """A causal language model without dropout, and its tokenizer."""

    model: Any
    tokenizer: Tokenizer


class Shared:
    """A model that several evaluations ask for: loaded for the first, let go after the last."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._found: Model | None = None

    def get(self, *, last: bool) -> Model:
        """The model; ``last`` if nobody will ask again."""
        found = self._load() if self._found is None else self._found
        self._found = None if last else found
        return found


def generation_settings(part: EvaluationPart, **changes: Any) -> GenerationSettings:
    """How the recipe has responses sampled.

    Raises:
        TrainingError: a number is out of range.
    """
    settings: dict[str, Any] = {
        name: getattr(part, name) for name in ("temperature", "no_repeat_ngram_size", "max_prompt", "max_length")
    }
    return GenerationSettings(**(settings | changes))


def model_directory(source: str) -> Path:
    """Where the model of a source lies: a run's checkpoint holds its student, or names it where it was not trained.

    Raises:
        TrainingError: there is no such directory.
        CheckpointError: the checkpoint cannot be read.
    """
    place = directory_of(source)
    if (place / STUDENT).is_dir():
        return place / STUDENT
    if is_ours(place):
        return directory_of(load_checkpoint(place).student.sources[0].source)
    return place


def load_model(directory: Path) -> Model:
    """A model directory, or one of LoRA weights, which are merged into the model that they name.

    Raises:
        TrainingError: it holds no causal language model, or one whose logits are not states times weights.
        CheckpointError: its tokenizer cannot be read.
    """
    tokenizer = Tokenizer.load(_tokenizer_directory(directory))
    device = running_device()
    model, missing = causal_model(directory, torch.float32 if device.type == "cpu" else "auto")
    if missing:
        got = f"no weights {', '.join(sorted(missing)[:3])}"
        raise TrainingError(Problem(str(directory), "a causal language model", got, WHOLE_MODEL))
    plain_head(model)
    return Model(model.to(device), tokenizer)


def _tokenizer_directory(directory: Path) -> Path:
    """The model's, or that of the model which adapters without a tokenizer belong to."""
    own = (directory / FILE).is_file()
    return directory if own else base_of(directory) or directory
