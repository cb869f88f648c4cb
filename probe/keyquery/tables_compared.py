"""Several checkpoints on a terminal, 80 columns wide: by step where they are of one run, else side by side."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from probe.keyquery.differences import Difference, on_same_sentences
from probe.keyquery.measure import AUC_LINEAR, FRECHET, MMD2
from probe.keyquery.report import KeyQueryReport
from probe.keyquery.values import Analysis
from probe.keyquery.views import FORWARD
from probe.output.tables import digits, interval, new_table, number, percent, with_interval
from probe.report.steps import differ_in_steps_alone

if TYPE_CHECKING:
    from rich.console import RenderableType


def compared(report: KeyQueryReport) -> "Iterator[RenderableType]":
    """What several checkpoints differ in, with how to read it; nothing of one."""
    if len(report.analyses) < 2:
        return
    if is_run(report.analyses):
        yield "Queries ~ keys by step, in the view forward"
        yield step_table(report.analyses)
        yield "\n".join(STEP_READING)
        return
    yield "queries ~ keys of all checkpoints"
    yield comparison(report)
    found = report.differences()
    for first, second, differences in found:
        yield f"{second.checkpoint} minus {first.checkpoint}"
        yield difference_table(differences)
    if found:
        yield "\n".join(DIFFERENCE_READING)
    if apart := len(report.analyses) * (len(report.analyses) - 1) // 2 - len(found):
        yield f"{apart} pairs of checkpoints saw other tokens and are not compared."


def is_run(analyses: Sequence[Analysis]) -> bool:
    """Whether these are steps of one run; see `probe.report.steps.is_run`."""
    known = [
        (one.method, one.criterion, one.pair.rpartition(" ← ")[2], one.key_scale, on_same_sentences(analyses[0], one))
        for one in analyses
    ]
    return differ_in_steps_alone([one.steps for one in analyses], known)


def step_table(analyses: Sequence[Analysis]) -> "RenderableType":
    """A line for each step: distances of queries and keys in the view forward, and top-1 on gold."""
    heads = "Fréchet\n[95 % CI]", "floor", "AUC linear\n[95 % CI]", "MMD²", "CKA", "outside\n%", "top-1\n%"
    table = new_table("steps", *heads, words=0)
    for one in sorted(analyses, key=lambda one: one.steps or 0):
        frechet, auc, gap = (one.measurement(FORWARD, name) for name in (FRECHET, AUC_LINEAR, MMD2))
        cka = next(facts.cka.value for facts in one.matched if facts.view == FORWARD)
        top_1 = one.interventions[0].top_1 if one.interventions else None
        table.add_row(
            str(one.steps),
            with_interval(frechet.pair, digits),
            digits(frechet.floor),
            with_interval(auc.pair, digits),
            digits(gap.pair.value),
            digits(cka),
            percent(one.outside),
            percent(top_1) or "–",
        )
    return table


STEP_READING = (
    "outside: share of the keys' variance that no query can meet. One run, one seed:",
    "its steps are not independent. --json has the differences of every two.",
)


def comparison(report: KeyQueryReport) -> "RenderableType":
    """Each distance of queries and keys, floor behind it, for all checkpoints side by side."""
    names = [analysis.checkpoint for analysis in report.analyses]
    table = new_table("view", "distance", words=2)
    for name in names:
        table.add_column(f"{name}\n(floor)", justify="right", overflow="fold")
    last = ""
    for found in report.analyses[0].measurements:
        if last and found.view != last:
            table.add_section()
        others = [analysis.measurement(found.view, found.distance) for analysis in report.analyses]
        table.add_row(
            found.view if found.view != last else "",
            found.distance,
            *(f"{digits(other.pair.value)} ({digits(other.floor)})" for other in others),
        )
        last = found.view
    return table


def difference_table(found: Sequence[Difference]) -> "RenderableType":
    """Each distance of one checkpoint minus that of another."""
    table = new_table("view", "distance", "difference", "[95 % CI]", "p (Holm)", words=2)
    last = found[0].view
    for place, one in enumerate(found):
        if one.view != last:
            table.add_section()
        shown = "" if one.view == last and place else one.view
        difference = digits(one.difference.value), interval(one.difference, digits)
        table.add_row(shown, one.distance, *difference, number(one.p_value, ".3f") or "–")
        last = one.view
    return table


DIFFERENCE_READING = (
    "Differences are taken in the same halves of the sentences. Those of AUC have an",
    "interval as if the checkpoints were independent (MOVER), which is too wide.",
    "This compares checkpoints, not methods.",
)
