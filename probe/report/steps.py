"""Checkpoints of one run, by step: when does the attention learn what?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probe.report.values import ROWS, ProbeReport
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import METRICS, SLICE_METRICS, metrics
from probe.stats import FEW, bootstrap_interval

if TYPE_CHECKING:
    from rich.console import RenderableType


TOP_1, COMMON_MASS = METRICS.index("top-1"), METRICS.index("mass at common H")
SAME_LEFT, OTHER_LEFT = "again, same left", "again, other left"


@dataclass(frozen=True)
class Step:
    """One checkpoint of a run; figures are shares, NaN where there is none, bounds are 95 % over sentences."""

    checkpoint: str
    steps: int
    top_1: float
    top_1_bounds: tuple[float, float]
    change: float
    """Of top-1 since the step before, on the same sentences; NaN of the first."""
    change_bounds: tuple[float, float]
    common_mass: float
    """Gold mass at the common entropy, so that sharpness alone moves nothing."""
    repeat_confusion: float
    """Weight on the same piece elsewhere."""
    same_left: float
    """Top-1 of tokens that come again after the same token, which bigram keys cannot tell apart."""
    other_left: float
    """Top-1 of tokens that come again after another token."""


def is_run(reports: Sequence[ProbeReport]) -> bool:
    """Whether two checkpoints or more differ in their steps and in nothing else that is known of them.

    Students of a run are named by their step, so the teacher and the scales, which a run keeps, tell instead.
    """
    alike = {
        (
            one.origin.method,
            one.origin.criterion,
            one.origin.pair.rpartition(" ← ")[2],
            one.origin.scales,
            one.origin.gold_sha256,
            one.sentences,
        )
        for one in reports
    }
    steps = {one.origin.steps for one in reports}
    return len(reports) > 1 and len(alike) == 1 and None not in steps and len(steps) == len(reports)


def by_steps(reports: Mapping[str, ProbeReport]) -> tuple[Step, ...]:
    """The reports of a run (see `is_run`), in the order of their steps; empty where they are of no run."""
    if not is_run(list(reports.values())):
        return ()
    ordered = sorted(reports, key=lambda name: reports[name].origin.steps or 0)
    before = [None, *(reports[name] for name in ordered)]
    return tuple(_step(name, reports[name], last) for name, last in zip(ordered, before, strict=False))


def _step(name: str, report: ProbeReport, before: ProbeReport | None) -> Step:
    groups = {one.name: float(one.values[0, SLICE_METRICS.index("top-1")]) for one in report.by_slice}
    change, change_bounds = (np.nan, (np.nan, np.nan)) if before is None else _change(before, report)
    found, confused = report.intervals, DESTINATIONS.index("same piece elsewhere")
    return Step(
        checkpoint=name,
        steps=report.origin.steps or 0,
        top_1=float(found.value[0, TOP_1]),
        top_1_bounds=_bounds(len(report.sentences), found.low[0, TOP_1], found.high[0, TOP_1]),
        change=change,
        change_bounds=change_bounds,
        common_mass=float(found.value[0, COMMON_MASS]),
        repeat_confusion=float(report.mass[:, 0, confused].sum() / report.counts[:, 0, ROWS].sum()),
        same_left=groups.get(SAME_LEFT, np.nan),
        other_left=groups.get(OTHER_LEFT, np.nan),
    )


def _change(before: ProbeReport, report: ProbeReport) -> tuple[float, tuple[float, float]]:
    counts = np.concatenate([before.counts[:, 0], report.counts[:, 0]], axis=1)

    def statistic(summed: Float[np.ndarray, "*batch both"]) -> Float[np.ndarray, "*batch 1"]:
        values = metrics(summed.reshape(*summed.shape[:-1], 2, -1))[..., TOP_1]
        return values[..., 1:] - values[..., :1]

    low, high = bootstrap_interval(counts, statistic)
    return float(statistic(counts.sum(axis=0))[0]), _bounds(len(counts), low[0], high[0])


def _bounds(sentences: int, low: float, high: float) -> tuple[float, float]:
    return (float(low), float(high)) if sentences >= FEW else (np.nan, np.nan)


def table(steps: Sequence[Step]) -> "RenderableType":
    """A line for each step, 80 columns wide, in percent."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    headers = ("top-1\n[95 %]", "since last step\n[95 %]", "mass at\ncommon H", "same\npiece", "same\nleft")
    for header in ("steps", *headers, "other\nleft"):
        made.add_column(header, justify="right", no_wrap=True)
    for one in steps:
        shares = one.common_mass, one.repeat_confusion, one.same_left, one.other_left
        made.add_row(
            str(one.steps),
            _bounded(one.top_1, one.top_1_bounds, ".1f"),
            _bounded(one.change, one.change_bounds, "+.1f"),
            *(_bounded(share, (np.nan, np.nan), ".1f") for share in shares),
        )
    return made


def _bounded(value: float, bounds: tuple[float, float], form: str) -> str:
    if np.isnan(value):
        return ""
    low, high = (f"{100 * bound:{form}}" for bound in bounds)
    return f"{100 * value:{form}}" + ("" if np.isnan(bounds[0]) else f" [{low}, {high}]")


def reading(steps: Sequence[Step]) -> list[str]:
    """How to read the table."""
    return [
        *(f"{one.steps:>5} steps: {one.checkpoint}" for one in steps),
        "mass at common H: weight on sure links with logits rescaled to one mean entropy.",
        "same piece: weight, as trained, on the same piece elsewhere (repeat confusion).",
        "same left, other left: top-1 of tokens that come again after the same token,",
        "which bigram keys cannot tell apart, and after another one, which they can.",
        "One run, one seed: its steps are not independent. --json has all comparisons.",
    ]
