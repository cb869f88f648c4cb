"""Projector pre-training: query and t2s learn from the t2s cross-entropy alone, student and teacher frozen.

    v_j = W_t2s (h_j / hidden_scale + E_t(y_{j+1}) / target_scale)
    t2s logits_i = (Σ_j A_ij v_j) · student head          loss = Σ_i CE(t2s logits_i, x_{i+1}) / number of targets

The student's layers never run, and the teacher ran once: a step costs the head's two matrix products.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.checkpoints.checkpoint import Scales
from probe.projectors import QUERY, STRUCTURES, T2S
from probe.training.criteria.cma import attend, keys, queries, teacher_values
from probe.training.criteria.logits import Workspace
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.views import Tokens, embed, response_positions
from probe.training.criteria.vocabulary import vocabulary_losses
from probe.training.examples import Encoded, batches
from probe.training.progress import Progress
from probe.training.projector_loop import LoopSettings, Loss, optimise
from probe.training.teacher.states import TeacherStates


@dataclass(frozen=True)
class PretrainInputs:
    """The frozen side of a run: tables, head, examples of both models, teacher states, scales."""

    student_table: Float[Tensor, "student_vocabulary student_width"]
    teacher_table: Float[Tensor, "teacher_vocabulary teacher_width"]
    head: Float[Tensor, "student_vocabulary student_width"]
    student: Sequence[Encoded]
    teacher: Sequence[Encoded]
    states: TeacherStates
    scales: Scales


class Batch(NamedTuple):
    """Response positions of a few examples. The student's states are not there: it never runs."""

    student: Tokens
    teacher: Tokens
    teacher_states: Float[Tensor, "batch teacher teacher_width"]


def make_batch(inputs: PretrainInputs, rows: Sequence[int]) -> Batch:
    """Gather and pad the given examples."""
    student = response_positions([inputs.student[row] for row in rows])
    teacher = response_positions([inputs.teacher[row] for row in rows])
    states = torch.zeros((*teacher.targets.shape, inputs.teacher_table.shape[1]))
    for number, row in enumerate(rows):
        state = torch.from_numpy(np.array(inputs.states.of(row)))
        states[number, : len(state)] = state
    return Batch(embed(inputs.student_table, student), embed(inputs.teacher_table, teacher), states)


def t2s_loss(
    projectors: Projectors, batch: Batch, head: Tensor, scales: Scales, workspace: Workspace
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean t2s cross-entropy in nats per student target, and the number of targets that the argmax hits."""
    student, teacher = batch.student, batch.teacher
    attention = attend(queries(student, projectors), keys(teacher, scales), student.mask, teacher.mask)
    mixed = attention.over_teacher @ teacher_values(teacher, batch.teacher_states, projectors, scales)
    targets = student.targets[student.mask]
    losses = vocabulary_losses(mixed[student.mask], head, targets, workspace, label_weight=1 / len(targets))
    return losses.loss, losses.hits


def pretrain(inputs: PretrainInputs, settings: LoopSettings, directory: Path) -> Projectors:
    """Train, leaving log and state in ``directory``; goes on where a killed run stopped.

    Raises:
        TrainingError: the loss is not finite, or the state in the directory belongs to other settings.
    """
    *_, (_, projectors) = pretrain_steps(inputs, settings, directory, every=settings.steps)
    return projectors


def pretrain_steps(
    inputs: PretrainInputs, settings: LoopSettings, directory: Path, *, every: int
) -> Iterator[tuple[int, Projectors]]:
    """Train as `pretrain` does, and pause before the first step, after every so many, and after the last.

    Yields:
        Steps taken, and the projectors, which training goes on to change.

    Raises:
        TrainingError: as `pretrain`.
    """
    projectors = Projectors(
        {name: STRUCTURES[name] for name in (QUERY, T2S)},
        student=inputs.student_table.shape[1],
        teacher=inputs.teacher_table.shape[1],
        seed=settings.seed,
    )
    workspace = Workspace()

    def loss_of(rows: Sequence[int]) -> Loss:
        batch = make_batch(inputs, rows)
        loss, hits = t2s_loss(projectors, batch, inputs.head, inputs.scales, workspace)
        targets = int(batch.student.mask.sum())
        accuracy = round(int(hits) / targets, 4)
        return Loss(loss, {"t2s_ce": round(float(loss.detach()), 4), "t2s_accuracy": accuracy, "targets": targets})

    order = (rows for _, rows in batches([len(e.targets) for e in inputs.student], settings.batch_size, settings.seed))
    progress = Progress(directory, asdict(settings))
    for step in optimise(projectors, order, loss_of, settings, progress, every=every, title="t2s cross-entropy"):
        yield step, projectors
