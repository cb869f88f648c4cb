"""Logits a few at a time: products with a head, in memory that is taken once and used again.

A chunk of logits is some rows of all of the vocabulary. On a processor it is filled in blocks of columns that its cache
holds; an accelerator takes as many columns at once as the workspace has room for.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK_BYTES = 64 << 20
"""Of one chunk of logits: 333 rows of GPT-2's vocabulary, 110 of Qwen's. Fewer rows make the products slower."""
BLOCK_BYTES = 2 << 20
"""Of one block on a processor. Half of it makes the products slower, and much more leaves the cache."""
BLOCK_COLUMNS = 1024
"""The fewest that a block of full size has."""
STRIDE = 128
"""Columns that are asked for their largest value at once, which is much faster than asking for its place."""


class Workspace:
    """Memory for logits, taken once and used again by whoever is given it, step after step."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.chunk_bytes = chunk_bytes
        self._buffers: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    def rows(self, vocabularies: Sequence[int], dtype: torch.dtype) -> int:
        """Rows of a chunk, at least one."""
        return max(1, self.chunk_bytes // (max(vocabularies) * dtype.itemsize))

    def block(self, rows: int, like: Tensor) -> tuple[int, int]:
        """Rows and columns of a block, at least one each, for so many rows in all."""
        size = self.chunk_bytes if like.device.type != "cpu" else min(self.chunk_bytes, BLOCK_BYTES)
        numbers = size // like.dtype.itemsize
        height = max(1, min(rows, numbers // BLOCK_COLUMNS))
        return height, max(1, numbers // height)

    def buffer(self, slot: int, rows: int, vocabulary: int, like: Tensor, dtype: torch.dtype) -> Tensor:
        """``rows`` × ``vocabulary`` numbers of arbitrary value; each slot is a memory of its own."""
        key = (slot, like.device, dtype)
        size = rows * vocabulary
        if key not in self._buffers or self._buffers[key].numel() < size:
            # Memory taken in inference mode could not be written to outside it.
            with torch.inference_mode(False):
                self._buffers[key] = torch.empty(size, dtype=dtype, device=like.device)
        return self._buffers[key][:size].view(rows, vocabulary)


def logits_into(
    out: Float[Tensor, "rows vocabulary"], states: Float[Tensor, "rows width"], head: Float[Tensor, "vocabulary width"]
) -> Float[Tensor, "rows vocabulary"]:
    """``states @ head.T``, multiplied in the head's precision, in ``out``."""
    if states.dtype == head.dtype == out.dtype:
        return torch.mm(states, head.T, out=out)
    return out.copy_(states.to(head.dtype) @ head.T)


def through_head(
    gradient: Float[Tensor, "rows vocabulary"], head: Float[Tensor, "vocabulary width"]
) -> Float[Tensor, "rows width"]:
    """``gradient @ head``, multiplied in the head's precision."""
    return (gradient.to(head.dtype) @ head).to(gradient.dtype)


def argmax(logits: Float[Tensor, "rows vocabulary"]) -> Int[Tensor, " rows"]:
    """The place of the largest logit, the first of equal ones."""
    vocabulary = logits.shape[-1]
    if vocabulary < 2 * STRIDE:
        return logits.argmax(-1)
    whole = logits[:, : vocabulary // STRIDE * STRIDE].unflatten(-1, (-1, STRIDE)).amax(-1)
    # The last columns may lie in two strides; then the first of both wins.
    largest = torch.cat([whole, logits[:, -STRIDE:].amax(-1, keepdim=True)], dim=-1)
    begins = (largest.argmax(-1, keepdim=True) * STRIDE).clamp(max=vocabulary - STRIDE)
    columns = begins + torch.arange(STRIDE, device=logits.device)
    return begins[:, 0] + logits.gather(-1, columns).argmax(-1)
