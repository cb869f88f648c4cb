"""The frozen side of a pre-training run, and batches of response positions gathered from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.checkpoints.checkpoint import Scales
from probe.training.criteria.views import Tokens, embed, response_positions
from probe.training.examples import Encoded
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
