"""One sentence under several checkpoints and the chunk oracle, side by side."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from probe.errors import PairsError, Problem
from probe.figures.paper import page
from probe.figures.saved import Saved
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.heatmap import Look, heatmap
from probe.scoring.references import chunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ORACLE = "chunk oracle"
CUT, AGAIN, LARGEST = "many-to-many", ("repeat-same-context", "repeat-new-context"), 16
"""Which sentence shows most: words that are cut differently, tokens that come again, and labels of 6 points."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A weight; tokens are counted from zero, end of sequence is the last."""

    map: str
    student: int
    student_token: str
    teacher: int
    teacher_token: str
    weight: float
    link: str
    """sure, possible, or nothing."""


@dataclass(frozen=True)
class Maps:
    """Maps of one gold row by name."""

    row: GoldRow
    by_name: dict[str, AttentionMap]

    @property
    def rows(self) -> list[Cell]:
        """A line for each cell of each map."""
        return [
            Cell(name, i, student, j, teacher, float(map_.weights[i, j]), _link(self.row, i, j))
            for name, map_ in self.by_name.items()
            for i, student in enumerate(map_.student_labels)
            for j, teacher in enumerate(map_.teacher_labels)
        ]

    @property
    def caption(self) -> str:
        """What the panels and marks are."""
        *names, _ = self.by_name
        dashed = ", dashed ones possible links" if self.row.possible else ""
        return (
            f"Cross-model attention of {_listed(names)}, and the chunk oracle, on “{self.row.text}” "
            f"(gold row {self.row.id}, {self.row.pair}). Rows are student tokens, columns teacher tokens, both as "
            f"targets; each row sums to one. Solid outlines are sure gold links{dashed}, dots the largest weights of a "
            "row, thin frames chunks of several tokens. The oracle gives equal weight to the teacher tokens of a chunk "
            "between boundaries that both tokenizers share. One sentence, one training seed each."
        )

    def draw(self, venue: str) -> "Figure":
        """Side by side, over the page."""
        return heatmap(self.by_name, gold=self.row, look=Look(venue=page(venue)))


def maps(saved: Saved, row: str | None = None) -> Maps:
    """The maps of a gold row; without an id, of the first with `CUT` and one of `AGAIN` that is short enough.

    Raises:
        PairsError: there is no map of such a row.
    """
    rows = saved.rows
    short = [one for one in rows if max(len(one.student.tokens), len(one.teacher.tokens)) <= LARGEST]
    telling = [one for one in short if CUT in one.phenomena and not set(AGAIN).isdisjoint(one.phenomena)]
    wanted = [*telling, *short, *rows] if row is None else [one for one in rows if one.id == row]
    if not wanted:
        where = str(saved.directory / "maps")
        raise PairsError(Problem(where, f"maps of a row {row}", "none", f"Name another, as {rows[0].id}."))
    chosen = wanted[0]
    by_name = {name: of_rows[chosen.id] for name, of_rows in saved.maps.items()}
    return Maps(chosen, {**by_name, ORACLE: chunk(chosen)})


def _link(row: GoldRow, i: int, j: int) -> str:
    return "sure" if (i, j) in row.sure else "possible" if (i, j) in row.possible else ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
