"""Cross-model attention (CMA): the equations that probing and training share.

Student position i has input x_i and target x_{i+1}; teacher position j has y_j and y_{j+1}. With embedding tables
E_s, E_t of widths d_s, d_t (Eq. 4–6, Zhang et al. 2024, "Dual-Space Knowledge Distillation"):

    q_i  = W_q [E_s(x_i); E_s(x_{i+1})] + b          query, from 2·d_s to 2·d_t
    k_j  = [E_t(y_j); E_t(y_{j+1})] / key_scale      key; there is no key projector
    l_ij = q_i · k_j / sqrt(2·d_t)                   logit
    A    = softmax over j of l_ij                    forward: how much each student position draws from the teacher
    B    = softmax over i of l_ij                    backward: how much each teacher position draws from the student

Positions are those of the response: the first one has the first response token as its target, the last one has the
end of sequence. So row i depends on the *target* x_{i+1} as much as on x_i.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from probe.arrays import Array, array_namespace
from probe.projectors import Linear, Projector, project

Logits = Float[np.ndarray, "_ _"]  # student × teacher; every sentence has another size


class CrossModelAttention(NamedTuple):
    """The logits and both attentions, each student × teacher."""

    logits: Float[Array, "*batch student teacher"]
    over_teacher: Float[Array, "*batch student teacher"]
    """Forward attention: each student row sums to one."""
    over_student: Float[Array, "*batch student teacher"]
    """Backward attention: each teacher column sums to one."""


def bigrams(
    inputs: Float[Array, "*batch positions width"], targets: Float[Array, "*batch positions width"]
) -> Float[Array, "*batch positions two_widths"]:
    """The embeddings of input and target side by side, from which queries and keys are made."""
    return array_namespace(inputs, targets).concat([inputs, targets], axis=-1)


def attention_logits(
    query: Projector,
    student_bigrams: Float[Array, "*batch student two_student_widths"],
    teacher_bigrams: Float[Array, "*batch teacher two_teacher_widths"],
    *,
    key_scale: float,
) -> Float[Array, "*batch student teacher"]:
    """The logits of all pairs of positions: q_i · k_j / sqrt(2·d_t)."""
    return query_logits(project(query, student_bigrams), teacher_bigrams, key_scale=key_scale)


def query_logits(
    queries: Float[Array, "*batch student two_teacher_widths"],
    teacher_bigrams: Float[Array, "*batch teacher two_teacher_widths"],
    *,
    key_scale: float,
) -> Float[Array, "*batch student teacher"]:
    """The same of queries that are made already."""
    return scaled_products(queries, teacher_bigrams / key_scale)


def is_sum_of_halves(query: Projector) -> bool:
    """Whether a query is the sum of what its input gives and what its target gives: that of one linear map is."""
    return len(query.layers) == 1 and isinstance(query.layers[0], Linear)


def half_queries(
    query: Projector, inputs: Float[Array, "*batch inputs width"], targets: Float[Array, "*batch targets width"]
) -> tuple[Float[Array, "*batch inputs two_teacher_widths"], Float[Array, "*batch targets two_teacher_widths"]]:
    """What inputs give to the queries of one linear map, and what targets give, with b: q_i is the sum of both."""
    (layer,) = query.layers
    weight, bias = (query.tensors[f"{layer.index}.{name}"] for name in ("weight", "bias"))
    width = inputs.shape[-1]
    return inputs @ weight[:, :width].T, targets @ weight[:, width:].T + bias


def scaled_products(
    queries: Float[Array, "*batch student width"], keys: Float[Array, "*batch teacher width"]
) -> Float[Array, "*batch student teacher"]:
    """The scaled dot products of all pairs: q_i · k_j / sqrt(width)."""
    return queries @ keys.mT / math.sqrt(keys.shape[-1])


def cross_model_attention(
    logits: Float[Array, "*batch student teacher"],
    *,
    student_mask: Bool[Array, "*batch student"] | None = None,
    teacher_mask: Bool[Array, "*batch teacher"] | None = None,
    links: Bool[Array, "*batch student teacher"] | None = None,
) -> CrossModelAttention:
    """Forward and backward attention of the logits.

    Masks are True where a position exists, and False for the padding of a batch. Links are True where two positions may
    attend to each other. A position that may attend to no other has only zero weights.
    """
    columns = _both(None if teacher_mask is None else teacher_mask[..., None, :], links)
    rows = _both(None if student_mask is None else student_mask[..., :, None], links)
    return CrossModelAttention(logits, softmax(logits, axis=-1, mask=columns), softmax(logits, axis=-2, mask=rows))


def _both(mask: Array | None, links: Array | None) -> Array | None:
    if mask is None or links is None:
        return links if mask is None else mask
    return mask & links


def softmax(
    logits: Float[Array, "*shape"], *, axis: int, mask: Bool[Array, "..."] | None = None
) -> Float[Array, "*shape"]:
    """Softmax along an axis; the weight is exactly zero where ``mask`` is False, even if all of it is."""
    xp = array_namespace(logits)
    if mask is not None:
        logits = xp.where(mask, logits, xp.full_like(logits, -math.inf))
    largest = xp.max(logits, axis=axis, keepdims=True)
    if mask is not None:
        largest = xp.where(xp.isfinite(largest), largest, xp.zeros_like(largest))
    exponentials = xp.exp(logits - largest)
    total = xp.sum(exponentials, axis=axis, keepdims=True)
    return exponentials / (total if mask is None else xp.where(total > 0, total, xp.ones_like(total)))
