"""Where the published code differs from the method it publishes: used in `reference` mode, and there alone."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.checkpoints.checkpoint import Scales
from probe.training.criteria.views import View

MASKED = -1e5
"""What is added to the logits of positions without a target."""


def batch_scales(teacher: View) -> Scales:
    """One standard deviation over all elements of the padded batch, for keys, states and targets each."""
    return Scales(
        key=teacher.tokens.bigrams.std().item(),
        hidden=teacher.states.std().item(),
        target=teacher.tokens.target_embeddings.std().item(),
    )


def add_published_masks(
    logits: Float[Tensor, "batch student teacher"],
    student: Bool[Tensor, "batch student"],
    teacher: Bool[Tensor, "batch teacher"],
    links: Bool[Tensor, "batch student teacher"] | None,
) -> Float[Tensor, "batch student teacher"]:
    """Masks as numbers: a row without any partner is a softmax over the rounding of 1e5 in float32, 1/128 apart."""
    both = (student[:, :, None] & teacher[:, None, :]).to(logits.dtype)
    logits = logits + (1.0 - both) * MASKED
    return logits if links is None else torch.where(links, logits, torch.full_like(logits, MASKED))


class ChunkGroups(NamedTuple):
    """Chunks of one sample, as the published code numbers them."""

    mask: Bool[np.ndarray, "student teacher"]
    student: Int[np.ndarray, " student"]
    """Number of each token's chunk, negative at its first token; 0 where the walk did not get to."""
    teacher: Int[np.ndarray, " teacher"]
    chunks: int


def published_chunks(student_ends: Sequence[int], teacher_ends: Sequence[int]) -> ChunkGroups:
    """Chunks of two padded sequences, from where each *input* token ends, in characters of its prompt or response.

    Offsets that fall, where the response begins, break a chunk off. Two pieces of one character end at the same offset:
    the second opens a chunk of its own, shifted against the other side; at the end of a text it can swallow padding.
    """
    sides = [np.zeros(len(ends), dtype=np.int64) for ends in (student_ends, teacher_ends)]
    mask = np.zeros((len(student_ends), len(teacher_ends)), dtype=bool)
    count = 0
    for count, chunk in enumerate(_walk(student_ends, teacher_ends), start=1):
        mask[np.ix_(*chunk)] = True
        for side, members in zip(sides, chunk, strict=True):
            side[members] = count - 1
            side[members.start] = 1 - count
    return ChunkGroups(mask, sides[0], sides[1], count)


def _walk(student_ends: Sequence[int], teacher_ends: Sequence[int]) -> Iterator[tuple[range, range]]:
    ends = (student_ends, teacher_ends)
    first = [0, 0]
    while first[0] < len(ends[0]) and first[1] < len(ends[1]):
        last = list(first)
        while (here := [int(side[i]) for side, i in zip(ends, last, strict=True)])[0] != here[1]:
            behind = 0 if here[0] < here[1] else 1
            follower = last[behind] + 1
            if follower == len(ends[behind]) or ends[behind][follower] < here[behind]:
                break
            last[behind] = follower
        yield range(first[0], last[0] + 1), range(first[1], last[1] + 1)
        first = [index + 1 for index in last]
