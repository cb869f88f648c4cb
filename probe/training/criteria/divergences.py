"""Six divergences between a guide p and the student q, each with its gradient in closed form.

A function takes log-probabilities of both, made from logits that temperatures have divided already, and three buffers:
it may overwrite ``guide`` and ``student``, and leaves in ``gradient`` the derivative of the value with respect to the
student's divided logits. For any divergence d(q), that is q (g - Σ q g) with g = ∂d/∂q.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from probe.training.criteria.settings import Objective

LogProbabilities = Float[Tensor, "rows vocabulary"]
Values = Float[Tensor, " rows"]
Divergence = Callable[[Tensor, Tensor, Tensor], Tensor]


def forward_kl(guide: LogProbabilities, student: LogProbabilities, gradient: LogProbabilities) -> Values:
    """KL(p ‖ q) = Σ p (ln p - ln q), nats."""
    # Not by vecdot, which takes memory for the product.
    value = torch.sub(guide, student, out=gradient).mul_(guide.exp_()).sum(-1)
    torch.sub(student.exp_(), guide, out=gradient)
    return value


def reverse_kl(guide: LogProbabilities, student: LogProbabilities, gradient: LogProbabilities) -> Values:
    """KL(q ‖ p) = Σ q (ln q - ln p), nats."""
    torch.sub(student, guide, out=gradient)
    value = torch.mul(student.exp_(), gradient, out=guide).sum(-1)
    gradient.sub_(value[:, None]).mul_(student)
    return value


def skewed_forward_kl(
    guide: LogProbabilities, student: LogProbabilities, gradient: LogProbabilities, *, skew: float
) -> Values:
    """KL(p ‖ m), m = skew · p + (1 - skew) · q, nats (Ko et al. 2024, DistiLLM)."""
    mixed = _log_mixture(guide, student, skew)
    # q ∂d/∂q = -(1 - skew) p q / m, of logarithms: p, q and m may all be too small for numbers.
    torch.sub(student, mixed, out=gradient).add_(guide).exp_().mul_(skew - 1)
    value = torch.linalg.vecdot(guide.exp(), guide.sub_(mixed))
    gradient.addcmul_(student.exp_(), gradient.sum(-1, keepdim=True), value=-1)
    return value


def skewed_reverse_kl(
    guide: LogProbabilities, student: LogProbabilities, gradient: LogProbabilities, *, skew: float
) -> Values:
    """KL(q ‖ m), m = (1 - skew) · p + skew · q, nats (Ko et al. 2024, DistiLLM)."""
    mixed = _log_mixture(guide, student, 1 - skew)
    torch.sub(student, mixed, out=gradient)
    # q ∂d/∂q = q (ln q - ln m) - skew q² / m, of logarithms: q and m may both be too small for numbers.
    share = mixed.neg_().add_(student, alpha=2).add_(math.log(skew) if skew > 0 else -math.inf).exp_()
    q = student.exp_()
    value = torch.linalg.vecdot(q, gradient)
    gradient.mul_(q).sub_(share)
    gradient.addcmul_(q, gradient.sum(-1, keepdim=True), value=-1)
    return value


def js_divergence(guide: LogProbabilities, student: LogProbabilities, gradient: LogProbabilities) -> Values:
    """½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q) / 2, nats."""
    mixed = _log_mixture(guide, student, 0.5)
    torch.sub(student, mixed, out=gradient)
    value = torch.linalg.vecdot(guide.exp(), guide.sub_(mixed))
    q = student.exp_()
    value = (value + torch.linalg.vecdot(q, gradient)) / 2
    _through_softmax(q, gradient.mul_(0.5))
    return value


def adaptive_kl(
    guide: LogProbabilities,
    student: LogProbabilities,
    gradient: LogProbabilities,
    *,
    alpha: float,
    again: tuple[float, float] = (1.0, 1.0),
) -> Values:
    """A mixture of forward and reverse KL, weighted by where p and q differ (Wu et al. 2025, Adaptive KL).

    The tail holds the tokens of least p whose probabilities sum to at most ``alpha``. The gap Σ |p - q| in the head
    weighs the forward KL, that in the tail the reverse KL; the weights carry no gradient.

    Args:
        guide: see the module.
        student: see the module.
        gradient: see the module.
        alpha: the tail's share of p.
        again: guide's and student's temperatures once more. The published code computes the weights at temperature T
            and hands its divided logits to KLs that divide again, so that these are taken at T².
    """
    in_head, in_tail = _gaps(guide.exp(), student.exp(), alpha)
    total = (in_head + in_tail).clamp(min=torch.finfo(guide.dtype).tiny)
    if again != (1.0, 1.0):
        for log_probabilities, temperature in ((guide, again[0]), (student, again[1])):
            torch.log_softmax(log_probabilities.div_(temperature), -1, out=log_probabilities)
    reverse_gradient = torch.empty_like(gradient)
    reverse = reverse_kl(guide.clone(), student.clone(), reverse_gradient)
    forward = forward_kl(guide, student, gradient)
    weights = in_head / total, in_tail / total
    gradient.mul_(weights[0][:, None]).addcmul_(reverse_gradient, weights[1][:, None]).div_(again[1])
    return weights[0] * forward + weights[1] * reverse


def sorted_distance(
    guide: Float[Tensor, "rows guide_vocabulary"], student: LogProbabilities, gradient: LogProbabilities
) -> Values:
    """Σ_r |q_(r) - p_(r)| over ranks r, both sorted: the distance of ULD (Boizard et al. 2024), across vocabularies.

    The shorter vocabulary is filled up with zeros.
    """
    p = guide.exp_().sort(-1, descending=True).values
    q = student.exp_()
    ranked, order = q.sort(-1, descending=True)
    shared = min(p.shape[-1], q.shape[-1])
    value = p[:, shared:].sum(-1) + ranked[:, shared:].sum(-1)
    ranked[:, :shared].sub_(p[:, :shared])
    value += ranked[:, :shared].abs().sum(-1)
    gradient.scatter_(-1, order, ranked.sign_())
    _through_softmax(q, gradient)
    return value


def _log_mixture(first: LogProbabilities, second: LogProbabilities, share: float) -> LogProbabilities:
    """ln(share · e^first + (1 - share) · e^second)."""
    logs = [math.log(weight) if weight > 0 else -math.inf for weight in (share, 1 - share)]
    return torch.logaddexp(first + logs[0], second + logs[1])


def _through_softmax(q: LogProbabilities, gradient: LogProbabilities) -> None:
    """From ∂d/∂q to the derivative with respect to the logits, in place."""
    gradient.sub_(torch.linalg.vecdot(q, gradient)[:, None]).mul_(q)


def _gaps(p: LogProbabilities, q: LogProbabilities, alpha: float) -> tuple[Values, Values]:
    ascending, order = p.sort(-1)
    gap = (ascending - q.gather(-1, order)).abs_()
    tail = ascending.cumsum_(-1) <= alpha
    in_tail = (gap * tail).sum(-1)
    return gap.mul_(~tail).sum(-1), in_tail


def divergence(objective: Objective, *, guide_temperature: float = 1.0) -> Divergence:
    """The divergence that an objective names; ``guide_temperature`` is what divides the guide's logits beside T."""
    match objective.divergence:
        case "forward_kl":
            return forward_kl
        case "reverse_kl":
            return reverse_kl
        case "skewed_forward_kl":
            return partial(skewed_forward_kl, skew=objective.skew)
        case "skewed_reverse_kl":
            return partial(skewed_reverse_kl, skew=objective.skew)
        case "js_divergence":
            return js_divergence
        case "adaptive_kl":
            again = (objective.temperature * guide_temperature, objective.temperature)
            return partial(adaptive_kl, alpha=objective.alpha, again=again if objective.reference else (1.0, 1.0))
