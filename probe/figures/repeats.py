"""Repeat confusion: attention mass on the same token elsewhere, against how often the token occurs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe.chunks import spellings
from probe.figures.chart import DASHES, DOTS, LABEL, TICK, canvas, legend_above, reference, series
from probe.figures.saved import Saved
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.scoring.destinations import SURE, TOKEN
from probe.scoring.references import bigram, uniform
from probe.scoring.truth import Truth
from probe.stats import RESAMPLES, as_float, estimates

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST = 4
"""Tokens that occur so often or more are one class."""
REFERENCES = {"equal weights": uniform, "bigram ceiling": bigram}


MASS, MISPLACED = "mass", "misplaced"
LABELS = {MASS: "of all mass", MISPLACED: "of it and sure links"}


@dataclass(frozen=True, slots=True)
class Confusion:
    """A share with its 95 % CI over sentences, NaN of few.

    ``mass`` is the mean attention mass on the same token elsewhere; ``misplaced`` is this as a share of the mass there
    and on sure links together.
    """

    figure: str
    method: str
    occurrences: str
    sentences: int
    tokens: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Repeats:
    """By method and class of occurrences."""

    pair: str
    gold: str
    sentences: int
    rows: tuple[Confusion, ...]

    @property
    def caption(self) -> str:
        """What the points are."""
        sizes = "; ".join(f"{one.occurrences}: {one.tokens}" for one in self.of(MASS, self.rows[0].method))
        return (
            "Repeat confusion: mean attention mass on teacher tokens of the same bytes without a sure link (left), "
            "and this as a share of the mass there and on sure links together (right), "
            f"against how often the student token occurs in its sentence ({self.pair}, {self.gold}; "
            f"{self.sentences} sentences; tokens with a sure link by occurrences: {sizes}). Bars: 95 % CI over "
            f"{RESAMPLES} resamples of sentences. Dotted: equal weights. Dashed: the bigram ceiling, which places as "
            "much on sure links as any function of query and key can. One checkpoint, one training seed a method."
        )

    def of(self, figure: str, method: str) -> list[Confusion]:
        """The classes of a method."""
        return [one for one in self.rows if (one.figure, one.method) == (figure, method)]

    def draw(self, venue: str) -> "Figure":
        """A line for each method, in a column."""
        names = list(dict.fromkeys(one.method for one in self.rows if one.method not in REFERENCES))
        with canvas(venue, 2.0, len(LABELS)) as (figure, axes):
            for one, (name, label) in zip(axes, LABELS.items(), strict=True):
                _panel(one, self, name, names)
                one.set_title(label, fontsize=TICK)
            axes[0].set_ylabel("mass on the same\ntoken elsewhere, %")
            figure.supxlabel("occurrences of the token in the sentence", fontsize=LABEL)
            legend_above(figure, axes[0], 2)
        return figure


def _panel(axes: Any, found: Repeats, figure: str, names: list[str]) -> None:
    for number, name in enumerate(names):
        shown = found.of(figure, name)
        values, low, high = ([100 * getattr(one, part) for one in shown] for part in ("value", "low", "high"))
        series(axes, number, np.arange(len(shown)) + 0.08 * number, values, (low, high), label=name)
    for name, line in zip(REFERENCES, (DOTS, DASHES), strict=True):
        values = [100 * one.value for one in found.of(figure, name)]
        reference(axes, range(len(values)), values, label=name, dashes=line)
    ticks = [one.occurrences for one in found.of(figure, names[0])]
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_ylim(bottom=0)


def repeats(saved: Saved) -> Repeats:
    """Of every checkpoint whose maps are saved, on the sentences that all have.

    Raises:
        MapError, PairsError, ReportError: there are no such maps.
    """
    rows = saved.rows

    def of_saved(maps: dict[str, AttentionMap]) -> Callable[[GoldRow], AttentionMap]:
        return lambda row: maps[row.id]

    methods = {name: of_saved(dict(maps)) for name, maps in saved.maps.items()} | REFERENCES
    found = [one for name, method in methods.items() for one in _confusions(name, rows, method)]
    source = saved.gold.path.name if saved.gold.path else saved.gold.name
    return Repeats(rows[0].pair, source, len(rows), tuple(found))


def _confusions(name: str, rows: tuple[GoldRow, ...], method: Callable[[GoldRow], AttentionMap]) -> list[Confusion]:
    counts = np.stack([_counts(row, method(row)) for row in rows])

    def shares(summed: Float[np.ndarray, "*batch sums"]) -> Float[np.ndarray, "*batch 2 shares"]:
        elsewhere, sure, tokens = np.split(summed, 3, axis=-1)
        with np.errstate(invalid="ignore"):
            return np.stack([elsewhere / tokens, elsewhere / (elsewhere + sure)], axis=-2)

    sentences, tokens = (counts[:, -MOST:] > 0).sum(axis=0), counts[:, -MOST:].sum(axis=0)
    found = estimates(counts, shares, sentences)
    confusions: list[Confusion] = []
    for number, figure in enumerate(LABELS):
        for k in np.flatnonzero(tokens).tolist():
            place = figure, name, f"{k + 1}" if k + 1 < MOST else f"{MOST}+", int(sentences[k]), int(tokens[k])
            confusions.append(Confusion(*place, *map(as_float, found.at(number, k))))
    return confusions


def _counts(row: GoldRow, map_: AttentionMap) -> Float[np.ndarray, " sums"]:
    """By class of occurrences: mass on the same token elsewhere, on sure links, and tokens; all with a sure link."""
    truth, words = Truth(row), spellings(row.student)
    times, linked = Counter(words), truth.linked[:-1]
    classes = np.array([min(times[word], MOST) - 1 for word in words], dtype=np.int64)[linked]
    weights = map_.weights[:-1][linked].astype(np.float64)
    kinds = truth.destinations[:-1][linked]
    parts = (weights * (kinds == TOKEN)).sum(axis=1), (weights * (kinds == SURE)).sum(axis=1), np.ones(len(classes))
    return np.concatenate([np.bincount(classes, part, minlength=MOST) for part in parts])
