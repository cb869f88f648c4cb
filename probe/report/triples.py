"""Minimal triples: one sentence in which a word is repeated after the same token, after another, and not at all.

A key is a pair of neighbouring tokens without position. So a word that is repeated after the same token has the same
key twice, and cross-model attention cannot tell which one is meant; after another token it can. Everything else in the
three sentences is equal, so that their differences are those of the repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probe.gold.triples import KINDS, Mark
from probe.output.tables import new_table, percent, points, with_interval
from probe.scoring.scores import METRICS, metrics
from probe.stats import Estimate, estimates

if TYPE_CHECKING:
    from rich.console import RenderableType


_TOP_1 = METRICS.index("top-1")


@dataclass(frozen=True)
class TripleScores:
    """Top-1 of one method on the three kinds of sentences, and its paired differences."""

    method: str
    triples: int
    top_1: Float[np.ndarray, " kinds"]
    """In the order of `KINDS`."""
    steps: tuple[Estimate, ...]
    """Other minus same, synonym minus other; over triples."""


def score_triples(
    marks: Sequence[Mark | None], methods: Sequence[str], counts: Float[np.ndarray, "sentences methods counts"]
) -> list[TripleScores]:
    """Scores of each method on the triples of which all three sentences are there; none where there is no triple."""
    places: dict[str, dict[str, int]] = {}
    for number, mark in enumerate(marks):
        if mark is not None:
            places.setdefault(mark.triple, {})[mark.kind] = number
    whole = [[of[kind] for kind in KINDS] for of in places.values() if of.keys() == set(KINDS)]
    if not whole:
        return []
    chosen = counts[np.array(whole)]  # triples × kinds × methods × counts
    return [_scores(name, chosen[:, :, m]) for m, name in enumerate(methods)]


def _scores(method: str, counts: Float[np.ndarray, "triples kinds counts"]) -> TripleScores:
    steps = estimates(counts, lambda summed: np.diff(metrics(summed)[..., _TOP_1], axis=-1))
    return TripleScores(method, len(counts), metrics(counts.sum(axis=0))[..., _TOP_1], tuple(steps.each()))


def table(scores: Sequence[TripleScores]) -> "RenderableType":
    """Top-1 in percent by method, 80 columns wide."""
    heads = *KINDS, "other − same\n[95 % CI]", "synonym − other\n[95 % CI]"
    made = new_table(f"{scores[0].triples} triples,\ntop-1 %", *heads)
    for one in scores:
        steps = (with_interval(step, points) for step in one.steps)
        made.add_row(one.method, *map(percent, one.top_1.tolist()), *steps)
    return made
