"""Comparisons of several reports, as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probe.output.tables import number, percent, points
from probe.plots.report_page.tables import Node, bounded, cell, element, new_table
from probe.report.comparison import Comparison, Difference
from probe.report.method_comparison import MethodComparison, MethodDifference
from probe.report.steps import Step
from probe.stats import ENOUGH_SEEDS


@dataclass(frozen=True)
class Compared:
    """Comparisons of reports: every two checkpoints, the steps of a run, every two methods over seeds."""

    comparisons: Sequence[Comparison] = ()
    steps: Sequence[Step] = ()
    methods: Sequence[MethodComparison] = ()


def compared_section(found: Compared) -> Node | None:
    """All comparisons under one heading; None if there are none."""
    parts: list[Node] = []
    if found.steps:
        parts += [element("h3", "By step"), element("p", STEPS_READING), _steps_table(found.steps)]
    for one in found.comparisons:
        title = element("h3", f"{one.second} minus {one.first}")
        parts += [title, element("p", CHECKPOINTS_READING), _checkpoints_table(one)]
    for method in found.methods:
        parts += [element("h3", f"{method.second} minus {method.first}, over {method.seeds} pairs of training seeds")]
        told = METHODS_READING + (TOO_FEW_SEEDS if method.seeds < ENOUGH_SEEDS else "")
        parts += [element("p", told), _methods_table(method)]
    return element("section", element("h2", "Compared"), *parts, class_="report", id="compared") if parts else None


STEPS_READING = (
    "The columns: top-1, with its change since the step before in percentage points; attention mass on sure links at a "
    "common mean entropy; attention mass on the same token elsewhere in the sentence; top-1 of repeated tokens, after "
    "the same token and after another one. All in percent."
)
CHECKPOINTS_READING = (
    "Values in percent and differences in percentage points, on the sentences that both have. p: permutation test, "
    "paired by sentence, adjusted by the method of Holm for all tests of this page. Can see: the smallest difference "
    "that these sentences would show in four cases of five. This compares two checkpoints, not two methods."
)
METHODS_READING = (
    "Means over training seeds, in percent, with a 95 % CI that covers the choice of seeds and of sentences."
)
TOO_FEW_SEEDS = f" This is about checkpoints: a statement about methods needs at least {ENOUGH_SEEDS} pairs of seeds."


def _steps_table(steps: Sequence[Step]) -> Node:
    heads = (
        "steps",
        "top-1\n%",
        "change\npoints",
        "mass at common entropy\n%",
        "same token elsewhere\n%",
        "after the same token\n%",
        "after another token\n%",
    )
    rows = [
        element(
            "tr",
            element("th", str(one.steps), element("small", one.checkpoint), scope="row"),
            bounded(one.top_1, percent),
            bounded(one.change, points),
            *(cell(percent(v)) for v in (one.common_mass, one.repeat_confusion, one.after_same, one.after_another)),
        )
        for one in steps
    ]
    return new_table(heads, rows)


def _checkpoints_table(comparison: Comparison) -> Node:
    heads = (
        "",
        "sentences",
        f"{comparison.first}\n%",
        f"{comparison.second}\n%",
        "difference\npoints",
        "p\nHolm",
        "can see\npoints",
    )
    rows = [_difference(one) for one in comparison.figures]
    rows += [_difference(one, "top-1") for one in comparison.phenomena]
    return new_table(heads, rows, heads[4])


def _difference(one: Difference, of: str = "") -> Node:
    head = element("th", one.figure, *([element("small", of)] if of else []), scope="row")
    return element(
        "tr",
        head,
        cell(str(one.sentences)),
        cell(percent(one.first)),
        cell(percent(one.second)),
        bounded(one.difference, points),
        cell(number(one.p, ".4f")),
        cell(percent(one.detectable)),
    )


def _methods_table(comparison: MethodComparison) -> Node:
    heads = "", f"{comparison.first}\n%", f"{comparison.second}\n%", "difference\npoints", "second higher\nseeds"
    return new_table(heads, [_method(one, comparison.seeds) for one in comparison.figures])


def _method(one: MethodDifference, seeds: int) -> Node:
    return element(
        "tr",
        element("th", one.figure, scope="row"),
        cell(percent(float(np.mean(one.first)))),
        cell(percent(float(np.mean(one.second)))),
        bounded(one.difference, points),
        cell(f"{one.higher} of {seeds}"),
    )
