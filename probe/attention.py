"""Cross-model attention (CMA): the one equation that probe and training share.

Student position i has input x_i and target x_{i+1}; teacher position j has y_j and y_{j+1}. With embedding tables
E_s, E_t of widths d_s, d_t (Eq. 4–6, Zhang et al. 2024, "Dual-Space Knowledge Distillation"):

    q_i  = W_q [E_s(x_i); E_s(x_{i+1})] + b          query, from 2·d_s to 2·d_t
    k_j  = [E_t(y_j); E_t(y_{j+1})] / key_scale      key; there is no key projector
    A    = softmax_j (q_i · k_j / sqrt(2·d_t))       what each student position takes from the teacher
    A'   = softmax_i of the same logits              what each teacher position takes from the student

Positions are those of the response: from the one whose target is the first response token to the one whose target is
the end-of-sequence token. Row i therefore speaks of the *target* x_{i+1} as much as of x_i.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float

from probe.projectors import Projector, project

Logits = Float[np.ndarray, "_ _"]  # student × teacher; one text's size says nothing about the next one's


Array = Any  # numpy or torch, see projectors


class CrossModelAttention(NamedTuple):
    """Logits and both softmaxes, each student × teacher."""

    logits: Float[Array, "*batch student teacher"]
    over_teacher: Float[Array, "*batch student teacher"]
    """A: each student row sums to one."""
    over_student: Float[Array, "*batch student teacher"]
    """A', transposed: each teacher column sums to one."""


def bigrams(
    inputs: Float[Array, "*batch positions width"], targets: Float[Array, "*batch positions width"]
) -> Float[Array, "*batch positions two_widths"]:
    """[E(x_i); E(x_{i+1})], the state that a query or key is made of."""
    return array_namespace(inputs, targets).concat([inputs, targets], axis=-1)


def attention_logits(
    query: Projector,
    student_bigrams: Float[Array, "*batch student two_student_widths"],
    teacher_bigrams: Float[Array, "*batch teacher two_teacher_widths"],
    *,
    key_scale: float,
) -> Float[Array, "*batch student teacher"]:
    """q_i · k_j / sqrt(2·d_t) for all pairs of positions."""
    return scaled_products(project(query, student_bigrams), teacher_bigrams / key_scale)


def scaled_products(
    queries: Float[Array, "*batch student width"], keys: Float[Array, "*batch teacher width"]
) -> Float[Array, "*batch student teacher"]:
    """q_i · k_j / sqrt(width) for all pairs."""
    return queries @ keys.mT / math.sqrt(keys.shape[-1])


def cross_model_attention(
    logits: Float[Array, "*batch student teacher"],
    *,
    student_mask: Bool[Array, "*batch student"] | None = None,
    teacher_mask: Bool[Array, "*batch teacher"] | None = None,
    links: Bool[Array, "*batch student teacher"] | None = None,
) -> CrossModelAttention:
    """Both softmaxes of the logits.

    Masks are true where a position exists (False: padding of a batch), links where two positions may meet. A position
    that may meet no other takes nothing: its weights are all zero.
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
    """Softmax along an axis; where ``mask`` is false the weight is exactly zero, also where all of it is."""
    xp = array_namespace(logits)
    if mask is not None:
        logits = xp.where(mask, logits, xp.full_like(logits, -math.inf))
    largest = xp.max(logits, axis=axis, keepdims=True)
    if mask is not None:
        largest = xp.where(xp.isfinite(largest), largest, xp.zeros_like(largest))
    exponentials = xp.exp(logits - largest)
    total = xp.sum(exponentials, axis=axis, keepdims=True)
    return exponentials / (total if mask is None else xp.where(total > 0, total, xp.ones_like(total)))
