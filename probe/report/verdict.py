"""What the figures say, in a few sentences: does this attention align, against what, and where does it fail?

Two figures are called different only where the 95 % CI of their paired difference leaves out zero.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from probe.output.tables import interval, percent, points, with_interval
from probe.report.comparison import Comparison, highest, together
from probe.report.method_comparison import MethodComparison
from probe.report.steps import Step
from probe.report.values import Findings
from probe.scoring.scores import METRICS, SLICE_METRICS, metrics
from probe.scoring.truth import KINDS
from probe.stats import ENOUGH_SEEDS, FEW, Estimate, paired_difference

FLOORS, BASELINES, CEILINGS = ("random", "uniform"), ("diagonal", "lexical"), ("target-only", "bigram")
ORDERED = ("position-grid", "lexical-grid")
"""Baselines of the attention that is decoded by order, which is called as its method with -grid behind."""
NAMES = {
    "random": "an untrained query",
    "uniform": "equal weights",
    "diagonal": "position alone",
    "lexical": "equal spelling",
    "position-grid": "position, with order",
    "lexical-grid": "equal spelling, with order",
    "cma-grid": "the attention, with order",
    "target-only": "the best of target tokens",
    "bigram": "the best a query can reach",
}
"""The methods in words that need no legend."""
TOP_1 = METRICS.index("top-1")
SHOWN = 3
"""Checkpoints that are compared in a sentence each; more are counted."""

Side = Literal["above", "below", "not distinguishable from", "unknown"]


def side(difference: Estimate) -> Side:
    """Where a figure lies, given what it has more than another one."""
    if difference.low is None or difference.high is None:
        return "unknown"
    if difference.low > 0:
        return "above"
    return "below" if difference.high < 0 else "not distinguishable from"


def verdict(report: Findings) -> list[str]:
    """Three or four sentences on one checkpoint, the main one first."""
    name, own = report.checkpoint, report.intervals.at(0, TOP_1)
    if own.low is None:
        count = len(report.sentences)
        few = f"{count} sentence{'' if count == 1 else 's'} are too few to tell: a 95 % CI takes {FEW}."
        return [f"{name}: {few}", f"Top-1 is {percent(own.value)} % here."]
    sides: dict[str, Side] = {
        method: side(report.differences.at(m, TOP_1)) for m, method in enumerate(report.methods) if m
    }
    return [
        f"{name} {_lead(sides)}",
        _against(report, own, sides),
        *_with_order(report),
        *_ceiling(report),
        *_weakest(report),
    ]


def _lead(sides: Mapping[str, Side]) -> str:
    """The answer: no better than chance, better than rules that need no training, or in between."""
    if any(sides[one] != "above" for one in FLOORS if one in sides):
        return "does not align: it is no better than chance."
    baselines = [one for one in BASELINES if one in sides]
    if not baselines:
        return "aligns better than chance."
    unbeaten = [one for one in baselines if sides[one] != "above"]
    if not unbeaten:
        return f"aligns better than {' and '.join(NAMES[one] for one in baselines)}."
    if all(sides[one] == "below" for one in baselines):
        return f"aligns better than chance, but worse than {' and '.join(NAMES[one] for one in baselines)}."
    return f"aligns better than chance, but no better than {' or '.join(NAMES[one] for one in unbeaten)}."


def _against(report: Findings, own: Estimate, sides: Mapping[str, Side]) -> str:
    parts: list[str] = []
    order: tuple[Side, ...] = ("above", "not distinguishable from", "below")
    for where in order:
        names = [name for name in (*FLOORS, *BASELINES) if sides.get(name) == where]
        if names:
            values = (percent(report.intervals.value[report.methods.index(name), TOP_1]) for name in names)
            named = [f"{NAMES[name]} ({value})" for name, value in zip(names, values, strict=True)]
            parts.append(f"{where} {' and '.join(part for part in (', '.join(named[:-1]), named[-1]) if part)}")
    return f"Top-1 is {in_percent(own)}" + (f": {'; '.join(parts)}." if parts else ".")


def decoded(report: Findings) -> str:
    """The name of the probed attention under the decoder ``grid``."""
    return f"{report.methods[0]}-grid"


def _with_order(report: Findings) -> list[str]:
    """What the attention knows beyond order and spelling: its decoded self against the decoded baselines."""
    if any(name not in report.methods for name in (decoded(report), *ORDERED)):
        return []
    own = report.methods.index(decoded(report))
    parts: list[str] = []
    for name in ORDERED[::-1]:
        m = report.methods.index(name)
        theirs, ours = (report.clustered(report.counts[:, k]) for k in (m, own))
        more = paired_difference(theirs, ours, _top_1).at()
        value = percent(report.intervals.value[m, TOP_1])
        parts.append(f"{side(more)} {NAMES[name].partition(',')[0]} ({value}; {with_interval(more, points)})")
    reached = percent(report.intervals.value[own, TOP_1])
    return [f"With the order of both texts (grid) it reaches {reached} %: {', '.join(parts)}."]


def _top_1(summed: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch"]:
    return metrics(summed)[..., TOP_1]


def in_percent(estimate: Estimate) -> str:
    """A share with its interval, in percent."""
    ends = "" if estimate.low is None else f" {interval(estimate, percent)}"
    return f"{percent(estimate.value)} %{ends}"


def _ceiling(report: Findings) -> list[str]:
    if "bigram" not in report.methods:
        return []
    m = report.methods.index("bigram")
    of = f"{NAMES['bigram']} ({percent(report.intervals.value[m, TOP_1])})"
    return [f"It is {with_interval(-report.differences.at(m, TOP_1), percent)} points below {of}."]


def _weakest(report: Findings) -> list[str]:
    k = SLICE_METRICS.index("top-1")
    kinds = {one.name: one.figures.at(0, k) for one in report.by_slice if one.name in KINDS}
    known = {name: one for name, one in kinds.items() if one.low is not None and one.value is not None}
    if not known:
        return []
    name = min(known, key=lambda kind: known[kind].value or 0.0)
    return [f"Weakest kind of token: {name}, {in_percent(known[name])}."]


def verdict_of_several(
    reports: Mapping[str, Findings],
    comparisons: Sequence[Comparison],
    methods: Sequence[MethodComparison],
    steps: Sequence[Step],
) -> list[str]:
    """Who is better, by how much, and how sure that is; then the verdict on the best one.

    All reports are of the same sentences, but for methods, which are compared on those that all have.
    """
    if methods:
        return [_of_methods(one) for one in methods]
    best = highest(reports)
    told = verdict(reports[best])
    if steps:
        return [*_of_steps(steps), *told]
    pairs = [{best, name} for name in reports if name != best]
    against = [one for one in comparisons if {one.first, one.second} in pairs]
    lines = [_of_two(one, best) for one in against[:SHOWN]]
    if len(against) > SHOWN:
        lines.append(f"{len(against) - SHOWN} more are in the table above.")
    return [f"Highest top-1: {best}.", *lines, *told]


def verdicts(
    reports: Mapping[str, Findings],
    comparisons: Sequence[Comparison],
    methods: Sequence[MethodComparison],
    steps: Sequence[Step],
) -> list[tuple[Mapping[str, Findings], list[str]]]:
    """What is said of which reports: those of other sentences are not compared, but methods and steps of a run are."""
    groups = [dict(reports)] if methods or steps else together(reports)
    return [
        (group, verdict(*group.values()) if len(group) == 1 else verdict_of_several(group, comparisons, methods, steps))
        for group in groups
    ]


def _of_two(comparison: Comparison, best: str) -> str:
    (found,) = (one for one in comparison.figures if one.figure == "top-1")
    other = comparison.second if comparison.first == best else comparison.first
    more = found.difference if comparison.second == best else -found.difference
    p = "" if found.p is None else f", p {'< .001' if found.p < 0.001 else f'= {found.p:.3f}'.replace('0.', '.')}"
    where = side(more)
    if where == "unknown":
        return f"{other} is {percent(more.value)} points below {best}, on too few sentences to tell."
    size = f"{with_interval(more, percent)} points below"
    if where == "above":
        return f"{other} is {size} {best}{p}."
    return f"{other} is not distinguishable from {best}: {size}{p}."


def _of_steps(steps: Sequence[Step]) -> list[str]:
    first, last = steps[0], steps[-1]
    return [
        f"Top-1 goes from {in_percent(first.top_1)} at step {first.steps} "
        f"to {in_percent(last.top_1)} at step {last.steps}."
    ]


def _of_methods(comparison: MethodComparison) -> str:
    (found,) = (one for one in comparison.figures if one.figure == "top-1")
    where = side(found.difference)
    size = f"top-1 {with_interval(found.difference, lambda value: percent(value, '+.1f'))} points"
    seeds = comparison.seeds
    over = f"over {seeds} pair{'' if seeds == 1 else 's'} of trainings, higher in {found.higher} of {seeds}"
    line = f"{comparison.second} is {where} {comparison.first}: {size} {over}."
    if where == "unknown":
        line = f"{comparison.second} against {comparison.first}: {size} {over}; too few sentences for a 95 % CI."
    if seeds < ENOUGH_SEEDS:
        line += f" These are checkpoints, not methods: a claim on methods takes {ENOUGH_SEEDS} seeds."
    return line
