"""Alignments that the run's own analysis exported: ``align.jsonl``, one response a line."""

from collections.abc import Sequence
from pathlib import Path

from probe.align_jsonl import Alignment, read_alignments
from probe.doctor.findings import Notes

_MOST_LINES = 100  # far more than one number needs


def read_lines(align: Path | None, notes: Notes) -> Sequence[Alignment]:
    """The alignments that the user names, if any."""
    return () if align is None else notes.attempt("alignment", lambda: read_alignments(align, _MOST_LINES)) or ()
