"""Objectives without projectors: within one vocabulary sft and kd, across two ULD and MinED, which match logits.

sft:    loss = CE
kd:     KD = D(teacher, student)
uld:    KD = Σ_i Σ_r |q_i(r) - p_i(r)|       sorted probabilities of the i-th targets of both sides, temperature 1
mined:  KD = Σ_i KL(p~_i ‖ q_i)              p~: the teacher's logits, moved to the student's vocabulary
loss = (1 - kd_rate) · CE + kd_rate · KD
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from probe.training.criteria.divergences import divergence, forward_kl, sorted_distance
from probe.training.criteria.dual_space import Terms, check_same_tokens
from probe.training.criteria.settings import Objective
from probe.training.criteria.views import IGNORED, Counts, View
from probe.training.criteria.vocabulary import NOWHERE, Guide, Workspace, vocabulary_losses


def sft(student: View, counts: Counts, workspace: Workspace) -> Terms:
    """Cross-entropy of the response, for a student or a teacher."""
    losses = vocabulary_losses(
        student.flat_states, student.head, student.targets, workspace, label_weight=1 / counts.student
    )
    nll = losses.nll / counts.student
    return Terms(losses.loss, {"loss": nll, "nll_loss": nll, "accuracy": losses.hits / counts.student})


def kd(student: View, teacher: View, objective: Objective, counts: Counts, workspace: Workspace) -> Terms:
    """Knowledge distillation by one of six divergences. Of heads of different length (padding), the common part counts.

    Raises:
        TrainingError: the two sides' targets differ.
    """
    check_same_tokens(student, teacher)
    shared = min(len(student.head), len(teacher.head))
    guide = Guide(
        states=teacher.flat_states,
        head=teacher.head[:shared],
        divergence=divergence(objective),
        weight=objective.kd_rate / counts.student,
        temperature=objective.temperature,
        shared=shared,
    )
    label_weight = (1 - objective.kd_rate) / counts.student
    losses = vocabulary_losses(
        student.flat_states, student.head, student.targets, workspace, label_weight=label_weight, guide=guide
    )
    return Terms(
        losses.loss,
        {
            "loss": losses.loss.detach(),
            "nll_loss": losses.nll / counts.student,
            "kd_loss": losses.divergence / counts.student,
            "accuracy": losses.hits / counts.student,
        },
    )


def uld(student: View, teacher: View, objective: Objective, counts: Counts, workspace: Workspace) -> Terms:
    """Universal logit distillation (Boizard et al. 2024): the n-th target of one side faces the n-th of the other.

    Targets that only the longer side has are left out. Temperatures play no part.
    """
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
        weight=objective.kd_rate / counts.student,
        rows=has_partner[mask],
    )
    return _terms(student, guide, objective, counts, workspace, "uld_loss")


def mined(
    student: View,
    teacher: View,
    links: Bool[Tensor, "batch student teacher"],
    head: "MappedHead",
    objective: Objective,
    counts: Counts,
    workspace: Workspace,
) -> Terms:
    """Minimum-edit-distance distillation (Wan et al. 2024, FuseLLM; Zhang et al. 2024).

    Args:
        student: the side that learns.
        teacher: the frozen side.
        links: at most one teacher position for a student position: where the time-warped alignment is one to one and
            the vocabulary map takes the teacher's *input* token to the student's. Elsewhere the guide is the label.
        head: the teacher's head in the student's vocabulary.
        objective: kd_rate and temperature.
        counts: what sums are divided by.
        workspace: for logits.
    """
    mask = student.tokens.mask
    linked = links.any(-1)
    partner = links.to(torch.int8).argmax(-1)
    states = teacher.states.take_along_dim(partner[..., None], dim=1)
    guide = Guide(
        states=states[mask],
        head=head.weight,
        divergence=forward_kl,
        weight=objective.kd_rate / counts.student,
        temperature=objective.temperature,
        offset=head.offset,
        certain=torch.where(linked, IGNORED, student.tokens.targets)[mask],
    )
    return _terms(student, guide, objective, counts, workspace, "forward_kl")


class MappedHead(nn.Module):
    """A teacher's head with one row for each token of the student's vocabulary, from a vocabulary map.

    Of several teacher tokens that map to one student token, the first speaks for it. Student tokens that none maps to
    have no probability.
    """

    weight: Tensor
    offset: Tensor

    def __init__(
        self,
        head: Float[Tensor, "teacher_vocabulary width"],
        student_of_teacher: Int[Tensor, " teacher_vocabulary"],
        student_rows: int,
    ) -> None:
        super().__init__()
        mapped = student_of_teacher >= 0
        student_ids, first = np.unique(student_of_teacher[mapped].numpy(), return_index=True)
        teacher_ids = mapped.nonzero()[:, 0][torch.from_numpy(first)]
        weight = head.new_zeros((student_rows, head.shape[1]))
        weight[student_ids] = head[teacher_ids]
        offset = head.new_full((student_rows,), NOWHERE)
        offset[student_ids] = 0.0
        # Buffers, to go where the criterion goes; the teacher is at hand, so nobody need save them.
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("offset", offset, persistent=False)


def _terms(student: View, guide: Guide, objective: Objective, counts: Counts, workspace: Workspace, name: str) -> Terms:
    losses = vocabulary_losses(
        student.flat_states,
        student.head,
        student.targets,
        workspace,
        label_weight=(1 - objective.kd_rate) / counts.student,
        guide=guide,
    )
    return Terms(
        losses.loss,
        {
            "loss": losses.loss.detach(),
            "nll_loss": losses.nll / counts.student,
            name: losses.divergence / counts.student,
            "accuracy": losses.hits / counts.student,
        },
    )
