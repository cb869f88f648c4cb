"""The student's own files: which of a directory are copied, and what is changed on the way."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from probe.adopt import ARGUMENTS, CONFIG, PROJECTORS
from probe.checkpoint import MANIFEST, TENSORS
from probe.errors import CheckpointError, Problem
from probe.table_sources import read_json
from probe.training.export.layout import NOTES, TOKENIZER, as_json

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
