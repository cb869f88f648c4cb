"""The two models of a run: the student to copy, and the teacher as ``args.json`` names it."""

from pathlib import Path
from typing import NamedTuple

from probe.checkpoint import Checkpoint, ModelRecord
from probe.errors import CheckpointError, Problem
from probe.models import OpenModel, open_model
from probe.sources import resolve
from probe.table_foreign import tensor_names
from probe.training.export.layout import STUDENT
from probe.training.export.translation import recipe_part


class PlacedModel(NamedTuple):
    """A model's place as ``args.json`` names it, and the open model where it could be verified."""

    path: str | None
    opened: OpenModel | None


def find_student(checkpoint: Checkpoint) -> OpenModel:
    """The student to copy: the trained one beside the projectors, else the one that they were trained for."""
    own = checkpoint.path / STUDENT
    weights = own / "model.safetensors"
    is_table = weights.is_file() and len(tensor_names(weights)) == 1  # all that a probe needs of it
    if is_table or (not own.is_dir() and recipe_part(checkpoint, "student").get("train", "nothing") != "nothing"):
        got = "its embedding table alone" if is_table else "projectors alone"
        raise CheckpointError(Problem(str(own), "the trained student", got, "Name a whole checkpoint of the run."))
    found = own if own.is_dir() else _local(checkpoint.student, checkpoint.path)
    if found is None:
        sources = ", ".join(verified.source for verified in checkpoint.student.sources) or "no source"
        remedy = f"Fetch it, or put its files into {own}."
        expected = f"the directory of student {checkpoint.student.name}"
        raise CheckpointError(Problem(str(checkpoint.path), expected, f"{sources}, which is none here", remedy))
    return open_model(checkpoint.student, "student", directory=checkpoint.path, override=str(found))


def find_teacher(checkpoint: Checkpoint, named: str | None) -> PlacedModel:
    """The teacher as it is named, or where it is; only a directory of this machine can be verified."""
    record, where = checkpoint.teacher, checkpoint.path
    found = (_local(record, where) or _hub_id(record, where)) if named is None else resolve(named, Path.cwd())
    if not isinstance(found, Path) or not found.exists():
        return PlacedModel(None if found is None else str(found), None)
    if not found.is_dir():
        remedy = "DSKD loads directories that save_pretrained wrote."
        raise CheckpointError(Problem(f"teacher {found}", "a model directory", "a file", remedy))
    return PlacedModel(str(found), open_model(record, "teacher", directory=where, override=str(found)))


def _local(record: ModelRecord, directory: Path) -> Path | None:
    """The first of a model's sources that is a directory of this machine."""
    found = (resolve(verified.source, directory) for verified in record.sources)
    return next((path.absolute() for path in found if isinstance(path, Path) and path.is_dir()), None)


def _hub_id(record: ModelRecord, directory: Path) -> str | None:
    found = (resolve(verified.source, directory) for verified in record.sources)
    # DSKD hands it to transformers, which wants the revision apart.
    return next((name.partition("@")[0] for name in found if isinstance(name, str)), None)
