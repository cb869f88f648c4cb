"""Two checkpoints on the same gold pairs: what differs, within which bounds, and whether chance would do it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe.gold.rows import PHENOMENA
from probe.output.documents import without_nan
from probe.report.document import SCHEMA
from probe.report.document import to_json as report_to_json
from probe.report.values import ProbeReport
from probe.scoring.scores import METRICS, metrics
from probe.stats import FEW, bootstrap_interval, holm, permutation_p

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.console import RenderableType


COMPARED = ("top-1", "MRR", "AUC", "F1", "EOS top-1")
"""Figures that do not depend on the temperature. Mass and entropy do, and are compared within a checkpoint alone."""
SIGMAS = 1.96 + 0.84
"""Standard errors that a difference must have to be seen at 5 % with a chance of 80 %."""


@dataclass(frozen=True)
class Difference:
    """One figure of two checkpoints; the difference is the second minus the first."""

    figure: str
    sentences: int
    first: float
    second: float
    low: float
    high: float
    """95 % bounds of the difference over sentences, which are resampled together; NaN of few."""
    p: float | None = None
    """Of the paired permutation test, adjusted by Holm over all that were tested together; None where none was."""
    detectable: float | None = None
    """The smallest difference that so many sentences would show in four cases of five."""

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first


@dataclass(frozen=True)
class Comparison:
    """Two checkpoints, by figure and by phenomenon."""

    first: str
    second: str
    sentences: int
    figures: tuple[Difference, ...]
    phenomena: tuple[Difference, ...]
    """Top-1 on the sentences with each tag; untested, for there are many and they overlap."""


def compare_all(reports: Mapping[str, ProbeReport]) -> list[Comparison]:
    """Every pair of reports, given by name, that share sentences; p-values are adjusted over all figures of all."""
    pairs = [(one, other, _shared(reports[one], reports[other])) for one, other in combinations(reports, 2)]
    pairs = [(one, other, shared) for one, other, shared in pairs if len(shared[0])]
    raw = [
        [permutation_p(*shared, partial(_figure, METRICS.index(name))) for name in COMPARED] for _, _, shared in pairs
    ]
    adjusted = iter(holm([p for of_pair in raw for p in of_pair]))
    return [
        Comparison(
            first=one,
            second=other,
            sentences=len(shared[0]),
            figures=tuple(_difference(name, name, *shared, p=next(adjusted)) for name in COMPARED),
            phenomena=tuple(_by_phenomenon(reports[one], reports[other])),
        )
        for one, other, shared in pairs
    ]


def _figure(k: int, summed: Float[np.ndarray, "*batch counts"]) -> Any:
    return metrics(summed)[..., k]


def _shared(one: ProbeReport, other: ProbeReport) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the probed method of both, of the sentences that both have. Of other gold files nothing is shared."""
    ids = (
        [id_ for id_ in one.sentences if id_ in set(other.sentences)]
        if one.origin.gold_sha256 == other.origin.gold_sha256
        else []
    )
    picked = [report.counts[[report.sentences.index(id_) for id_ in ids], 0] for report in (one, other)]
    return picked[0], picked[1]


def _by_phenomenon(one: ProbeReport, other: ProbeReport) -> list[Difference]:
    tags = dict(zip(one.sentences, one.phenomena, strict=True))
    ids = [id_ for id_ in one.sentences if id_ in set(other.sentences)]
    ours, theirs = _shared(one, other)
    found: list[Difference] = []
    for name in PHENOMENA:
        chosen = [name in tags[id_] for id_ in ids]
        if any(chosen):
            found.append(_difference(name, "top-1", ours[chosen], theirs[chosen]))
    return found


def _difference(
    label: str,
    metric: str,
    first: Float[np.ndarray, "sentences counts"],
    second: Float[np.ndarray, "sentences counts"],
    p: float | None = None,
) -> Difference:
    k, columns = METRICS.index(metric), first.shape[1]

    def statistic(summed: Float[np.ndarray, "*batch both"]) -> Float[np.ndarray, "*batch 1"]:
        values = metrics(summed.reshape(*summed.shape[:-1], 2, columns))[..., k]
        return values[..., 1:] - values[..., :1]

    low = high = np.full(1, np.nan)
    if len(first) >= FEW:
        low, high = bootstrap_interval(np.concatenate([first, second], axis=1), statistic)
    before, after = (float(metrics(side.sum(axis=0))[k]) for side in (first, second))
    width = float(high[0] - low[0])
    detectable = None if np.isnan(width) else width / (2 * 1.96) * SIGMAS
    return Difference(label, len(first), before, after, float(low[0]), float(high[0]), p, detectable)


def to_json(reports: Mapping[str, ProbeReport], found: Mapping[str, "Sequence[DataclassInstance]"]) -> str:
    """All reports, each as `probe.report.document.to_json` has it, and what was found of several of them.

    Args:
        reports: by name.
        found: values of plain numbers, such as the `Comparison` of each two, under what they are called in the file.
    """
    parts = ",\n".join(f"{json.dumps(name)}: {report_to_json(report)}" for name, report in reports.items())
    rest = (
        f',\n"{name}": {json.dumps(without_nan([asdict(one) for one in values]), ensure_ascii=False)}'
        for name, values in found.items()
    )
    return f'{{"schema": {SCHEMA}, "reports": {{\n{parts}}}{"".join(rest)}}}\n'


def table(comparison: Comparison) -> "RenderableType":
    """All figures and phenomena of two checkpoints, 80 columns wide; figures in percent."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    made.add_column("%", no_wrap=True)
    for header in ("texts", "first", "second", "second − first\n[95 %]", "p\n(Holm)", "can\nsee"):
        made.add_column(header, justify="right", no_wrap=True)
    for one in comparison.figures:
        made.add_row(*_cells(one))
    made.add_section()
    for one in comparison.phenomena:
        made.add_row(*_cells(one))
    return made


def _cells(one: Difference) -> tuple[str, ...]:
    bounds = "" if np.isnan(one.low) else f"[{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
    p = "" if one.p is None else "<.001" if one.p < 0.001 else f"{one.p:.3f}".removeprefix("0")
    seen = "" if one.detectable is None else f"{100 * one.detectable:.1f}"
    values = f"{100 * one.first:.1f}", f"{100 * one.second:.1f}"
    return one.figure, str(one.sentences), *values, f"{100 * one.difference:+.1f} {bounds}", p, seen


def reading(comparison: Comparison) -> list[str]:
    """What is compared, and how far it reaches."""
    return [
        f"first: {comparison.first}",
        f"second: {comparison.second}",
        "Figures over all texts that both have, and top-1 of those with each phenomenon.",
        "p: 9,999 swaps of a text's counts, adjusted over all tests here. can see: the",
        "smallest difference that these texts would show in four cases of five.",
        "Checkpoints, not methods: training seeds are needed for more.",
    ]
