"""Dual-space distillation (DSKD): what all of its variants share, and the variant for one vocabulary.

With t2s states in the student's space and s2t states in the teacher's (Eq. 3–9, Zhang et al. 2024):

    KD   = CE(t2s logits, x_{i+1}) + D(t2s logits, student logits) + KL(teacher ‖ s2t logits)
    loss = (1 - kd_rate) · CE + kd_rate · KD

The rates divergence_rate and s2t_rate, 1 as published, multiply the last two terms of KD, to see what each does.
Logits are states times the frozen head of their space; the guide of D is detached. Sums over the response targets of
their side, all divided by the number of student targets. The variants differ in how one side's states reach the
other's positions: here they are the same positions, in `cma` attention mixes them.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.errors import Problem, TrainingError
from probe.projectors import S2T, T2S, project
from probe.training.criteria.divergences import divergence
from probe.training.criteria.step import Step, Terms
from probe.training.criteria.teacher_space import Expectations, TeacherSpaceLosses, teacher_space_losses
from probe.training.criteria.views import IGNORED, View
from probe.training.criteria.vocabulary import Guide, vocabulary_losses


class Mixed(NamedTuple):
    """States of one model at the other's targets, row by row beside them."""

    t2s: Float[Tensor, "student_targets student_width"]
    s2t: Float[Tensor, "teacher_targets teacher_width"]
    student_served: Bool[Tensor, " student_targets"] | None = None
    """Where False, no teacher position reached a student target, and t2s has nothing to say there."""
    teacher_served: Bool[Tensor, " teacher_targets"] | None = None
    """The same for s2t at the teacher's targets."""


def dskd(step: Step) -> Terms:
    """Dual-space distillation for two models with one tokenizer.

    Raises:
        TrainingError: the two sides' targets differ, so that positions do not correspond.
    """
    student, teacher, projectors = step.student, step.teacher, step.projectors
    check_same_tokens(student, teacher)
    mixed = Mixed(project(projectors[T2S], teacher.flat_states), project(projectors[S2T], student.flat_states))
    return dual_space_terms(step, mixed, only_hits=False)


def dual_space_terms(step: Step, mixed: Mixed, *, only_hits: bool) -> Terms:
    """All terms of the objective, from states that have reached the other side.

    Args:
        step: its expectations, if there are any, are at the objective's temperature.
        mixed: see `Mixed`.
        only_hits: take D only where the t2s argmax is the target, and divide t2s logits by teacher_temperature too.
    """
    student, objective, counts = step.student, step.objective, step.counts
    targets, rate = student.targets, objective.kd_rate
    guide_temperature = objective.teacher_temperature if only_hits else 1.0
    served = mixed.student_served
    guide = Guide(
        states=mixed.t2s,
        head=student.head.detach(),
        divergence=divergence(objective, guide_temperature=guide_temperature),
        weight=0.0 if objective.only_projectors else rate * objective.divergence_rate / counts.student,
        temperature=objective.temperature,
        guide_temperature=guide_temperature,
        rows=served,
        only_hits=only_hits,
        labels=targets if served is None else torch.where(served, targets, IGNORED),
        label_weight=rate / counts.student,
    )
    label_weight = (1 - rate) / counts.student
    space = vocabulary_losses(
        student.flat_states, student.head, targets, step.workspace, label_weight=label_weight, guide=guide
    )
    log = {
        "nll_loss": space.nll / counts.student,
        "accuracy": space.hits / counts.student,
        "t2s_ce_loss": space.guide_nll / counts.student,
        "t2s_acc": space.guide_hits / counts.student,
    }
    if only_hits:
        log["max_t2s_prob"] = space.guide_confidence / counts.student
    loss, kd = space.loss, log["t2s_ce_loss"]
    if not objective.only_projectors:
        other = _teacher_space(step, mixed)
        loss = loss + rate * objective.s2t_rate * other.divergence / counts.student
        log["t2s_kd_loss"] = space.divergence / counts.student
        log["s2t_kd_loss"] = other.divergence.detach() / counts.student
        log["s2t_acc"] = other.hits / counts.teacher
        kd = kd + log["t2s_kd_loss"] + log["s2t_kd_loss"]
    return Terms(loss, {"loss": loss.detach(), **log, "kd_loss": kd})


def _teacher_space(step: Step, mixed: Mixed) -> TeacherSpaceLosses:
    teacher, expected = step.teacher, None if step.side is None else step.side.expected
    rows = slice(None) if mixed.teacher_served is None else mixed.teacher_served
    return teacher_space_losses(
        mixed.s2t[rows],
        teacher.flat_states[rows],
        teacher.head,
        teacher.targets[rows],
        step.objective.temperature,
        step.workspace,
        None if expected is None else Expectations(expected.rows[rows], expected.entropies[rows]),
    )


def check_same_tokens(student: View, teacher: View) -> None:
    """Two models with one tokenizer have the same targets.

    Raises:
        TrainingError: they have not.
    """
    if not torch.equal(student.targets, teacher.targets):
        got = f"{len(student.targets)} and {len(teacher.targets)} targets that differ"
        raise TrainingError(Problem("batch", "the same tokens on both sides", got, "Use cma, uld or mined instead."))
