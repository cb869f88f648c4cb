"""The table of all figures."""

from collections.abc import Callable, Mapping

from probe.figures.clouds import clouds
from probe.figures.maps import maps
from probe.figures.mass import mass
from probe.figures.mismatch import mismatch
from probe.figures.paper import PaperFigure, PaperTable
from probe.figures.progress import progress
from probe.figures.repeats import repeats
from probe.figures.results import results
from probe.figures.saved import Saved

FIGURES: Mapping[str, Callable[[Saved], PaperFigure | PaperTable]] = {
    "maps": maps,
    "mass": mass,
    "repeats": repeats,
    "clouds": clouds,
    "mismatch": mismatch,
    "progress": progress,
    "results": results,
}
"""What makes each figure of what was saved, by the name of its files."""
