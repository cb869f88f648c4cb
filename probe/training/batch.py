"""The frozen side of a run, and batches of response positions gathered from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.attention import bigrams
from probe.checkpoint import Scales
from probe.training.data import Encoded
from probe.training.teacher_states import TeacherStates


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
    """Response positions of a few examples, padded at the end; masks are true where a position exists."""

    student_bigrams: Float[Tensor, "batch student two_student_widths"]
    teacher_bigrams: Float[Tensor, "batch teacher two_teacher_widths"]
    teacher_targets: Float[Tensor, "batch teacher teacher_width"]
    teacher_states: Float[Tensor, "batch teacher teacher_width"]
    labels: Int[Tensor, "batch student"]
    student_mask: Bool[Tensor, "batch student"]
    teacher_mask: Bool[Tensor, "batch teacher"]


def make_batch(inputs: PretrainInputs, rows: Sequence[int]) -> Batch:
    """Gather and pad the given examples."""
    student_inputs, labels, student_mask = _pad([inputs.student[row] for row in rows])
    teacher_inputs, teacher_labels, teacher_mask = _pad([inputs.teacher[row] for row in rows])
    states = torch.zeros((*teacher_labels.shape, inputs.teacher_table.shape[1]))
    for number, row in enumerate(rows):
        state = torch.from_numpy(np.array(inputs.states.of(row)))
        states[number, : len(state)] = state
    targets = inputs.teacher_table[teacher_labels]
    return Batch(
        student_bigrams=bigrams(inputs.student_table[student_inputs], inputs.student_table[labels]),
        teacher_bigrams=bigrams(inputs.teacher_table[teacher_inputs], targets),
        teacher_targets=targets,
        teacher_states=states,
        labels=labels,
        student_mask=student_mask,
        teacher_mask=teacher_mask,
    )


def _pad(examples: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(example.targets) for example in examples)
    inputs = torch.zeros((len(examples), longest), dtype=torch.long)
    targets = torch.zeros_like(inputs)
    mask = torch.zeros_like(inputs, dtype=torch.bool)
    for row, example in enumerate(examples):
        inputs[row, : len(example.inputs)] = torch.from_numpy(example.inputs)
        targets[row, : len(example.targets)] = torch.from_numpy(example.targets)
        mask[row, : len(example.targets)] = True
    return inputs, targets, mask
