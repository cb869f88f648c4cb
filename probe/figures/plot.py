"""One function that draws whatever the package hands out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from probe.errors import ArgumentError
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.heatmap import Look, heatmap
from probe.scoring.references import gold

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(shown: Any, *, dark: bool = False) -> "Figure":
    """Draw a map or several by name, a report or several by name, or a gold row.

    Raises:
        ArgumentError: it is none of these.

    Example:
        >>> import probe
        >>> figure = probe.plot(probe.load("demo").map("Return the path."))
        >>> links = probe.plot(probe.read_pairs("alignments/gold.tsv")["sg-003"])
        >>> [label.get_text() for label in links.axes[0].get_yticklabels()][:3]
        ['The', '␣cat', '␣chased']
    """
    if isinstance(shown, GoldRow):
        return heatmap(gold(shown), gold=shown, look=Look(dark=dark))
    if isinstance(shown, AttentionMap) or _all(shown, AttentionMap):
        return heatmap(shown, look=Look(dark=dark))
    remedy = 'Draw a map, a report or a gold row: plot(probe.load("demo").map("The cat sat.")).'
    raise ArgumentError.of("plot", "a map, a report or a gold row", shown, remedy)


def _all(shown: Any, of: type) -> bool:
    return isinstance(shown, Mapping) and bool(shown) and all(isinstance(one, of) for one in shown.values())
