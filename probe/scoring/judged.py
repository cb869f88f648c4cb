"""What an attention does with judged rows: with the head of a word, and with template tokens that have a role.

Both are counted over the teacher and over the student (the backward attention). Beside them is what equal weights give.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from probe.gold.rows import GoldRow, Link, link_mask
from probe.maps import AttentionMap
from probe.scoring.scores import top_1

COUNTS = ("judged", "top-1", "share", "equal weights")
"""Sums of a row in one direction. The first is the number of tokens, of which the others are sums. Of equal weights,
top-1 and share are the same."""

DIRECTIONS = ("over teacher", "over student")


def head_counts(map_: AttentionMap, row: GoldRow) -> Float[np.ndarray, "directions counts"]:
    """Of a word with a head. A direction in which it has one token to choose from has zeros.

    The share is that of the weight of all tokens of the word on each other, without the end of sequence, that is on the
    head; top-1 is whether the head token of one side has its largest weight on that of the other.
    """
    return np.stack([_head(one, links) for one, links in _directions(map_, row.heads)])


def role_counts(map_: AttentionMap, row: GoldRow) -> Float[np.ndarray, "directions counts"]:
    """Of a dialogue. Each token with a role link counts; its share is the weight on all tokens of that role."""
    return np.stack([_roles(one, links) for one, links in _directions(map_, row.roles)])


def _directions(map_: AttentionMap, links: frozenset[Link]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights without the end of sequence, and the links; of both directions. Rows choose among columns."""
    mask = link_mask(links, (len(map_.student.tokens), len(map_.teacher.tokens)))
    yield map_.weights[:-1, :-1], mask
    yield map_.reversed.weights[:-1, :-1], mask.T


def _head(weights: Float[np.ndarray, "rows columns"], links: Bool[np.ndarray, "rows columns"]) -> np.ndarray:
    columns = weights.shape[1]
    head = links.any(axis=1)
    if columns < 2 or not head.any():
        return np.zeros(len(COUNTS))
    top = top_1(weights[head], links[head]).sum()
    share = weights[:, links.any(axis=0)].sum() / weights.sum()
    return np.array([1, top, share, 1 / columns])


def _roles(weights: Float[np.ndarray, "rows columns"], links: Bool[np.ndarray, "rows columns"]) -> np.ndarray:
    linked = links.any(axis=1)
    if not linked.any():
        return np.zeros(len(COUNTS))
    within = weights[linked] / weights[linked].sum(axis=1, keepdims=True)
    equal = links[linked].mean(axis=1).sum()
    return np.array([linked.sum(), top_1(within, links[linked]).sum(), within[links[linked]].sum(), equal])
