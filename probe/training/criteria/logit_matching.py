"""Objectives without projectors: within one vocabulary sft and kd, across two ULD and MinED, which match logits.

sft:    loss = CE
kd:     KD = D(teacher, student)
uld:    KD = Σ_i Σ_r |q_i(r) - p_i(r)|       sorted probabilities of the i-th targets of both sides, temperature 1
mined:  KD = Σ_i KL(p~_i ‖ q_i)              p~: the teacher's logits, moved to the student's vocabulary
loss = (1 - kd_rate) · CE + kd_rate · KD
"""

import torch

from probe.training.criteria.divergences import divergence, forward_kl, sorted_distance
from probe.training.criteria.dual_space import check_same_tokens
from probe.training.criteria.step import Step, Terms
from probe.training.criteria.views import IGNORED
from probe.training.criteria.vocabulary import Guide, vocabulary_losses


def sft(step: Step) -> Terms:
    """Cross-entropy of the response, for a student or a teacher."""
    student, count = step.student, step.counts.student
    losses = vocabulary_losses(
        student.flat_states, student.head, student.targets, step.workspace, label_weight=1 / count
    )
    nll = losses.nll / count
    return Terms(losses.loss, {"loss": nll, "nll_loss": nll, "accuracy": losses.hits / count})


def kd(step: Step) -> Terms:
    """Knowledge distillation by one of six divergences. Of heads of different length (padding), the common part counts.

    Raises:
        TrainingError: the two sides' targets differ.
    """
    student, teacher, objective = step.student, step.teacher, step.objective
    check_same_tokens(student, teacher)
    shared = min(len(student.head), len(teacher.head))
    guide = Guide(
        states=teacher.flat_states,
        head=teacher.head[:shared],
        divergence=divergence(objective),
        weight=objective.kd_rate / step.counts.student,
        temperature=objective.temperature,
        shared=shared,
    )
    return _terms(step, guide, "kd_loss")


def uld(step: Step) -> Terms:
    """Universal logit distillation (Boizard et al. 2024): the n-th target of one side faces the n-th of the other.

    Targets that only the longer side has are left out. Temperatures play no part.
    """
    student, teacher = step.student, step.teacher
    order = [mask.cumsum(-1) - 1 for mask in (student.tokens.mask, teacher.tokens.mask)]
    has_partner = student.tokens.mask & (order[0] < teacher.tokens.mask.sum(-1, keepdim=True))
    begins = teacher.tokens.mask.sum(-1).cumsum(0) - teacher.tokens.mask.sum(-1)
    # Of rows without a partner any teacher row will do: they do not count.
    facing = torch.where(has_partner, order[0], 0) + begins[:, None]
    mask = student.tokens.mask
    guide = Guide(
        states=teacher.flat_states[facing[mask]],
        head=teacher.head,
        divergence=sorted_distance,
        weight=step.objective.kd_rate / step.counts.student,
        rows=has_partner[mask],
    )
    return _terms(step, guide, "uld_loss")


def mined(step: Step) -> Terms:
    """Minimum-edit-distance distillation (Wan et al. 2024, FuseLLM; Zhang et al. 2024).

    Links join at most one teacher position with a student position: where the time-warped alignment is one to one and
    the vocabulary map takes the teacher's *input* token to the student's. Elsewhere the guide is the label.
    """
    student, teacher, links = step.student, step.teacher, step.links
    head = step.need(step.mapped_head, "the teacher's head in the student's vocabulary", "Map it first.")
    mask = student.tokens.mask
    linked = links.any(-1)
    partner = links.to(torch.int8).argmax(-1)
    states = teacher.states.take_along_dim(partner[..., None], dim=1)
    guide = Guide(
        states=states[mask],
        head=head.weight,
        divergence=forward_kl,
        weight=step.objective.kd_rate / step.counts.student,
        temperature=step.objective.temperature,
        offset=head.offset,
        certain=torch.where(linked, IGNORED, student.tokens.targets)[mask],
    )
    return _terms(step, guide, "forward_kl")


def _terms(step: Step, guide: Guide, name: str) -> Terms:
    student, count = step.student, step.counts.student
    label_weight = (1 - step.objective.kd_rate) / count
    losses = vocabulary_losses(
        student.flat_states, student.head, student.targets, step.workspace, label_weight=label_weight, guide=guide
    )
    log = {"nll_loss": losses.nll / count, name: losses.divergence / count, "accuracy": losses.hits / count}
    return Terms(losses.loss, {"loss": losses.loss.detach(), **log})
