"""What several reports differ in, as HTML."""

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
    """What was found of several reports: each two checkpoints, the steps of a run, each two methods over seeds."""

    comparisons: Sequence[Comparison] = ()
    steps: Sequence[Step] = ()
    methods: Sequence[MethodComparison] = ()


def compared_section(found: Compared) -> Node | None:
    """All of it under one heading; None where there is nothing."""
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
    "Top-1 and its change since the step before; weight on sure links at one mean entropy; weight on the same piece "
    "elsewhere; top-1 of tokens that come again after the same token, and after another. Percent and points."
)
CHECKPOINTS_READING = (
    "On the texts that both have, percent and points. p: paired permutation of the counts of a text, adjusted by Holm "
    "over all tests of this page. Can see: the smallest difference that these texts would show in four cases of five. "
    "Checkpoints, not methods."
)
METHODS_READING = "Means over training seeds in percent; bounds over other seeds and other texts."
TOO_FEW_SEEDS = f" Checkpoints, not methods: a claim about methods needs {ENOUGH_SEEDS} paired seeds."


def _steps_table(steps: Sequence[Step]) -> Node:
    heads = (
        "steps",
        "top-1\n%",
        "change\npoints",
        "mass at common H\n%",
        "same piece\n%",
        "same left\n%",
        "other left\n%",
    )
    rows = [
        element(
            "tr",
            element("th", str(one.steps), element("small", one.checkpoint), scope="row"),
            bounded(one.top_1, percent),
            bounded(one.change, points),
            *(cell(percent(v)) for v in (one.common_mass, one.repeat_confusion, one.same_left, one.other_left)),
        )
        for one in steps
    ]
    return new_table(heads, rows)


def _checkpoints_table(comparison: Comparison) -> Node:
    heads = (
        "",
        "texts",
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
