"""The table of all figures, and a door to each by its name."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from probe.errors import ArgumentError
from probe.figures.arms import arms
from probe.figures.clouds import clouds
from probe.figures.dose import dose
from probe.figures.forest import forest
from probe.figures.learning import learning
from probe.figures.maps import maps
from probe.figures.mass import mass
from probe.figures.mismatch import mismatch
from probe.figures.paper import PaperFigure, PaperTable, check_venue, save
from probe.figures.progress import progress
from probe.figures.repeats import repeats
from probe.figures.results import results
from probe.figures.saved import Saved
from probe.output.files import check_place
from probe.output.frames import data_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

VENUE = "ieee"
FIGURES: Mapping[str, Callable[[Saved], PaperFigure | PaperTable]] = {
    "maps": maps,
    "mass": mass,
    "repeats": repeats,
    "clouds": clouds,
    "mismatch": mismatch,
    "progress": progress,
    "results": results,
    "arms": arms,
    "forest": forest,
    "learning": learning,
    "dose": dose,
}
"""What makes each figure of what was saved, by the name of its files."""


@dataclass(frozen=True)
class NamedFigure:
    """A figure or a table of a paper, under the name of its files."""

    name: str
    made: PaperFigure | PaperTable

    def __repr__(self) -> str:
        """Its name, and what it is."""
        return f"<paper {'table' if isinstance(self.made, PaperTable) else 'figure'} {self.name}>"

    @property
    def caption(self) -> str:
        """What is shown, of what, how many, and what the intervals are."""
        return self.made.caption

    @property
    def latex(self) -> str:
        """A table in LaTeX, for the package booktabs.

        Raises:
            ArgumentError: it is a figure.
        """
        if not isinstance(self.made, PaperTable):
            raise ArgumentError.of("latex", "a table", self, f'Write paper_figure("{self.name}").draw().')
        return self.made.latex

    def frame(self) -> "DataFrame":
        """Its numbers: a row for each number or point that is drawn.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return data_frame([asdict(row) for row in self.made.rows])

    def draw(self, venue: str = VENUE) -> "Figure":
        """The picture, as wide as a column or a page of a venue: acl, icassp, icml, ieee, iclr or neurips.

        Raises:
            ArgumentError: it is a table.
            OutputError: the venue is not known.
        """
        check_venue(venue)
        if isinstance(self.made, PaperTable):
            raise ArgumentError.of("draw", "a figure", self, f'Write paper_figure("{self.name}").latex.')
        return self.made.draw(venue)

    def save(self, directory: str | Path, venue: str = VENUE) -> list[Path]:
        """Write the files that ``probe-figures`` writes: picture or table, numbers and caption.

        Raises:
            OutputError: the venue is not known, or the directory cannot be written to.
        """
        check_venue(venue)
        check_place(Path(directory) / self.name)
        return save(self.name, self.made, Path(directory), venue=venue)


def paper_figure(name: str, saved: str | Path = "figures/saved", pairs: str | Path | None = None) -> NamedFigure:
    """A figure or a table of a paper, made of saved reports and maps; no model is opened.

    Args:
        name: ``maps``, ``mass``, ``repeats``, ``clouds``, ``mismatch``, ``progress`` or ``results`` (a table);
            of the study of alignment ``arms`` (a table), ``forest``, ``learning`` or ``dose``.
        saved: the directory of the reports and maps. An error names the command that makes a missing one.
        pairs: the gold file of the maps; default: the one that comes with the package.

    Raises:
        ArgumentError: there is no such figure.
        ReportError, MapError, PairsError: an input is missing, or is none.

    Example:
        >>> import probe
        >>> figure = probe.paper_figure("mass")
        >>> print(figure.caption[:36])
        Where the attention mass of demo-cma
        >>> figure.frame().columns.tolist()[:3]
        ['phenomenon', 'sentences', 'tokens']
    """
    if name not in FIGURES:
        remedy = f"Choose one of {', '.join(FIGURES)}."
        raise ArgumentError.of("paper_figure", "the name of a figure", name, remedy)
    given = None if pairs is None else Path(pairs)
    return NamedFigure(name, FIGURES[name](Saved(Path(saved), given)))
