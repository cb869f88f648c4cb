"""A report on one checkpoint or several, to JSON and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from probe.errors import ArgumentError
from probe.keyquery.differences import Difference, differences, on_same_sentences
from probe.keyquery.values import Analysis, CloudFacts, Intervention, MatchedFacts, Measurement, Plane, Settings
from probe.output.documents import parsed, read_document
from probe.output.frames import data_frame
from probe.output.typed import check_types
from probe.stats import Estimate

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = 3
WHAT = "a report of probe-keyquery --json"
T = TypeVar("T")
PACKAGES = ("cma-probe", "numpy", "scipy", "scikit-learn", "POT", "umap-learn")


def _distance(analysis: Analysis, found: Measurement) -> dict[str, Any]:
    value, low, high = found.pair
    named = {"checkpoint": analysis.checkpoint, "view": found.view, "distance": found.distance}
    return named | {"value": value, "low": low, "high": high, "floor": found.floor, "untrained": found.untrained}


def _intervention(analysis: Analysis, found: Intervention) -> dict[str, Any]:
    change, low, high = found.top_1_change
    named = {"checkpoint": analysis.checkpoint, "queries": found.name, "Fréchet": found.frechet}
    return named | {"top-1": found.top_1, "change": change, "low": low, "high": high}


@dataclass(frozen=True)
class KeyQueryReport:
    """What was found, on which sentences, with which sizes, seeds and versions."""

    source: str
    """The file of the sentences."""
    source_sha256: str
    settings: Settings
    versions: tuple[tuple[str, str], ...]
    analyses: tuple[Analysis, ...]

    def __repr__(self) -> str:
        """What was analysed on what, in a line."""
        found = ", ".join(f"{one.checkpoint} ({one.pair}, {one.sentences} sentences)" for one in self.analyses)
        return f"<KeyQueryReport on {self.source}: {found}>"

    def frame(self, section: str = "distance") -> "DataFrame":
        """A row a distance in a view, or a row an intervention; ``low`` and ``high`` are the 95 % CI before them.

        Args:
            section: ``distance``: of queries and keys (value), of two halves of the keys (floor), and of untrained
                queries and keys; or ``intervention``: top-1 after queries were changed, and its change.

        Raises:
            ArgumentError: there is no such section.
            MissingExtraError: pandas is not installed.
        """
        if section not in ("distance", "intervention"):
            raise ArgumentError.of("frame", "distance or intervention", section, 'Write frame("distance").')
        rows: list[dict[str, Any]] = []
        for one in self.analyses:
            rows += [_distance(one, found) for found in one.measurements] if section == "distance" else []
            rows += [_intervention(one, found) for found in one.interventions] if section == "intervention" else []
        return data_frame(rows)

    def to_json(self) -> str:
        """Everything, as JSON; differences too, which follow from it and are not read back."""
        document: dict[str, Any] = {"schema": SCHEMA, **asdict(self)}
        document["versions"] = dict(self.versions)
        for analysis, own in zip(document["analyses"], self.analyses, strict=True):
            analysis["files"] = dict(own.files)
        document["differences"] = [
            {"first": first.checkpoint, "second": second.checkpoint, "distances": [asdict(one) for one in found]}
            for first, second, found in self.differences()
        ]
        return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def differences(self) -> list[tuple[Analysis, Analysis, tuple[Difference, ...]]]:
        """Every two analyses of the same tokens, and what the second has more of each distance."""
        return [
            (first, second, differences(first, second))
            for first, second in combinations(self.analyses, 2)
            if on_same_sentences(first, second)
        ]

    @classmethod
    def from_json(cls, text: str, where: str = "report") -> "KeyQueryReport":
        """Read what `to_json` wrote; ``where`` names the file in messages.

        Raises:
            ReportError: it is no such report, or one of another schema version.
        """
        return parsed(text, where, WHAT, SCHEMA, cls._of_document)

    @classmethod
    def _of_document(cls, document: Mapping[str, Any]) -> "KeyQueryReport":
        report = cls(
            document["source"],
            document["source_sha256"],
            _read(Settings, document["settings"]),
            tuple(document["versions"].items()),
            tuple(_analysis(analysis) for analysis in document["analyses"]),
        )
        check_types(report)
        return report


def _analysis(document: Mapping[str, Any]) -> Analysis:
    kinds = {
        "clouds": CloudFacts,
        "measurements": Measurement,
        "matched": MatchedFacts,
        "interventions": Intervention,
        "planes": Plane,
    }
    parts = {name: tuple(_read(kind, item) for item in document[name]) for name, kind in kinds.items()}
    return _read(Analysis, {**document, **parts, "files": tuple(document["files"].items())})


def _read(kind: type[T], document: Mapping[str, Any]) -> T:
    """A value of plain numbers; lists become tuples, and an object with a value an estimate."""
    names = {field.name for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    if strays := names ^ set(document):
        raise KeyError(", ".join(sorted(strays)))
    return kind(**{name: _value(value) for name, value in document.items()})


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    return Estimate(**value) if isinstance(value, dict) else value


def load_report(path: Path) -> KeyQueryReport:
    """Read a file that ``probe-keyquery --json`` wrote.

    Raises:
        ReportError: it cannot be read, or it is no such report.
    """
    return KeyQueryReport.from_json(read_document(path, WHAT), str(path))
