"""A report as JSON: all figures with their 95 % CI to be read, all counts to be loaded again."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.aligners.links import ALIGNERS
from probe.errors import Problem, ReportError
from probe.gold.triples import KINDS, Mark
from probe.output.documents import packed, parsed, read_document
from probe.output.files import replacing_file
from probe.output.typed import check_types
from probe.report.report import ProbeReport
from probe.report.values import Findings, Group, Origin
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import COUNTS, LINK_COUNTS, LINK_METRICS, METRICS, SLICE_COUNTS, SLICE_METRICS
from probe.scoring.truth import SLICES
from probe.stats import Estimate, Estimates, known, resampling

SCHEMA = 3
WHAT = "a report of probe-align --json"
DIGITS = 9
"""Significant digits of a count: figures that follow are the same to more digits than anybody prints."""

LAYOUT: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "counts": (COUNTS,),
    "backward": (COUNTS,),
    "slices": (SLICES, SLICE_COUNTS),
    "links": (tuple(ALIGNERS), LINK_COUNTS),
    "mass": (DESTINATIONS,),
}
"""Names along the axes of each array behind sentences and methods."""


def to_json(report: Findings) -> str:
    """Everything: provenance, figures with their 95 % CI, and the counts of every sentence."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        **{name: getattr(report.origin, name) for name in ("checkpoint", "method", "criterion", "steps", "pair")},
        "origin": {**asdict(report.origin), **{k: dict(getattr(report.origin, k)) for k in ("scales", "files")}},
        "sentences": len(report.sentences),
        "other_sentences": report.other_sentences,
        "rows": report.rows,
        "bootstrap": resampling("sentence, or minimal triple"),
        "figures": _figures(report, report.intervals, report.differences),
        "backward figures": _figures(report, report.backward_intervals, report.backward_differences),
        "means over sentences": _by_method(report, METRICS, report.sentence_means),
        "phenomena": {one.name: _group(report, METRICS, one) for one in report.by_phenomenon},
        "lengths": {one.name: _group(report, METRICS, one) for one in report.by_length},
        "tokens": {one.name: _group(report, SLICE_METRICS, one) for one in report.by_slice},
        "by target minus by input, top-1": list(report.targets_minus_inputs),
        "aligners": {one.name: _group(report, LINK_METRICS, one) for one in report.by_aligner},
        "destinations": _group(report, DESTINATIONS, report.destinations),
        "triples": {
            one.method: {
                "triples": one.triples,
                "top-1": dict(zip(KINDS, one.top_1.tolist(), strict=True)),
                "other minus same": list(one.steps[0]),
                "synonym minus other": list(one.steps[1]),
            }
            for one in report.by_triple
        },
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    # Counts are for machines: a line for each sentence.
    lines = ",\n".join(json.dumps(line, ensure_ascii=False, allow_nan=False) for line in _sentences(report))
    columns = json.dumps({name: axes for name, axes in LAYOUT.items()}, ensure_ascii=False)
    methods = json.dumps(report.methods, ensure_ascii=False)
    counts = f'"methods": {methods},\n "columns": {columns},\n "by_sentence": [\n{lines}\n]'
    return f"{text.removesuffix('}').rstrip()},\n {counts}\n}}\n"


def from_json(text: str, where: str = "report") -> ProbeReport:
    """Read what `to_json` wrote; ``where`` names the file in messages.

    Raises:
        ReportError: it is no such report, or one of another schema version.
    """
    return parsed(text, where, WHAT, SCHEMA, lambda document: _one(document, where))


def load_report(path: str | Path) -> ProbeReport:
    """Read a report on one checkpoint that ``probe-align --json`` wrote.

    Raises:
        ReportError: it cannot be read, or is no such report.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import probe
        >>> report = probe.align("demo", "alignments/second.tsv", methods=["lexical"])
        >>> with TemporaryDirectory() as place:
        ...     saved = Path(place) / "report.json"
        ...     probe.save_report(report, saved)
        ...     len(probe.load_report(saved).sentences)
        6
    """
    return from_json(read_document(path, WHAT), str(path))


def load_reports(path: str | Path) -> dict[str, ProbeReport]:
    """Read what ``probe-align --json`` wrote, on one checkpoint or on several, by name.

    Raises:
        ReportError: it cannot be read, or is no such report.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import probe
        >>> report = probe.align("demo", "alignments/second.tsv", methods=["lexical"])
        >>> with TemporaryDirectory() as place:
        ...     saved = Path(place) / "report.json"
        ...     probe.save_report(report, saved)
        ...     {name: report.rows for name, report in probe.load_reports(saved).items()}
        {'demo': 216}
    """
    return parsed(read_document(path, WHAT), str(path), WHAT, SCHEMA, _reports)


def save_report(report: Findings, path: str | Path) -> None:
    """Write a report as JSON, whole or not at all; under gzip where the name ends in ``.gz``.

    Raises:
        OutputError: the place cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import probe
        >>> report = probe.align("demo", "alignments/second.tsv", methods=["lexical"])
        >>> with TemporaryDirectory() as place:
        ...     saved = Path(place) / "report.json"
        ...     probe.save_report(report, saved)
        ...     probe.load_report(saved).checkpoint
        'demo'
    """
    path = Path(path)
    with replacing_file(path) as temporary:
        temporary.write_bytes(packed(to_json(report), path))


def _reports(document: Mapping[str, Any]) -> dict[str, ProbeReport]:
    several = document.get("reports", {document.get("checkpoint"): document})
    found = {name: _report(one) for name, one in several.items()}
    if not all(isinstance(name, str) for name in found):
        raise TypeError("a checkpoint without a name")
    return found


def _one(document: Mapping[str, Any], where: str) -> ProbeReport:
    if "reports" in document:
        remedy = "Read them with probe.load_reports."
        raise ReportError(Problem(where, "one report", f"{len(document['reports'])} of them", remedy))
    return _report(document)


def _report(document: Mapping[str, Any]) -> ProbeReport:
    lines = document["by_sentence"]
    methods = tuple(document["methods"])
    aligners = [name for name in ALIGNERS if name in document["columns"]["links"][0]]
    layout = {**LAYOUT, "links": (aligners, LINK_COUNTS)}  # reports of before lack the aligners that came later
    if document["columns"] != {name: [list(axis) for axis in axes] for name, axes in layout.items()}:
        raise ValueError("columns of another version")
    arrays = {
        name: np.stack([_array(line[name], (len(methods), *map(len, axes))) for line in lines])
        for name, axes in layout.items()
    }
    arrays["links"] = _of_all_aligners(arrays["links"], aligners)
    origin = document["origin"]
    pairs: dict[str, Any] = {k: tuple(origin[k].items()) for k in ("scales", "files")}
    pairs |= {k: tuple((name, value) for name, value in origin[k]) for k in ("tables", "versions")}
    pairs["random_seeds"] = tuple(origin["random_seeds"])
    known: dict[str, Any] = {field.name: origin[field.name] for field in fields(Origin)} | pairs
    report = ProbeReport(
        origin=Origin(**known),
        sentences=tuple(line["id"] for line in lines),
        other_sentences=document["other_sentences"],
        lengths=tuple(line["length"] for line in lines),
        phenomena=tuple(tuple(line["phenomena"]) for line in lines),
        triples=tuple(Mark(*line["triple"]) if line["triple"] else None for line in lines),
        methods=methods,
        **arrays,
    )
    check_types(report)
    if len(set(report.methods)) < len(methods) or len(set(report.sentences)) < len(lines):
        raise ValueError("a method or a sentence twice")
    return report


def _sentences(report: Findings) -> list[dict[str, Any]]:
    return [
        {
            "id": report.sentences[k],
            "length": report.lengths[k],
            "phenomena": report.phenomena[k],
            "triple": (mark.triple, mark.kind) if (mark := report.triples[k]) else None,
            **{name: _compact(getattr(report, name)[k]) for name in LAYOUT},
        }
        for k in range(len(report.sentences))
    ]


def _compact(values: Float[np.ndarray, "..."]) -> dict[str, list[Any]]:
    """What is not zero: places in the flattened array, and values. Most slices of a sentence are empty."""
    flat = values.ravel()
    # NaN differs from zero as well, so it is written (as null) and does not come back as a zero.
    places = np.flatnonzero(flat != 0)
    return {"at": places.tolist(), "value": [known(float(f"{flat[i]:.{DIGITS}g}")) for i in places]}


def _array(compact: Mapping[str, Any], shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    flat = np.zeros(int(np.prod(shape)))
    places, values = compact["at"], [np.nan if v is None else v for v in compact["value"]]
    # A negative place would count from the end, and one value be written everywhere.
    if len(places) != len(values) or not all(type(at) is int and 0 <= at < flat.size for at in places):
        raise ValueError(f"counts at {places!r:.60}")
    if not all((type(value) in (int, float) and abs(value) < math.inf) or value is np.nan for value in values):
        raise ValueError(f"counts {values!r:.60}")
    flat[np.array(places, dtype=np.int64)] = values
    return flat.reshape(shape)


def _of_all_aligners(
    links: Float[np.ndarray, "sentences methods some link_counts"], names: Sequence[str]
) -> Float[np.ndarray, "sentences methods aligners link_counts"]:
    """The counts in the order of `ALIGNERS`, NaN of those that are not known."""
    found = np.full((*links.shape[:2], len(ALIGNERS), links.shape[3]), np.nan)
    found[:, :, [list(ALIGNERS).index(name) for name in names]] = links
    return found


def _figures(report: Findings, found: Estimates, differences: Estimates) -> dict[str, Any]:
    return {
        name: {metric: _figure(report, found.at(m, k), differences.at(m, k)) for k, metric in enumerate(METRICS)}
        for m, name in enumerate(report.methods)
    }


def _figure(report: Findings, found: Estimate, difference: Estimate) -> dict[str, Any]:
    return {
        "value": found.value,
        "95 % CI": [found.low, found.high],
        f"{report.methods[0]} minus this": difference.value,
        "difference 95 % CI": [difference.low, difference.high],
    }


def _group(report: Findings, names: tuple[str, ...], one: Group) -> dict[str, Any]:
    first = zip(names, one.figures[0].each(), strict=True)
    return {
        "sentences": one.sentences,
        "rows": one.rows,
        f"{report.methods[0]} 95 % CI": {name: [found.low, found.high] for name, found in first},
        "figures": _by_method(report, names, one.figures.value),
    }


def _by_method(report: Findings, names: tuple[str, ...], values: Float[np.ndarray, "methods names"]) -> Any:
    return {
        method: {name: known(value) for name, value in zip(names, of_method, strict=True)}
        for method, of_method in zip(report.methods, values, strict=True)
    }
