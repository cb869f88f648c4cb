"""The texts that a student reads, from the ids of a batch as they go into its forward pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from probe.watch.side import Side

MOST_TEXTS = 32
"""Of a batch that are looked at, so that a large batch costs no more than a small one."""


class Read(NamedTuple):
    """Some texts of a batch and their ids."""

    texts: list[str]
    ids: list[list[int]]


def texts_of(input_ids: Any, attention_mask: Any, student: Side) -> Read:
    """The texts of a batch of shape (batch, positions), without padding.

    One BOS in front and one EOS behind are left out: alignment links them by role. All other marks are text.
    """
    rows: Sequence[Sequence[int]] = input_ids[:MOST_TEXTS].tolist()
    masks: Sequence[Sequence[int]] = (
        [[1] * len(row) for row in rows] if attention_mask is None else attention_mask[:MOST_TEXTS].tolist()
    )
    ids = [
        _inner([id_ for id_, there in zip(*one, strict=True) if there], student)
        for one in zip(rows, masks, strict=True)
    ]
    ids = [one for one in ids if one]
    return Read([student.decode(one) for one in ids], ids)


def _inner(ids: list[int], student: Side) -> list[int]:
    bos, eos = student.bos_id, getattr(student.tokenizer, "eos_token_id", None)
    start = bos is not None and ids[:1] == [bos] and ids[1:2] != [bos]  # one that comes twice is wrong, and stays
    end = len(ids) - (eos is not None and ids[-1:] == [eos])
    return ids[start:end]
