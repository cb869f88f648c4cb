"""Checkpoints of one run, by step: when does the attention learn what?"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from probe.output.tables import new_table, percent, points, with_interval
from probe.report.values import ROWS, Findings, beyond_overview
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import METRICS, SLICE_METRICS, metrics
from probe.stats import Estimate, paired_difference

if TYPE_CHECKING:
    from rich.console import RenderableType


Name = TypeVar("Name")
TOP_1, COMMON_MASS = METRICS.index("top-1"), METRICS.index("attention mass at common entropy")
AFTER_SAME, AFTER_ANOTHER = "again, after the same token", "again, after another token"


@dataclass(frozen=True)
class Step:
    """One checkpoint of a run; figures are shares, NaN where there is none."""

    checkpoint: str
    steps: int
    top_1: Estimate
    change: Estimate
    """Of top-1 since the step before, on the same sentences; not known of the first."""
    common_mass: float
    """Attention mass on sure links at the common entropy, so that sharpness alone changes nothing."""
    repeat_confusion: float
    """Attention mass on the same token elsewhere."""
    after_same: float
    """Top-1 of tokens that come again after the same token, which bigram keys cannot tell apart."""
    after_another: float
    """Top-1 of tokens that come again after another token."""


def differ_in_steps_alone(steps: Sequence[int | None], known: Sequence[Hashable]) -> bool:
    """Whether two checkpoints or more have different steps, and nothing else that is known tells them apart."""
    return len(steps) > 1 and len(set(known)) == 1 and None not in steps and len(set(steps)) == len(steps)


def is_run(reports: Sequence[Findings]) -> bool:
    """Whether these are steps of one run.

    Students of a run are named by their step, so the teacher and the scales, which a run keeps, tell instead.
    """
    known = [
        (
            one.origin.method,
            one.origin.criterion,
            one.origin.pair.rpartition(" ← ")[2],
            one.origin.scales,
            one.origin.gold_sha256,
            one.sentences,
        )
        for one in reports
    ]
    return differ_in_steps_alone([one.origin.steps for one in reports], known)


def by_steps(reports: Mapping[str, Findings]) -> tuple[Step, ...]:
    """The reports of a run (see `is_run`), in the order of their steps; empty where they are of no run."""
    if not is_run(list(reports.values())):
        return ()
    ordered = in_order(reports)
    before = [None, *ordered.values()]
    return tuple(_step(name, report, last) for (name, report), last in zip(ordered.items(), before, strict=False))


def in_order(reports: Mapping[Name, Findings]) -> dict[Name, Findings]:
    """The reports of a run in the order of their steps."""
    return dict(sorted(reports.items(), key=lambda one: one[1].origin.steps or 0))


def _step(name: str, report: Findings, before: Findings | None) -> Step:
    groups = {one.name: float(one.figures.value[0, SLICE_METRICS.index("top-1")]) for one in report.by_slice}
    found, confused = report.intervals, DESTINATIONS.index("same token elsewhere")
    return Step(
        checkpoint=name,
        steps=report.origin.steps or 0,
        top_1=found.at(0, TOP_1),
        change=Estimate(None) if before is None else _change(before, report),
        common_mass=float(found.value[0, COMMON_MASS]),
        repeat_confusion=float(beyond_overview(report.mass)[:, 0, confused].sum() / report.counts[:, 0, ROWS].sum()),
        after_same=groups.get(AFTER_SAME, np.nan),
        after_another=groups.get(AFTER_ANOTHER, np.nan),
    )


def _change(before: Findings, report: Findings) -> Estimate:
    first, second = (one.clustered(one.counts[:, 0]) for one in (before, report))
    return paired_difference(first, second, lambda summed: metrics(summed)[..., TOP_1]).at()


def table(steps: Sequence[Step]) -> "RenderableType":
    """A line for each step, 80 columns wide, in percent."""
    heads = "top-1\n[95 % CI]", "since last step\n[95 % CI]", "mass at\ncommon\nentropy", "same\ntoken"
    heads += "after\nsame", "after\nanother"
    made = new_table("steps", *heads, words=0)
    for one in steps:
        shares = one.common_mass, one.repeat_confusion, one.after_same, one.after_another
        with_intervals = with_interval(one.top_1, percent), with_interval(one.change, points)
        made.add_row(str(one.steps), *with_intervals, *map(percent, shares))
    return made


def reading(steps: Sequence[Step]) -> list[str]:
    """How to read the table."""
    return [
        *(f"{one.steps:>5} steps: {one.checkpoint}" for one in steps),
        "mass at common entropy: attention mass on sure links, after the logits were",
        "rescaled so that all steps have the same mean entropy.",
        "same token: attention mass on the same token elsewhere in the sentence.",
        "after same: top-1 of tokens that come again after the same token. A key is made",
        "of these two tokens only, so the occurrences have equal keys. after another:",
        "top-1 of tokens that come again after another token, with other keys.",
        "One run, one seed: its steps are not independent. --json has all comparisons.",
    ]
