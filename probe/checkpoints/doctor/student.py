"""Examine the student of a run of DSKD: in the epoch, the initial one, a named one, or the base of a LoRA adapter."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from probe.checkpoints.adopt import student_source
from probe.checkpoints.doctor.findings import STUDENT, Notes, Verdict
from probe.checkpoints.doctor.models import Seen, note_model, see
from probe.errors import ProbeError, option
from probe.models.table_sources import ADAPTER, Download, Hub, find_source, read_json


def examine_student(
    epoch: Path, arguments: Mapping[str, Any], named: str | None, width: int | None, notes: Notes
) -> Seen | None:
    """The student, if it can be read. `named` is what the user named; `width` is what the projectors need."""
    source = named or notes.attempt(STUDENT, lambda: student_source(epoch, arguments))
    if source is None:
        return None
    adapter = Path(source) / ADAPTER
    if adapter.is_file() and not (Path(source) / "config.json").is_file():
        return _examine_adapter(source, adapter, width, notes)
    seen = notes.attempt(STUDENT, lambda: see(source))
    if seen is not None and named:
        note_model(STUDENT, Verdict.UNVERIFIED, seen, [f"{source}, named by you"], width, notes)
    elif seen is not None:
        said = (
            [] if source == str(epoch) else [f"{source}, the initial student, because the run trained only projectors"]
        )
        note_model(STUDENT, Verdict.OK, seen, said, width, notes)
    return seen


def _examine_adapter(source: str, adapter: Path, width: int | None, notes: Notes) -> Seen | None:
    from huggingface_hub import hf_hub_download

    cached = partial(hf_hub_download, local_files_only=True)  # the doctor must not start a download
    config = notes.attempt(STUDENT, lambda: read_json(adapter))
    if config is None:
        return None
    base = str(config.get("base_model_name_or_path") or "nothing")
    said = f"LoRA adapter of rank {config.get('r')} on {base}"
    missing = _missing(base, cached)
    if missing is not None:
        remedy = (
            "An adapter does not change the embeddings, so a copy of the base model is enough: name it with "
            f"{option('--student')}, or write its path into {ADAPTER}."
        )
        notes.add(STUDENT, missing[0], said, missing[1], remedy=remedy)
        return None
    seen = notes.attempt(STUDENT, lambda: see(source, download=cached))
    if seen is not None:
        note_model(STUDENT, Verdict.OK, seen, [f"{said}, which is on this machine"], width, notes)
    return seen


def _missing(base: str, cached: Download) -> tuple[Verdict, str] | None:
    """A verdict and a fact if the base of an adapter is not on this machine; None if it is."""
    try:
        files = find_source(base, where=f"{ADAPTER}: base_model_name_or_path", download=cached)
        there = not isinstance(files, Hub) or files.fetch("config.json") is not None
    except ProbeError:  # neither a path nor a possible name on the hub
        return Verdict.PROBLEM, "the base is not on this machine, and it is not a hub id owner/name"
    if not there:
        return Verdict.UNVERIFIED, "the base is not in the cache of the hub; probing would download it"
    return None
