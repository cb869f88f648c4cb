"""Methods that need no checkpoint, each as an attention map: references, baselines, floors and ceilings.

`overlap` and `chunk` are automatic references; `lexical` and `diagonal` are baselines to beat; `uniform` is a floor;
`gold`, `bigram` and `target_only` are ceilings. Where a method finds no partner for a token, all weight of its row is
on end of sequence, which is never linked.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.chunks import chunk_mask, equal_mask, numbered, overlap_mask, surfaces
from probe.gold.rows import GoldRow, gold_mask
from probe.maps import AttentionMap, with_eos
from probe.tokens import TokenizedText

NOTES = {
    "cma": "this checkpoint's attention",
    "trained": "this checkpoint's attention",
    "cla mask": "the same within shared chunks alone, as CLA trains it",
    "cma ×0.8": "the same with a key scale 0.8 times as large",
    "cma ×1.25": "the same with a key scale 1.25 times as large",
    "input half": "cma with E(x_{i+1}) in the query replaced by its mean",
    "target half": "cma with E(x_i) in the query replaced by its mean",
    "no hidden": "trained, the teacher's hidden states left out of the values",
    "no target": "trained, the target embeddings left out of the values",
    "random": "untrained query projector, as sharp as the trained one",
    "uniform": "the same weight everywhere",
    "diagonal": "position alone",
    "lexical": "same surface form, ties split",
    "overlap": "tokens that share a byte; gold was proposed from it",
    "chunk": "tokens between shared boundaries",
    "gold": "the sure links themselves",
    "bigram": "ceiling of top-1 and mass for functions of query and key",
    "target-only": "the same, seeing the target half alone",
}
"""What each method is, in a line: those here, and those that a checkpoint gives."""


def two_way(method: Callable[[GoldRow], AttentionMap], row: GoldRow) -> AttentionMap:
    """The map of a method with its A′ beside it, which is the same method with the teacher as student."""
    return replace(method(row), over_student=method(row.reversed).weights.T)


def uniform(row: GoldRow) -> AttentionMap:
    """The same weight everywhere."""
    return _map("uniform", row, np.ones(_shape(row)))


def diagonal(row: GoldRow) -> AttentionMap:
    """Weight falls by e for each teacher token of distance from the straight line between both ends."""
    students, teachers = _shape(row)
    line = np.arange(students) * (teachers - 1) / max(students - 1, 1)
    return _map("diagonal", row, np.exp(-np.abs(np.arange(teachers)[None, :] - line[:, None])))


def lexical(row: GoldRow) -> AttentionMap:
    """Equal weight on all teacher tokens of the same surface form, spaces aside."""
    return _mask_map("lexical", row, equal_mask(surfaces(row.student), surfaces(row.teacher)))


def overlap(row: GoldRow) -> AttentionMap:
    """Equal weight on all teacher tokens that share a byte with the student token."""
    return _mask_map("overlap", row, overlap_mask(row.student, row.teacher))


def chunk(row: GoldRow) -> AttentionMap:
    """Equal weight on all teacher tokens of the same shared-boundary chunk."""
    return _mask_map("chunk", row, chunk_mask(row.student, row.teacher))


def gold(row: GoldRow) -> AttentionMap:
    """Equal weight on the sure links: what a perfect aligner would score."""
    return _mask_map("gold", row, gold_mask(row))


def bigram(row: GoldRow) -> AttentionMap:
    """The best map that any function of query and key can draw, keys being bigrams (y_j, y_{j+1}) without position.

    Equal keys receive equal weight and equal queries draw equal rows. So for each class of equal query bigrams the best
    choice is the class of equal key bigrams with the highest mean share of gold. Top-1 and gold mass are exact
    ceilings; the other metrics are those of this map, whose lower ranks follow the same shares.
    """
    return _ceiling("bigram", row, _bigrams(row.student), _bigrams(row.teacher))


def target_only(row: GoldRow) -> AttentionMap:
    """The same ceiling for a function that sees the target half of query and key alone."""
    return _ceiling("target-only", row, row.student.pieces, row.teacher.pieces)


def _ceiling(method: str, row: GoldRow, queries: Sequence[Hashable], keys: Sequence[Hashable]) -> AttentionMap:
    students, teachers = numbered(queries), numbered(keys)
    in_query, in_key = np.eye(students.max(initial=-1) + 1)[students], np.eye(teachers.max(initial=-1) + 1)[teachers]
    share = np.round(in_query.T @ gold_mask(row) @ in_key / in_key.sum(axis=0), 12)
    # A rank below the best is worth a factor of e^-50: the best class takes all, and the order survives.
    weights = np.exp(-50.0 * np.minimum(_dense_ranks(-share), 13))[students][:, teachers]
    return AttentionMap(method, row.student, row.teacher, with_eos(weights))


def _dense_ranks(values: Float[np.ndarray, "rows columns"]) -> Int[np.ndarray, "rows columns"]:
    """Within each row 0 for the smallest value, 1 for the next larger one, and so on."""
    order = np.argsort(values, axis=1)
    ascending = np.take_along_axis(values, order, axis=1)
    rank = np.cumsum(np.diff(ascending, axis=1, prepend=ascending[:, :1]) > 0, axis=1)
    ranks = np.empty_like(rank)
    np.put_along_axis(ranks, order, rank, axis=1)
    return ranks


def _bigrams(side: TokenizedText) -> list[tuple[str | None, str]]:
    return list(zip([None, *side.pieces], side.pieces, strict=False))


def _shape(row: GoldRow) -> tuple[int, int]:
    return row.sizes[0] + 1, row.sizes[1] + 1


def _mask_map(method: str, row: GoldRow, mask: Bool[np.ndarray, "student teacher"]) -> AttentionMap:
    return AttentionMap(method, row.student, row.teacher, with_eos(mask.astype(np.float64)))


def _map(method: str, row: GoldRow, weights: Float[np.ndarray, "student_targets teacher_targets"]) -> AttentionMap:
    return AttentionMap(method, row.student, row.teacher, weights / weights.sum(axis=1, keepdims=True))
