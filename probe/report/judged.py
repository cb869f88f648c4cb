"""What was found on judged rows, and its table. Nothing of it enters a figure on rule links."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probe.output.tables import new_table, percent, with_interval
from probe.scoring.judged import DIRECTIONS
from probe.stats import Estimates, estimates

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class JudgedScores:
    """Counts of `probe.scoring.judged` of a checkpoint, by row."""

    checkpoint: str
    file: str
    heads: Float[np.ndarray, "words directions counts"]
    roles: Float[np.ndarray, "dialogues directions counts"]
    without_head: int
    """Words of these tokenizers that have no head, so that there is nothing to find."""
    others: int
    """Judged heads and roles of other tokenizers."""

    def heading(self) -> str:
        """What was scored, and what was not."""
        return (
            f"{self.file}: {len(self.heads)} words with a head, {self.without_head} without, and {len(self.roles)} "
            f"dialogues; {self.others} rows are for other tokenizers"
        )

    def figures(self, kind: str, direction: int) -> tuple[int, Estimates]:
        """How many words or tokens were judged, and top-1 and share of the attention, then what equal weights give."""
        counts = (self.heads if kind == "heads" else self.roles)[:, direction]
        return int(counts[:, 0].sum()), estimates(counts, _means)

    def table(self) -> "Table":
        """One line for heads and one for roles in each direction that has any."""
        table = new_table("", "judged", "top-1, %\n[95 % CI]", "share, %\n[95 % CI]", "equal\nweights, %")
        for kind, counts in (("heads", self.heads), ("roles", self.roles)):
            for number, direction in enumerate(DIRECTIONS):
                if not counts[:, number, 0].any():
                    continue
                judged, found = self.figures(kind, number)
                cells = [with_interval(found.at(place), percent) for place in (0, 1)]
                table.add_row(f"{kind}, {direction}", f"{judged:,}", *cells, percent(found.at(2).value))
        return table


def _means(counts: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch figures"]:
    """Means over what was judged. NaN without any."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return counts[..., 1:] / counts[..., :1]
