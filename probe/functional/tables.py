"""The tables of a functional probe, 80 columns wide, and how to read them."""

from functools import partial
from itertools import chain
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from probe.functional.attentions import GOLD, WRONG
from probe.functional.report import FITS, SETS, FunctionalReport, Mean
from probe.output.tables import new_table, number, percent, points, with_interval
from probe.scoring.references import NOTES
from probe.stats import RESAMPLES, SEED

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


WIDTH = 80


def tables(report: FunctionalReport) -> "RenderableType":
    """t2s with the checkpoint's map and with refitted ones, the wrong occurrences, and s2t where there is one."""
    from rich.console import Group

    parts = [_fixed(report)]
    if report.refit_on:
        parts.append(_refitted(report))
    if report.targets(SETS[1]):
        parts.append(_elsewhere(report))
    if not report.no_s2t:
        parts.append(_s2t(report))
    return Group(*parts)


def _fixed(report: FunctionalReport) -> "Table":
    made = new_table("t2s as trained", "CE\nnats", "− trained\n[95 %]", "hits\n%", "− trained\n[95 %]")
    figures = zip(report.cross_entropy(FITS[0]), report.accuracy(FITS[0]), strict=True)
    for m, (name, (loss, hits)) in enumerate(zip(report.methods, figures, strict=True)):
        if name != WRONG:
            made.add_row(name, *_nats(loss, m > 0), *_percent(hits, m > 0), style=None if m else "bold")
    return made


def _refitted(report: FunctionalReport) -> "Table":
    made = new_table("t2s refitted", "CE\nnats", "− trained\n[95 %]", "hits\n%", "− trained\n[95 %]", "CE,\nfit")
    losses, hits = report.cross_entropy(FITS[1]), report.accuracy(FITS[1])
    for m, name in enumerate(report.methods):
        if name != WRONG and not np.isnan(losses[m].value):
            cells = *_nats(losses[m], m > 0), *_percent(hits[m], m > 0), number(report.seen[m], ".2f")
            made.add_row(name, *cells, style=None if m else "bold")
    return made


def _elsewhere(report: FunctionalReport) -> "Table":
    title = f"{report.targets(SETS[1])} tokens of\n{report.moved_sentences} texts"
    fits = FITS if report.refit_on else FITS[:1]
    headers = ("CE\nnats", "− gold\n[95 %]", "hits\n%"), ("refit\nCE", "− gold\n[95 %]", "hits\n%")
    made = new_table(title, *chain(*headers[: len(fits)]))
    for name in (report.methods[0], GOLD, WRONG):
        m, is_gold = report.methods.index(name), name == GOLD
        cells: list[str] = []
        for fit in fits:
            loss = report.cross_entropy(fit, SETS[1], GOLD)[m]
            cells += [*_nats(loss, not is_gold), percent(report.accuracy(fit, SETS[1])[m].value)]
        made.add_row(name, *cells)
    return made


def _s2t(report: FunctionalReport) -> "Table":
    made = new_table("s2t as trained", "KL\nnats", "− trained\n[95 %]", "where it occurs\nelsewhere", "− gold\n[95 %]")
    everywhere, elsewhere = report.divergence(), report.divergence(SETS[1], GOLD)
    for m, (name, one, other) in enumerate(zip(report.methods, everywhere, elsewhere, strict=True)):
        if np.isnan(one.value):
            continue
        first = ("", "") if name == WRONG else _nats(one, m > 0)
        second = _nats(other, name != GOLD) if name in (report.methods[0], GOLD, WRONG) else ("", "")
        made.add_row(name, *first, *second, style=None if m else "bold")
    return made


def _nats(one: Mean, differs: bool) -> tuple[str, str]:
    difference = with_interval(one.difference, partial(number, form="+.2f"))
    return number(one.value, ".2f"), difference if differs else ""


def _percent(one: Mean, differs: bool) -> tuple[str, str]:
    return percent(one.value), with_interval(one.difference, points) if differs else ""


def heading(report: FunctionalReport) -> list[str]:
    """What was probed, on which targets, at which scales."""
    key, hidden, target = report.scales
    estimated = f"; {' and '.join(report.estimated_scales)} estimated" if report.estimated_scales else ""
    return [
        f"{report.checkpoint}: does the attention matter for the student?",
        report.pair,
        f"{len(report.sentences)} texts of {report.gold}",
        f"scales: key {key:.4g}, hidden {hidden:.4g}, target {target:.4g}{estimated}",
        f"{report.targets()} student tokens with a sure link are the targets of every mean",
    ]


def reading(report: FunctionalReport) -> list[str]:
    """What the rows and columns are, and what was left out."""
    notes = [f"{name:<13}{NOTES[name]}" for name in report.methods if name in NOTES]
    lines = [
        "CE: cross-entropy of the t2s logits at the target; hits: their argmax is it.",
        *notes,
        "",
        "W_t2s was fitted to the trained attention, so as it is it flatters that one, and",
        "what is as diffuse.",
        *(_refit_reading(report) if report.refit_on else ("--refit-on TEXTS fits it anew to each attention.",)),
    ]
    if report.targets(SETS[1]):
        lines += [
            f"{WRONG}: gold moved to other occurrences of the same piece, on the",
            "tokens where all linked pieces have one. If it does as well as gold, which",
            "occurrence is found does not matter for the cross-entropy.",
        ]
    lines += [] if report.no_s2t else ["KL: KL(teacher ‖ s2t) at temperature 1, over teacher tokens with a sure link."]
    lines += [f"No s2t: {report.no_s2t}."] if report.no_s2t else []
    if any(name.startswith("q: ") for name in report.methods):
        lines.append("q: …: queries moved to the keys without training, see probe-keyquery.")
    lines += [f"Left out: {one}." for one in report.left_out]
    return [*lines, f"Intervals: {RESAMPLES} resamples of sentences, seed {SEED}."]


def _refit_reading(report: FunctionalReport) -> list[str]:
    fit = report.fit
    text = (
        f"Refitted: begun with it, fitted anew to each attention on {report.refit_texts} texts of {report.refit_on}: "
        f"{fit.epochs} epochs of Adam, {fit.learning_rate:g} falling to 0, {fit.batch_texts} texts a step, seed "
        f"{fit.seed}. There gold is silver: all tokens that share a byte are linked. CE and hits are those of the "
        "gold rows, which no fit has seen. CE, fit is the mean over the last epoch on the texts fitted to, by a "
        "sample of the vocabulary. Those are other texts: a gap to the held-out CE is overfit only as far as it is "
        "wider than that of trained. A fit so short may not have arrived, and it began where trained was at home."
    )
    lines = wrap(text, WIDTH)
    if report.judged_texts:
        lines.append(f"Texts of that file that are gold rows, and were left out: {report.judged_texts}.")
    return lines
