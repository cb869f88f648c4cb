"""Objectives without projectors: fine-tuning, and distillation between models that share a vocabulary.

sft:  loss = CE                                     kd:  loss = (1 - kd_rate) · CE + kd_rate · D(teacher, student)
"""

from probe.training.criteria.divergences import divergence
from probe.training.criteria.dual_space import Terms, check_same_tokens
from probe.training.criteria.settings import Objective
from probe.training.criteria.views import Counts, View
from probe.training.criteria.vocabulary import Guide, Workspace, vocabulary_losses


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
