"""The state of an explorer: what the user has chosen, and the attention map for it.

Every act takes a state and returns a new one, as in `probe.widgets.annotation`. A `Bench` does the computations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from probe.errors import OutputError, PairsError, ProbeError, Problem
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.heatmap import Look, save_heatmap
from probe.plots.heatmaps.panels import Scale


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show.

    ``temperature`` divides the logits; a method without softmax ignores it. ``scale`` is the colour scale. ``row`` is
    the id of the gold row of the sentence; None for a sentence that the user typed.
    """

    checkpoint: str
    text: str
    method: str
    temperature: float = 1.0
    scale: Scale = "linear"
    row: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A method, whether its weights are a softmax, and what it lacks here; empty if it can be drawn."""

    name: str
    softmax: bool
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A gold row and the top-1 of a checkpoint on it, from 0 to 1; NaN if the row has no sure link."""

    row: GoldRow
    top_1: float


@dataclass(frozen=True, slots=True)
class Found:
    """The map of a choice, and the gold row with the same tokens, if any."""

    map: AttentionMap
    gold: GoldRow | None


@runtime_checkable
class Bench(Protocol):
    """Computes maps: open checkpoints by name, with their gold rows."""

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Names; the first one is shown first."""
        ...

    def methods(self, checkpoint: str, *, gold: bool) -> tuple[Method, ...]:
        """All methods in a fixed order, each with what it lacks for this checkpoint, with or without a gold row."""
        ...

    def ranked(self, checkpoint: str) -> tuple[Ranked, ...]:
        """The gold rows of a checkpoint, lowest top-1 first; empty without a gold file."""
        ...

    def find(self, choice: Choice) -> Found:
        """The map of a choice.

        Raises:
            ProbeError: there is none; the message says why.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exploration:
    """A state.

    Attributes:
        bench: computes the maps.
        choice: what the user has chosen.
        shown: the last choice for which there was a map.
        found: that map.
        fonts: files, or names of installed fonts, for exported figures.
        message: what the last act reports.
        refused: whether that is an error.
    """

    bench: Bench
    choice: Choice
    shown: Choice
    found: Found
    fonts: tuple[str | Path, ...] = ()
    message: str = ""
    refused: bool = False

    @property
    def stale(self) -> bool:
        """Whether the map belongs to an earlier choice, because this one has no map."""
        return self.choice != self.shown

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods, each with what it lacks for the sentence on the screen."""
        return self.bench.methods(self.choice.checkpoint, gold=self.found.gold is not None)

    @property
    def place(self) -> int | None:
        """The place of the gold row on the screen among those of the checkpoint."""
        if self.found.gold is None:
            return None
        ids = [ranked.row.id for ranked in self.bench.ranked(self.shown.checkpoint)]
        return ids.index(self.found.gold.id) if self.found.gold.id in ids else None

    @property
    def title(self) -> str:
        """What is shown, in one line."""
        soft = any(method.softmax for method in self.methods if method.name == self.shown.method)
        temperature = f", temperature {self.shown.temperature:g}" if soft and self.shown.temperature != 1 else ""
        return f"{self.shown.checkpoint}, {self.shown.method}{temperature}"


def open_exploration(bench: Bench, choice: Choice, fonts: tuple[str | Path, ...] = ()) -> Exploration:
    """Start with a choice.

    Raises:
        ProbeError: there is no map for it.
    """
    return Exploration(bench, choice, choice, bench.find(choice), fonts)


def choose(state: Exploration, changes: Mapping[str, Any]) -> Exploration:
    """Show a new choice. If there is no map for it, say why and keep the last map."""
    if "text" in changes:
        changes = {"row": None, **changes}
    choice = replace(state.choice, **changes)
    try:
        return replace(state, choice=choice, shown=choice, found=state.bench.find(choice), message="", refused=False)
    except ProbeError as error:
        return replace(state, choice=choice, message=str(error), refused=True)


def step(state: Exploration, by: int) -> Exploration:
    """Move by that many gold rows, and stop at the first and last one. From another sentence, go to the first row.

    Raises:
        PairsError: there are no gold rows.
    """
    ranked = state.bench.ranked(state.choice.checkpoint)
    if not ranked:
        raise PairsError(Problem("explorer", "gold rows", "none", "Name a file: probe.explore(..., gold=PATH)."))
    place = 0 if state.place is None else min(max(state.place + by, 0), len(ranked) - 1)
    row = ranked[place].row
    return choose(state, {"text": row.text, "row": row.id})


def export(state: Exploration, name: str) -> Exploration:
    """Write the heatmap on the screen as PDF, SVG or PNG.

    Raises:
        OutputError: the choice has no map, the name has another suffix, or the place cannot be written to.
        MapError: the sentence is too long for a page.
    """
    if state.stale:
        got = "the heatmap of an earlier choice"
        remedy = "Correct the choice first."
        raise OutputError(Problem("export", "a heatmap of the current choice", got, remedy))
    if not name.strip():
        raise OutputError(Problem("export", "the name of a file", "none", "Type one, such as attention.pdf."))
    path = Path(name.strip()).expanduser()
    look = Look(scale=state.shown.scale, fonts=state.fonts)
    save_heatmap({state.title: state.found.map}, path, gold=state.found.gold, look=look)
    return replace(state, message=f"Wrote {name.strip()}.", refused=False)


_ACTS: Mapping[str, Callable[[Exploration, Any], Exploration]] = {"choose": choose, "step": step, "export": export}


def answer(state: Exploration, act: str, what: Any) -> Exploration:
    """The state after an act of the page. If it fails, the message says why and the rest stays as it is."""
    try:
        return _ACTS[act](state, what)
    except ProbeError as error:
        return replace(state, message=str(error), refused=True)
