"""Links between the positions of a row's two sides, made when a batch first needs them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from probe.training.criteria.links import Response, chunk_links, exact_links, one_to_one, warped_links
from probe.training.data.cut import Cut
from probe.training.examples import Example
from probe.training.recipe import Recipe
from probe.training.trainer.batches import Links
from probe.training.vocabulary_map import Vocabulary, read_vocabulary_map

REMEMBERED = 1 << 14
"""Rows whose links are kept; they are made again in the next epoch otherwise, a millisecond each."""

Pairs = Bool[np.ndarray, "student teacher"]


def links_of(recipe: Recipe, rows: Sequence[Example], student: Cut, teacher: Cut) -> Links | None:
    """What gives the links of a row, by its number; None for methods that need none."""

    def responses(row: int) -> tuple[Response, Response]:
        text = rows[row].output
        first, second = (Response(c.tokenizer.tokenize(text), len(c.train[row].targets)) for c in (student, teacher))
        return first, second

    def chunks(row: int) -> Pairs:
        return chunk_links(*responses(row), recipe.objective.chunk_side)

    def exact(row: int) -> Pairs:
        return exact_links(*responses(row))

    match recipe.objective.method:
        case "cla" | "clp":
            return lru_cache(REMEMBERED)(chunks)
        case "eta":
            return lru_cache(REMEMBERED)(exact)
        case "mined":
            return lru_cache(REMEMBERED)(_warped(recipe, student, teacher))
        case _:
            return None


def _warped(recipe: Recipe, student: Cut, teacher: Cut) -> Links:
    vocabularies = [Vocabulary.read(cut.tokenizer.path.parent) for cut in (student, teacher)]
    sizes = [max(*vocabulary.pieces, *vocabulary.special) + 1 for vocabulary in vocabularies]
    path = Path(recipe.objective.vocabulary_map or "")
    student_of_teacher = read_vocabulary_map(path, teacher_rows=sizes[1], student_rows=sizes[0])

    def strings(vocabulary: Vocabulary, tokens: Int[np.ndarray, " positions"]) -> list[str]:
        return [vocabulary.pieces.get(int(token), "").replace("Ġ", "").replace("▁", "") for token in tokens]

    def warped(row: int) -> Pairs:
        ours, theirs = student.train[row].inputs, teacher.train[row].inputs
        partner = one_to_one(strings(vocabularies[1], theirs), strings(vocabularies[0], ours))
        return warped_links(partner, ours, theirs, student_of_teacher)

    return warped
