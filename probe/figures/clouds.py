"""Key-query clouds, without and with matching, in the plane of their principal components."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probe.errors import Problem, ReportError
from probe.figures.chart import TICK, canvas, legend_above
from probe.figures.mismatch import run_and_others
from probe.figures.paper import page
from probe.figures.saved import Saved
from probe.keyquery.values import Analysis
from probe.output.tables import number, percent, with_interval
from probe.plots.style import SERIES
from probe.stats import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


VIEW, METHOD, DISTANCE = "forward", "PCA", "Fréchet"
SHOWN = 200
"""Points of each cloud: more would lie on top of each other."""
COLOURS = tuple(colour for colour, _, _ in SERIES)


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a cloud, in the units of its view."""

    checkpoint: str
    cloud: str
    x: float
    y: float


@dataclass(frozen=True)
class Panel:
    """The clouds of one checkpoint."""

    checkpoint: str
    explained: tuple[float, ...]
    """Share of variance of each axis."""
    distance: Estimate
    floor: float | None
    queries: tuple[tuple[float, float], ...]
    keys: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Clouds:
    """The last checkpoint of a run without matching, and others."""

    pair: str
    sentences: int
    tokens: tuple[int, int]
    panels: tuple[Panel, ...]

    @property
    def rows(self) -> list[Dot]:
        """A line for each point."""
        return [
            Dot(panel.checkpoint, cloud, *point)
            for panel in self.panels
            for cloud, points in (("queries", panel.queries), ("keys", panel.keys))
            for point in points
        ]

    @property
    def caption(self) -> str:
        """What the points are."""
        first, *others = (panel.checkpoint for panel in self.panels)
        return (
            f"Queries and keys without key-query matching ({first}) and with it ({', '.join(others)}); {self.pair}, "
            f"{self.sentences} sentences, {self.tokens[0]} queries and {self.tokens[1]} keys, of each at most {SHOWN} "
            "drawn. Axes: first two principal components of both clouds pooled on equal terms, for each checkpoint its "
            "own, in what student→teacher attention can see (keys centred, within the span of the query projector); "
            "shares of variance at the axes. Below each name: the Fréchet distance in that view with its 95 % CI, and "
            "in parentheses the distance between two halves of the keys. One training seed each."
        )

    def draw(self, venue: str) -> "Figure":
        """A panel for each checkpoint, over the page."""
        with canvas(page(venue), 2.25, len(self.panels)) as (figure, axes):
            for one, shown in zip(axes, self.panels, strict=True):
                draw_panel(one, shown, shown.checkpoint)
            legend_above(figure, axes[0], 2)
        return figure


def clouds(saved: Saved) -> Clouds:
    """Of the last checkpoint of the run and of every checkpoint of another method.

    Raises:
        ReportError: the report is missing, or has one checkpoint alone.
    """
    run, others = run_and_others(saved)
    if not others:
        expected, remedy = "a checkpoint with matching as well", "Name it by another --checkpoint."
        raise ReportError(Problem(str(saved.path("keyquery.json")), expected, "none", remedy))
    last = run[-1]
    panels = tuple(panel(one) for one in (last, *others))
    return Clouds(last.pair, last.sentences, (last.query_tokens, last.key_tokens), panels)


def panel(analysis: Analysis, view: str = VIEW) -> Panel:
    """The clouds of a checkpoint in a view."""
    plane = next(one for one in analysis.planes if (one.view, one.method) == (view, METHOD))
    measured = analysis.measurement(view, DISTANCE)
    # The sign of a component is arbitrary: the longer tail of the keys points to the right and up in every panel.
    signs = [1 if sum(point[axis] ** 3 for point in plane.keys) >= 0 else -1 for axis in (0, 1)]
    queries, keys = (
        tuple((signs[0] * x, signs[1] * y) for x, y in points[:: max(1, -(-len(points) // SHOWN))])
        for points in (plane.queries, plane.keys)
    )
    return Panel(analysis.checkpoint, plane.explained, measured.pair, measured.floor, queries, keys)


def draw_panel(axes: Any, shown: Panel, title: str, colours: Sequence[str] = COLOURS) -> None:
    """Draw both clouds under a title, and under that their distance."""
    for k, (name, points) in enumerate((("queries", shown.queries), ("keys", shown.keys))):
        colour, marker = colours[k], "ox"[k]
        style: Any = {"s": 7, "linewidths": 0.5, "alpha": 0.75, "marker": marker, "zorder": 2 + k}
        style |= {"facecolors": "none", "edgecolors": colour} if marker == "o" else {"color": colour}
        axes.scatter(*zip(*points, strict=True), label=name, **style)
    distance, floor = with_interval(shown.distance, _short), _short(shown.floor)
    axes.set_title(f"{title}\n{DISTANCE} {distance} ({floor})", fontsize=TICK)
    axes.set_xlabel(f"first component{_share(shown.explained, 0)}")
    axes.set_ylabel(f"second component{_share(shown.explained, 1)}")
    axes.set_aspect("equal", adjustable="datalim")


def _share(shares: tuple[float, ...], axis: int) -> str:
    return f" ({percent(shares[axis], '.0f')} %)" if axis < len(shares) else ""


def _short(value: float | None) -> str:
    return number(value, ".3g") or "–"
