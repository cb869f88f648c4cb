"""An epoch of DSKD's, examined part by part."""

from pathlib import Path

from probe.doctor.exports import read_lines
from probe.doctor.findings import STUDENT, TEACHER, Notes, Request
from probe.doctor.fit import KeyScaleFit
from probe.doctor.key_scale import examine_alignment, examine_key_scale
from probe.doctor.models import examine_ends, open_seen
from probe.doctor.projectors import examine_projectors, examine_query, read_projectors
from probe.doctor.run import examine_arguments, examine_batches, examine_criterion
from probe.doctor.student import examine_student
from probe.doctor.teacher import examine_teacher
from probe.embeddings import EmbeddingTable
from probe.projectors import QUERY


def examine_epoch(epoch: Path, request: Request, notes: Notes) -> tuple[dict[str, EmbeddingTable], KeyScaleFit | None]:
    """Note all that is found; returns the models' tables, and what alignments tell of the key scale."""
    arguments = examine_arguments(epoch, notes)
    trains = examine_criterion(epoch, arguments, notes)
    stored = read_projectors(epoch, arguments, notes)
    lines = read_lines(request.align, notes)
    widths = {role: stored.width(role) if stored else None for role in (STUDENT, TEACHER)}
    student = examine_student(epoch, arguments, request.student, widths[STUDENT], notes)
    teacher = examine_teacher(arguments, request.teacher, widths[TEACHER], lines, notes)
    models = {role: seen for role, seen in ((STUDENT, student), (TEACHER, teacher)) if seen}
    tables = {role: seen.table for role, seen in models.items()}
    # Of a model that is not here, the shapes tell the width.
    widths |= {role: table.width for role, table in tables.items()}
    query = examine_projectors(stored, widths, notes).get(QUERY) if stored else None
    examine_query(trains, query, notes)
    batches = examine_batches(epoch, arguments, notes)
    opened = {role: model for role, seen in models.items() if (model := open_seen(role, seen, notes))}
    examine_ends(opened, notes)
    examine_key_scale(opened.get(TEACHER), batches, request, notes)
    return tables, examine_alignment(lines, query, opened, notes)
