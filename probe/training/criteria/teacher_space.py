"""KL(teacher ‖ s2t) in the teacher's space, the most expensive term where the teacher's vocabulary is large.

    KL_j = Σ_v p_jv (ln p_jv - ln q_jv),  p_j = softmax(head h_j / T),  q_j = softmax(head u_j / T)

Both distributions come from the same head, so what of p_j meets u_j is the head row that the teacher expects:

    KL_j = -H(p_j) - e_j · u_j / T + ln Σ_v exp(head_v · u_j / T),   e_j = Σ_v p_jv head_v
    ∂KL_j / ∂u_j = (Σ_v q_jv head_v - e_j) / T

e_j and H(p_j) depend on the frozen teacher alone. Cached beside its states, they halve the cost of a step's s2t term.
Logits are made in blocks that the processor's cache holds, and the head is read once for all rows: without a cache that
is four products with it. Three would do, but their logits have to wait in memory for the sums over all of the
vocabulary, which was slower at a width of 384.
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.training.criteria.logits import Workspace, argmax, logits_into, through_head
from probe.training.criteria.views import at_least_float32


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
    states = at_least_float32(states) / temperature
    with torch.no_grad():
        rows, normalisers, _ = _softmax_of_head(states, head, workspace)
        # What the teacher expects of its logits is the logit of what it expects.
        return Expectations(rows, normalisers - (rows * states).sum(-1))


def predictions(
    states: Float[Tensor, "targets width"], head: Float[Tensor, "vocabulary width"], workspace: Workspace
) -> Int[Tensor, " targets"]:
    """The tokens that the teacher finds likeliest, in chunks."""
    likeliest = torch.empty(len(states), dtype=torch.long, device=states.device)
    step = workspace.rows([len(head)], states.dtype)
    for begin in range(0, len(states), step):
        chunk = slice(begin, min(begin + step, len(states)))
        logits = workspace.buffer(0, chunk.stop - begin, len(head), states, states.dtype)
        likeliest[chunk] = argmax(logits_into(logits, states[chunk], head))
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
        expected = expectations(states, head, temperature, workspace)
    # Logits of divided states are divided logits, and a state has fewer numbers.
    own = at_least_float32(projected) / temperature
    # The cross-entropy to a soft target is linear in it, so the target's own row stands for a whole distribution.
    return TeacherSpaceLosses(*_SoftCrossEntropy.apply(own, head.detach(), *expected, targets, workspace))  # type: ignore[misc]


class _Softmax:
    """What is known of the softmax of rows whose logits come block by block.

    Sums are relative to the largest logit so far; where a larger one comes, what was summed before shrinks.
    """

    def __init__(self, states: Float[Tensor, "rows width"]) -> None:
        self.largest = states.new_full((len(states), 1), -math.inf)
        self.sums = torch.zeros_like(self.largest)
        self.argmax = torch.zeros_like(self.largest, dtype=torch.long)

    def add(self, logits: Float[Tensor, "rows block"], begin: int) -> Float[Tensor, "rows 1"]:
        """Take the columns from ``begin`` on, and leave their exponentials; returns by how much earlier sums shrink."""
        here = argmax(logits)[:, None]
        top = logits.gather(-1, here)
        self.argmax = torch.where(top > self.largest, begin + here, self.argmax)
        top = torch.maximum(self.largest, top)
        shrink = (self.largest - top).exp_()
        self.sums.mul_(shrink).add_(logits.sub_(top).exp_().sum(-1, keepdim=True))
        self.largest = top
        return shrink


def _softmax_of_head(
    states: Float[Tensor, "rows width"], head: Float[Tensor, "vocabulary width"], workspace: Workspace
) -> tuple[Float[Tensor, "rows width"], Float[Tensor, " rows"], Int[Tensor, " rows"]]:
    """Of logits ``states @ head.T``: the head rows that their softmax expects, log normalisers, and argmax."""
    rows, normalisers = torch.zeros_like(states), states.new_empty(len(states))
    places = torch.empty(len(states), dtype=torch.long, device=states.device)
    height, width = workspace.block(len(states), states)
    for top in range(0, len(states), height):
        chunk = slice(top, top + height)
        part, softmax, expected = states[chunk], _Softmax(states[chunk]), rows[chunk]
        for begin in range(0, len(head), width):
            columns = head[begin : begin + width]
            block = logits_into(workspace.buffer(0, len(part), len(columns), part, part.dtype), part, columns)
            expected.mul_(softmax.add(block, begin)).add_(through_head(block, columns))
        expected.div_(softmax.sums)
        normalisers[chunk] = (softmax.sums.log() + softmax.largest)[:, 0]
        places[chunk] = softmax.argmax[:, 0]
    return rows, normalisers, places


class _SoftCrossEntropy(torch.autograd.Function):
    """Σ_j [ln Σ_v exp(head_v · u_j) - e_j · u_j - H_j] of divided states u, and hits."""

    @staticmethod
    def forward(
        ctx: Any, own: Tensor, head: Tensor, rows: Tensor, entropies: Tensor, targets: Tensor, workspace: Workspace
    ) -> tuple[Tensor, Tensor]:
        gradient, normalisers, places = _softmax_of_head(own, head, workspace)
        # Row by row, for the sums of all rows are large and nearly equal.
        values = normalisers - (rows * own).sum(-1) - entropies
        hits = (places == targets).sum().to(values.dtype)
        ctx.save_for_backward(gradient.sub_(rows))
        ctx.mark_non_differentiable(hits)
        return values.sum(), hits

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.saved_tensors[0] * upstream[0], None, None, None, None, None
