"""The state of an explorer: what a reader has chosen, and the map that was found for it.

Every act takes a state and returns another, as in `probe.widgets.annotation`. What computes is handed in as a `Bench`.
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
    """What is to be shown.

    ``temperature`` divides the logits, and does nothing to a method without softmax. ``scale`` is that of the colours.
    ``row`` is the id of the gold row that the text is of; None for a text that somebody typed.
    """

    checkpoint: str
    text: str
    method: str
    temperature: float = 1.0
    scale: Scale = "linear"
    row: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A method, whether its weights are a softmax of logits, and what it lacks here: nothing where it can be drawn."""

    name: str
    softmax: bool
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A gold row and the top-1 of a checkpoint's attention on it, from 0 to 1; NaN where it has no sure link."""

    row: GoldRow
    top_1: float


@dataclass(frozen=True, slots=True)
class Found:
    """The map of a choice, and the gold row of the same tokens where there is one."""

    map: AttentionMap
    gold: GoldRow | None


@runtime_checkable
class Bench(Protocol):
    """What computes: open checkpoints by name, and their gold."""

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Names, the first to be shown first."""
        ...

    def methods(self, checkpoint: str, *, gold: bool) -> tuple[Method, ...]:
        """All methods in one order, each with what it lacks of this checkpoint on a text with or without gold."""
        ...

    def ranked(self, checkpoint: str) -> tuple[Ranked, ...]:
        """The gold rows of a checkpoint, those it fails on first; none without gold."""
        ...

    def find(self, choice: Choice) -> Found:
        """The map of a choice.

        Raises:
            ProbeError: there is none, and why.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exploration:
    """A state.

    Attributes:
        bench: what computes.
        choice: what the reader has chosen.
        shown: what was chosen when a map was last found.
        found: that map.
        fonts: font files for what is exported.
        message: what the last act has to say.
        refused: whether that is an error.
    """

    bench: Bench
    choice: Choice
    shown: Choice
    found: Found
    fonts: tuple[Path, ...] = ()
    message: str = ""
    refused: bool = False

    @property
    def stale(self) -> bool:
        """Whether the map is of an earlier choice, because there is none for this one."""
        return self.choice != self.shown

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods, with what each lacks on the text that is shown."""
        return self.bench.methods(self.choice.checkpoint, gold=self.found.gold is not None)

    @property
    def place(self) -> int | None:
        """Where the gold row that is shown stands among those of the checkpoint."""
        if self.found.gold is None:
            return None
        ids = [ranked.row.id for ranked in self.bench.ranked(self.shown.checkpoint)]
        return ids.index(self.found.gold.id) if self.found.gold.id in ids else None

    @property
    def title(self) -> str:
        """What is shown, in a line."""
        soft = any(method.softmax for method in self.methods if method.name == self.shown.method)
        temperature = f", T = {self.shown.temperature:g}" if soft and self.shown.temperature != 1 else ""
        return f"{self.shown.checkpoint}, {self.shown.method}{temperature}"


def open_exploration(bench: Bench, choice: Choice, fonts: tuple[Path, ...] = ()) -> Exploration:
    """Begin with a choice.

    Raises:
        ProbeError: there is no map for it.
    """
    return Exploration(bench, choice, choice, bench.find(choice), fonts)


def choose(state: Exploration, changes: Mapping[str, Any]) -> Exploration:
    """Show what is chosen; where there is no map for it, say why and keep the last one."""
    if "text" in changes:
        changes = {"row": None, **changes}
    choice = replace(state.choice, **changes)
    try:
        return replace(state, choice=choice, shown=choice, found=state.bench.find(choice), message="", refused=False)
    except ProbeError as error:
        return replace(state, choice=choice, message=str(error), refused=True)


def step(state: Exploration, by: int) -> Exploration:
    """Show the gold row that many places on, the ends being ends; from a text that is none, the first.

    Raises:
        PairsError: there is no gold.
    """
    ranked = state.bench.ranked(state.choice.checkpoint)
    if not ranked:
        raise PairsError(Problem("explorer", "gold rows", "none", "Name a file: probe.explore(..., gold=PATH)."))
    place = 0 if state.place is None else min(max(state.place + by, 0), len(ranked) - 1)
    row = ranked[place].row
    return choose(state, {"text": row.text, "row": row.id})


def export(state: Exploration, name: str) -> Exploration:
    """Write what is shown as PDF, SVG or PNG.

    Raises:
        OutputError: what is chosen is not what is shown, the name says no format, or the place cannot be written to.
        MapError: the text is too long for a page.
    """
    if state.stale:
        got = "the heatmap of an earlier choice"
        remedy = "Mend what is chosen first."
        raise OutputError(Problem("export", "a heatmap of what is chosen", got, remedy))
    if not name.strip():
        raise OutputError(Problem("export", "the name of a file", "none", "Write one, such as attention.pdf."))
    path = Path(name.strip()).expanduser()
    look = Look(scale=state.shown.scale, fonts=state.fonts)
    save_heatmap({state.title: state.found.map}, path, gold=state.found.gold, look=look)
    return replace(state, message=f"Wrote {name.strip()}.", refused=False)


_ACTS: Mapping[str, Callable[[Exploration, Any], Exploration]] = {"choose": choose, "step": step, "export": export}


def answer(state: Exploration, act: str, what: Any) -> Exploration:
    """The state after an act of the page; what cannot be done is said, and leaves the rest as it is."""
    try:
        return _ACTS[act](state, what)
    except ProbeError as error:
        return replace(state, message=str(error), refused=True)
