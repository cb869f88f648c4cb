"""Read rows of an embedding table by token id, without loading the model.

Cross-model attention needs only two embedding tables and one matrix. So even of a teacher with 72 billion parameters,
only one file is opened, and only the rows of the tokens of a sentence are read.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from probe.errors import Problem, TableError
from probe.models.digests import remembered
from probe.models.embedding_types import embedding_scale
from probe.models.table_files import StoredTable, find_table, read_safetensors
from probe.models.table_foreign import read_gguf, read_torch
from probe.models.table_sources import ADAPTER, Download, Source, base_model, find_source, read_json, weight_map

_CONFIG = "config.json"

# In the order of transformers, so that a directory with several files is read as in training.
_WEIGHTS = {"model.safetensors": read_safetensors, "pytorch_model.bin": read_torch}

_HASHED_ROWS = 8192  # at a time: 64 MB at a width of 2,048


@dataclass(frozen=True)
class TableIdentity:
    """Identifies a table by its shape and a hash of all its rows."""

    rows: int
    width: int
    sha256: str


@dataclass(frozen=True)
class EmbeddingTable:
    """An embedding table; build with `open_table`.

    ``source`` is what the user named. ``scale`` is the factor that the model's embedding module applies to stored rows:
    sqrt(width) for Gemma, 1 for most.

    Example:
        >>> import numpy as np
        >>> import probe
        >>> table = probe.load("demo").student.table
        >>> table.rows, table.width
        (2048, 96)
        >>> table.take(np.array([5, 7])).shape
        (2, 96)
    """

    source: str
    stored: StoredTable
    scale: float

    @property
    def rows(self) -> int:
        """Vocabulary size: the rows of the stored tensor, with padding."""
        return self.stored.rows

    @property
    def width(self) -> int:
        """Width of one embedding."""
        return self.stored.width

    def take(self, ids: Int[np.ndarray, " tokens"]) -> Float[np.ndarray, "tokens width"]:
        """What the embedding module of the model returns for these tokens, in float32.

        Raises:
            TableError: an id is negative or beyond the table.
        """
        outside = ids[(ids < 0) | (ids >= self.rows)]
        if outside.size:
            raise TableError(
                Problem(
                    self.source,
                    f"token ids from 0 to {self.rows - 1}",
                    f"id {outside[0]}",
                    "Use the tokenizer that belongs to this model.",
                )
            )
        if not ids.size:  # gguf cannot dequantise an empty array
            return np.zeros((0, self.width), np.float32)
        return self.stored.gather(ids) * np.float32(self.scale)

    def identity(self) -> TableIdentity:
        """Shape, and SHA-256 of all stored rows as float32; equal for every exact storage type.

        Of a large file it is remembered until the file changes.
        """
        return TableIdentity(self.rows, self.width, remembered(self.stored.file, "embedding table", self._sha256))

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for begin in range(0, self.rows, _HASHED_ROWS):
            ids = np.arange(begin, min(begin + _HASHED_ROWS, self.rows), dtype=np.int64)
            digest.update(self.stored.gather(ids).astype("<f4", copy=False).tobytes())
        return digest.hexdigest()


def open_table(source: str | Path, *, scale: float | None = None, download: Download | None = None) -> EmbeddingTable:
    """Open the table of a model directory, a ``.gguf`` file or a hub model ``owner/name[@revision]``.

    A LoRA directory stands for its base model.

    Args:
        source: of the model.
        scale: what its embedding module multiplies rows by, where the caller knows it; else the model type tells.
        download: replaces `huggingface_hub.hf_hub_download`.

    Raises:
        TableError: there is no such model, or no table in it that can be read, or its type does not tell the scale.
        MissingExtraError: the weights are a PyTorch file and torch is not installed.

    Example:
        >>> import probe
        >>> table = probe.open_table(probe.load("demo").checkpoint.path / "teacher")
        >>> table.rows, table.width, table.scale
        (4096, 128, 1.0)
    """
    where = str(source)
    path = Path(source)
    if path.suffix == ".gguf":
        stored, architecture = read_gguf(path)
        known = embedding_scale({"model_type": architecture}, stored.width, where) if scale is None else scale
        return EmbeddingTable(where, stored, known)
    files = find_source(source, where=where, download=download)
    table = _open_model(files, where, scale)
    if table is None and (adapter := files.fetch(ADAPTER)) is not None:
        files = base_model(files, adapter, download)
        table = _open_model(files, where, scale)
    if table is None:
        indexed = [part for name in _WEIGHTS for part in (name, f"{name}.index.json")]
        raise files.missing(f"weights in one of {', '.join(indexed)}")
    return table


def fetch_model(files: Source) -> None:
    """Bring what probing reads of a model onto this machine: its table, its configuration and its tokenizer.

    Raises:
        TableError: the hub refuses it.
    """
    for name in (_CONFIG, "tokenizer.json", "tokenizer_config.json"):
        files.fetch(name)
    _find_weights(files)


def _open_model(files: Source, where: str, scale: float | None) -> EmbeddingTable | None:
    """The table of a model with weights of its own; None where there are none, as in a LoRA directory."""
    config = files.fetch(_CONFIG)  # first: small, and from the hub it tells whether the model can be read at all
    stored = _find_weights(files)
    if stored is None:
        return None
    if config is None:
        raise files.missing(_CONFIG)
    known = embedding_scale(read_json(config), stored.width, str(config)) if scale is None else scale
    return EmbeddingTable(where, stored, known)


def _find_weights(files: Source) -> StoredTable | None:
    for name, read in _WEIGHTS.items():
        if (whole := files.fetch(name)) is not None:
            return read(whole)
        if (index := files.fetch(f"{name}.index.json")) is not None:
            shards = weight_map(index)
            shard = shards[find_table(shards, index)]
            if (path := files.fetch(shard)) is None:
                raise files.missing(f"the file {shard} that {index.name} names")
            return read(path)
    return None
