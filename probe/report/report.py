"""The report of an alignment probe as users hold it: its figures by name, its verdict, its tables."""

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probe.errors import MapError, Problem
from probe.report.frames import section_frame
from probe.report.values import Findings
from probe.report.verdict import in_percent, verdict
from probe.scoring.scores import METRICS
from probe.stats import Estimate

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """The figures of one method over all sentences, each with its 95 % CI; shares are of one, distances in characters.

    In the order of `probe.scoring.scores.METRICS`.
    """

    top1: Estimate
    mrr: Estimate
    auc: Estimate
    mass: Estimate
    entropy: Estimate
    distance: Estimate
    mass_at_common_entropy: Estimate
    distance_at_common_entropy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    aer: Estimate
    eos_top1: Estimate


@dataclass(frozen=True, repr=False)
class ProbeReport(Findings):
    """What an alignment probe found. The first method is the one that is probed.

    Example:
        >>> import probe
        >>> report = probe.align("demo", "alignments/second.tsv", methods=["lexical"])
        >>> report["lexical"].top1
        0.444
        >>> report.frame()[["top-1", "MRR"]].round(2).to_dict("index")["cma"]
        {'top-1': 0.42, 'MRR': 0.54}
        >>> print(report.verdict)
        demo: 6 sentences are too few to tell: a 95 % CI takes 10.
        Top-1 is 42.1 % here.
    """

    def __repr__(self) -> str:
        """What was probed on what, and how well it aligns."""
        where = f"{self.checkpoint} ({self.origin.pair}), {self.origin.gold}"
        top_1 = in_percent(self.intervals.at(0, METRICS.index("top-1")))
        return f"<ProbeReport of {where}: top-1 {top_1}, {len(self.sentences)} sentences>"

    def __getitem__(self, method: str) -> MethodFigures:
        """The figures of a method.

        Raises:
            MapError: the method was not scored.
        """
        if method not in self.methods:
            close = difflib.get_close_matches(str(method), self.methods, n=1)
            remedy = f"Did you mean {close[0]}?" if close else f"Choose one of {', '.join(self.methods)}."
            raise MapError(Problem("report[…]", "a method of this report", repr(method), remedy))
        return MethodFigures(*self.intervals[self.methods.index(method)].each())

    @property
    def verdict(self) -> str:
        """What the figures say, in three to five sentences, a line each."""
        return "\n".join(verdict(self))

    def frame(self, section: str = "method") -> "DataFrame":
        """A section as a data frame, in shares of one; ``low`` and ``high`` are the 95 % CI of the figure before them.

        Args:
            section: a name of ``probe-align --by``: ``method``, ``phenomenon``, ``token``, ``reading``, ``length``,
                ``mass``, ``aligner``, ``backward`` or ``triple``; or ``sentence`` for a row a sentence, ``all`` for a
                row a figure.

        Raises:
            ArgumentError: there is no such section.
            MissingExtraError: pandas is not installed.
        """
        return section_frame(self, section)
