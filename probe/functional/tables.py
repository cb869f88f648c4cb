"""The tables of a functional probe, 80 columns wide, and how to read them."""

from functools import partial
from itertools import chain
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from probe.functional.attentions import GOLD, WRONG
from probe.functional.report import FITS, SETS, FunctionalReport, Mean
from probe.output.tables import WIDTH, new_table, noted, number, percent, points, with_interval
from probe.scoring.references import NOTES
from probe.stats import RESAMPLES, SEED

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


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
    made = new_table("t2s as trained", "CE\nnats", "− trained\n[95 % CI]", "hits\n%", "− trained\n[95 % CI]")
    figures = zip(report.cross_entropy(FITS[0]), report.accuracy(FITS[0]), strict=True)
    for m, (name, (loss, hits)) in enumerate(zip(report.methods, figures, strict=True)):
        if name != WRONG:
            made.add_row(name, *_nats(loss, m > 0), *_percent(hits, m > 0), style=None if m else "bold")
    return made


def _refitted(report: FunctionalReport) -> "Table":
    made = new_table("t2s refitted", "CE\nnats", "− trained\n[95 % CI]", "hits\n%", "− trained\n[95 % CI]", "CE,\nfit")
    losses, hits = report.cross_entropy(FITS[1]), report.accuracy(FITS[1])
    for m, name in enumerate(report.methods):
        if name != WRONG and not np.isnan(losses[m].value):
            cells = *_nats(losses[m], m > 0), *_percent(hits[m], m > 0), number(report.seen[m], ".2f")
            made.add_row(name, *cells, style=None if m else "bold")
    return made


def _elsewhere(report: FunctionalReport) -> "Table":
    title = f"{report.targets(SETS[1])} tokens of\n{report.moved_sentences} sentences"
    fits = FITS if report.refit_on else FITS[:1]
    headers = ("CE\nnats", "− gold\n[95 % CI]", "hits\n%"), ("refit\nCE", "− gold\n[95 % CI]", "hits\n%")
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
    made = new_table(
        "s2t as trained", "KL\nnats", "− trained\n[95 % CI]", "where it occurs\nelsewhere", "− gold\n[95 % CI]"
    )
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
        f"{len(report.sentences)} sentences of {report.gold}",
        f"scales: key {key:.4g}, hidden {hidden:.4g}, target {target:.4g}{estimated}",
        f"{report.targets()} student tokens with a sure link are the targets of every mean",
    ]


def reading(report: FunctionalReport) -> list[str]:
    """What the rows and columns are, and what was left out."""
    notes = [line for name in report.methods if name in NOTES for line in noted(name, NOTES[name], 13)]
    lines = [
        "CE: cross-entropy of the t2s logits at the target. hits: how often the target",
        "has the largest logit.",
        *notes,
        "",
        "W_t2s was fitted to the trained attention. As it is, it favours that one",
        "and those that are as spread out.",
        *(_refit_reading(report) if report.refit_on else ("--refit-on FILE fits it anew to each attention.",)),
    ]
    if report.targets(SETS[1]):
        lines += [
            f"{WRONG}: gold moved to other occurrences of the same token, where all linked",
            "tokens have one. If it does as well as gold, it does not matter for the",
            "cross-entropy which occurrence is found.",
        ]
    lines += [] if report.no_s2t else ["KL: KL(teacher ‖ s2t) at temperature 1, over teacher tokens with a sure link."]
    lines += [f"No s2t: {report.no_s2t}."] if report.no_s2t else []
    if any(name.startswith("q: ") for name in report.methods):
        lines.append("q: …: queries moved to the keys without training, see probe-keyquery.")
    lines += [f"Left out: {one}." for one in report.left_out]
    return [*lines, f"95 % CI: {RESAMPLES} resamples of sentences, seed {SEED}."]


def _refit_reading(report: FunctionalReport) -> list[str]:
    fit = report.fit
    text = (
        f"Refitted: W_t2s begins as trained and is fitted anew to each attention on {report.refit_sentences} "
        f"sentences of {report.refit_on}: {fit.epochs} epochs of Adam, rate from {fit.learning_rate:g} to 0, "
        f"{fit.batch_sentences} sentences a step, seed {fit.seed}. Those sentences have no gold links; there, all "
        "tokens that share a byte are linked. CE and hits are those of the gold rows, which no fit has seen. CE, "
        "fit: the mean over the last epoch on the sentences that were fitted to, by a sample of the vocabulary. "
        "Those are other sentences: a gap to the CE of the gold rows shows overfitting only as far as it exceeds the "
        "gap of the trained attention. The fit is short and may be unfinished, and it began where the trained "
        "attention was at home."
    )
    lines = wrap(text, WIDTH)
    if report.judged_sentences:
        lines.append(f"Sentences of that file that are gold rows and were left out: {report.judged_sentences}.")
    return lines
