"""The diagnosis of a directory: the way in, and what comes out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from probe.adopt import PROJECTORS
from probe.checkpoint import MANIFEST
from probe.doctor.directory import Epoch, choose, examine_files, find_epochs, is_checkpoint, known_files
from probe.doctor.epoch import examine_epoch
from probe.doctor.findings import TOPICS, Finding, Notes, Request, Verdict
from probe.doctor.fit import KeyScaleFit
from probe.doctor.hashes import hash_all
from probe.doctor.own import examine_own
from probe.errors import CheckpointError, Problem
from probe.sources import bundled_dir, bundled_names


@dataclass(frozen=True)
class Diagnosis:
    """All that was found. `directory` is the one examined: for a whole run, that of one epoch."""

    directory: Path
    kind: str
    findings: tuple[Finding, ...]
    epochs: tuple[Epoch, ...] = ()
    choice: str = ""
    """Why this epoch."""
    fit: KeyScaleFit | None = None
    table_hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    """SHA-256 over all stored rows as float32, by role; empty unless asked for."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Topics that stand in the way of probing."""
        return tuple(dict.fromkeys(f.topic for f in self.findings if f.verdict is Verdict.PROBLEM))


def diagnose(
    named: str,
    *,
    student: str | None = None,
    teacher: str | None = None,
    align: Path | None = None,
    texts: Sequence[str] = (),
    hash_tables: bool = False,
) -> Diagnosis:
    """Explain a directory: an epoch of DSKD's, the run that holds several, or a checkpoint of ours.

    Args:
        named: the directory, or the name of a bundled checkpoint.
        student: the student model, where it lies elsewhere.
        teacher: the same for the teacher.
        align: weights that the run's own code exported, one JSON object a line, to measure the key scale with.
        texts: responses to simulate the key scale with; by default the one sentence of the prompt.
        hash_tables: whether to read both embedding tables whole.

    Raises:
        CheckpointError: there is no such directory, or it may not be read.
    """
    directory = _directory(named)
    epochs = () if known_files(directory) & {MANIFEST, PROJECTORS} else find_epochs(directory)
    chosen, choice = choose(epochs) if epochs else (directory, "")
    notes = Notes(chosen)
    kind = examine_files(chosen, notes)
    tables, fit = {}, None
    if is_checkpoint(chosen):
        examine = examine_own if (chosen / MANIFEST).is_file() else examine_epoch
        tables, fit = examine(chosen, Request(student, teacher, align, texts), notes)
    hashes = hash_all(tables, notes) if hash_tables else {}
    findings = tuple(sorted(notes.findings, key=lambda finding: TOPICS.index(finding.topic)))
    return Diagnosis(chosen, kind, findings, epochs, choice, fit, hashes)


def _directory(named: str) -> Path:
    directory = (bundled_dir() / named if named in bundled_names() else Path(named)).resolve()
    if not directory.is_dir():
        got = "a file" if directory.exists() else "nothing there"
        remedy = "Name an epoch's directory, or the one of the run above it."
        raise CheckpointError(Problem(named, "a directory", got, remedy))
    if not os.access(directory, os.R_OK | os.X_OK):
        raise CheckpointError(Problem(named, "a directory", "one that may not be read", "Change its permissions."))
    return directory
