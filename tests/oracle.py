"""What the lean losses mean, in plain torch: all logits at once, gradients by autograd, none of the package.

A divergence takes logits of the guide and of the student, and gives one value for each row. Temperatures are pairs:
the guide's, then the student's.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
NOWHERE = -1e5
PLAIN = (1.0, 1.0)


def log_distributions(guide: Tensor, student: Tensor, temperatures: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """ln p and ln q."""
    return (guide / temperatures[0]).log_softmax(-1), (student / temperatures[1]).log_softmax(-1)


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def log_mixture(log_p: Tensor, log_q: Tensor, share: float) -> Tensor:
    """ln(share · p + (1 - share) · q)."""
    parts = [log + math.log(weight) for log, weight in ((log_p, share), (log_q, 1 - share)) if weight > 0]
    return torch.stack(parts).logsumexp(0)


def forward_kl(guide: Tensor, student: Tensor, *, temperatures: tuple[float, float] = PLAIN) -> Tensor:
    log_p, log_q = log_distributions(guide, student, temperatures)
    return kl(log_p, log_q)


def reverse_kl(guide: Tensor, student: Tensor, *, temperatures: tuple[float, float] = PLAIN) -> Tensor:
    log_p, log_q = log_distributions(guide, student, temperatures)
    return kl(log_q, log_p)


def skewed_forward_kl(
    guide: Tensor, student: Tensor, *, skew: float, temperatures: tuple[float, float] = PLAIN
) -> Tensor:
    log_p, log_q = log_distributions(guide, student, temperatures)
    return kl(log_p, log_mixture(log_p, log_q, skew))


def skewed_reverse_kl(
    guide: Tensor, student: Tensor, *, skew: float, temperatures: tuple[float, float] = PLAIN
) -> Tensor:
    log_p, log_q = log_distributions(guide, student, temperatures)
    return kl(log_q, log_mixture(log_p, log_q, 1 - skew))


def js_divergence(guide: Tensor, student: Tensor, *, temperatures: tuple[float, float] = PLAIN) -> Tensor:
    log_p, log_q = log_distributions(guide, student, temperatures)
    log_m = log_mixture(log_p, log_q, 0.5)
    return kl(log_p, log_m) / 2 + kl(log_q, log_m) / 2


def adaptive_kl(
    guide: Tensor,
    student: Tensor,
    *,
    alpha: float,
    again: tuple[float, float] = PLAIN,
    temperatures: tuple[float, float] = PLAIN,
) -> Tensor:
    log_p, log_q = log_distributions(guide, student, temperatures)
    again_p, again_q = log_distributions(log_p, log_q, again)
    values = [torch.zeros(0, dtype=log_q.dtype)]
    for row in range(len(log_p)):
        p, q = log_p[row].exp().tolist(), log_q[row].exp().tolist()
        tail, mass = set(), 0.0
        for token in sorted(range(len(p)), key=p.__getitem__):
            mass += p[token]
            if mass > alpha:
                break
            tail.add(token)
        in_tail = sum(abs(p[token] - q[token]) for token in tail)
        in_head = sum(abs(p[token] - q[token]) for token in set(range(len(p))) - tail)
        both = in_head + in_tail or 1.0
        forward, reverse = kl(again_p[row], again_q[row]), kl(again_q[row], again_p[row])
        values.append((in_head / both * forward + in_tail / both * reverse)[None])
    return torch.cat(values)


def sorted_distance(guide: Tensor, student: Tensor, *, temperatures: tuple[float, float] = PLAIN) -> Tensor:
    ranked = [log.exp().sort(-1, descending=True).values for log in log_distributions(guide, student, temperatures)]
    length = max(guide.shape[-1], student.shape[-1])
    p, q = (F.pad(probabilities, (0, length - probabilities.shape[-1])) for probabilities in ranked)
    return (q - p).abs().sum(-1)


class GuideOracle(NamedTuple):
    """The fields of `probe.training.criteria.vocabulary.Guide`, with a divergence of this module."""

    states: Tensor
    head: Tensor
    divergence: Callable[[Tensor, Tensor], Tensor]
    weight: float
    temperature: float = 1.0
    guide_temperature: float = 1.0
    rows: Tensor | None = None
    only_hits: bool = False
    labels: Tensor | None = None
    label_weight: float = 0.0
    shared: int | None = None
    offset: Tensor | None = None
    certain: Tensor | None = None


class LossesOracle(NamedTuple):
    loss: Tensor
    nll: Tensor
    hits: Tensor
    divergence: Tensor
    guide_nll: Tensor
    guide_hits: Tensor
    guide_confidence: Tensor


def vocabulary_losses_oracle(
    states: Tensor,
    head: Tensor,
    labels: Tensor,
    *,
    label_weight: float | None = 1.0,
    guide: GuideOracle | None = None,
) -> LossesOracle:
    """Cross-entropies of the student and of the guide, whose head is frozen, and a divergence from the guide."""
    guide_logits = None if guide is None else guide.states @ guide.head.detach().T
    return losses_of_logits(states @ head.T, labels, guide_logits, label_weight=label_weight, guide=guide)


def losses_of_logits(
    logits: Tensor,
    labels: Tensor,
    guide_logits: Tensor | None,
    *,
    label_weight: float | None,
    guide: GuideOracle | None,
) -> LossesOracle:
    nll = diverged = guide_nll = guide_hits = confidence = loss = logits.new_zeros(())
    hits = (logits.argmax(-1) == labels).sum()
    if label_weight is not None:
        nll = F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED)
        loss = loss + label_weight * nll
    if guide is not None and guide_logits is not None:
        counts = torch.ones(len(logits), dtype=torch.bool) if guide.rows is None else guide.rows
        if guide.labels is not None:
            guide_nll = F.cross_entropy(guide_logits, guide.labels, reduction="sum", ignore_index=IGNORED)
            guide_hit = guide_logits.argmax(-1) == guide.labels
            guide_hits = guide_hit.sum()
            confidence = guide_logits.softmax(-1).amax(-1)[guide.labels != IGNORED].sum()
            if guide.only_hits:
                counts = counts & guide_hit
        drawn_to = _fixed_logits(guide_logits, guide)
        drawn = logits[:, : guide.shared] / guide.temperature
        diverged = guide.divergence(drawn_to, drawn)[counts].sum()
        loss = loss + guide.label_weight * guide_nll + guide.weight * diverged
    return LossesOracle(loss, nll, hits, diverged, guide_nll, guide_hits, confidence)


def _fixed_logits(guide_logits: Tensor, guide: GuideOracle) -> Tensor:
    """The guide's logits in the divergence, which sends no gradient through them."""
    logits = guide_logits.detach() / guide.temperature / guide.guide_temperature
    if guide.offset is not None:
        logits = logits + guide.offset
    if guide.certain is not None:
        for row, token in enumerate(guide.certain.tolist()):
            if token != IGNORED:
                logits[row] = NOWHERE
                logits[row, token] = 0.0
    return logits


class TeacherSpaceOracle(NamedTuple):
    divergence: Tensor
    hits: Tensor


def teacher_space_oracle(
    projected: Tensor, states: Tensor, head: Tensor, targets: Tensor, temperature: float
) -> TeacherSpaceOracle:
    """Σ_j KL(teacher ‖ s2t), both through the teacher's frozen head."""
    teacher, s2t = states.detach() @ head.detach().T, projected @ head.detach().T
    values = forward_kl(teacher, s2t, temperatures=(temperature, temperature))
    return TeacherSpaceOracle(values.sum(), (s2t.argmax(-1) == targets).sum())


def expectations_oracle(states: Tensor, head: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The head row that each distribution expects, and its entropy."""
    p = (states @ head.T / temperature).softmax(-1)
    return p @ head, -torch.special.xlogy(p, p).sum(-1)
