"""Where the attention mass goes, by phenomenon: stacked bars of seven kinds of teacher tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from probe.figures.chart import TICK, canvas
from probe.figures.saved import Saved
from probe.gold.rows import PHENOMENA
from probe.plots.style import LIGHT, SHARES
from probe.report.values import ROWS, Findings, beyond_overview, shares_of_rows
from probe.scoring.destinations import DESTINATIONS
from probe.stats import FEW, RESAMPLES, estimates

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ALL, SURE = "all sentences", DESTINATIONS[0]
BESIDE = ("uniform", "bigram")
"""Floor and ceiling of the mass on sure links."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the attention mass; low and high are its 95 % CI, known for the probed attention only."""

    phenomenon: str
    sentences: int
    tokens: int
    method: str
    destination: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Mass:
    """Shares of one checkpoint, and those on sure links of floor and ceiling."""

    checkpoint: str
    pair: str
    gold: str
    method: str
    rows: tuple[Share, ...]

    @property
    def caption(self) -> str:
        """What the bars are."""
        whole = self.rows[0]
        return (
            f"Where the attention mass of {self.checkpoint} ({self.pair}) goes, over student tokens with a sure link "
            f"in the sentences with each phenomenon ({self.gold}; {whole.sentences} sentences, {whole.tokens} tokens "
            "in all; in parentheses: sentences). A teacher token is of the first kind that fits. Whiskers: 95 % CI "
            f"of the share on sure links over {RESAMPLES} resamples of sentences. Dotted ticks: that share under "
            "equal weights; solid ones: under the bigram ceiling. A sentence may show several phenomena; those of "
            f"fewer than {FEW} sentences are left out. One checkpoint, one training seed."
        )

    def draw(self, venue: str) -> "Figure":
        """A bar for each phenomenon, in a column."""
        names = list(dict.fromkeys(one.phenomenon for one in self.rows))
        with canvas(venue, 0.72 + 0.155 * len(names)) as (figure, (axes,)):
            _bars(axes, self, names)
            sizes = {one.phenomenon: one.sentences for one in self.rows}
            axes.set_yticks(range(len(names)), [f"{name} ({sizes[name]})" for name in names])
            axes.set_ylim(len(names) - 0.5, -0.6)
            axes.tick_params(axis="y", length=0)
            axes.set_xlim(0, 1)
            axes.set_xticks(np.linspace(0, 1, 6), ["0", "20", "40", "60", "80", "100"])
            axes.set_xlabel("share of the attention mass, %")
            axes.spines[["left"]].set_visible(False)
            _legend(figure, axes)
        return figure


def mass(saved: Saved) -> Mass:
    """Of the last checkpoint of the run.

    Raises:
        ReportError: the report is missing.
    """
    name, report = list(saved.run.items())[-1]
    chosen = {ALL: np.ones(len(report.sentences), dtype=bool)}
    chosen |= {one: np.array([one in tags for tags in report.phenomena]) for one in PHENOMENA}
    rows = [share for group, mask in chosen.items() if mask.sum() >= FEW for share in _shares(report, group, mask)]
    return Mass(name, report.origin.pair, Path(report.origin.gold).name, report.methods[0], tuple(rows))


def _shares(report: Findings, group: str, mask: Bool[np.ndarray, " sentences"]) -> list[Share]:
    tokens = report.counts[mask, 0, ROWS]
    masses = beyond_overview(report.mass)[mask]
    counts = np.concatenate([beyond_overview(report.mass)[:, 0], report.counts[:, 0, ROWS, None]], axis=1)
    found = estimates(report.clustered(counts, mask), shares_of_rows)
    place = group, int(mask.sum()), int(tokens.sum())
    numbers = zip(DESTINATIONS, found.value.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
    own = [Share(*place, report.methods[0], *one) for one in numbers]
    beside = [name for name in BESIDE if name in report.methods]
    sums = {name: masses[:, report.methods.index(name), 0].sum() / tokens.sum() for name in beside}
    return [*own, *(Share(*place, name, SURE, float(sums[name]), np.nan, np.nan) for name in beside)]


def _bars(axes: Any, found: Mass, names: list[str]) -> None:
    own = [one for one in found.rows if one.method == found.method]
    left = np.zeros(len(names))
    for destination, (colour, hatch) in zip(DESTINATIONS, SHARES, strict=True):
        widths = np.array([one.share for one in own if one.destination == destination])
        style: Any = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.3, "height": 0.74}
        axes.barh(range(len(names)), widths, left=left, label=destination, **style)
        left += widths
    sure = [one for one in own if one.destination == SURE]
    value, low, high = (np.array([getattr(one, part) for one in sure]) for part in ("share", "low", "high"))
    # White below black, to be seen on dark bars as on light ones.
    for colour, width in (("white", 2.0), (LIGHT.ink, 0.8)):
        style = {"ecolor": colour, "elinewidth": width, "capsize": 1.6, "capthick": width, "fmt": "none"}
        axes.errorbar(value, range(len(names)), xerr=[value - low, high - value], zorder=4, **style)
    for method, line in zip(BESIDE, (":", "-"), strict=True):
        beside = [one for one in found.rows if one.method == method]
        for one in beside:
            at = names.index(one.phenomenon)
            for colour, width, style in (("white", 2.2, "-"), ("black", 1.1, line)):
                axes.plot(
                    [one.share] * 2, [at - 0.46, at + 0.46], color=colour, linestyle=style, linewidth=width, zorder=5
                )


def _legend(figure: "Figure", axes: Any) -> None:
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    handles += [Line2D([], [], color="black", linestyle=line, linewidth=1.1) for line in (":", "-")]
    labels += ["sure link, equal weights", "sure link, bigram ceiling"]
    style: Any = {"frameon": False, "fontsize": TICK - 0.5, "handlelength": 1.3, "handletextpad": 0.5, "borderpad": 0.1}
    figure.legend(handles, labels, loc="outside upper center", ncols=2, columnspacing=0.8, labelspacing=0.25, **style)
