"""Cross-entropy against a frozen vocabulary head, without ever holding positions × vocabulary logits."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK = 256
"""Positions whose logits exist at a time: 256 × 49,152 float32 are 50 MB, small enough to stay in one allocation."""


class _HeadCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy; the gradient for the hidden states is made in the forward pass, where the logits are."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        total = hidden.new_zeros(())
        hits = torch.zeros((), dtype=torch.long)
        gradient = torch.empty_like(hidden)
        workspace = hidden.new_empty((min(CHUNK, len(hidden)), len(head)))
        for begin in range(0, len(hidden), CHUNK):
            rows = slice(begin, begin + CHUNK)
            target = labels[rows, None]
            logits = workspace[: len(target)]
            torch.mm(hidden[rows], head.T, out=logits)
            hits += (logits.argmax(-1, keepdim=True) == target).sum()
            # log-softmax in place, then softmax minus one-hot: d loss / d logits.
            logits -= logits.max(-1, keepdim=True).values
            at_target = logits.gather(-1, target)
            normaliser = logits.exp_().sum(-1, keepdim=True)
            total += (normaliser.log() - at_target).sum()
            logits /= normaliser
            logits.scatter_add_(-1, target, torch.full_like(at_target, -1.0))
            torch.mm(logits, head, out=gradient[rows])
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(hits)
        return total, hits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None


def head_cross_entropy(
    hidden: Float[Tensor, "positions width"],
    head: Float[Tensor, "vocabulary width"],
    labels: Int[Tensor, " positions"],
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Summed cross-entropy (nats) of ``hidden @ head.T`` against labels, and how often the argmax is the label.

    Differentiable in ``hidden`` alone; the head is frozen, as the t2s term requires.
    """
    return _HeadCrossEntropy.apply(hidden, head, labels)  # type: ignore[no-any-return]
