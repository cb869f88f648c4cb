"""Dual-space distillation over exactly aligned tokens (ETA, Zhang et al. 2025, DSKDv2).

The two sides meet only where a target is the same bytes of the text. There the teacher's own prediction y^_j, moved to
the student's vocabulary, is what t2s learns; elsewhere, and where the student has no such token, nothing but the
student's cross-entropy counts. M is the set of pairs that meet:

    KD   = mean_M CE(t2s h_j, y^_j) + mean_M D(t2s h_j, student_i) · [t2s argmax is y^_j] + mean_M D(teacher_j, s2t h_i)
    loss = (1 - kd_rate) · mean CE + kd_rate · KD

Unlike in `dual_space`, terms are divided by their own counts, and D acts in both spaces. DSKDv2 divides the second term
by the number of agreeing pairs, and all by those that remain; here all three are divided by the pairs that meet, a
number that is known before any model runs, so that sums add up over parts and processes of a batch.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.projectors import S2T, T2S, project
from probe.training.criteria.divergences import divergence
from probe.training.criteria.step import Step, Terms
from probe.training.criteria.teacher_space import predictions
from probe.training.criteria.views import IGNORED, View
from probe.training.criteria.vocabulary import Guide, vocabulary_losses


def eta(step: Step) -> Terms:
    """The objective over links that join at most one position with one, see `links.exact_links`."""
    student, teacher, objective, counts = step.student, step.teacher, step.objective, step.counts
    ids: Tensor = step.need(step.student_of_teacher, "a map of teacher to student tokens", "Make it first.")
    beside = _beside(student, teacher, step.links)
    predicted = ids[predictions(beside.states, teacher.head, step.workspace)]
    kept = beside.linked & (predicted >= 0)
    pairs = max(counts.pairs, 1)
    share = objective.kd_rate / pairs
    drawn = divergence(objective)
    guide = Guide(
        states=project(step.projectors[T2S], beside.states),
        head=student.head.detach(),
        divergence=drawn,
        weight=0.0 if objective.only_projectors else share * objective.divergence_rate,
        temperature=objective.temperature,
        rows=kept,
        only_hits=True,
        labels=torch.where(kept, predicted, IGNORED),
        label_weight=share,
    )
    label_weight = (1 - objective.kd_rate) / counts.student
    space = vocabulary_losses(
        student.flat_states, student.head, student.targets, step.workspace, label_weight=label_weight, guide=guide
    )
    log = {
        "nll_loss": space.nll / counts.student,
        "accuracy": space.hits / counts.student,
        "t2s_ce_loss": space.guide_nll / pairs,
        "t2s_agreement": space.guide_hits / pairs,
        "align_ratio": beside.linked.sum() / counts.student,
        "kept_ratio": kept.sum() / counts.student,
    }
    if objective.only_projectors:
        return Terms(space.loss, {"loss": space.loss.detach(), **log, "kd_loss": log["t2s_ce_loss"]})
    other = vocabulary_losses(
        project(step.projectors[S2T], student.flat_states[kept]),
        teacher.head,
        beside.targets[kept],
        step.workspace,
        label_weight=None,
        guide=Guide(
            beside.states[kept],
            teacher.head,
            drawn,
            weight=share * objective.s2t_rate,
            temperature=objective.temperature,
        ),
    )
    loss = space.loss + other.loss
    log |= {
        "t2s_kd_loss": space.divergence / pairs,
        "s2t_kd_loss": other.divergence / pairs,
        "s2t_acc": other.hits / pairs,
    }
    kd = log["t2s_ce_loss"] + log["t2s_kd_loss"] + log["s2t_kd_loss"]
    return Terms(loss, {"loss": loss.detach(), **log, "kd_loss": kd})


class _Beside(NamedTuple):
    """The teacher's part of each student target's pair; of no meaning where there is none."""

    states: Float[Tensor, "student_targets teacher_width"]
    targets: Int[Tensor, " student_targets"]
    linked: Bool[Tensor, " student_targets"]


def _beside(student: View, teacher: View, links: Bool[Tensor, "batch student teacher"]) -> _Beside:
    mask, partner = student.tokens.mask, links.to(torch.int8).argmax(-1)
    states = teacher.states.take_along_dim(partner[..., None], dim=1)
    return _Beside(states[mask], teacher.tokens.targets.take_along_dim(partner, dim=1)[mask], links.any(-1)[mask])
