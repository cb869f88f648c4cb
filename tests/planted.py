"""Small gold rows and maps with known properties, for tests of what is measured."""

from collections.abc import Collection
from functools import cache

import numpy as np
from places import GOLD

from probe.chunks import content_mask
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import GoldRow, Link
from probe.maps import AttentionMap
from probe.scoring.truth import SLICES, Truth
from probe.tokens import TokenizedText


def row_of(text: str, student: str, teacher: str, sure: Collection[Link] | None = None) -> GoldRow:
    """A row of pieces with spaces between them; links are those of shared content where none are given."""
    sides = TokenizedText.from_pieces(text, student.split(" ")), TokenizedText.from_pieces(text, teacher.split(" "))
    content = zip(*(axis.tolist() for axis in content_mask(*sides).nonzero()), strict=True)
    return GoldRow("r", "s~t", *sides, frozenset(content if sure is None else sure), frozenset(), (), "")


def map_of(row: GoldRow, weights: np.ndarray, over_student: np.ndarray | None = None) -> AttentionMap:
    return AttentionMap("planted", row.student, row.teacher, weights, over_student)


def random_map(row: GoldRow, seed: int = 0, levels: int | None = None) -> AttentionMap:
    """Both softmaxes of random logits; of few levels, so that many tie, where a number is given."""
    rng = np.random.default_rng(seed)
    shape = len(row.student.tokens) + 1, len(row.teacher.tokens) + 1
    weights = np.exp(2 * rng.normal(size=shape) if levels is None else rng.integers(0, levels, shape).astype(float))
    return map_of(row, weights / weights.sum(axis=1, keepdims=True), weights / weights.sum(axis=0))


def rows_of(truth: Truth, name: str) -> dict[int, set[int]]:
    """The rows of a slice, each with the columns that count as right."""
    chosen = truth.stack.selector[1 + SLICES.index(name)]
    place, column = truth.stack.links
    return {int(truth.stack.rows[k]): set(column[place == k].tolist()) for k in np.flatnonzero(chosen)}


@cache
def demo_gold(count: int) -> GoldFile:
    """The first rows of the bundled gold file that are of the demo's tokenizers."""
    gold = read_pairs(GOLD)
    rows = [row for row in gold.rows if row.pair == "demo~demo-teacher"]
    return GoldFile(tuple(rows[:count]), gold.comments)
