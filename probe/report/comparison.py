"""Two checkpoints on the same gold pairs: what differs, with its 95 % CI, and whether chance would do it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe.errors import Problem, ReportError
from probe.gold.rows import PHENOMENA
from probe.output.tables import new_table, percent, points, with_interval
from probe.report.values import Findings
from probe.scoring.scores import METRICS, metrics
from probe.stats import Estimate, holm, paired_difference, permutation_p

if TYPE_CHECKING:
    from rich.console import RenderableType


COMPARED = ("top-1", "MRR", "AUC", "F1", "EOS top-1")
"""Figures that do not depend on the temperature. Mass and entropy do, and are compared within a checkpoint alone."""
MANY = 12
"""Reports that are compared two by two: 66 pairs."""
SIGMAS = 1.96 + 0.84
"""Standard errors that a difference must have to be seen at 5 % with a chance of 80 %."""


@dataclass(frozen=True)
class Difference:
    """One figure of two checkpoints."""

    figure: str
    sentences: int
    first: float
    second: float
    difference: Estimate
    """The second minus the first; sentences are resampled with both."""
    p: float | None = None
    """Of the paired permutation test, adjusted by Holm over all that were tested together; None where none was."""
    detectable: float | None = None
    """The smallest difference that so many sentences would show in four cases of five."""


@dataclass(frozen=True)
class Comparison:
    """Two checkpoints, by figure and by phenomenon."""

    first: str
    second: str
    sentences: int
    figures: tuple[Difference, ...]
    phenomena: tuple[Difference, ...]
    """Top-1 on the sentences with each tag; untested, because there are many and they overlap."""


def compare_all(reports: Mapping[str, Findings]) -> list[Comparison]:
    """Every pair of reports, given by name, that share sentences; p-values are adjusted over all figures of all.

    Of more than `MANY` reports, the one with the highest top-1 is compared with each of the others.
    """
    two = list(combinations(reports, 2))
    if len(reports) > MANY:
        two = [pair for pair in two if highest(reports) in pair]
    pairs = [(one, other, _shared(reports[one], reports[other])) for one, other in two]
    pairs = [(one, other, shared) for one, other, shared in pairs if shared]
    raw = [[_p(reports[one], reports[other], shared, name) for name in COMPARED] for one, other, shared in pairs]
    adjusted = iter(holm([p for of_pair in raw for p in of_pair]))
    return [
        Comparison(
            first=one,
            second=other,
            sentences=len(shared),
            figures=tuple(
                _difference(name, name, reports[one], reports[other], shared, p=next(adjusted)) for name in COMPARED
            ),
            phenomena=tuple(_by_phenomenon(reports[one], reports[other], shared)),
        )
        for one, other, shared in pairs
    ]


def compared(report: Findings, other: Findings) -> Comparison:
    """Two reports; its differences are what the first has more, so that here ``second`` is the first.

    Raises:
        ReportError: they share no sentence.
    """
    found = compare_all({"other": other, "report": report})
    if not found:
        got = f"{len(report.sentences)} of {report.origin.gold} and {len(other.sentences)} of {other.origin.gold}"
        remedy = "Score both on one gold file."
        raise ReportError(Problem("compare", "two reports on the same sentences", got, remedy))
    return found[0]


def together(reports: Mapping[str, Findings]) -> list[dict[str, Findings]]:
    """Reports of the same sentences of the same gold file, which can be compared and share one table."""
    found: dict[tuple[str, ...], dict[str, Findings]] = {}
    for name, report in reports.items():
        found.setdefault((report.origin.gold_sha256, *report.sentences), {})[name] = report
    return list(found.values())


def highest(reports: Mapping[str, Findings]) -> str:
    """The name of the report with the highest top-1."""
    return max(reports, key=lambda name: reports[name].intervals.value[0, METRICS.index("top-1")])


def _p(one: Findings, other: Findings, ids: Sequence[str], metric: str) -> float:
    sides = shared_counts(one, ids), shared_counts(other, ids)
    return permutation_p(*sides, partial(_figure, METRICS.index(metric)))


def _figure(k: int, summed: Float[np.ndarray, "*batch counts"]) -> Any:
    return metrics(summed)[..., k]


def _shared(one: Findings, other: Findings) -> list[str]:
    """The sentences that both have. Of other gold files nothing is shared."""
    theirs = set(other.sentences) if one.origin.gold_sha256 == other.origin.gold_sha256 else set[str]()
    return [id_ for id_ in one.sentences if id_ in theirs]


def shared_counts(report: Findings, ids: Sequence[str]) -> Float[np.ndarray, "clusters counts"]:
    """Counts of the probed method of these sentences, by what is resampled together."""
    places = {id_: k for k, id_ in enumerate(report.sentences)}
    return report.clustered(report.counts[:, 0], [places[id_] for id_ in ids])


def _by_phenomenon(one: Findings, other: Findings, ids: Sequence[str]) -> Iterator[Difference]:
    tags = dict(zip(one.sentences, one.phenomena, strict=True))
    for name in PHENOMENA:
        if chosen := [id_ for id_ in ids if name in tags[id_]]:
            yield _difference(name, "top-1", one, other, chosen)


def _difference(
    label: str, metric: str, one: Findings, other: Findings, ids: Sequence[str], p: float | None = None
) -> Difference:
    one_figure = partial(_figure, METRICS.index(metric))
    first, second = shared_counts(one, ids), shared_counts(other, ids)
    found = paired_difference(first, second, one_figure).at()
    before, after = (float(one_figure(side.sum(axis=0))) for side in (first, second))
    wide = None if found.low is None or found.high is None else (found.high - found.low) / (2 * 1.96) * SIGMAS
    return Difference(label, len(ids), before, after, found, p, wide)


def table(comparison: Comparison) -> "RenderableType":
    """All figures and phenomena of two checkpoints, 80 columns wide; figures in percent."""
    made = new_table("%", "sentences", "first", "second", "second − first\n[95 % CI]", "p\n(Holm)", "can\nsee")
    for one in comparison.figures:
        made.add_row(*_cells(one))
    made.add_section()
    for one in comparison.phenomena:
        made.add_row(*_cells(one))
    return made


def _cells(one: Difference) -> tuple[str, ...]:
    p = "" if one.p is None else "<.001" if one.p < 0.001 else f"{one.p:.3f}".removeprefix("0")
    values = percent(one.first), percent(one.second), with_interval(one.difference, points)
    return one.figure, str(one.sentences), *values, p, percent(one.detectable)


def reading(comparison: Comparison) -> list[str]:
    """What is compared, and how far it reaches."""
    return [
        f"first: {comparison.first}",
        f"second: {comparison.second}",
        "All figures are over the sentences that both have; of a phenomenon, top-1.",
        "p: 9,999 random swaps of the counts of a sentence, those of a triple together,",
        "adjusted over all tests here.",
        "can see: the smallest difference that these sentences would show in four cases",
        "of five. This compares checkpoints; to compare methods takes training seeds.",
    ]
