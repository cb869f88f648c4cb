"""Stored embedding tables: their names and shapes, and their rows by token id from a safetensors file.

Models can be larger than the memory, but probing needs only a few dozen rows. So files are mapped, and only these rows
are read and converted to float32.
"""

import mmap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from probe.errors import Problem, TableError
from probe.output.reading import Wanted, decoded, opened, parse_json

Ids = Int[np.ndarray, " tokens"]
Rows = Float[np.ndarray, "tokens width"]

TABLE_NAMES = (
    "model.embed_tokens.weight",  # Llama, Qwen2, Qwen3, Mistral, Gemma, Phi, Phi-3
    "embed_tokens.weight",
    "transformer.wte.weight",  # GPT-2
    "wte.weight",
    "model.decoder.embed_tokens.weight",  # OPT
    "decoder.embed_tokens.weight",
    "gpt_neox.embed_in.weight",  # GPT-NeoX, Pythia
    "embed_in.weight",
    "model.language_model.embed_tokens.weight",  # multimodal Gemma 3, as transformers 5 writes it
    "language_model.model.embed_tokens.weight",  # the same, as it lies on the hub
    "language_model.embed_tokens.weight",
    "model.text_model.embed_tokens.weight",  # Idefics 2 and 3, SmolVLM
    "text_model.embed_tokens.weight",
    "biogpt.embed_tokens.weight",
    "transformer.word_embeddings.weight",  # Falcon, BLOOM
    "word_embeddings.weight",
    "model.embeddings.tok_embeddings.weight",  # ModernBERT as a decoder
    "embeddings.tok_embeddings.weight",
    "gpt_neox_japanese.embed_in.weight",
    "transformer.tokens_embed.weight",  # GPT
    "tokens_embed.weight",
    "backbone.embeddings.weight",  # Mamba, Falcon-Mamba, xLSTM, Nemotron-H on the hub
    "backbone.embedding.weight",  # Mamba, as its authors wrote it
    "model.embeddings.weight",  # Nemotron-H, as transformers 5 writes it
    "rwkv.embeddings.weight",
    "embeddings.weight",
    "transformer.w.weight",  # CTRL
    "transformer.word_embedding.weight",  # XLNet
    "transformer.embeddings.weight",  # XLM
    "cpmant.input_embedding.weight",
)
"""Names of the input embedding by architecture, with and without the prefix of a model with a head."""

_MANY = 1024
"""Rows in a row are read ahead from this number on."""
_AT_A_TIME = 256
"""Rows that are read before what the system mapped for them is let go."""

DAMAGED = "Download or save the file again. It may be an unfinished download or a git-lfs pointer."
"""What to do about a file that does not have the format of its name."""

# numpy has no bfloat16: its bits, which `gather` widens.
_SAFETENSORS_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class StoredTable:
    """A table as it is stored; ``gather`` returns the requested rows as a new float32 array, unscaled."""

    file: Path
    rows: int
    width: int
    gather: Callable[[Ids], Rows]


def find_table(names: Iterable[str], where: Path) -> str:
    """The name of the input embedding among a file's tensors.

    Raises:
        TableError: none of the known names is present.
    """
    present = set(names)
    for name in TABLE_NAMES:
        if name in present:
            return name
    raise TableError(
        Problem(
            str(where),
            f"an embedding table under a known name, such as {', '.join(TABLE_NAMES[:3])}",
            f"{len(present)} tensors, among them {', '.join(sorted(present)[:5])}" if present else "no tensor",
            "Name a causal language model of a known architecture, saved with save_pretrained.",
        )
    )


def read_safetensors(path: Path) -> StoredTable:
    """Map the table of one safetensors file.

    Raises:
        TableError: the file is damaged, holds no table, or holds it in another type than float32, float16, bfloat16.
    """
    # Read by hand, because the numpy reader of the library refuses bfloat16.
    header, start = read_header(path)
    name = find_table(header, path)
    entry = header[name]
    rows, width = matrix_shape(path, name, entry["shape"])
    kind = entry["dtype"]
    if kind not in _SAFETENSORS_DTYPES:
        raise wrong_type(path, name, kind)
    dtype = np.dtype(_SAFETENSORS_DTYPES[kind])
    begin, end = entry["data_offsets"]
    if end - begin != rows * width * dtype.itemsize or start + end > path.stat().st_size:
        raise damaged(path, f"{rows} × {width} values of {kind} in {name}", f"bytes {begin} to {end} of the data")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):  # not on Windows
        # Without this, the system reads ahead: all 335 MB of a table (360 ms) for 1,024 spread rows (60 ms).
        mapped.madvise(mmap.MADV_RANDOM)
    table = np.frombuffer(mapped, dtype, rows * width, start + begin).reshape(rows, width)

    def gather(ids: Ids) -> Rows:
        if len(ids) > _MANY and ids[-1] - ids[0] == len(ids) - 1 and hasattr(mmap, "MADV_WILLNEED"):
            # A block of the whole table: read in one go what would be thousands of separate reads.
            first = (start + begin + int(ids[0]) * width * dtype.itemsize) // mmap.PAGESIZE * mmap.PAGESIZE
            mapped.madvise(mmap.MADV_WILLNEED, first, len(ids) * width * dtype.itemsize)
        stored = np.empty((len(ids), width), dtype)
        for at in range(0, len(ids), _AT_A_TIME):
            stored[at : at + _AT_A_TIME] = table[ids[at : at + _AT_A_TIME]]
            if hasattr(mmap, "MADV_DONTNEED"):
                # Some systems map a hundred rows around each one that is read, and all of them would count as memory.
                mapped.madvise(mmap.MADV_DONTNEED)
        if kind == "BF16":  # bfloat16 is the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=False)

    return StoredTable(path, rows, width, gather)


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file by tensor name, and the offset of its data."""
    wanted = Wanted("a safetensors header", DAMAGED, TableError)
    with opened(path, wanted) as file:
        size, whole = int.from_bytes(file.read(8), "little"), path.stat().st_size
        if size > whole - 8:
            raise wanted.refusal(path, f"a header of {size} bytes in a file of {whole}")
        raw = file.read(size)
    header: Any = parse_json(decoded(raw, path, wanted), path, wanted)
    if not isinstance(header, dict):
        raise wanted.refusal(path, type(header).__name__)
    tensors: dict[str, Any] = {**header}
    tensors.pop("__metadata__", None)
    for name, entry in tensors.items():
        if not _is_entry(entry):
            raise wanted.refusal(path, f"tensor {name} with {str(entry)[:80]}")
    return tensors, 8 + size


def _is_entry(entry: Any) -> bool:
    """Whether a tensor has a type, a shape, and a place in the data."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, place = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(place, list) or len(place) != 2:
        return False
    return all(type(number) is int and 0 <= number < 1 << 63 for number in [*shape, *place])


def matrix_shape(path: Path, name: str, shape: Iterable[int]) -> tuple[int, int]:
    """Rows and width of a table.

    Raises:
        TableError: the tensor is not a matrix, or is empty.
    """
    sizes = tuple(shape)
    if len(sizes) == 2 and all(sizes):
        return sizes[0], sizes[1]
    zero = " (DeepSpeed ZeRO-3 saves such tensors if the weights are not gathered)" if 0 in sizes else ""
    raise TableError(
        Problem(
            f"{path}: {name}",
            "a matrix of vocabulary × width",
            f"shape {sizes}{zero}",
            "Save the model again, with all weights gathered on one process.",
        )
    )


def wrong_type(path: Path, name: str, kind: str) -> TableError:
    """The error for a table with values of a type that cannot be read."""
    expected = "values in float32, float16, bfloat16 or, in GGUF, a quantisation that the gguf package can undo"
    return TableError(Problem(f"{path}: {name}", expected, kind, "Convert the table to one of these types."))


def damaged(path: Path, expected: str, got: str) -> TableError:
    """The error for a file that does not have the format of its name."""
    return TableError(Problem(str(path), expected, got, DAMAGED))
