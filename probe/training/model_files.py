"""The files of a run's models: where they lie, and what a checkpoint records of them."""

import hashlib
import json
import re
from pathlib import Path

from probe.checkpoints.checkpoint import ModelRecord, VerifiedSource
from probe.errors import Problem, TrainingError
from probe.models.embeddings import open_table
from probe.models.sources import BUNDLED, CACHE, resolve
from probe.models.tokenizer import Tokenizer

NAMES = frozenset({"config.json", "tokenizer.json", "adapter_config.json"})
SUFFIXES = frozenset({".safetensors", ".bin", ".gguf"})
"""Files that make a model what it is."""


def directory_of(source: str) -> Path:
    """The directory of a source; a hub model is downloaded into the hub's own cache.

    Raises:
        TrainingError: there is no such directory, and the hub does not hand it out.
    """
    found = resolve(source, Path.cwd())
    if isinstance(found, Path) and found.is_dir():
        return found
    if isinstance(found, Path) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", found):
        raise TrainingError(Problem(source, "a model directory or a hub id", "neither", "Check the spelling."))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(found))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        got = str(error).splitlines()[0]
        remedy = "Check the name and the connection, or download it: hf download."
        raise TrainingError(Problem(source, "a model of the hub", got, remedy)) from error


def files_digest(directory: Path) -> str:
    """SHA-256 of a model's files by name and content; of adapters, those of the model they name as well."""
    found = hashlib.sha256()
    for file in sorted(file for file in directory.iterdir() if file.name in NAMES or file.suffix in SUFFIXES):
        with file.open("rb") as content:
            found.update(f"{file.name}\n".encode() + hashlib.file_digest(content, "sha256").digest())
    adapter = directory / "adapter_config.json"
    if adapter.is_file():
        base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
        found.update(files_digest(directory_of(base)).encode())
    return found.hexdigest()


def record_of(source: str, tokenizer: Tokenizer, prompt: str) -> ModelRecord:
    """What a checkpoint says of a model that stays as it is."""
    table = open_table(directory_of(source))
    return ModelRecord(
        name=source.split(":")[-1],
        revision=None,
        rows=table.rows,
        width=table.width,
        embedding_scale=table.scale,
        eos_id=tokenizer.eos_id,
        prompt_end_id=tokenizer.encode(prompt)[-1],
        vocabulary_sha256=tokenizer.vocabulary_sha256(),
        sources=(VerifiedSource(_lasting(source), table.identity().sha256),),
    )


def _lasting(source: str) -> str:
    """The source as the checkpoint records it: a path must be found from any directory."""
    if source.startswith((BUNDLED, CACHE)) or not isinstance(resolve(source, Path.cwd()), Path):
        return source
    return str(Path(source).resolve())
