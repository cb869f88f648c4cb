"""The sections of a report as data frames."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from probe.errors import ArgumentError
from probe.gold.triples import KINDS as TRIPLE_KINDS
from probe.output.frames import data_frame
from probe.report.comparison import Comparison
from probe.report.forms import figures
from probe.report.values import Findings, Group
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import LINK_METRICS, METRICS, metrics
from probe.scoring.truth import KINDS
from probe.stats import Estimates

if TYPE_CHECKING:
    from pandas import DataFrame

TOP_1 = METRICS.index("top-1")


def section_frame(report: Findings, section: str) -> "DataFrame":
    """One section, in shares of one; ``low`` and ``high`` are the 95 % CI of the figure before them.

    Raises:
        ArgumentError: there is no such section.
        MissingExtraError: pandas is not installed.
    """
    if section not in FRAMES:
        remedy = f"Choose one of {', '.join(FRAMES)}."
        raise ArgumentError.of("frame", "a section of the report", section, remedy)
    return FRAMES[section](report)


def difference_frame(found: Comparison) -> "DataFrame":
    """A row a figure: that of the second checkpoint, of the first, and what the second has more."""
    rows = [(one.second, one.first, *one.difference, one.p) for one in found.figures]
    columns = ["it", "the other", "it − the other", "low", "high", "p"]
    return data_frame(rows, index=[one.figure for one in found.figures], columns=columns)


def _methods(report: Findings, found: Estimates, differences: Estimates) -> "DataFrame":
    """A row a method: top-1 with its interval, the other figures, and what the first has more than it."""
    columns: dict[str, Any] = {"top-1": found.value[:, TOP_1], "low": found.low[:, TOP_1], "high": found.high[:, TOP_1]}
    columns |= {name: found.value[:, k] for k, name in enumerate(METRICS) if k != TOP_1}
    more = f"{report.methods[0]} − it"
    parts = differences.value, differences.low, differences.high
    columns |= {name: part[:, TOP_1] for name, part in zip((more, "from", "to"), parts, strict=True)}
    return data_frame(columns, index=report.methods)


def _groups(report: Findings, groups: Sequence[Group]) -> "DataFrame":
    """A row a group: top-1 of the first method with its interval, and that of the others."""
    rows = [(one.sentences, one.rows, *one.figures[0, 0].at(), *one.figures.value[1:, 0].tolist()) for one in groups]
    columns = ["sentences", "tokens", report.methods[0], "low", "high", *report.methods[1:]]
    return data_frame(rows, index=[one.name for one in groups], columns=columns)


def _readings(report: Findings) -> "DataFrame":
    return _groups(report, [one for one in report.by_slice if one.name not in KINDS])


def _aligners(report: Findings) -> "DataFrame":
    rows = [one.figures.value[0] for one in report.by_aligner]
    return data_frame(rows, index=[one.name for one in report.by_aligner], columns=LINK_METRICS)


def _sentences(report: Findings) -> "DataFrame":
    """A row a sentence: its student tokens, and top-1 of every method."""
    with np.errstate(invalid="ignore"):
        top_1 = metrics(report.counts)[..., TOP_1]
    columns = {"tokens": report.lengths} | {name: top_1[:, m] for m, name in enumerate(report.methods)}
    return data_frame(columns, index=report.sentences)


def _triples(report: Findings) -> "DataFrame":
    found = report.by_triple
    return data_frame([one.top_1 for one in found], index=[one.method for one in found], columns=TRIPLE_KINDS)


def _every_figure(report: Findings) -> "DataFrame":
    return data_frame([asdict(one) for one in figures(report.checkpoint, report)])


FRAMES: Mapping[str, Callable[[Findings], "DataFrame"]] = {
    "method": lambda report: _methods(report, report.intervals, report.differences),
    "backward": lambda report: _methods(report, report.backward_intervals, report.backward_differences),
    "phenomenon": lambda report: _groups(report, report.by_phenomenon),
    "token": lambda report: _groups(report, report.groups("token")),
    "length": lambda report: _groups(report, report.by_length),
    "reading": _readings,
    "mass": lambda report: data_frame(report.destinations.figures.value, index=report.methods, columns=DESTINATIONS),
    "aligner": _aligners,
    "triple": _triples,
    "sentence": _sentences,
    "all": _every_figure,
}
"""By the names of ``probe-align --by``; ``sentence`` has a row for each sentence, ``all`` one for each figure."""
