"""The two models of a run: the student to copy, and the teacher as ``args.json`` names it."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from probe.checkpoints.checkpoint import MANIFEST, STUDENT, TENSORS, Checkpoint, ModelRecord
from probe.checkpoints.dskd import ARGUMENTS, CONFIG, NOTES, PROJECTORS, TOKENIZER, as_json
from probe.checkpoints.export.translation import recipe_part
from probe.checkpoints.open_model import OpenModel, open_model
from probe.errors import CheckpointError, Problem
from probe.models.sources import resolve
from probe.models.table_foreign import tensor_names
from probe.models.table_sources import read_json

NOT_THE_MODELS = frozenset(
    {PROJECTORS, CONFIG, ARGUMENTS, NOTES, MANIFEST, TENSORS, "training_args.bin", "trainer_state.json"}
    | {"optimizer.pt", "scheduler.pt", "scaler.pt"}
)
"""Files that may lie in a student's directory and would be taken for the exported run's, or are of no use to it."""


def model_files(directory: Path) -> list[Path]:
    """The files of a model, without hidden ones, subdirectories and what another run left beside them.

    Raises:
        CheckpointError: one of them cannot be read, as a link into a cache from which the file was removed.
    """
    files: list[Path] = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith((".", "rng_state")) or path.name in NOT_THE_MODELS or path.is_dir():
            continue
        if not (path.is_file() and os.access(path, os.R_OK)):
            got = "one without permission" if path.exists() else "a link to nothing"
            raise CheckpointError(Problem(str(path), "a file to copy", got, "Fetch the student again."))
        files.append(path)
    return files


def copy_files(files: Iterable[Path], place: Path) -> None:
    """Copy the student's files; a tokenizer of transformers 5 gets the name of its class that DSKD knows."""
    for file in files:
        shutil.copyfile(file, place / file.name)
    if _is_of_transformers_5(place):
        config = read_json(place / TOKENIZER) | {"tokenizer_class": "PreTrainedTokenizerFast"}
        (place / TOKENIZER).write_text(as_json(config), encoding="utf-8")


def _is_of_transformers_5(directory: Path) -> bool:
    """Whether the tokenizer is of the general class that releases before 5, such as DSKD's, have another name for."""
    file = directory / TOKENIZER
    return file.is_file() and read_json(file).get("tokenizer_class") == "TokenizersBackend"


def tokenizer_notes(student: Path) -> list[str]:
    """What `copy_files` changes of a student, for the notes."""
    if not _is_of_transformers_5(student):
        return []
    return [f"{TOKENIZER}: the class TokenizersBackend became PreTrainedTokenizerFast, its name before transformers 5."]


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
