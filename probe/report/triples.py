"""Minimal triples: one sentence in which a word comes again after the same token, after another, and not at all.

A key is a pair of neighbouring tokens without position. So a word that comes again after the same token has the same
key twice, and cross-model attention cannot tell which one is meant; after another token it can. Everything else in the
three sentences is equal, so that their differences are those of the repeat. A row says what it is at the beginning of
its note: ``triple T07 same.``, ``triple T07 other.``, ``triple T07 synonym.``
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probe.scoring.scores import METRICS, metrics
from probe.stats import FEW, bootstrap_interval

if TYPE_CHECKING:
    from rich.console import RenderableType


KINDS = ("same", "other", "synonym")
_MARK = re.compile(r"triple (\w+) (same|other|synonym)\.")
_TOP_1 = METRICS.index("top-1")


@dataclass(frozen=True, slots=True)
class Mark:
    """Which triple a row belongs to, and which of its three sentences it is."""

    triple: str
    kind: str


@dataclass(frozen=True)
class TripleScores:
    """Top-1 of one method on the three kinds of sentences, and its paired differences."""

    method: str
    triples: int
    top_1: Float[np.ndarray, " kinds"]
    """In the order of `KINDS`."""
    steps: Float[np.ndarray, "2 3"]
    """Other minus same, synonym minus other; each with 95 % bounds over triples, NaN of few."""


def mark_of(note: str) -> Mark | None:
    """What the note of a row says of triples."""
    found = _MARK.match(note)
    return Mark(found[1], found[2]) if found else None


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
    triples, kinds, columns = counts.shape

    def steps(summed: Float[np.ndarray, "*batch flat"]) -> Float[np.ndarray, "*batch 2"]:
        return np.diff(metrics(summed.reshape(*summed.shape[:-1], kinds, columns))[..., _TOP_1], axis=-1)

    flat = counts.reshape(triples, -1)
    value = steps(flat.sum(axis=0))
    low = high = np.full(2, np.nan)
    if triples >= FEW:
        low, high = bootstrap_interval(flat, steps)
    return TripleScores(method, triples, metrics(counts.sum(axis=0))[..., _TOP_1], np.stack([value, low, high], axis=1))


def table(scores: Sequence[TripleScores]) -> "RenderableType":
    """Top-1 in percent by method, 80 columns wide."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    made.add_column(f"{scores[0].triples} triples,\ntop-1 %", no_wrap=True)
    for header in (*KINDS, "other − same\n[95 %]", "synonym − other\n[95 %]"):
        made.add_column(header, justify="right", no_wrap=True)
    for one in scores:
        made.add_row(one.method, *(f"{100 * value:.1f}" for value in one.top_1), *map(_step, one.steps))
    return made


def _step(step: Float[np.ndarray, " 3"]) -> str:
    value, low, high = 100 * step
    return f"{value:+.1f}" + ("" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")
