"""Embedding tables in files that need another library: PyTorch files and GGUF."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from probe.errors import MissingExtraError, Problem, TableError
from probe.models.table_files import Ids, Rows, StoredTable, damaged, find_table, matrix_shape, read_header, wrong_type

GGUF_TABLE_NAME = "token_embd.weight"


def tensor_names(path: Path) -> set[str]:
    """Names of all tensors in a safetensors or PyTorch file, by its suffix."""
    return set(read_header(path)[0]) if path.suffix == ".safetensors" else set(_load_torch(path))


def read_torch(path: Path) -> StoredTable:
    """Map the table of one PyTorch ``.bin`` file.

    Raises:
        TableError: the file is damaged, would run code, or holds no table of a known type.
        MissingExtraError: torch is not installed.
    """
    tensors = _load_torch(path)
    import torch  # after _load_torch, which explains how to install it

    name = find_table(tensors, path)
    tensor = tensors[name]
    if not isinstance(tensor, torch.Tensor):
        raise wrong_type(path, name, type(tensor).__name__)
    rows, width = matrix_shape(path, name, tensor.shape)
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise wrong_type(path, name, str(tensor.dtype))
    table = tensor.detach()

    def gather(ids: Ids) -> Rows:
        return table[torch.from_numpy(ids.astype(np.int64))].float().numpy()

    return StoredTable(path, rows, width, gather)


def _load_torch(path: Path) -> Mapping[str, object]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            Problem(
                str(path),
                "torch, which reads this format",
                "no torch installed",
                "Run `pip install 'cma-probe[train]'`, or save the model as safetensors.",
            )
        ) from error
    with path.open("rb") as file:
        # Files from before PyTorch 1.6 are plain pickles; these cannot be mapped and are read completely.
        zipped = file.read(4) == b"PK\x03\x04"
    try:
        loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise TableError(
            Problem(
                str(path),
                "a file with only tensors",
                "a file that is damaged or would run code; it was refused and nothing was executed",
                "Use a copy from a source you trust, saved as safetensors.",
            )
        ) from error
    # Broad, because torch has no error for damaged files: 3,000 damaged files raised eleven types.
    except Exception as error:
        raise damaged(path, "a file written by torch.save", str(error).partition("\n")[0]) from error
    if not isinstance(loaded, dict):
        raise damaged(path, "tensors by name", type(loaded).__name__)
    return cast(dict[str, object], loaded)


def read_gguf(path: Path) -> tuple[StoredTable, str]:
    """Map the table of a GGUF file; return it with the name of the architecture.

    Raises:
        TableError: the file is damaged, holds no table, or holds it in a quantisation that gguf cannot undo.
    """
    from gguf import GGUFReader, dequantize

    try:
        # Slow: the reader makes Python objects for all vocabulary entries; 50,000 to 260,000 of them take 3 to 13 s.
        reader = GGUFReader(path)
    except (OSError, ValueError, LookupError) as error:
        raise damaged(path, "a GGUF file", str(error)) from error
    tensor = next((tensor for tensor in reader.tensors if tensor.name == GGUF_TABLE_NAME), None)
    architecture = reader.get_field("general.architecture")
    if tensor is None or architecture is None:
        raise damaged(path, f"{GGUF_TABLE_NAME} and general.architecture", "a GGUF file without them")
    # GGUF lists the fastest dimension first. `data` has a row for each token, in bytes if the type is quantised.
    rows, width = matrix_shape(path, GGUF_TABLE_NAME, tensor.shape.tolist()[::-1])
    kind, table = tensor.tensor_type, tensor.data
    try:
        dequantize(table[:1], kind)
    except NotImplementedError as error:
        raise wrong_type(path, GGUF_TABLE_NAME, kind.name) from error

    def gather(ids: Ids) -> Rows:
        return dequantize(table[ids], kind)

    return StoredTable(path, rows, width, gather), str(architecture.contents())
