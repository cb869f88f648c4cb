"""The computations of the explorer: open checkpoints, the gold rows that fit them, and attention maps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from probe.aligners.grid import grid
from probe.alignment.methods import (
    CLA_MASK,
    CMA,
    CMA_GRID,
    HALVES,
    RANDOM,
    REFERENCES,
    CheckpointMaps,
    attention_map,
    checkpoint_maps,
)
from probe.attention import cross_model_attention
from probe.checkpoints.opened import OpenCheckpoint, Sides
from probe.errors import MapError, Problem
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.panels import LARGEST
from probe.scoring.scores import top_1, worst_first
from probe.scoring.truth import Truth
from probe.widgets.exploration import Choice, Found, Method, Ranked

SOFTMAX = (CMA, CMA_GRID, CLA_MASK, *HALVES, RANDOM)
"""Methods with logits, which can have a temperature; of the untrained query matrices, the first seed is shown."""

NEED_GOLD = ("gold", "bigram", "target-only")


@dataclass(frozen=True)
class Desk:
    """An open checkpoint, the gold rows that fit it, and the methods that are ready for use."""

    open_: OpenCheckpoint
    rows: tuple[GoldRow, ...]
    _ready: dict[str, CheckpointMaps] = field(default_factory=dict[str, CheckpointMaps], repr=False)

    @cached_property
    def ranked(self) -> tuple[Ranked, ...]:
        """The rows, lowest top-1 first; computed once, on first use."""
        hits = [self._top_1(row) for row in self.rows]
        return tuple(Ranked(self.rows[n], hits[n]) for n in worst_first(hits, [row.id for row in self.rows]))

    @cached_property
    def rows_of(self) -> dict[Sides, GoldRow]:
        """The first row of each pair of tokenised sentences."""
        return {(row.student, row.teacher): row for row in reversed(self.rows)}

    def attend(self, method: str, row: GoldRow, temperature: float) -> AttentionMap:
        """The map of a method that is a softmax, or a decoded one."""
        if method == CMA_GRID:
            return grid(self.attend(CMA, row, temperature))
        if method not in self._ready:
            self._ready[method] = checkpoint_maps(self.open_, self.rows, (method,))
        attention = next(one for name, one in self._ready[method].attentions(row) if name == method)
        return attention_map(method, row, cross_model_attention(attention.logits / temperature))

    def _top_1(self, row: GoldRow) -> float:
        truth = Truth(row)
        hits = top_1(self.open_.map(row.student, row.teacher).weights[truth.linked], truth.sure[truth.linked])
        return float(hits.mean()) if len(hits) else math.nan


@dataclass(frozen=True)
class CheckpointBench:
    """Checkpoints by name; see `probe.widgets.exploration.Bench`."""

    desks: Mapping[str, Desk]

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.desks)

    def methods(self, checkpoint: str, *, gold: bool) -> tuple[Method, ...]:
        """All methods, each with what it lacks for this checkpoint and sentence."""
        desk = self.desks[checkpoint]
        lacks = dict.fromkeys((*SOFTMAX, *REFERENCES), "")
        if desk.open_.checkpoint.method != "cla":
            lacks[CLA_MASK] = "a checkpoint trained with CLA"
        if not desk.rows:
            lacks |= dict.fromkeys((*HALVES, RANDOM), "a gold file")
        if not gold:
            lacks |= dict.fromkeys(NEED_GOLD, "a sentence with gold links")
        return tuple(Method(name, name in SOFTMAX, lack) for name, lack in lacks.items())

    def ranked(self, checkpoint: str) -> tuple[Ranked, ...]:
        """The gold rows of a checkpoint, lowest top-1 first."""
        return self.desks[checkpoint].ranked

    def find(self, choice: Choice) -> Found:
        """The map of a choice.

        Raises:
            MapError: no tokens, too many of them, or a method that lacks something.
            TokenError: the tokenizers cannot represent the sentence.
        """
        desk = self.desks[choice.checkpoint]
        sides = _tokenized(desk.open_, choice.text)
        row = next((row for row in desk.rows if row.id == choice.row and (row.student, row.teacher) == sides), None)
        gold = row or desk.rows_of.get(sides)
        method = next(m for m in self.methods(choice.checkpoint, gold=gold is not None) if m.name == choice.method)
        if method.lacks:
            remedy = "Choose another method."
            raise MapError(Problem(f"method {method.name}", method.lacks, "none", remedy))
        row = gold or GoldRow("", "typed~typed", *sides, frozenset(), frozenset(), (), "")
        if method.softmax:
            return Found(desk.attend(method.name, row, choice.temperature), gold)
        return Found(REFERENCES[method.name](row), gold)


def _tokenized(open_: OpenCheckpoint, text: str) -> Sides:
    if not text:
        raise MapError(Problem("sentence", "at least one character", "none", "Type a sentence."))
    if any("\ud800" <= char <= "\udfff" for char in text):
        got = "half of a surrogate pair"
        raise MapError(Problem("sentence", "characters that UTF-8 can encode", got, "Write the whole character."))
    sides = open_.tokenize(text)
    if max(len(side.tokens) for side in sides) >= LARGEST:
        got = " × ".join(str(len(side.tokens)) for side in sides)
        remedy = "Shorten the sentence, or draw a part with probe-heatmap --window."
        raise MapError(Problem("sentence", f"fewer than {LARGEST} tokens on each side", got, remedy))
    return sides
