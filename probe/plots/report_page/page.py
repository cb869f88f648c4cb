"""Reports as one HTML page that needs no network: tables, and a heatmap of every sentence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from probe.errors import MapError, Problem
from probe.gold.rows import PHENOMENA, GoldRow
from probe.maps import AttentionMap
from probe.output.tables import percent
from probe.plots.report_page.compared import Compared, compared_section
from probe.plots.report_page.pictures import pictures, style
from probe.plots.report_page.tables import Node, element, groups_table, markup, mass_table, methods_table, triples_table
from probe.report.comparison import MANY, together
from probe.report.tables import heading
from probe.report.values import Findings, Origin
from probe.report.verdict import verdict, verdicts
from probe.scoring.scores import METRICS, metrics, worst_first
from probe.scoring.truth import KINDS
from probe.stats import FEW, RESAMPLES, SEED

LEVELS = 1000
"""Weights are stored in thousandths, which is finer than the colours of a heatmap."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Probed:
    """A report, with the gold row and the map of each of its sentences, in the order of the report.

    Raises:
        MapError: the sentences are others, or a map has other tokens than its row.
    """

    report: Findings
    drawn: tuple[tuple[GoldRow, AttentionMap], ...]
    name: str = ""
    """What tells it from others; without a name, that of its checkpoint."""

    def __post_init__(self) -> None:
        ids = tuple(row.id for row, _ in self.drawn)
        if ids != self.report.sentences:
            remedy = "Pass the rows that were scored."
            got = f"{len(ids)} others"
            raise MapError(Problem("page", f"the {len(self.report.sentences)} sentences of the report", got, remedy))
        for row, map_ in self.drawn:
            if (row.student, row.teacher) != (map_.student, map_.teacher):
                remedy = "Pass the row from which the map was made."
                raise MapError(
                    Problem(f"page, row {row.id}", "a map with the tokens of the row", "other tokens", remedy)
                )


def to_html(probed: Sequence[Probed], compared: Compared | None = None) -> str:
    """The page: the answer and its pictures, a section for each report, its worst sentences first, then comparisons."""
    found = compared or Compared()
    # Escape "<", so that no sentence can close the script element that holds it.
    maps = json.dumps(
        [[_map(*drawn) for drawn in one.drawn] for one in probed], ensure_ascii=False, separators=(",", ":")
    )
    named = _named(probed)
    groups = together(named)
    alone = {name for group in groups if len(group) == 1 for name in group}
    sections = (
        _section(one, number, alone=name in alone) for number, (name, one) in enumerate(zip(named, probed, strict=True))
    )
    nodes = [*_answers(named, groups, found), *sections, compared_section(found)]
    return Template(_part("html")).substitute(
        title=markup(element("title", ", ".join(one.report.checkpoint for one in probed), " · probe-align")),
        css=_part("css") + style(),
        js=_part("js"),
        sections="\n".join(markup(node) for node in nodes if node is not None),
        maps=maps.replace("<", r"\u003c"),
    )


def _named(probed: Sequence[Probed]) -> dict[str, Findings]:
    """The reports by name; a name that is there already gets a number."""
    named: dict[str, Findings] = {}
    for number, one in enumerate(probed):
        name = one.name or one.report.checkpoint
        named[f"{name} ({number + 1})" if name in named else name] = one.report
    return named


def _answers(named: Mapping[str, Findings], groups: Sequence[Mapping[str, Findings]], found: Compared) -> list[Node]:
    """What is said of several reports together, and pictures of those of the same sentences; nothing of one alone."""
    told = verdicts(named, found.comparisons, found.methods, found.steps)
    nodes = [_told(lines) for group, lines in told if len(group) > 1]
    for number, group in enumerate(group for group in groups if len(group) > 1):
        if len(group) > MANY:
            nodes.append(
                element("p", f"The pictures show the {MANY} of {len(group)} checkpoints with the highest top-1.")
            )
        nodes.append(pictures(_highest(group), f"together-{number}"))
    return nodes


def _highest(reports: Mapping[str, Findings]) -> dict[str, Findings]:
    """As many as a picture holds, those with the highest top-1, in their order."""
    top_1 = {name: report.intervals.value[0, METRICS.index("top-1")] for name, report in reports.items()}
    kept = sorted(top_1, key=lambda name: -np.nan_to_num(top_1[name]))[:MANY]
    return {name: report for name, report in reports.items() if name in kept}


def _part(suffix: str) -> str:
    return (_HERE / f"page.{suffix}").read_text(encoding="utf-8")


def _map(row: GoldRow, map_: AttentionMap) -> dict[str, Any]:
    """The data of one heatmap. The largest weights are found before rounding."""
    largest = map_.weights == map_.weights.max(axis=1, keepdims=True)
    return {
        "student": map_.student_labels,
        "teacher": map_.teacher_labels,
        "weights": np.rint(LEVELS * map_.weights).astype(int).tolist(),
        "largest": [np.flatnonzero(line).tolist() for line in largest],
        "sure": sorted(row.sure),
        "possible": sorted(row.possible),
    }


def _section(probed: Probed, number: int, *, alone: bool) -> Node:
    """All of one report, with pictures if it stands alone: those of several are above their sections."""
    report = probed.report
    title, *lines = heading(report)
    first = report.methods[0]
    kinds = [one for one in report.by_slice if one.name in KINDS]
    few = f"A sentence can have several tags. With fewer than {FEW} sentences there is no 95 % CI."
    return element(
        "section",
        element("h2", title),
        _told(verdict(report)),
        *([pictures(_named([probed]), f"picture-{number}")] if alone else []),
        *(element("p", line, class_="lines") for line in lines),
        _provenance(report.origin),
        element("h3", "Methods"),
        methods_table(report),
        element("h3", "Phenomena"),
        element("p", f"Top-1 of {first} and of the methods to compare, on the sentences with each tag. {few}"),
        groups_table("phenomenon", "sentences", report, report.by_phenomenon),
        element("h3", "Kinds of tokens"),
        groups_table("student token", "in sentences", report, kinds),
        element("h3", "Where the attention mass goes"),
        element("p", "The columns divide the attention mass of the student tokens with a sure link, in percent."),
        mass_table(report),
        *_triples(report),
        element("h3", "Sentences"),
        element("p", f"The lowest top-1 of {first} comes first. Click a sentence to see its heatmap."),
        _controls(report, number),
        _sentences(report, probed.drawn, number),
        class_="report",
        id=f"report-{number}",
    )


def _told(lines: Sequence[str]) -> Node:
    """A verdict, its first sentence in bold letters."""
    lead, *rest = lines
    return element("p", element("strong", lead), " ", " ".join(rest), class_="verdict")


def _triples(report: Findings) -> list[Node]:
    scores = report.by_triple
    if not scores:
        return []
    told = (
        f"{scores[0].triples} triples of sentences that differ in one word. Same: a word is repeated after the same "
        "token, so both occurrences have the same key. Other: it is repeated after another token, so the keys differ. "
        "Synonym: another word stands there."
    )
    return [element("h3", "Triples"), element("p", told), triples_table(scores)]


def _provenance(origin: Origin) -> Node:
    estimate = {"key": " (estimated)"} if origin.key_scale_is_estimate else {}
    scales = [
        f"{name} {'none' if value is None else f'{value:.6g}'}{estimate.get(name, '')}" for name, value in origin.scales
    ]
    facts: dict[str, Sequence[str]] = {
        "command": [origin.command] if origin.command else [],
        "checkpoint": [f"{name}, sha256 {digest}" for name, digest in origin.files],
        "tables": [f"{source}, sha256 {digest}" for source, digest in origin.tables],
        "gold": [f"{origin.gold}, sha256 {origin.gold_sha256}"],
        "scales": scales,
        "seeds": [f"untrained query matrices: {', '.join(map(str, origin.random_seeds))}"]
        if origin.random_seeds
        else [],
        "95 % CI": [f"{RESAMPLES} resamples of sentences, those of a triple together, seed {SEED}"],
        "versions": [f"{name} {version}" for name, version in origin.versions],
    }
    items = [
        part
        for name, values in facts.items()
        if values
        for part in (element("dt", name), *(element("dd", value) for value in values))
    ]
    return element("details", element("summary", "Provenance"), element("dl", *items), class_="provenance")


def _controls(report: Findings, number: int) -> Node:
    """Filters for the list of sentences. They need the script, so the script makes them visible."""
    counts = {name: sum(name in tags for tags in report.phenomena) for name in PHENOMENA}
    options = [element("option", f"{name} ({count})", value=name) for name, count in counts.items() if count]
    return element(
        "form",
        element("label", "Sentence or id ", element("input", type="search", name="text", autocomplete="off")),
        element(
            "label", "Phenomenon ", element("select", element("option", "any", value=""), *options, name="phenomenon")
        ),
        element("output", name="count", role="status"),
        class_="controls",
        hidden="",
        role="search",
        aria_label=f"sentences of {report.checkpoint}",
        aria_controls=f"sentences-{number}",
    )


def _sentences(report: Findings, drawn: Sequence[tuple[GoldRow, AttentionMap]], number: int) -> Node:
    """The sentences with their values, the lowest top-1 first, sentences without a sure link last."""
    with np.errstate(invalid="ignore"):
        found = metrics(report.counts[:, 0])
    top_1, mass = found[:, METRICS.index("top-1")].tolist(), found[:, METRICS.index("attention mass")].tolist()
    heads = {"id": "sentence", "length": "student tokens", "hits": "top-1 %", "mass": "mass %"}
    columns = [
        element("th", text, scope="col", data_key=key, aria_sort="ascending" if key == "hits" else "none")
        for key, text in heads.items()
    ]
    rows = [
        _sentence(drawn[n][0], report.lengths[n], top_1[n], mass[n], f"{number},{n}")
        for n in worst_first(top_1, report.sentences)
    ]
    body = element("tbody", *rows)
    return element(
        "table", element("thead", element("tr", *columns)), body, class_="sentences", id=f"sentences-{number}"
    )


def _sentence(row: GoldRow, length: int, top_1: float, mass: float, at: str) -> Node:
    shown = [percent(value) or "–" for value in (top_1, mass)]
    tags = [element("span", tag, class_="tag") for tag in row.phenomena]
    # bdi lets each sentence keep its own writing direction; the space separates it from the id for screen readers.
    first = element("th", element("b", row.id), " ", element("bdi", row.text), *tags, scope="row")
    keys = {"id": row.id, "length": str(length), "hits": repr(top_1), "mass": repr(mass)}
    data = {f"data_{name}": value for name, value in keys.items()}
    cells = [element("td", text) for text in (str(length), *shown)]
    return element("tr", first, *cells, data_map=at, data_phenomena=" ".join(row.phenomena), **data)
