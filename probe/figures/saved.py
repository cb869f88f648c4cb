"""The directory of saved reports and maps that figures are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from probe.errors import PairsError, Problem, ReportError
from probe.exchange.given_maps import given_maps
from probe.figures.reproduction import Evaluated, Reproduction, read_evaluation, read_reproduction
from probe.figures.study import Study, read_by_set, read_study
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import GoldRow
from probe.keyquery.report import KeyQueryReport, load_report
from probe.maps import AttentionMap
from probe.output.documents import read_document
from probe.report.document import load_reports
from probe.report.report import ProbeReport

COMMANDS: Mapping[str, str] = {
    "align.json": "probe-align --pairs GOLD --checkpoint STEP … --json {path}",
    "maps": "probe-align --pairs GOLD --checkpoint NAME … --save-maps {path}",
    "keyquery.json": "probe-keyquery --pairs GOLD --checkpoint STEP … --checkpoint OTHER … --json {path}",
    "progress.json": "probe-align --pairs GOLD --checkpoint RUN/checkpoint-N … --json {path}",
    "evaluation.json": "probe-eval RUN/checkpoint-N=RUN/checkpoint-N … --json {path}",
    "study": "probe-reproduce alignment-study, and its results.json as {path}/STUDENT.json or STUDENT+MORE.json",
    "study-real": "probe-reproduce alignment-study-real, and its results.json as {path}/SEEDS.json",
    "reproduction.json": "probe-reproduce RECIPE, and its results.json as {path}",
}
"""What makes each input. Every ``.json`` may be a ``.json.gz``."""


@dataclass(frozen=True)
class Saved:
    """Reports and maps in a directory, each read when it is first asked for.

    ``pairs`` is the gold file of the maps; default: the one that comes with the package.

    Raises:
        ReportError: on reading a report that is missing, is none, or is of another schema version.
        MapError, PairsError: on reading maps that are missing, or none of which is of a gold row.
    """

    directory: Path
    pairs: Path | None = None

    @cached_property
    def run(self) -> dict[str, ProbeReport]:
        """Checkpoints of one run by name, in the order of their steps."""
        found = load_reports(self.path("align.json"))
        return dict(sorted(found.items(), key=lambda named: named[1].origin.steps or 0))

    @cached_property
    def progress(self) -> dict[str, ProbeReport]:
        """Checkpoints of several runs by name, in the order of the file."""
        return load_reports(self.path("progress.json"))

    @cached_property
    def evaluation(self) -> Mapping[str, Evaluated]:
        """Bits per byte of the checkpoints of `progress`, by name."""
        path = self.path("evaluation.json")
        return read_evaluation(read_document(path, "a report of probe-eval --json"), str(path))

    @cached_property
    def keyquery(self) -> KeyQueryReport:
        """Distances between queries and keys."""
        return load_report(self.path("keyquery.json"))

    @cached_property
    def reproduction(self) -> Reproduction:
        """Methods over seeds."""
        path = self.path("reproduction.json")
        return read_reproduction(read_document(path, "results of probe-reproduce"), str(path))

    @cached_property
    def study(self) -> dict[str, Study]:
        """The study of alignment by student. Results may lie in several files: STUDENT.json, STUDENT+MORE.json."""
        texts: dict[str, dict[str, str]] = {}
        for file, text in self._results("study").items():
            student = Path(file).name.partition(".")[0].partition("+")[0]
            texts.setdefault(student, {})[file] = text
        return {student: read_study(found) for student, found in texts.items()}

    @cached_property
    def study_real(self) -> dict[str, Study]:
        """The study of alignment on a real pair, by set of questions; nothing where it was not run."""
        return read_by_set(self._results("study-real")) if (self.directory / "study-real").exists() else {}

    def _results(self, name: str) -> dict[str, str]:
        """Those of probe-reproduce in a directory, by file."""
        place = self.path(name)
        files = sorted(one for one in place.iterdir() if one.name.endswith((".json", ".json.gz")))
        if not files:
            raise self._missing(name, place, "no results in it")
        return {str(file): read_document(file, "results of probe-reproduce") for file in files}

    def student(self, name: str) -> Study:
        """The study of one student.

        Raises:
            ReportError: its results are missing.
        """
        if name not in self.study:
            raise self._missing("study", self.directory / "study", f"no results of the {name} student")
        return self.study[name]

    @cached_property
    def gold(self) -> GoldFile:
        """The gold file."""
        return read_pairs(self.pairs)

    @cached_property
    def maps(self) -> dict[str, Mapping[str, AttentionMap]]:
        """Maps by checkpoint, in alphabetical order, and by id of the gold row."""
        place = self.path("maps")
        inside = sorted(one for one in place.iterdir() if one.is_dir())
        if not inside:
            raise self._missing("maps", place, "no directory of a checkpoint in it")
        return {one.name: given_maps(one, self.gold).maps for one in inside}

    @cached_property
    def rows(self) -> tuple[GoldRow, ...]:
        """Gold rows that all checkpoints have a map of, in the order of the file.

        Raises:
            PairsError: there is none.
        """
        found = tuple(row for row in self.gold.rows if all(row.id in maps for maps in self.maps.values()))
        if not found:
            got, remedy = "none", "Save the maps of one pair of tokenizers in one directory."
            raise PairsError(Problem(str(self.directory / "maps"), "sentences that all checkpoints share", got, remedy))
        return found

    def path(self, name: str) -> Path:
        """Where an input lies.

        Raises:
            ReportError: it is not there; the message has the command that makes it.
        """
        place = self.directory / name
        packed = place.with_name(f"{name}.gz")
        if found := next((one for one in (packed, place) if one.exists()), None):
            return found
        raise self._missing(name, place, "no such file or directory")

    def _missing(self, name: str, place: Path, got: str) -> ReportError:
        remedy = f"Make it: {COMMANDS[name].format(path=place)}"
        return ReportError(Problem(str(place), "an input of this figure", got, remedy))
