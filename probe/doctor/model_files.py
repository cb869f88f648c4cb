"""What a model's files tell before they are read: its type, how its embedding table is stored, how many pieces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe.doctor.directory import ADAPTER
from probe.table_files import damaged, find_table, read_header
from probe.table_sources import Download, Source, base_model, find_source, read_json

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def dtype_of(entry: Mapping[str, Any]) -> str:
    """The type of a tensor, by its entry in the header of a safetensors file."""
    return _DTYPES.get(entry["dtype"], str(entry["dtype"]))


def type_and_dtype(found: Path | str, download: Download | None) -> tuple[str, str]:
    """Model type, and the type that the embedding table is stored in, without reading it."""
    if Path(found).suffix == ".gguf":
        return "GGUF", "of a type that is widened to float32"
    files = find_source(found, where=str(found), download=download)
    file = _weights_file(files)
    adapter = files.fetch(ADAPTER)
    if file is None and adapter is not None:
        files = base_model(files, adapter, download)
        file = _weights_file(files)
    config_file = files.fetch("config.json")
    config = read_json(config_file) if config_file else {}
    kind = str(config.get("model_type", "unknown type"))
    if file is not None and file.suffix == ".safetensors":
        header = read_header(file)[0]
        return kind, dtype_of(header[find_table(header, file)])
    named = config.get("dtype") or config.get("torch_dtype")
    return kind, f"{named} by config.json" if named else "dtype not named"


def _weights_file(files: Source) -> Path | None:
    """The file that holds the embedding table."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (whole := files.fetch(name)) is not None:
            return whole
        if (index := files.fetch(f"{name}.index.json")) is not None:
            shards: dict[str, str] = read_json(index)["weight_map"]
            return files.fetch(shards[find_table(shards, index)])
    return None


def count_pieces(file: Path) -> int:
    """Ids that a ``tokenizer.json`` gives out, counted in the file; the library takes seconds to open a large one.

    Raises:
        TableError: the file, or a configuration beside it, is not JSON.
    """
    for name in ("tokenizer_config.json", "config.json"):
        if (beside := file.with_name(name)).is_file():
            read_json(beside)
    content = read_json(file)
    try:
        vocabulary: Any = content["model"]["vocab"]
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        added: Any = content.get("added_tokens") or []
        return 1 + max([*ids, *(token["id"] for token in added)], default=-1)
    except (KeyError, TypeError) as error:
        got = f"none called {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(file, "a tokenizer with a vocabulary", got) from error
