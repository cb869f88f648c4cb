"""Cross-model attention (CMA), and its two probes by manual alignment: chunk-level attention and projection.

    v_j  = W_t2s (h_j / hidden_scale + E_t(y_{j+1}) / target_scale)      t2s states_i = Σ_j A_ij v_j
    v'_i = W_s2t h_i                                                     s2t states_j = Σ_i A'_ij v'_i

A and A' are those of `probe.attention`, or what a decoder makes of them (see `decoders`). CLA is CMA with attention
masked to the chunk that two tokens share; CLP gives equal weight to all of the chunk, uniform to all of the response,
and neither has a query.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.attention import CrossModelAttention, cross_model_attention, scaled_products
from probe.checkpoints.checkpoint import Scales
from probe.errors import Problem, TrainingError
from probe.projectors import QUERY, S2T, T2S, project
from probe.training.criteria.decoders import decoded
from probe.training.criteria.dual_space import Mixed, dual_space_terms
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.published import add_published_masks
from probe.training.criteria.step import Step, Terms
from probe.training.criteria.views import Tokens

Links = Bool[Tensor, "batch student teacher"]
MayMeet = tuple[Links | None, Links | None]
"""For A and for A', which positions may meet; None: all."""
Queries = Float[Tensor, "batch student width"]
Keys = Float[Tensor, "batch teacher width"]


def queries(student: Tokens, projectors: Projectors) -> Float[Tensor, "batch student two_teacher_widths"]:
    """q_i = W_q [E_s(x_i); E_s(x_{i+1})] + b."""
    return project(projectors[QUERY], student.bigrams)


def keys(teacher: Tokens, scales: Scales) -> Float[Tensor, "batch teacher two_teacher_widths"]:
    """k_j = [E_t(y_j); E_t(y_{j+1})] / key_scale."""
    return teacher.bigrams / scales.key


def teacher_values(
    teacher: Tokens, states: Float[Tensor, "batch teacher teacher_width"], projectors: Projectors, scales: Scales
) -> Float[Tensor, "batch teacher student_width"]:
    """v_j, the teacher's states and targets in the student's space.

    Raises:
        TrainingError: the scales of states and targets are unknown.
    """
    if scales.hidden is None or scales.target is None:
        raise TrainingError(
            Problem("scales", "hidden and target scales", "none", "Estimate them on the training set first.")
        )
    normalised = states / scales.hidden + teacher.target_embeddings / scales.target
    return project(projectors[T2S], normalised)


def attend(
    queries: Float[Tensor, "batch student width"],
    keys: Float[Tensor, "batch teacher width"],
    student: Bool[Tensor, "batch student"],
    teacher: Bool[Tensor, "batch teacher"],
    *,
    links: Links | None = None,
    reference: bool = False,
) -> CrossModelAttention:
    """A and A' over the positions that masks and links leave."""
    logits = scaled_products(queries, keys)
    if reference:
        return cross_model_attention(add_published_masks(logits, student, teacher, links))
    return cross_model_attention(logits, student_mask=student, teacher_mask=teacher, links=links)


def equal_weights(
    links: Links, student: Bool[Tensor, "batch student"], teacher: Bool[Tensor, "batch teacher"], dtype: torch.dtype
) -> CrossModelAttention:
    """Equal weight on all positions that a position is linked to: attention whose logits are all alike."""
    links = links & student[:, :, None] & teacher[:, None, :]
    return cross_model_attention(torch.zeros(links.shape, dtype=dtype, device=links.device), links=links)


def cma(step: Step) -> Terms:
    """All positions may meet."""
    return attended(step, attention_over_all(step, *queries_and_keys(step)))


def cla(step: Step) -> Terms:
    """Positions of one chunk may meet, or what the objective's mask makes of that; see `may_meet`."""
    q, k = queries_and_keys(step)
    met = forward, backward = may_meet(step)
    attention = attend(q, k, *step.masks, links=forward, reference=step.objective.reference)
    if backward is not forward:
        attention = attention._replace(over_student=attend(q, k, *step.masks, links=backward).over_student)
    return attended(step, attention, met)


def may_meet(step: Step) -> MayMeet:
    """What chunks leave of A and A'.

    both: the chunk alone. forward, backward: the chunk in A, or in A', and all positions in the other. not earlier: in
    both, the chunk and what comes behind it; not later: the chunk and what comes before it.
    """
    links, mask = step.links, step.objective.mask
    if mask == "both":
        return links, links
    if mask in ("forward", "backward"):
        return (links, None) if mask == "forward" else (None, links)
    forward, backward = (_reached(links, axis, late=mask == "not earlier") for axis in (-1, -2))
    return forward, backward


def _reached(links: Links, axis: int, *, late: bool) -> Links:
    """True at a link and, along an axis, everywhere behind it; or, if not ``late``, before it."""
    if late:
        return links.cumsum(axis) > 0
    return links.flip(axis).cumsum(axis).flip(axis) > 0


def clp(step: Step) -> Terms:
    """Positions of one chunk meet with equal weight."""
    attention = equal_weights(step.links, *step.masks, step.student.states.dtype)
    return attended(step, attention, (step.links, step.links))


def uniform(step: Step) -> Terms:
    """All positions meet with equal weight: an attention that knows nothing, and cannot learn."""
    student, teacher = step.masks
    every = student[:, :, None] & teacher[:, None, :]
    return attended(step, equal_weights(every, student, teacher, step.student.states.dtype))


def queries_and_keys(step: Step) -> tuple[Queries, Keys]:
    """Those of a batch."""
    return queries(step.student.tokens, step.projectors), keys(step.teacher.tokens, step.scales)


def attention_over_all(step: Step, queries: Queries, keys: Keys) -> CrossModelAttention:
    """A and A' where all positions may meet, brought into order if the objective names a decoder."""
    if step.objective.decoder != "none":
        return decoded(step, scaled_products(queries, keys))
    return attend(queries, keys, *step.masks, reference=step.objective.reference)


def attended(step: Step, attention: CrossModelAttention, met: MayMeet = (None, None)) -> Terms:
    """The full objective under an attention; what may meet says which targets of either side it can serve at all."""
    teacher, (mask, teacher_mask) = step.teacher, step.masks
    t2s = attention.over_teacher @ teacher_values(teacher.tokens, teacher.states, step.projectors, step.scales)
    s2t = attention.over_student.mT @ project(step.projectors[S2T], step.student.states)
    there = mask[:, :, None] & teacher_mask[:, None, :]
    forward, backward = (None if links is None or step.objective.reference else links & there for links in met)
    mixed = Mixed(
        t2s[mask],
        s2t[teacher_mask],
        None if forward is None else forward.any(-1)[mask],
        None if backward is None else backward.any(-2)[teacher_mask],
    )
    return dual_space_terms(step, mixed, only_hits=True)._replace(attention=attention)
