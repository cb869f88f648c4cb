"""Several reports in one JSON file, with what was found of them together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from probe.output.documents import without_nan
from probe.report.document import SCHEMA
from probe.report.document import to_json as report_to_json
from probe.report.values import Findings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def to_json(reports: Mapping[str, Findings], found: Mapping[str, "Sequence[DataclassInstance]"]) -> str:
    """All reports, each as `probe.report.document.to_json` has it, and what was found of several of them.

    Args:
        reports: by name.
        found: values of plain numbers, such as the `Comparison` of each two, under what they are called in the file.
    """
    parts = ",\n".join(f"{json.dumps(name)}: {report_to_json(report)}" for name, report in reports.items())
    plain = {name: without_nan([asdict(one, dict_factory=_flat) for one in values]) for name, values in found.items()}
    rest = (f',\n"{name}": {json.dumps(values, ensure_ascii=False)}' for name, values in plain.items())
    return f'{{"schema": {SCHEMA}, "reports": {{\n{parts}}}{"".join(rest)}}}\n'


def _flat(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A value in the layout of the schema: an interval beside its figure, and alone of a difference of two figures."""
    document: dict[str, Any] = {}
    for name, value in fields:
        if not (isinstance(value, dict) and value.keys() == {"value", "low", "high"}):
            document[name] = value
        elif name == "difference":
            document |= {end: value[end] for end in ("low", "high")}
        else:
            document |= {name: value["value"], f"{name} 95 % CI": [value["low"], value["high"]]}
    return document
