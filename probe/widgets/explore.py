"""Exploring checkpoints in a notebook: what computes behind the widget, and `explore`, which opens it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from probe.alignment.fitting import fitting_rows
from probe.alignment.methods import (
    CLA_MASK,
    CMA,
    HALVES,
    RANDOM,
    REFERENCES,
    CheckpointMaps,
    attention_map,
    checkpoint_maps,
)
from probe.attention import cross_model_attention
from probe.checkpoints.find import find_checkpoint
from probe.checkpoints.opened import OpenCheckpoint, Sides
from probe.errors import CheckpointError, MapError, Problem
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.labels import drawable
from probe.plots.heatmaps.panels import LARGEST
from probe.scoring.scores import top_1, worst_first
from probe.scoring.truth import Truth
from probe.widgets.exploration import Choice, Found, Method, Ranked, open_exploration
from probe.widgets.widget import needs_notebooks

if TYPE_CHECKING:
    from probe.widgets.explorer_widget import Explorer


TEXT = "Return the path of the file; if the file is missing, raise an error."
SOFTMAX = (CMA, CLA_MASK, *HALVES, RANDOM)
"""Methods with logits, which a temperature divides; of untrained projectors the first seed is shown."""

NEED_GOLD = ("gold", "bigram", "target-only")
Openable = str | Path | OpenCheckpoint


@dataclass(frozen=True)
class Desk:
    """An open checkpoint, the gold rows that fit it, and what has been made ready for its methods."""

    open_: OpenCheckpoint
    rows: tuple[GoldRow, ...]
    _ready: dict[str, CheckpointMaps] = field(default_factory=dict[str, CheckpointMaps], repr=False)

    @cached_property
    def ranked(self) -> tuple[Ranked, ...]:
        """The rows in the order of the checkpoint's failure; worked out once, when it is first asked for."""
        hits = [self._top_1(row) for row in self.rows]
        return tuple(Ranked(self.rows[n], hits[n]) for n in worst_first(hits, [row.id for row in self.rows]))

    @cached_property
    def rows_of(self) -> dict[Sides, GoldRow]:
        """The first row of each pair of tokenised texts."""
        return {(row.student, row.teacher): row for row in reversed(self.rows)}

    def attend(self, method: str, row: GoldRow, temperature: float) -> AttentionMap:
        """The map of a method that is a softmax."""
        if method not in self._ready:
            self._ready[method] = checkpoint_maps(self.open_, self.rows, (method,))
        logits = self._ready[method].attentions(row)[method][0].logits
        return attention_map(method, row, cross_model_attention(logits / temperature))

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
        """All methods, with what each lacks here."""
        desk = self.desks[checkpoint]
        lacks = dict.fromkeys((*SOFTMAX, *REFERENCES), "")
        if desk.open_.checkpoint.method != "cla":
            lacks[CLA_MASK] = "a checkpoint trained by CLA"
        if not desk.rows:
            lacks |= dict.fromkeys((*HALVES, RANDOM), "gold rows to take means over")
        if not gold:
            lacks |= dict.fromkeys(NEED_GOLD, "a sentence with gold links")
        return tuple(Method(name, name in SOFTMAX, lack) for name, lack in lacks.items())

    def ranked(self, checkpoint: str) -> tuple[Ranked, ...]:
        """The gold rows of a checkpoint, those it fails on first."""
        return self.desks[checkpoint].ranked

    def find(self, choice: Choice) -> Found:
        """The map of a choice.

        Raises:
            MapError: no tokens, too many of them, or a method that lacks something.
            TokenError: the tokenizers cannot cut the text.
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
        raise MapError(Problem("sentence", "at least one character", "none", "Type one."))
    if any("\ud800" <= char <= "\udfff" for char in text):
        got = "half of a surrogate pair"
        raise MapError(Problem("sentence", "text that UTF-8 can hold", got, "Write the whole character."))
    sides = open_.tokenize(text)
    if max(len(side.tokens) for side in sides) >= LARGEST:
        got = " × ".join(str(len(side.tokens)) for side in sides)
        remedy = "Shorten it; probe-heatmap --window draws a part."
        raise MapError(Problem("sentence", f"fewer than {LARGEST} tokens a side", got, remedy))
    return sides


def explore(
    checkpoint: Openable | Sequence[Openable] = "demo",
    *,
    gold: str | Path | GoldFile | None = None,
    text: str | None = None,
    fonts: Sequence[str | Path] = (),
) -> "Explorer":
    """A widget that shows the attention of any sentence while it is typed.

        >>> import probe
        >>> explorer = probe.explore(["demo", "demo-cma"], text="Return the path of the file.")
        >>> explorer.map.weights.shape
        (8, 8)

    In a notebook, let the cell end with it. Pick a row to read its largest weights, set a temperature, choose another
    method or checkpoint, step through the gold rows, those that the checkpoint fails on first, and export what you see.
    Where no kernel runs, the notebook shows a picture of the first sentence.

    Args:
        checkpoint: a name, a directory or a hub id as `find_checkpoint` takes them, an open checkpoint, or several.
        gold: a gold file, for links and for methods that need gold rows; each checkpoint takes the rows that fit it.
        text: the sentence to begin with; default: the gold row that the first checkpoint fails on most, without gold
            a sentence of ours.
        fonts: files that are tried before DejaVu Sans in what is exported.

    Raises:
        MissingExtraError: the extra ``notebooks`` is not installed.
        CheckpointError: a checkpoint cannot be opened, or is named twice.
        PairsError: the gold file cannot be read, or no row of it fits a checkpoint.
        MapError: the sentence has no tokens, or too many.
        OutputError: a font cannot be read.
    """
    with needs_notebooks("explore"):
        from probe.widgets.explorer_widget import Explorer
    path = Path("gold") if gold is None or isinstance(gold, GoldFile) else Path(gold)
    rows = gold if gold is None or isinstance(gold, GoldFile) else read_pairs(gold)
    texts = [TEXT if text is None else text] if rows is None else [row.text for row in rows.rows]
    named = (checkpoint,) if isinstance(checkpoint, Openable) else checkpoint
    desks = {name: Desk(open_, _rows(open_, rows, path)) for name, open_ in _opened(named, texts).items()}
    files = tuple(map(Path, fonts))
    drawable((), files)  # a font that cannot be read is said now, and not when a figure is written
    return Explorer(open_exploration(CheckpointBench(desks), _begin(desks, text), files))


def _begin(desks: Mapping[str, Desk], text: str | None) -> Choice:
    """With the text that is given, else with the gold row that the first checkpoint fails on most."""
    name, desk = next(iter(desks.items()))
    if text is None and desk.ranked:
        worst = desk.ranked[0].row
        return Choice(name, worst.text, CMA, row=worst.id)
    return Choice(name, TEXT if text is None else text, CMA)


def _opened(named: Sequence[Openable], texts: Sequence[str]) -> dict[str, OpenCheckpoint]:
    found: dict[str, OpenCheckpoint] = {}
    for one in named:
        open_ = one if isinstance(one, OpenCheckpoint) else find_checkpoint(str(one), texts=texts)
        name = open_.checkpoint.name
        if name in found and not isinstance(one, OpenCheckpoint):
            name = str(one)
        if name in found:
            raise CheckpointError(
                Problem("explore", "checkpoints of different names", f"{name} twice", "Name each once.")
            )
        # Reading a large vocabulary takes a second: before the first key is pressed, and not after it.
        for model in (open_.student, open_.teacher):
            model.tokenizer.encode("")
        found[name] = open_
    if not found:
        raise CheckpointError(Problem("explore", "a checkpoint", "none", "Name one, such as demo."))
    return found


def _rows(open_: OpenCheckpoint, gold: GoldFile | None, path: Path) -> tuple[GoldRow, ...]:
    return () if gold is None else tuple(fitting_rows(open_, gold, path))
