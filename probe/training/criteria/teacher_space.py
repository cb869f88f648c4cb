"""KL(teacher ‖ s2t) in the teacher's space, the most expensive term where the teacher's vocabulary is large.

    KL_j = Σ_v p_jv (ln p_jv - ln q_jv),  p_j = softmax(head h_j / T),  q_j = softmax(head u_j / T)

Both distributions come from the same head, so what of p_j meets u_j is the head row that the teacher expects:

    KL_j = -H(p_j) - e_j · u_j / T + ln Σ_v exp(head_v · u_j / T),   e_j = Σ_v p_jv head_v
    ∂KL_j / ∂u_j = (Σ_v q_jv head_v - e_j) / T

e_j and H(p_j) depend on the frozen teacher alone. Cached beside its states, they halve the cost of a step's s2t term:
no teacher logits are made again.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.training.criteria.divergences import forward_kl
from probe.training.criteria.views import at_least_float32
from probe.training.criteria.vocabulary import Guide, Workspace, logits_into, through_head, vocabulary_losses


class Expectations(NamedTuple):
    """What the teacher's predictions at temperature T amount to, one row for each target."""

    rows: Float[Tensor, "targets width"]
    """e_j, the head row that the teacher expects."""
    entropies: Float[Tensor, " targets"]
    """H(p_j), nats."""


class TeacherSpaceLosses(NamedTuple):
    """Sums over the teacher's targets."""

    divergence: Float[Tensor, ""]
    """Differentiable in the s2t states."""
    hits: Float[Tensor, ""]
    """How often the s2t logits' argmax is the teacher's target."""


def expectations(
    states: Float[Tensor, "targets width"],
    head: Float[Tensor, "vocabulary width"],
    temperature: float,
    workspace: Workspace,
) -> Expectations:
    """Expected head rows and entropies of a teacher's predictions, in chunks."""
    states = at_least_float32(states)
    rows, entropies = torch.empty_like(states), states.new_empty(len(states))
    step = workspace.rows([len(head)], states.dtype)
    with torch.no_grad():
        for begin in range(0, len(states), step):
            chunk = slice(begin, min(begin + step, len(states)))
            logits, p = (workspace.buffer(slot, chunk.stop - begin, len(head), states, states.dtype) for slot in (0, 1))
            logits_into(logits, states[chunk], head)
            torch.log_softmax(logits.div_(temperature), -1, out=logits)
            torch.exp(logits, out=p)
            entropies[chunk] = -torch.linalg.vecdot(p, logits)
            rows[chunk] = through_head(p, head)
    return Expectations(rows, entropies)


def predictions(
    states: Float[Tensor, "targets width"], head: Float[Tensor, "vocabulary width"], workspace: Workspace
) -> Int[Tensor, " targets"]:
    """The tokens that the teacher finds likeliest, in chunks."""
    likeliest = torch.empty(len(states), dtype=torch.long, device=states.device)
    step = workspace.rows([len(head)], states.dtype)
    for begin in range(0, len(states), step):
        chunk = slice(begin, min(begin + step, len(states)))
        logits = workspace.buffer(0, chunk.stop - begin, len(head), states, states.dtype)
        likeliest[chunk] = logits_into(logits, states[chunk], head).argmax(-1)
    return likeliest


def teacher_space_losses(
    projected: Float[Tensor, "targets width"],
    states: Float[Tensor, "targets width"],
    head: Float[Tensor, "vocabulary width"],
    targets: Int[Tensor, " targets"],
    temperature: float,
    workspace: Workspace,
    expected: Expectations | None = None,
) -> TeacherSpaceLosses:
    """Σ_j KL(teacher ‖ s2t); from expectations at this temperature where they are given."""
    if expected is None:
        guide = Guide(states, head, forward_kl, weight=1.0, temperature=temperature)
        losses = vocabulary_losses(projected, head.detach(), targets, workspace, label_weight=None, guide=guide)
        return TeacherSpaceLosses(losses.loss, losses.hits)
    # The cross-entropy to a soft target is linear in it, so the target's own row stands for a whole distribution.
    projected = at_least_float32(projected)
    cross, hits = _SoftCrossEntropy.apply(projected, head.detach(), expected.rows, targets, temperature, workspace)  # type: ignore[misc]
    return TeacherSpaceLosses(cross - expected.entropies.sum(), hits)


class _SoftCrossEntropy(torch.autograd.Function):
    """Σ_j [ln Σ_v exp(head_v · u_j / T) - e_j · u_j / T], and hits."""

    @staticmethod
    def forward(
        ctx: object,
        projected: Tensor,
        head: Tensor,
        rows: Tensor,
        targets: Tensor,
        temperature: float,
        workspace: Workspace,
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(projected)
        total, hits = projected.new_zeros(()), projected.new_zeros(())
        step = workspace.rows([len(head)], projected.dtype)
        for begin in range(0, len(projected), step):
            chunk = slice(begin, min(begin + step, len(projected)))
            logits = workspace.buffer(0, chunk.stop - begin, len(head), projected, projected.dtype)
            logits_into(logits, projected[chunk], head)
            largest, argmax = logits.div_(temperature).max(-1, keepdim=True)
            hits += (argmax[:, 0] == targets[chunk]).sum()
            # Softmax by hand: its normaliser is the loss.
            sums = logits.sub_(largest).exp_().sum(-1, keepdim=True)
            total += (sums.log() + largest).sum()
            gradient[chunk] = through_head(logits, head).div_(sums)
        gradient.sub_(rows).div_(temperature)
        total -= (rows * projected).sum() / temperature
        ctx.save_for_backward(gradient)  # type: ignore[attr-defined]
        ctx.mark_non_differentiable(hits)  # type: ignore[attr-defined]
        return total, hits

    @staticmethod
    def backward(ctx: object, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * upstream[0], None, None, None, None, None
