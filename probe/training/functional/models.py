"""The parts of a checkpoint's two models that its losses need, and whether the student's states can be had at all."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from probe.checkpoint import Checkpoint
from probe.cma import OpenCheckpoint
from probe.errors import Problem, TrainingError
from probe.projectors import S2T
from probe.sources import is_here
from probe.training.criteria.views import plain_head
from probe.training.model_files import directory_of
from probe.training.modules import Projectors
from probe.training.trainer.saving import STUDENT

ADAPTER = "adapter_config.json"


class Student(NamedTuple):
    """The student's head, and the model if its states are those that the projectors were trained with."""

    directory: Path
    head: Float[Tensor, "vocabulary width"]
    model: Any | None
    why_not: str
    """Why there are no states; empty if there are."""


def open_student(open_: OpenCheckpoint) -> Student:
    """Load the student of a checkpoint, or as much of it as is there.

    Raises:
        TrainingError: not even its head is there, or logits are not states times head.
    """
    checkpoint, source = open_.checkpoint, open_.student.source
    own = checkpoint.path / STUDENT
    directory = own if own.is_dir() else model_directory(source, checkpoint.path)
    model, missing = load(directory)
    head = plain_head(model)
    names = [name for name, tensor in model.named_parameters() if tensor is head]
    if any(name in missing for name in names):
        remedy = "Name the whole student with --student."
        raise TrainingError(Problem(str(directory), "the student's head", "its embedding table alone", remedy))
    recipe: Any = checkpoint.recipe.get("student")
    was_trained = isinstance(recipe, dict) and recipe.get("train", "nothing") != "nothing"  # pyright: ignore
    if S2T not in checkpoint.projectors:
        return Student(directory, head, None, "this checkpoint has no s2t projector")
    if missing or (was_trained and directory != own):
        return Student(directory, head, None, "the student's layers were trained and are not in this checkpoint")
    return Student(directory, head, model, "")


def model_directory(source: str, relative_to: Path) -> Path:
    """The directory of a source that may be relative to a checkpoint's."""
    place = relative_to / source
    return place if is_here(source, relative_to) and place.is_dir() else directory_of(source)


def load(directory: Path) -> tuple[Any, frozenset[str]]:
    """A causal language model in float32, adapters merged, and the names of weights that its files do not hold.

    Raises:
        TrainingError: it is no such model.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        if (directory / ADAPTER).is_file():
            from peft import AutoPeftModelForCausalLM

            adapted: Any = AutoPeftModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
            return adapted.merge_and_unload().eval().requires_grad_(False), frozenset()
        loaded: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, SafetensorError) as error:
        got, remedy = str(error).partition("\n")[0], "Name a model directory."
        raise TrainingError(Problem(str(directory), "a causal language model", got, remedy)) from error
    model, told = loaded
    return model.eval().requires_grad_(False), frozenset(told["missing_keys"])


def load_whole(directory: Path) -> Any:
    """The same, of which nothing may be missing.

    Raises:
        TrainingError: it is no such model, or weights are missing.
    """
    model, missing = load(directory)
    if missing:
        got = f"no weights {', '.join(sorted(missing)[:3])}"
        raise TrainingError(Problem(str(directory), "a whole model", got, "Name another copy with --teacher."))
    plain_head(model)
    return model


def projectors_of(checkpoint: Checkpoint) -> Projectors:
    """All projectors of a checkpoint for torch, fixed."""
    structures = {name: projector.structure for name, projector in checkpoint.projectors.items()}
    made = Projectors(structures, student=checkpoint.student.width, teacher=checkpoint.teacher.width, seed=0)
    with torch.no_grad():
        for name, projector in checkpoint.projectors.items():
            for key, tensor in made[name].tensors.items():
                tensor.copy_(torch.from_numpy(projector.tensors[key]))
    return made.requires_grad_(False)
