"""A checkpoint of ours: its manifest says what was trained with what, and each part is compared with that."""

from functools import partial
from pathlib import Path

from probe.checkpoint import TENSORS, Checkpoint, ModelRecord, load_checkpoint
from probe.doctor.exports import read_lines
from probe.doctor.findings import STUDENT, TEACHER, Notes, Request, Verdict
from probe.doctor.fit import KeyScaleFit
from probe.doctor.key_scale import examine_alignment
from probe.doctor.model_files import dtype_of
from probe.doctor.models import examine_ends, see
from probe.doctor.projectors import Stored, examine_query, examine_values
from probe.embeddings import EmbeddingTable
from probe.models import OpenModel, open_model
from probe.projectors import QUERY
from probe.table_files import read_header


def examine_own(
    directory: Path, request: Request, notes: Notes
) -> tuple[dict[str, EmbeddingTable], KeyScaleFit | None]:
    """Note all that is found; returns the models' tables, and what alignments tell of the key scale."""
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
    """The table was checked when it was opened; the tokenizer is checked here."""
    seen = notes.attempt(role, lambda: see(model.source, notes.directory))
    vocabulary = notes.attempt(role, model.tokenizer.vocabulary_sha256)
    if seen is None or vocabulary is None:
        return
    facts = [f"{record.name}, in {model.source}", *seen.facts]
    if vocabulary == record.vocabulary_sha256:
        notes.add(role, Verdict.OK, *facts, "table and vocabulary are those of training, by their SHA-256")
    else:
        got = f"its vocabulary has SHA-256 {vocabulary[:12]}…; that of training had {record.vocabulary_sha256[:12]}…"
        notes.add(role, Verdict.PROBLEM, *facts, got, remedy="Put the tokenizer of training beside the model.")


def _examine_projectors(checkpoint: Checkpoint, notes: Notes) -> None:
    """Shapes were checked against the structures when it was loaded."""
    tensors = {f"{name}.{key}": value for name, p in checkpoint.projectors.items() for key, value in p.tensors.items()}
    structures = {name: projector.structure for name, projector in checkpoint.projectors.items()}
    header, _ = read_header(checkpoint.path / TENSORS)
    dtypes = " and ".join(sorted({dtype_of(entry) for entry in header.values()}))
    if not examine_values(Stored(tensors, structures, dtypes), notes):
        return
    query = notes.attempt("query", lambda: checkpoint.query)
    examine_query(True, query, notes)
    estimate = checkpoint.scales.key_is_estimate
    fact = f"{checkpoint.scales.key:.4g}, {'an estimate' if estimate else 'stored by training'}"
    notes.add("key scale", Verdict.UNVERIFIED if estimate else Verdict.OK, fact)
