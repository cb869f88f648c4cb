"""The frozen side of the probe: what is read and run once, whatever attention is asked about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.checkpoints.checkpoint import STUDENT, Checkpoint, Scales
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import Problem, TrainingError, option
from probe.functional.attentions import target_sets
from probe.functional.texts import Text, cached_states, encode, texts_of
from probe.gold.rows import GoldRow
from probe.models.sources import is_here
from probe.projectors import S2T, T2S
from probe.training.criteria.logits import Workspace
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.views import plain_head
from probe.training.examples import Encoded
from probe.training.model_files import causal_model, directory_of
from probe.training.teacher.states import TeacherStates, estimate_scales


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
    model, missing = causal_model(directory, torch.float32)
    head = plain_head(model)
    names = [name for name, tensor in model.named_parameters() if tensor is head]
    if any(name in missing for name in names):
        remedy = f"Name the whole student with {option('--student')}."
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


def load_whole(directory: Path) -> Any:
    """A causal language model in float32, of which nothing may be missing.

    Raises:
        TrainingError: it is no such model, or weights are missing.
    """
    model, missing = causal_model(directory, torch.float32)
    if missing:
        got = f"no weights {', '.join(sorted(missing)[:3])}"
        raise TrainingError(
            Problem(str(directory), "a whole model", got, f"Name another copy with {option('--teacher')}.")
        )
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


@dataclass(frozen=True)
class Inputs:
    """The frozen side: texts, heads, projectors, scales, and which targets of each text are counted."""

    texts: tuple[Text, ...]
    student_sets: tuple[Float[np.ndarray, "sets _"], ...]
    teacher_sets: tuple[Float[np.ndarray, "sets _"], ...]
    head: Float[Tensor, "student_vocabulary student_width"]
    teacher_head: Float[Tensor, "teacher_vocabulary teacher_width"] | None
    projectors: Projectors
    scales: Scales
    workspace: Workspace


def gather(open_: OpenCheckpoint, rows: Sequence[GoldRow], student: Student) -> tuple[Inputs, tuple[str, ...]]:
    """Everything that stays fixed, and the names of scales that had to be estimated.

    Raises:
        TrainingError: there is no t2s projector, a model is not whole, or a text is longer than it can read.
    """
    checkpoint = open_.checkpoint
    if T2S not in checkpoint.projectors:
        got = ", ".join(checkpoint.projectors) or "none"
        raise TrainingError(Problem(checkpoint.name, "a t2s projector", got, "Probe a checkpoint that has one."))
    sides = [row.student for row in rows], [row.teacher for row in rows]
    examples = encode(open_.teacher, checkpoint.prompt, sides[1])
    directory = model_directory(open_.teacher.source, checkpoint.path)
    states = cached_states(directory, lambda: load_whole(directory), examples)
    own = head = None
    if student.model is not None:
        own = cached_states(
            student.directory, lambda: student.model, encode(open_.student, checkpoint.prompt, sides[0])
        )
        head = load_whole(directory).get_output_embeddings().weight
    scales, estimated = _scales(open_, examples, states)
    inputs = Inputs(
        texts=tuple(texts_of(open_, *sides, states, own)),
        student_sets=tuple(target_sets(row) for row in rows),
        teacher_sets=tuple(target_sets(row.reversed) for row in rows),
        head=student.head,
        teacher_head=head,
        projectors=projectors_of(checkpoint),
        scales=scales,
        workspace=Workspace(),
    )
    return inputs, estimated


def _scales(
    open_: OpenCheckpoint, examples: Sequence[Encoded], states: TeacherStates
) -> tuple[Scales, tuple[str, ...]]:
    """The checkpoint's. A directory that stores none has those of hidden states and targets taken from these texts.

    The published code divides targets by a deviation over the same padded batch of embeddings as keys: one number.
    """
    own = open_.checkpoint.scales
    if own.hidden is not None and own.target is not None:
        return own, ()
    measured = estimate_scales(examples, open_.teacher.table.take, (states.of(i) for i in range(len(examples))))
    found = replace(own, hidden=own.hidden or measured.hidden, target=own.target or own.key)
    return found, tuple(name for name in ("hidden", "target") if getattr(own, name) is None)
