"""A sentence, its gold links and its attention, small enough to check by eye, for tests of pictures."""

import numpy as np

from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.tokens import TokenizedText

STUDENT = TokenizedText.from_pieces("a cat sat", ["a", "Ġcat", "Ġs", "at"])
TEACHER = TokenizedText.from_pieces("a cat sat", ["a", "▁", "cat", "▁sat"])
GOLD = GoldRow("r", "s~t", STUDENT, TEACHER, frozenset({(0, 0), (1, 2), (2, 3), (3, 3)}), frozenset({(1, 1)}), (), "")


def attention() -> AttentionMap:
    """Each row prefers the diagonal."""
    weights = np.full((5, 5), 0.1)
    np.fill_diagonal(weights, 0.6)
    return AttentionMap("cma", STUDENT, TEACHER, weights)


def long_map(size: int) -> AttentionMap:
    """So many tokens, each sure of its own."""
    side = TokenizedText.from_pieces("a" * size, ["a"] * size)
    return AttentionMap("cma", side, side, np.eye(size + 1))
