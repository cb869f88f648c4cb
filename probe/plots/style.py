"""How all figures look: colours, fonts, and the widths of venues."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probe.errors import OutputError, Problem

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap


VENUES = {
    "acl": 3.03,  # 7.7 cm
    "acl-page": 6.30,  # 16 cm
    "icassp": 3.39,  # 86 mm
    "icassp-page": 7.00,  # 178 mm
    "icml": 3.25,
    "icml-page": 6.75,
    "ieee": 3.50,
    "ieee-page": 7.16,
    "iclr": 5.50,
    "neurips": 5.50,
}
"""Widths in inches, from the style files of the venues: of one column, or with ``-page`` of a two-column page."""

LARGEST_FONT, SMALLEST_FONT = 8.0, 5.0
"""Points. Labels shrink with their cells to the smallest size; after that, only every second, third, … is written."""

SERIES = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", "--"),
    ("#007a5a", "^", "-."),
    ("#a8487f", "D", ":"),
    ("#7a6200", "v", "-"),
    ("#4d4d9a", "P", "--"),
)
"""Colour, marker and line of each series of a chart. The markers tell the series apart in greyscale."""

SHARES = (
    ("#19405f", ""),
    ("#2892ce", "\\\\\\\\"),
    ("#e07b39", "////"),
    ("#f6dcc4", ""),
    ("#8ecdf0", ""),
    ("#6b6b6b", ""),
    ("#e6e6e6", ""),
)
"""Colour and hatch of the parts of a stacked bar; neighbours differ in lightness or in hatch."""

SCREEN_DPI = 130
"""At which notebooks show figures with letters of 6 to 8 points; files have resolutions of their own."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours for one background, light or dark.

    Both colour maps are lists of colours at equal steps. Their CIELAB lightness changes evenly, so they keep their
    order in greyscale. The hues are blue and orange, which colour-blind readers can tell apart. ``repeats`` has the
    colours of Okabe and Ito that are dark (or light) enough to be read as text.
    """

    ground: str
    ink: str
    muted: str
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]
    link: str
    chunk: str
    repeats: tuple[str, ...]

    def colour_map(self, *, diverging: bool = False) -> "LinearSegmentedColormap":
        """The map from 0 to 1 (or from -1 over 0 to 1), for matplotlib."""
        from matplotlib.colors import LinearSegmentedColormap

        anchors = self.diverging if diverging else self.sequential
        return LinearSegmentedColormap.from_list("probe", anchors)

    def colour_scale(self, *, diverging: bool = False) -> list[tuple[float, str]]:
        """The same map, for plotly."""
        anchors = self.diverging if diverging else self.sequential
        return [(number / (len(anchors) - 1), colour) for number, colour in enumerate(anchors)]


LIGHT = Palette(
    ground="#ffffff",
    ink="#1a1a1a",
    muted="#6b6b6b",
    sequential=("#ffffff", "#bbe7ff", "#7fccf7", "#4eafe6", "#2892ce", "#1575af", "#19598b", "#1d3e64", "#19263d"),
    diverging=("#81290d", "#a45c3b", "#c38e71", "#e0c1ae", "#f6f6f6", "#afcae4", "#6e9ecc", "#2173b3", "#02487f"),
    link="#d55e00",
    chunk="#5a5a5a",
    repeats=("#0072b2", "#b34700", "#007a5a", "#a8487f", "#7a6200", "#4d4d9a"),
)
DARK = Palette(
    ground="#10141c",
    ink="#e8e8e8",
    muted="#9aa3ad",
    sequential=("#171924", "#1d314d", "#0b4c77", "#006997", "#0387b5", "#34a5cd", "#75c1da", "#b4dbe5", "#f3f3f3"),
    diverging=("#feb96e", "#d88430", "#a55717", "#66361a", "#1d1d1d", "#1f4569", "#0172ab", "#18a1e3", "#85cffd"),
    link="#ffa630",
    chunk="#a8b0ba",
    repeats=("#56b4e9", "#ff9a4d", "#2fd0a5", "#e79ac6", "#f0e442", "#a9a9ff"),
)


def palette(*, dark: bool) -> Palette:
    """The palette for a light or a dark background."""
    return DARK if dark else LIGHT


def venue_width(name: str) -> float:
    """Width in inches.

    Raises:
        OutputError: the venue is not in the table.
    """
    if name not in VENUES:
        raise OutputError(Problem("venue", f"one of {', '.join(VENUES)}", repr(name), "Choose one of them."))
    return VENUES[name]


@contextmanager
def our_style(colours: Palette) -> Generator[None]:
    """Make and write figures in here: they look the same, to the byte, whatever style the user has set."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # all settings but those of the window system
        mpl.rcParams.update(_settings(colours))
        yield


def _settings(colours: Palette) -> Any:
    return {
        "text.parse_math": False,  # a token may hold dollar signs
        "font.family": "DejaVu Sans",
        "font.size": LARGEST_FONT,
        "text.color": colours.ink,
        "axes.labelcolor": colours.ink,
        "axes.edgecolor": colours.muted,
        "xtick.color": colours.ink,
        "ytick.color": colours.ink,
        "figure.facecolor": colours.ground,
        "axes.facecolor": colours.ground,
        "axes.linewidth": 0.4,
        "pdf.fonttype": 42,  # real text: searchable, and editable in a paper
        "svg.fonttype": "none",
        "svg.hashsalt": "cma-probe",
    }
