"""A report for the terminal, 80 columns wide: a section for each question."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from probe.output.tables import new_table, noted, number, percent, points, with_interval
from probe.report.triples import table as triples_table
from probe.report.values import BESIDE, BY_RULE, Findings, Group
from probe.scoring.references import NOTES
from probe.scoring.scores import LINK_METRICS, METRICS, SLICE_METRICS
from probe.scoring.truth import KINDS, READINGS
from probe.stats import FEW, RESAMPLES, SEED, Estimates

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


HEADERS = {
    "top-1": "top-1\n%",
    "MRR": "MRR\n0–1",
    "AUC": "AUC\n0–1",
    "attention mass": "mass\n%",
    "entropy": "entropy\n0–1",
    "distance": "distance\nchars",
    "F1": "F1\n%",
    "AER": "AER\n%",
    "EOS top-1": "EOS\n%",
}
"""Columns of the main table."""
NARROW = {"entropy": "ent-\nropy\n0–1", "distance": "dis-\ntance\nchars"}
"""The same where there is little room."""
IN_PERCENT = ("top-1", "attention mass", "F1", "AER", "EOS top-1")

READINGS_NOTES = (
    "overlap: top-1 against tokens that share a byte, instead of gold; then both on",
    "the rows where gold and overlap differ.",
    "by target: against gold. by input: against the same links, one token earlier.",
    "by start: against tokens that begin at the same byte. Each on the rows where the",
    "three differ. A map that is read one token off scores higher by input.",
    "target − input: the difference of the two, in points.",
    "",
)

MASS_HEADERS = ("sure\nlink", "own\nchunk", "same\ntoken", "same\nword", "next\nchunk", "EOS", "else-\nwhere")
"""`probe.scoring.destinations.DESTINATIONS` in few letters."""


def heading(report: Findings) -> list[str]:
    """What was probed, on which rows, at which scale."""
    origin = report.origin
    steps = f", {origin.steps} steps" if origin.steps is not None else ""
    why = "cannot be placed" if origin.gold.endswith(BY_RULE) else "are for other tokenizers"
    others = f" ({report.other_sentences} more {why})" if report.other_sentences else ""
    plural = "s" if len(report.sentences) > 1 else ""
    few = len(report.sentences) < FEW
    key = dict(origin.scales).get("key")
    estimate = ", estimated" if origin.key_scale_is_estimate else ""
    scale = "" if key is None else f", key scale {key:.4g}{estimate}"
    return [
        f"{origin.checkpoint}: {origin.method}, {origin.criterion}{steps}",
        f"{origin.pair}{scale}",
        f"{origin.gold}: {len(report.sentences)} sentence{plural}{others}",
        f"figures are means over {report.rows} student tokens with a sure link",
        *([f"{len(report.sentences)} sentence{plural}: too few for a 95 % CI, which needs {FEW}"] if few else []),
    ]


def reading(reports: Sequence[Findings], by: Sequence[str] = ()) -> list[str]:
    """How to read these sections of these reports, and where to look next."""
    methods = dict.fromkeys(name for report in reports for name in report.methods)
    told = READINGS_NOTES if "reading" in by else []
    return [
        *told,
        "top-1, MRR and AUC do not depend on the temperature; mass, entropy and distance",
        "do. mass: the attention mass on sure links. distance: from the attention to the",
        "nearest sure token, in characters. F1 and AER are of hard links: each student",
        "token with its largest weight. EOS: end of sequence, which is scored apart.",
        *(line for name in methods if name in NOTES for line in noted(name, NOTES[name], 14)),
        "",
        f"95 % CI: {RESAMPLES} resamples of sentences, those of a triple together, seed {SEED}.",
        f"Fewer than {FEW} sentences have no 95 % CI. A sentence may show several phenomena.",
        "One checkpoint is not a method.",
    ]


def methods_table(report: Findings) -> "RenderableType":
    """All methods, and how far the probed one is from each."""
    return _methods("method", report, list(HEADERS), report.intervals, report.differences)


def phenomena_table(report: Findings) -> "RenderableType":
    """Top-1 on the sentences with each tag."""
    return _groups("phenomenon", "sentences", report, report.by_phenomenon)


def lengths_table(report: Findings) -> "RenderableType":
    """Top-1 by the length of sentences."""
    return _groups("student tokens", "sentences", report, report.by_length)


def tokens_table(report: Findings) -> "RenderableType":
    """Top-1 of the student tokens of each kind."""
    return _groups("student token", "in\nsentences", report, [one for one in report.by_slice if one.name in KINDS])


def readings_table(report: Findings) -> "RenderableType":
    """Top-1 against other links than gold's, and on the rows that tell them apart."""
    groups = [one for one in report.by_slice if one.name in READINGS]
    table = _groups("against", "in\nsentences", report, groups)
    if difference := with_interval(report.targets_minus_inputs, points):
        table.add_row("target − input", "", "", difference)
    return table


def mass_table(report: Findings) -> "RenderableType":
    """Where the attention mass of linked student tokens goes, beside what equal weights would do."""
    shares = dict(zip(report.methods, report.destinations.figures.value.tolist(), strict=True))
    table = new_table("mass, %", *MASS_HEADERS)
    first = report.methods[0]
    table.add_row(_short_name(first), *map(percent, shares[first]), style="bold")
    own = report.destinations.figures[0].each()
    if all(one.low is not None for one in own):
        table.add_row("  95 % CI", *(f"{percent(one.low)}–{percent(one.high)}" for one in own))
    for name in ("input half", "target half", "random", "uniform", "lexical", "bigram"):
        if name in report.methods:
            table.add_row(name, *map(percent, shares[name]))
    return table


def backward_table(report: Findings) -> "RenderableType":
    """Backward attention: what teacher tokens draw from the student."""
    shown = ("top-1", "MRR", "AUC", "attention mass", "entropy", "F1", "EOS top-1")
    return _methods("backward", report, shown, report.backward_intervals, report.backward_differences)


def _methods(
    title: str, report: Findings, shown: Sequence[str], found: Estimates, differences: Estimates
) -> "RenderableType":
    difference = f"{_short_name(report.methods[0])} − it\ntop-1, points\n[95 % CI]"
    heads = *(NARROW.get(metric, HEADERS[metric]) for metric in shown), difference
    table = new_table(title, *heads)
    top_1 = METRICS.index("top-1")
    for m, name in enumerate(report.methods):
        values: dict[str, float] = dict(zip(METRICS, found.value[m].tolist(), strict=True))
        cells = percent(values["top-1"]), *(_cell(metric, values[metric]) for metric in shown[1:])
        step = with_interval(differences.at(m, top_1), points) if m else ""
        table.add_row(_short_name(name), *cells, step, style=None if m else "bold")
    return table


def aligners_table(report: Findings) -> "RenderableType":
    """Hard links of the probed method by aligner, and F1 of what it is shown beside."""
    beside = [name for name in BESIDE if name in report.methods]
    heads = "precision\n%", "recall\n%", "F1\n% [95 % CI]", "AER\n%", *(f"{name}\nF1 %" for name in beside)
    table = new_table("hard links", *heads)
    f1 = LINK_METRICS.index("F1")
    for one in report.by_aligner:
        cells = [percent(value) for value in one.figures.value[0]]
        cells[f1] = with_interval(one.figures.at(0, f1), percent)
        others = (percent(one.figures.value[report.methods.index(name), f1]) for name in beside)
        table.add_row(one.name, *cells, *others)
    return table


def _triples(report: Findings) -> "RenderableType":
    return triples_table(report.by_triple) if report.by_triple else ""


SECTIONS: Mapping[str, Callable[[Findings], "RenderableType"]] = {
    "method": methods_table,
    "phenomenon": phenomena_table,
    "token": tokens_table,
    "reading": readings_table,
    "length": lengths_table,
    "mass": mass_table,
    "aligner": aligners_table,
    "backward": backward_table,
    "triple": _triples,
}
"""What `probe-align --by` can ask for."""


GROUPED = {"phenomenon": "sentences", "length": "sentences", "token": "in\nsentences"}
"""Sections that can be set against one method (`probe-align --against`), and what their groups are counted in."""


def against_table(report: Findings, section: str, method: str) -> "RenderableType":
    """Top-1 of the probed method and of another by group, and their paired difference.

    Raises:
        MapError: the method was not scored.
    """
    differences, m = report.against(section, method), report.methods.index(method)
    first, k = _short_name(report.methods[0]), SLICE_METRICS.index("top-1")
    heads = GROUPED[section], "tokens", f"{first}\ntop-1, %", f"{method}\ntop-1, %", f"{first} − it\npoints [95 % CI]"
    table = new_table(section, *heads)
    for one in report.groups(section):
        if one.name in differences:
            values = (percent(one.figures.value[place, k]) for place in (0, m))
            difference = with_interval(differences[one.name], points)
            table.add_row(one.name, str(one.sentences), str(one.rows), *values, difference)
    return table


def _groups(title: str, unit: str, report: Findings, groups: Sequence[Group]) -> "Table":
    beside = [name for name in BESIDE if name in report.methods]
    first = _short_name(report.methods[0])
    table = new_table(title, unit, "tokens", f"{first}\ntop-1, %\n[95 % CI]", *beside)
    k = SLICE_METRICS.index("top-1")
    for one in groups:
        others = (percent(one.figures.value[report.methods.index(name), k]) for name in beside)
        value = with_interval(one.figures.at(0, k), percent)
        table.add_row(one.name, str(one.sentences), str(one.rows), value, *others)
    return table


def _cell(metric: str, value: float) -> str:
    if metric in IN_PERCENT:
        return percent(value, ".0f")
    return number(value, ".0f") if metric == "distance" else number(value, ".2f").removeprefix("0")


def _short_name(name: str) -> str:
    """A name that leaves room for the figures."""
    return name if len(name) <= 13 else f"{name[:12]}…"
