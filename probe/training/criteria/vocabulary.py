"""Losses over a vocabulary, without ever holding positions × vocabulary logits.

Rows of states are turned into logits a few at a time, in one workspace that all chunks and all steps share. Where the
logits are, the gradient is made too, so the forward pass leaves gradients of the size of states and head behind, and
the backward pass does no work. One pass over the student's logits serves its cross-entropy and the divergence from a
guide: the teacher's logits, or those of its states projected into the student's space.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from probe.training.criteria.divergences import Divergence
from probe.training.criteria.logits import Workspace, argmax, logits_into, through_head
from probe.training.criteria.views import IGNORED

NOWHERE = -1e5
"""A logit that leaves a token no probability; unlike minus infinity it can be multiplied by that probability."""


@dataclass(frozen=True)
class Guide:
    """What the student's distribution is drawn to: logits ``states @ head.T``, row by row beside the student's."""

    states: Float[Tensor, "rows guide_width"]
    head: Float[Tensor, "guide_vocabulary guide_width"]
    divergence: Divergence
    weight: float
    """Of the divergence in the loss."""
    temperature: float = 1.0
    """Divides the student's logits in the divergence."""
    guide_temperature: float = 1.0
    """Divides the guide's."""
    rows: Bool[Tensor, " rows"] | None = None
    """Where the divergence counts; everywhere if None."""
    only_hits: bool = False
    """Count it only where the guide's own argmax is its label, besides."""
    labels: Int[Tensor, " rows"] | None = None
    """What the guide is itself trained on by cross-entropy, -100 to leave a row out; its head stays frozen."""
    label_weight: float = 0.0
    shared: int | None = None
    """How many tokens, from the first, both vocabularies have in common; None where the divergence needs no such thing,
    or all. The guide's head has this many rows then."""
    offset: Float[Tensor, " guide_vocabulary"] | None = None
    """Added to the guide's divided logits."""
    certain: Int[Tensor, " rows"] | None = None
    """Where not -100, all of the guide's probability lies on this token."""


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


class VocabularyLosses(NamedTuple):
    """The weighted loss, and its parts as plain sums over rows, without gradient."""

    loss: Float[Tensor, ""]
    nll: Float[Tensor, ""]
    hits: Float[Tensor, ""]
    divergence: Float[Tensor, ""]
    guide_nll: Float[Tensor, ""]
    guide_hits: Float[Tensor, ""]
    guide_confidence: Float[Tensor, ""]
    """Sum of the guide's largest probability, at temperature 1."""


def vocabulary_losses(
    states: Float[Tensor, "rows width"],
    head: Float[Tensor, "vocabulary width"],
    labels: Int[Tensor, " rows"],
    workspace: Workspace,
    *,
    label_weight: float | None = 1.0,
    guide: Guide | None = None,
) -> VocabularyLosses:
    """``label_weight`` · Σ cross-entropy + what the guide adds, in nats; see `Guide`.

    Without ``label_weight`` labels serve to count hits, and ``nll`` is zero.

    Differentiable in ``states``, ``head`` and the guide's states (through the guide's own cross-entropy alone: in the
    divergence the guide is fixed), as far as they require gradients.
    """
    job = _Job(labels, workspace, label_weight, guide, torch.is_grad_enabled())
    guide_states = None if guide is None else guide.states
    return VocabularyLosses(*_VocabularyLosses.apply(states, head, guide_states, job))  # type: ignore[misc]


class _Job(NamedTuple):
    labels: Tensor
    workspace: Workspace
    label_weight: float | None
    guide: Guide | None
    wants_gradients: bool


class _Gradients(NamedTuple):
    """Gradients to be filled; None where nobody asks."""

    states: Tensor | None
    head: Tensor | None
    guide: Tensor | None


class _VocabularyLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, guide_states: Tensor | None, job: _Job) -> tuple[Tensor, ...]:
        inputs = (states, head, guide_states)
        needs = [job.wants_gradients and need for need in ctx.needs_input_grad[:3]]
        dtype = torch.promote_types(states.dtype, torch.float32)
        gradients = _Gradients(
            *(
                torch.zeros(x.shape, dtype=dtype, device=x.device) if need and x is not None else None
                for x, need in zip(inputs, needs, strict=True)
            )
        )
        sums = torch.zeros(len(VocabularyLosses._fields), dtype=dtype, device=states.device)
        vocabularies = [len(head)] if job.guide is None else [len(head), len(job.guide.head)]
        step = job.workspace.rows(vocabularies, dtype)
        for begin in range(0, len(states), step):
            rows = slice(begin, min(begin + step, len(states)))
            sums += _chunk(rows, states, head, job, gradients, dtype)
        ctx.save_for_backward(*(gradient for gradient in gradients if gradient is not None))
        ctx.needs = [x.dtype if need and x is not None else None for x, need in zip(inputs, needs, strict=True)]
        parts = tuple(sums.unbind())
        ctx.mark_non_differentiable(*parts[1:])
        return parts

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        return (*(None if dtype is None else (next(saved) * upstream[0]).to(dtype) for dtype in ctx.needs), None)


def _chunk(
    rows: slice, states: Tensor, head: Tensor, job: _Job, gradients: _Gradients, dtype: torch.dtype
) -> Float[Tensor, " parts"]:
    """Sums over a few rows, in the order of `VocabularyLosses`; gradients are added to."""
    guide, labels = job.guide, job.labels[rows]
    count = rows.stop - rows.start

    def buffer(slot: int, vocabulary: int, height: int = count) -> Tensor:
        return job.workspace.buffer(slot, height, vocabulary, states, dtype)

    zero = torch.zeros((), dtype=dtype, device=states.device)
    nll = diverged = guide_nll = guide_hits = confidence = zero
    guide_logits = guide_hit = None
    if guide is not None:
        guide_logits = logits_into(buffer(0, len(guide.head)), guide.states[rows], guide.head)
        if guide.labels is not None:
            scratch = buffer(2, len(guide.head))
            guide_hit, guide_nll, confidence = _cross_entropy(
                guide_logits, guide.labels[rows], guide.label_weight, scratch
            )
            guide_hits = guide_hit.sum()
            if gradients.guide is not None:
                gradients.guide[rows] = through_head(scratch, guide.head)
    logits = logits_into(buffer(1, len(head)), states[rows], head)
    gradient = buffer(2, len(head))
    if job.label_weight is None:
        hit = argmax(logits) == labels
        gradient.zero_()
    else:
        hit, nll, _ = _cross_entropy(logits, labels, job.label_weight, gradient)
    if guide is not None and guide_logits is not None:
        diverged = _draw(guide, rows, (guide_logits, logits), guide_hit, gradient, buffer)
    if gradients.states is not None:
        gradients.states[rows] = through_head(gradient, head)
    if gradients.head is not None:
        _add_product(gradients.head, gradient, states[rows], head)
    loss = (job.label_weight or 0.0) * nll
    if guide is not None:
        loss = loss + guide.weight * diverged + guide.label_weight * guide_nll
    return torch.stack([loss, nll, hit.sum().to(dtype), diverged, guide_nll, guide_hits.to(dtype), confidence])


def _add_product(total: Tensor, gradient: Tensor, states: Tensor, head: Tensor) -> None:
    """Total += gradientᵀ @ states, multiplied in the head's precision."""
    if states.dtype == head.dtype == total.dtype:
        total.addmm_(gradient.T, states)
    else:
        total.add_(gradient.to(head.dtype).T @ states.to(head.dtype))


def _cross_entropy(
    logits: Tensor, labels: Tensor, weight: float, gradient: Tensor
) -> tuple[Bool[Tensor, " rows"], Float[Tensor, ""], Float[Tensor, ""]]:
    """Hits, summed loss and summed largest probability; ``weight`` · (softmax - one-hot) is left in ``gradient``."""
    counts = labels != IGNORED
    safe = (labels * counts)[:, None]
    likeliest = argmax(logits)
    torch.softmax(logits, -1, out=gradient)
    confidence = gradient.gather(-1, likeliest[:, None])[:, 0]
    # The largest logit less the logarithm of its probability is the normaliser, however small the label's is.
    below = (logits.gather(-1, likeliest[:, None]) - logits.gather(-1, safe))[:, 0]
    nll = ((below - confidence.log()) * counts).sum()
    gradient.scatter_add_(-1, safe, -torch.ones_like(safe, dtype=gradient.dtype))
    gradient.mul_(counts[:, None].to(gradient.dtype) * weight)
    return likeliest == labels, nll, (confidence * counts).sum()


def _draw(
    guide: Guide,
    rows: slice,
    logits: tuple[Tensor, Tensor],
    guide_hit: Tensor | None,
    gradient: Tensor,
    buffer: Callable[..., Tensor],
) -> Float[Tensor, ""]:
    """The sum of the divergence, whose derivative is added to ``gradient``; logits, the guide's first, are overwritten.

    Rows where it does not count are left out: before the projectors have learnt to copy, hardly one is a hit.
    """
    shared = guide.shared or gradient.shape[1]
    of_guide, own, gradient = logits[0], logits[1][:, :shared], gradient[:, :shared]
    certain = None if guide.certain is None else guide.certain[rows]
    asked = guide_hit if guide.only_hits else None, None if guide.rows is None else guide.rows[rows]
    masks = [mask for mask in asked if mask is not None]
    weight = guide.weight / guide.temperature
    if not masks:
        drawn = buffer(3, shared)
        values = _diverge(guide, of_guide, own, certain, drawn)
        gradient.add_(drawn, alpha=weight)
        return values.sum()
    kept = torch.stack(masks).all(0).nonzero()[:, 0]
    # Each copy frees the memory that the next one takes.
    of_guide = torch.index_select(of_guide, 0, kept, out=buffer(3, of_guide.shape[1], len(kept)))
    own = torch.index_select(own, 0, kept, out=buffer(0, shared, len(kept)))
    drawn = buffer(1, shared, len(kept))
    values = _diverge(guide, of_guide, own, None if certain is None else certain[kept], drawn)
    gradient.index_add_(0, kept, drawn, alpha=weight)
    return values.sum()


def _diverge(
    guide: Guide, guide_logits: Tensor, logits: Tensor, certain: Tensor | None, gradient: Tensor
) -> Float[Tensor, " rows"]:
    """Values of the divergence; both logits are overwritten. Its derivative is left in ``gradient``."""
    guide_logits.div_(guide.temperature * guide.guide_temperature)
    if guide.offset is not None:
        guide_logits.add_(guide.offset)
    torch.log_softmax(guide_logits, -1, out=guide_logits)
    if certain is not None:
        sure = (certain != IGNORED).nonzero()[:, 0]
        guide_logits[sure] = NOWHERE
        guide_logits[sure, certain[sure]] = 0.0
    torch.log_softmax(logits.div_(guide.temperature), -1, out=logits)
    return guide.divergence(guide_logits, logits, gradient)
