"""The report on a terminal, 80 columns wide."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from probe.keyquery.measure import DISTANCES
from probe.keyquery.report import KeyQueryReport
from probe.keyquery.tables_compared import compared
from probe.keyquery.values import Analysis, Settings
from probe.output.tables import digits, interval, new_table, number, percent, points, with_interval
from probe.stats import Estimate

if TYPE_CHECKING:
    from rich.console import RenderableType


def sections(report: KeyQueryReport) -> "Iterator[RenderableType]":
    """Everything, to be printed in order: each checkpoint, what several differ in, and how to read it."""
    yield f"sentences {report.source}, sha256 {report.source_sha256[:12]}…"
    for analysis in report.analyses:
        tables = [cloud_table(analysis), distance_table(analysis), matched_table(analysis)]
        if analysis.interventions:
            tables.append(intervention_table(analysis))
        yield "\n".join(heading(analysis))
        yield from tables
    yield from compared(report)
    yield "\n".join(["", *reading(report.settings)])


def heading(analysis: Analysis) -> list[str]:
    """What was analysed, and how much of the keys no query can meet."""
    steps = f", {analysis.steps} steps" if analysis.steps is not None else ""
    estimate = ", estimated" if analysis.key_scale_is_estimate else ""
    chance = 1 - analysis.span / analysis.width
    return [
        "",
        f"{analysis.checkpoint}: {analysis.method}, {analysis.criterion}{steps}",
        f"{analysis.pair}, key scale {analysis.key_scale:.4g}{estimate}",
        *(f"{name}, sha256 {digest[:12]}…" for name, digest in analysis.files),
        f"{analysis.sentences} sentences, {analysis.query_tokens} queries, {analysis.key_tokens} keys, "
        f"matched by {analysis.matched_by}",
        f"Queries span {analysis.span} of {analysis.width} dimensions. Outside, where attention cannot see, lies",
        f"{100 * analysis.outside:.1f} % of the keys' variance (untrained {100 * analysis.outside_untrained:.1f} %, "
        f"a random span {100 * chance:.1f} %).",
    ]


def cloud_table(analysis: Analysis) -> "RenderableType":
    """Sizes and forms of both clouds."""
    heads = "dims", "kept\nq, %", "kept\nk, %", "norm q\nmedian", "norm k\nmedian"
    table = new_table("view", *heads, "scale\nq / k", "untrained\nq / k", "eff. rank\nq", "eff. rank\nk")
    for facts in analysis.clouds:
        table.add_row(
            facts.view,
            str(facts.dimensions),
            percent(facts.kept_queries, ".0f"),
            percent(facts.kept_keys, ".0f"),
            *(digits(norms[len(norms) // 2]) for norms in (facts.norms_queries, facts.norms_keys)),
            digits(facts.scale_ratio),
            digits(facts.scale_ratio_untrained),
            digits(facts.rank_queries),
            digits(facts.rank_keys),
        )
    return table


def distance_table(analysis: Analysis) -> "RenderableType":
    """Each distance in each view, beside its floor and its reference."""
    table = new_table("view", "distance", "queries\n~ keys", "[95 % CI]", "floor", "untrained", "p", words=2)
    last = analysis.measurements[0].view
    for found in analysis.measurements:
        if found.view != last:
            table.add_section()
        table.add_row(
            "" if found.view == last and found.distance != DISTANCES[0] else found.view,
            found.distance,
            digits(found.pair.value),
            interval(found.pair, digits),
            digits(found.floor),
            digits(found.untrained),
            number(found.p_value, ".3f"),
        )
        last = found.view
    return table


def matched_table(analysis: Analysis) -> "RenderableType":
    """CKA and cosines of tokens that belong together."""
    table = new_table("view", "matched tokens", "value", "[95 % CI]", "shuffled\nor unmatched", "untrained", words=2)
    for facts in analysis.matched:
        table.add_row(
            facts.view,
            "CKA",
            digits(facts.cka.value),
            interval(facts.cka, digits),
            digits(facts.cka_shuffled),
            digits(facts.cka_untrained),
        )
        table.add_row("", "cosine", digits(facts.cosine_matched), "", digits(facts.cosine_unmatched), "")
        table.add_row(
            "",
            "matched − unmatched",
            digits(facts.cosine_difference.value),
            interval(facts.cosine_difference, digits),
            "",
            digits(facts.cosine_difference_untrained),
        )
    return table


def intervention_table(analysis: Analysis) -> "RenderableType":
    """What matching the queries to the keys does to the attention on gold."""
    halves = ("for-\nward\ntop-1\n%", "change\n[95 % CI]"), ("back-\nward\ntop-1\n%", "change\n[95 % CI]")
    table = new_table("matched\nto keys", "Fréchet\nthen", *halves[0], "mass\n%", *halves[1])
    for found in analysis.interventions:
        first = found is analysis.interventions[0]
        table.add_row(
            found.name,
            digits(found.frechet),
            percent(found.top_1) or "–",
            "" if first else _change(found.top_1_change),
            percent(found.mass) or "–",
            percent(found.backward_top_1) or "–",
            "" if first else _change(found.backward_top_1_change),
            style="bold" if first else None,
        )
    return table


def _change(change: Estimate) -> str:
    # Two of these stand in a line of 80 columns.
    return with_interval(change, points).replace(", ", ",") or "–"


def reading(settings: Settings) -> list[str]:
    """How to read the tables."""
    return [
        "forward    what student→teacher attention sees: keys centred, because one vector",
        "           added to all keys changes nothing.",
        "backward   what the attention in the other direction sees: queries centred.",
        "           Both lie within the span of the query projector (its matrix and bias)",
        f"           and are cut to {settings.components} principal components.",
        "shape      the same view, both clouds scaled to one size.",
        "floor      between two halves of the keys.",
        "untrained  with an untrained query projector. Each distance is of half the",
        f"           sentences, mean of {settings.splits} halvings, so compare it with its floor, not",
        "           with zero.",
        "AUC        on unseen sentences; .5: cannot be told apart.",
        f"p          of MMD², {settings.permutations} permutations within sentences.",
        f"At most {settings.subsample:,} points of a cloud for MMD², energy and AUC, {settings.sliced_subsample:,} for "
        "sliced",
        f"W₂, {settings.moment_subsample:,} for Fréchet and CKA, drawn with seed {settings.seed}.",
        "Attention depends on products of queries and keys only: the same attention is",
        "possible at any distance. The last table tests whether the distance matters, by",
        "moving queries to the keys without training. If the distance shrinks but top-1",
        "stays the same, it was not the cause. mass: forward attention on sure links.",
        "mean       queries moved to the mean of the keys, as they are or centred.",
        "transport  mean and covariance, queries moved least; covariance is CORAL's map.",
        "Scale and norms cannot change forward top-1. One checkpoint is not a method.",
    ]
