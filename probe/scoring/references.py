"""Methods that need no checkpoint, each as an attention map: references, baselines, floors and ceilings.

`overlap` and `chunk` are automatic references; `lexical` and `diagonal` are baselines to beat, and under the decoder
`grid` those of a decoded attention; `uniform` is a floor; `gold`, `bigram` and `target_only` are ceilings. Where a
method finds no partner for a token, all weight of its row is on end of sequence, which is never linked.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.aligners.grid import grid
from probe.chunks import chunk_mask, equal_mask, numbered, overlap_mask, spellings
from probe.gold.rows import GoldRow, gold_mask
from probe.maps import AttentionMap, with_eos
from probe.tokens import TokenizedText

NOTES = {
    "cma": "the attention of this checkpoint",
    "trained": "the attention of this checkpoint",
    "cla mask": "cma within the shared chunk only, as CLA trains it",
    "cma ×0.8": "cma with a key scale that is 0.8 times as large",
    "cma ×1.25": "cma with a key scale that is 1.25 times as large",
    "input half": "the query sees its input token only (the embedding of the target is replaced by its mean)",
    "target half": "the query sees its target token only (the embedding of the input is replaced by its mean)",
    "no hidden": "the trained attention, with values that leave out the teacher's hidden states",
    "no target": "the trained attention, with values that leave out the target embeddings",
    "random": "an untrained query projector, scaled to the entropy of the trained one",
    "uniform": "equal weight on all teacher tokens",
    "diagonal": "position alone",
    "lexical": "spelling alone: equal weight on all teacher tokens that are spelled alike",
    "cma-grid": "cma decoded by order: the share of monotone paths through each pair of tokens",
    "lexical-grid": "lexical decoded by order; what cma-grid must beat",
    "position-grid": "diagonal decoded by order",
    "overlap": "equal weight on the teacher tokens that share a byte; gold was proposed from it",
    "chunk": "equal weight on the teacher tokens of the same chunk",
    "gold": "equal weight on the sure links",
    "bigram": "the best top-1 and mass that any query can reach (a ceiling)",
    "target-only": "the same ceiling if query and key see their target token only",
}
"""What each method is, in a line: those here, and those that a checkpoint gives."""


def two_way(method: Callable[[GoldRow], AttentionMap], row: GoldRow) -> AttentionMap:
    """The map of a method and its backward attention: its own, or the same method on the reversed row."""
    found = method(row)
    return found if found.over_student is not None else replace(found, over_student=method(row.reversed).weights.T)


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
    return _mask_map("lexical", row, equal_mask(spellings(row.student), spellings(row.teacher)))


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
    choice is the class of equal key bigrams with the highest mean share of gold. Top-1 and attention mass are
    exact ceilings; the other metrics are those of this map, whose lower ranks follow the same shares.
    """
    return _ceiling("bigram", row, _bigrams(row.student), _bigrams(row.teacher))


def target_only(row: GoldRow) -> AttentionMap:
    """The same ceiling for a function that sees the target half of query and key alone."""
    return _ceiling("target-only", row, row.student.pieces, row.teacher.pieces)


def lexical_grid(row: GoldRow) -> AttentionMap:
    """Spelling and order: `lexical` under the decoder `grid`."""
    return grid(two_way(lexical, row))


def position_grid(row: GoldRow) -> AttentionMap:
    """Position and order: `diagonal` under the decoder `grid`."""
    return replace(grid(two_way(diagonal, row)), method="position-grid")


def _ceiling(method: str, row: GoldRow, queries: Sequence[Hashable], keys: Sequence[Hashable]) -> AttentionMap:
    students, teachers = numbered(queries), numbered(keys)
    gold_of = np.zeros((students.max(initial=-1) + 1, teachers.max(initial=-1) + 1))
    i, j = row.sure_links.T
    np.add.at(gold_of, (students[i], teachers[j]), 1)
    share = np.round(gold_of / np.bincount(teachers), 12)
    # A rank below the best is worth a factor of e^-50: the best class takes all, and the order survives.
    worth = np.exp(-50.0 * np.arange(14))
    weights = worth[np.minimum(_dense_ranks(share), 13)][students][:, teachers]
    return AttentionMap(method, row.student, row.teacher, with_eos(weights))


def _dense_ranks(values: Float[np.ndarray, "rows columns"]) -> Int[np.ndarray, "rows columns"]:
    """Within each row 0 for the largest value, 1 for the next smaller one, and so on; most values are zero."""
    row, column = np.nonzero(values)
    order = np.lexsort((-values[row, column], row))
    row, column = row[order], column[order]
    sorted_ = values[row, column]
    begins, falls = (np.append(True, lower)[: len(row)] for lower in (row[:-1] < row[1:], sorted_[1:] < sorted_[:-1]))
    place = np.cumsum(begins | falls)
    rank = place - place[begins][np.cumsum(begins) - 1]
    ranks = np.zeros(values.shape, dtype=np.int32)
    ends = np.append(begins[1:], True)[: len(row)]
    ranks[row[ends]] = rank[ends, None] + 1  # zeros come after all others
    ranks[row, column] = rank
    return ranks


def _bigrams(side: TokenizedText) -> list[tuple[str | None, str]]:
    return list(zip([None, *side.pieces], side.pieces, strict=False))


def _shape(row: GoldRow) -> tuple[int, int]:
    return row.sizes[0] + 1, row.sizes[1] + 1


def _mask_map(method: str, row: GoldRow, mask: Bool[np.ndarray, "student teacher"]) -> AttentionMap:
    return AttentionMap(method, row.student, row.teacher, with_eos(mask.astype(np.float64)))


def _map(method: str, row: GoldRow, weights: Float[np.ndarray, "student_targets teacher_targets"]) -> AttentionMap:
    return AttentionMap(method, row.student, row.teacher, weights / weights.sum(axis=1, keepdims=True))
