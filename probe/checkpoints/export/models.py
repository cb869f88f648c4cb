"""The two models of a run: the student to copy, and the teacher as ``args.json`` names it."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from probe.checkpoints.checkpoint import STUDENT, TENSORS, Checkpoint, ModelRecord
from probe.checkpoints.dskd import ARGUMENTS, CONFIG, NOTES, PROJECTORS, TOKENIZER, as_json
from probe.checkpoints.export.translation import recipe_part
from probe.checkpoints.manifest import MANIFEST
from probe.checkpoints.open_model import OpenModel, open_model
from probe.errors import CheckpointError, Problem
from probe.models.sources import resolve
from probe.models.table_foreign import tensor_names
from probe.models.table_sources import read_json

NOT_THE_MODELS = frozenset(
    {PROJECTORS, CONFIG, ARGUMENTS, NOTES, MANIFEST, TENSORS, "training_args.bin", "trainer_state.json"}
    | {"optimizer.pt", "scheduler.pt", "scaler.pt"}
)
"""Files in the directory of a student that do not belong to the model or are not needed."""


def model_files(directory: Path) -> list[Path]:
    """The files of a model, without hidden files, subdirectories, and files of another run.

    Raises:
        CheckpointError: one of them cannot be read, such as a link to a file that was removed from a cache.
    """
    files: list[Path] = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith((".", "rng_state")) or path.name in NOT_THE_MODELS or path.is_dir():
            continue
        if not (path.is_file() and os.access(path, os.R_OK)):
            got = "a file without permission to read" if path.exists() else "a link to a missing file"
            raise CheckpointError(Problem(str(path), "a file to copy", got, "Fetch the student again."))
        files.append(path)
    return files


def copy_files(files: Iterable[Path], place: Path) -> None:
    """Copy the files of the student; a tokenizer of transformers 5 gets the class name that DSKD knows."""
    for file in files:
        shutil.copyfile(file, place / file.name)
    if _is_of_transformers_5(place):
        config = read_json(place / TOKENIZER) | {"tokenizer_class": "PreTrainedTokenizerFast"}
        (place / TOKENIZER).write_text(as_json(config), encoding="utf-8")


def _is_of_transformers_5(directory: Path) -> bool:
    """Whether the tokenizer has the general class of transformers 5, which has another name in DSKD's release."""
    file = directory / TOKENIZER
    return file.is_file() and read_json(file).get("tokenizer_class") == "TokenizersBackend"


def tokenizer_notes(student: Path) -> list[str]:
    """What `copy_files` changes in a student, for the notes."""
    if not _is_of_transformers_5(student):
        return []
    return [f"{TOKENIZER}: the class TokenizersBackend is now PreTrainedTokenizerFast, its name before transformers 5."]


class PlacedModel(NamedTuple):
    """The path of a model in ``args.json``, and the open model if it could be verified."""

    path: str | None
    opened: OpenModel | None


def find_student(checkpoint: Checkpoint) -> OpenModel:
    """The student to copy: the trained one beside the projectors, else the one for which they were trained."""
    own = checkpoint.path / STUDENT
    weights = own / "model.safetensors"
    is_table = weights.is_file() and len(tensor_names(weights)) == 1  # probing needs only this
    if is_table or (not own.is_dir() and recipe_part(checkpoint, "student").get("train", "nothing") != "nothing"):
        got = "only its embedding table" if is_table else "only projectors"
        raise CheckpointError(Problem(str(own), "the trained student", got, "Name a whole checkpoint of the run."))
    found = own if own.is_dir() else _local(checkpoint.student, checkpoint.path)
    if found is None:
        sources = ", ".join(verified.source for verified in checkpoint.student.sources) or "no source"
        remedy = f"Fetch it, or put its files into {own}."
        expected = f"the directory of student {checkpoint.student.name}"
        raise CheckpointError(
            Problem(str(checkpoint.path), expected, f"{sources}, which is not a directory on this machine", remedy)
        )
    return open_model(checkpoint.student, "student", directory=checkpoint.path, override=str(found))


def find_teacher(checkpoint: Checkpoint, named: str | None) -> PlacedModel:
    """The teacher as named, or where it is; only a directory on this machine can be verified."""
    record, where = checkpoint.teacher, checkpoint.path
    found = (_local(record, where) or _hub_id(record, where)) if named is None else resolve(named, Path.cwd())
    if not isinstance(found, Path) or not found.exists():
        return PlacedModel(None if found is None else str(found), None)
    if not found.is_dir():
        remedy = "DSKD loads directories that save_pretrained wrote."
        raise CheckpointError(Problem(f"teacher {found}", "a model directory", "a file", remedy))
    return PlacedModel(str(found), open_model(record, "teacher", directory=where, override=str(found)))


def _local(record: ModelRecord, directory: Path) -> Path | None:
    """The first source of a model that is a directory on this machine."""
    found = (resolve(verified.source, directory) for verified in record.sources)
    return next((path.absolute() for path in found if isinstance(path, Path) and path.is_dir()), None)


def _hub_id(record: ModelRecord, directory: Path) -> str | None:
    found = (resolve(verified.source, directory) for verified in record.sources)
    # DSKD passes it to transformers, which takes the revision separately.
    return next((name.partition("@")[0] for name in found if isinstance(name, str)), None)
