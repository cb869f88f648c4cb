"""What a comparison of aligners found: counts per text and aligner, from which every figure and interval follows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from probe.errors import MapError, Problem
from probe.gold.rows import PHENOMENA
from probe.output.frames import data_frame
from probe.scoring.hard_links import F1, FIGURES, link_figures
from probe.stats import FEW, Estimate, Estimates, estimates, known, paired_difference, resampling

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = 1
BROKEN = 0.5
"""An F1 below which an aligner is said to break on a phenomenon."""


@dataclass(frozen=True)
class AlignerReport:
    """Aligners on the texts of one pair of tokenizers, in the order of their F1, the highest first.

    Example:
        >>> import probe
        >>> report = probe.rank_aligners("alignments/gold.tsv")["smollm2~gemma3"]
        >>> report.best, report.figure("byte chunks", "F1")
        ('byte chunks', 0.986 [0.981, 0.991])
        >>> report.breaks_on("time warping")
        ['cjk', 'byte-fallback']
    """

    pair: str
    source: str
    """The gold file or the texts, and whether rules linked them."""
    source_sha256: str
    names: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    """Of each aligner what it does and who uses it."""
    sentences: tuple[str, ...]
    phenomena: tuple[tuple[str, ...], ...]
    counts: Float[np.ndarray, "sentences aligners counts"]
    """By `probe.scoring.hard_links.COUNTS`."""
    largest: Int[np.ndarray, "sentences aligners"]
    """Tokens of both sides in the largest group of each text."""
    hits: Float[np.ndarray, "sentences aligners 2"]
    """Linked student tokens whose largest weight is on a sure link, and how many there are; NaN without weights."""
    versions: tuple[tuple[str, str], ...]
    command: str = ""

    def __repr__(self) -> str:
        """The pair, the number of aligners, and the best one."""
        best = f"{self.best} first, F1 {100 * float(self.figure(self.best, 'F1')):.1f}"
        return f"<AlignerReport of {self.pair}: {len(self.names)} aligners on {len(self.sentences)} texts, {best}>"

    @property
    def best(self) -> str:
        """The aligner with the highest F1."""
        return self.names[0]

    @cached_property
    def figures(self) -> Estimates:
        """Aligner × `FIGURES`, over all texts."""
        return estimates(self.counts, link_figures)

    @cached_property
    def top_1(self) -> Estimates:
        """Of each aligner that has weights; NaN of others."""
        return estimates(self.hits, _share)

    def figure(self, aligner: str, name: str) -> Estimate:
        """One figure of one aligner.

        Raises:
            MapError: there is none of that name.
        """
        if aligner not in self.names or name not in FIGURES:
            remedy = f"Choose an aligner of {', '.join(self.names)}, and a figure of {', '.join(FIGURES)}."
            raise MapError(Problem(f"{aligner}, {name}", "an aligner and a figure of this report", "neither", remedy))
        return self.figures.at(self.names.index(aligner), FIGURES.index(name))

    @cached_property
    def behind_best(self) -> list[Estimate]:
        """How much more F1 the best aligner has than each, paired by text."""
        return [
            paired_difference(self.counts[:, k], self.counts[:, 0], lambda summed: link_figures(summed)[..., F1]).at()
            for k in range(len(self.names))
        ]

    @cached_property
    def by_phenomenon(self) -> dict[str, tuple[int, Float[np.ndarray, " aligners"]]]:
        """By phenomenon its number of texts, and F1 of each aligner on them."""
        found: dict[str, tuple[int, Float[np.ndarray, " aligners"]]] = {}
        for name in PHENOMENA:
            counts = self.counts[[name in tags for tags in self.phenomena]]
            if len(counts):
                found[name] = len(counts), link_figures(counts.sum(axis=0))[:, F1]
        return found

    def breaks_on(self, aligner: str) -> list[str]:
        """Phenomena of ten texts or more on which its F1 is below a half, the lowest first."""
        k = self.names.index(aligner)
        found = {name: float(of[k]) for name, (_, of) in self.of_enough_texts.items() if of[k] < BROKEN}
        return sorted(found, key=found.__getitem__)

    @property
    def of_enough_texts(self) -> dict[str, tuple[int, Float[np.ndarray, " aligners"]]]:
        """The part of `by_phenomenon` that something can be said of."""
        return {name: found for name, found in self.by_phenomenon.items() if found[0] >= FEW}

    def frame(self) -> "DataFrame":
        """A row an aligner, in shares of one; ``low`` and ``high`` are the 95 % CI of F1.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        columns: dict[str, Any] = {name: self.figures.value[:, k] for k, name in enumerate(FIGURES)}
        columns |= {"low": self.figures.low[:, F1], "high": self.figures.high[:, F1]}
        columns |= {"largest group": self.largest.max(axis=0), "top-1": self.top_1.value}
        return data_frame(columns, index=self.names)

    def as_document(self) -> dict[str, Any]:
        """All figures with their intervals, for JSON."""

        def told(found: Estimate) -> dict[str, Any]:
            return {"value": found.value, "95 % CI": [found.low, found.high]}

        return {
            "pair": self.pair,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "sentences": len(self.sentences),
            "bootstrap": resampling(),
            "aligners": {
                name: {
                    "what": self.notes[k][0],
                    "used by": self.notes[k][1],
                    **{figure: told(self.figures.at(k, f)) for f, figure in enumerate(FIGURES)},
                    "largest group": int(self.largest[:, k].max()),
                    "top-1": told(self.top_1.at(k)),
                    "F1 of the first minus this": told(self.behind_best[k]),
                    "F1 by phenomenon": {tag: known(float(of[k])) for tag, (_, of) in self.by_phenomenon.items()},
                }
                for k, name in enumerate(self.names)
            },
            "versions": dict(self.versions),
            "command": self.command,
        }


def to_json(reports: Mapping[str, AlignerReport]) -> str:
    """All reports, by pair."""
    document = {"schema": SCHEMA, "pairs": {pair: one.as_document() for pair, one in reports.items()}}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def ranked(counts: Float[np.ndarray, "sentences aligners counts"]) -> list[int]:
    """The places of the aligners in the order of F1; one without a link comes last, and equal ones keep their order."""
    f1 = np.nan_to_num(link_figures(counts.sum(axis=0))[:, F1])
    return sorted(range(len(f1)), key=lambda k: -f1[k])


def _share(summed: Float[np.ndarray, "*batch aligners 2"]) -> Float[np.ndarray, "*batch aligners"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return summed[..., 0] / summed[..., 1]
