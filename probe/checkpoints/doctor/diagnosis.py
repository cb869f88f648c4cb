"""Diagnose a checkpoint directory."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from probe.checkpoints.checkpoint import TENSORS, Checkpoint, ModelRecord, load_checkpoint
from probe.checkpoints.doctor.directory import (
    Epoch,
    choose,
    examine_arguments,
    examine_batches,
    examine_criterion,
    examine_files,
    find_epochs,
    is_checkpoint,
    known_files,
)
from probe.checkpoints.doctor.findings import STUDENT, TEACHER, TOPICS, Finding, Notes, Request, Verdict
from probe.checkpoints.doctor.key_scale import KeyScaleFit, examine_alignment, examine_key_scale, read_lines
from probe.checkpoints.doctor.models import dtype_of, examine_ends, hash_all, open_seen, see
from probe.checkpoints.doctor.projectors import (
    Stored,
    examine_projectors,
    examine_query,
    note_values,
    read_projectors,
)
from probe.checkpoints.doctor.student import examine_student
from probe.checkpoints.doctor.teacher import examine_teacher
from probe.checkpoints.dskd import PROJECTORS
from probe.checkpoints.loading import bundled_checkpoint
from probe.checkpoints.manifest import MANIFEST, is_ours
from probe.checkpoints.open_model import OpenModel, open_model
from probe.errors import CheckpointError, Problem
from probe.models.embeddings import EmbeddingTable
from probe.models.table_files import read_header
from probe.projectors import QUERY


def examine_epoch(epoch: Path, request: Request, notes: Notes) -> tuple[dict[str, EmbeddingTable], KeyScaleFit | None]:
    """Add all findings to the notes. Return the embedding tables, and the key scale as measured from alignments."""
    arguments = examine_arguments(epoch, notes)
    trains = examine_criterion(epoch, arguments, notes)
    stored = read_projectors(epoch, arguments, notes)
    lines = read_lines(request.align, notes)
    widths = {role: stored.width(role) if stored else None for role in (STUDENT, TEACHER)}
    student = examine_student(epoch, arguments, request.student, widths[STUDENT], notes)
    teacher = examine_teacher(arguments, request.teacher, widths[TEACHER], lines, notes)
    models = {role: seen for role, seen in ((STUDENT, student), (TEACHER, teacher)) if seen}
    tables = {role: seen.table for role, seen in models.items()}
    # The width of a model that is not here follows from the shapes.
    widths |= {role: table.width for role, table in tables.items()}
    query = examine_projectors(stored, widths, notes).get(QUERY) if stored else None
    examine_query(trains, query, notes)
    batches = examine_batches(epoch, arguments, notes)
    opened = {role: model for role, seen in models.items() if (model := open_seen(role, seen, notes))}
    examine_ends(opened, notes)
    examine_key_scale(opened.get(TEACHER), batches, request, notes)
    return tables, examine_alignment(lines, query, opened, notes)


def examine_own(
    directory: Path, request: Request, notes: Notes
) -> tuple[dict[str, EmbeddingTable], KeyScaleFit | None]:
    """Add all findings to the notes. Return the embedding tables, and the key scale as measured from alignments."""
    lines = read_lines(request.align, notes)
    checkpoint = notes.attempt("projectors", lambda: load_checkpoint(directory))
    if checkpoint is None:
        return {}, None
    steps = f", {checkpoint.steps} steps" if checkpoint.steps is not None else ""
    notes.add("criterion", Verdict.OK, f"{checkpoint.method}, {checkpoint.criterion}{steps}")
    opened: dict[str, OpenModel] = {}
    for role, record, named in (
        (STUDENT, checkpoint.student, request.student),
        (TEACHER, checkpoint.teacher, request.teacher),
    ):
        model = notes.attempt(role, partial(open_model, record, role, directory=checkpoint.path, override=named))
        if model is not None:
            opened[role] = model
            _examine_model(role, record, model, notes)
    _examine_projectors(checkpoint, notes)
    examine_ends(opened, notes)
    tables = {role: model.table for role, model in opened.items()}
    query = checkpoint.projectors.get(QUERY)
    return tables, examine_alignment(lines, query, opened, notes, known=checkpoint.scales.key)


def _examine_model(role: str, record: ModelRecord, model: OpenModel, notes: Notes) -> None:
    """Note what it is; table and vocabulary were compared when it was opened."""
    seen = notes.attempt(role, lambda: see(model.source, notes.directory))
    if seen is not None:
        same = f"all {record.rows} rows and every id of the vocabulary are those of training (same SHA-256)"
        notes.add(role, Verdict.OK, f"{record.name}, in {model.source}", *seen.facts, same)


def _examine_projectors(checkpoint: Checkpoint, notes: Notes) -> None:
    """Note them; shapes and values were checked when the checkpoint was loaded."""
    tensors = {f"{name}.{key}": value for name, p in checkpoint.projectors.items() for key, value in p.tensors.items()}
    structures = {name: projector.structure for name, projector in checkpoint.projectors.items()}
    header, _ = read_header(checkpoint.path / TENSORS)
    dtypes = " and ".join(sorted({dtype_of(entry) for entry in header.values()}))
    note_values(Stored(tensors, structures, dtypes), notes)
    query = notes.attempt("query", lambda: checkpoint.query)
    examine_query(True, query, notes)
    estimate = checkpoint.scales.key_is_estimate
    fact = f"{checkpoint.scales.key:.4g}, {'an estimate' if estimate else 'stored by training'}"
    notes.add("key scale", Verdict.UNVERIFIED if estimate else Verdict.OK, fact)


@dataclass(frozen=True)
class Diagnosis:
    """All findings. `directory` is what was examined; for a run, it is that of one epoch."""

    directory: Path
    kind: str
    findings: tuple[Finding, ...]
    epochs: tuple[Epoch, ...] = ()
    choice: str = ""
    """Why this epoch was chosen."""
    fit: KeyScaleFit | None = None
    table_hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    """SHA-256 of all stored rows as float32, by role; empty if not requested."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Topics with a problem that prevents probing."""
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
    """Explain a directory: an epoch or a run of DSKD, or a checkpoint of this project.

    Args:
        named: the directory, or the name of a bundled checkpoint.
        student: the student model, if it is elsewhere.
        teacher: the same for the teacher.
        align: weights that the code of the run exported (``align.jsonl``), to measure the key scale.
        texts: responses for estimating the key scale; default: the first sentence of the prompt.
        hash_tables: whether to compute the SHA-256 of both embedding tables.

    Raises:
        CheckpointError: there is no such directory, or no permission to read it.
    """
    directory = _directory(named)
    epochs = () if known_files(directory) & {MANIFEST, PROJECTORS} else find_epochs(directory)
    chosen, choice = choose(epochs) if epochs else (directory, "")
    notes = Notes(chosen)
    kind = examine_files(chosen, notes)
    tables, fit = {}, None
    if is_checkpoint(chosen):
        examine = examine_own if is_ours(chosen) else examine_epoch
        tables, fit = examine(chosen, Request(student, teacher, align, texts), notes)
    hashes = hash_all(tables, notes) if hash_tables else {}
    findings = tuple(sorted(notes.findings, key=lambda finding: TOPICS.index(finding.topic)))
    return Diagnosis(chosen, kind, findings, epochs, choice, fit, hashes)


def _directory(named: str) -> Path:
    directory = (bundled_checkpoint(named) or Path(named)).resolve()
    if not directory.is_dir():
        got = "a file" if directory.exists() else "no such directory"
        remedy = "Name the directory of an epoch or of a run."
        raise CheckpointError(Problem(named, "a directory", got, remedy))
    if not os.access(directory, os.R_OK | os.X_OK):
        raise CheckpointError(
            Problem(named, "a directory", "one without permission to read", "Change its permissions.")
        )
    return directory
