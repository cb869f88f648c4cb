"""What an attention alone learns, from its logits l_ij over the positions of a text, in both directions.

With A_ij = softmax over j and B_ij = softmax over i of the logits (see `probe.attention`):

overlap
    Each token puts its weight on the tokens that it shares bytes with, by the rules of the guidelines. L are the links:
    loss = −½ · mean_i log Σ_{j: ij ∈ L} A_ij − ½ · mean_j log Σ_{i: ij ∈ L} B_ij
forward-sum
    No links: each token puts its weight where monotone paths through the map itself go (see `probe.aligners.grid`).
    P is their posterior for scores of scale · ½ (log A + log B), held fixed while the loss is differentiated:
    loss = −½ · mean_i Σ_j P_ij/P_i· · log A_ij − ½ · mean_j Σ_i P_ij/P_·j · log B_ij
    This is the expectation step of the forward-sum objective of text-to-speech alignment (Shih et al. 2021, RAD-TTS),
    for a grid in which both sides may stay.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.aligners.grid import path_posterior
from probe.training.criteria.decoders import distances

CLOSED = -1e4
"""Log weight of a position that does not exist; finite, so that nothing times it is not a number."""
LEAST = -25.0
"""The least log weight of a cell on a path: before training, logits can be anything."""

Logits = Float[Tensor, "batch student teacher"]
Mask = Bool[Tensor, "batch student teacher"]


def log_attentions(logits: Logits, inside: Mask) -> tuple[Logits, Logits]:
    """Log A and log B over the positions that exist."""
    closed = logits.masked_fill(~inside, CLOSED)
    return torch.log_softmax(closed, dim=-1), torch.log_softmax(closed, dim=-2)


def overlap(logits: Logits, inside: Mask, links: Mask) -> Float[Tensor, ""]:
    """Mean over both directions of −log of the attention mass on links, in nats a token that has one."""
    forward, backward = (log.masked_fill(~links, CLOSED) for log in log_attentions(logits, inside))
    of_student = torch.logsumexp(forward, dim=-1)[links.any(-1)]
    of_teacher = torch.logsumexp(backward, dim=-2)[links.any(-2)]
    return -0.5 * (of_student.mean() + of_teacher.mean())


def forward_sum(logits: Logits, inside: Mask, *, scale: float, prior: float) -> Float[Tensor, ""]:
    """Mean over both directions of the cross-entropy to the posterior of monotone paths, in nats a token.

    ``prior`` is what a cell loses on a path for each teacher token that it lies off the diagonal.
    """
    forward, backward = log_attentions(logits, inside)
    students, teachers = inside.any(-1), inside.any(-2)
    sizes = students.sum(-1), teachers.sum(-1)
    with torch.no_grad():
        scores = scale * 0.5 * (forward + backward).clamp(min=2 * LEAST) - prior * distances(*sizes, logits)
        posterior = path_posterior(scores, *sizes)
        tiny = torch.finfo(posterior.dtype).tiny
        of_student = posterior / posterior.sum(-1, keepdim=True).clamp(min=tiny)
        of_teacher = posterior / posterior.sum(-2, keepdim=True).clamp(min=tiny)
    return -0.5 * ((of_student * forward).sum(-1)[students].mean() + (of_teacher * backward).sum(-2)[teachers].mean())
