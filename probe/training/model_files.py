"""The models of a run: where their files lie, loading one, and what tells one from another."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.checkpoints.checkpoint import ModelRecord, VerifiedSource
from probe.errors import Problem, TrainingError
from probe.models.embeddings import EmbeddingTable, open_table
from probe.models.sources import BUNDLED, CACHE, reads_as_path, resolve
from probe.models.table_sources import ADAPTER, read_json
from probe.models.tokenizer import Tokenizer
from probe.output.provenance import file_sha256

if TYPE_CHECKING:
    from torch import device

NAMES = frozenset({"config.json", "tokenizer.json", ADAPTER})
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SUFFIXES = frozenset({".safetensors", ".bin", ".gguf"})
"""Files that make a model what it is."""
WHOLE_MODEL = "Name a whole model: a run's checkpoint-N (bundled and projectors/step-N hold what probing reads alone)."


def running_device() -> "device":
    """Where models run: on the graphics card of this process if it has one."""
    from torch import cuda, device

    return device("cuda" if cuda.is_available() else "cpu")


def directory_of(source: str) -> Path:
    """The directory of a source; a hub model is downloaded into the hub's own cache.

    Raises:
        TrainingError: there is no such directory, and the hub does not hand it out.
    """
    found = resolve(source, Path.cwd())
    if isinstance(found, Path) and found.is_dir():
        return found
    if isinstance(found, Path) or reads_as_path(found) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", found):
        raise TrainingError(Problem(source, "a model directory or a hub id", "neither", "Check the spelling."))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(found))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        got = str(error).splitlines()[0]
        remedy = f"Check the name and the connection, or run: hf download {found}."
        raise TrainingError(Problem(source, "a model of the hub", got, remedy)) from error


def base_of(directory: Path) -> Path | None:
    """The directory of the model that the LoRA weights in a directory belong to; None for a whole model."""
    adapter = directory / ADAPTER
    return directory_of(read_json(adapter)["base_model_name_or_path"]) if adapter.is_file() else None


def causal_model(directory: Path, dtype: Any) -> tuple[Any, frozenset[str]]:
    """A causal language model, adapters merged, and the names of weights that its files do not hold.

    Raises:
        TrainingError: it is no such model.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        if (directory / ADAPTER).is_file():
            from peft import AutoPeftModelForCausalLM

            adapted: Any = AutoPeftModelForCausalLM.from_pretrained(directory, dtype=dtype, trust_remote_code=False)
            return adapted.merge_and_unload().eval().requires_grad_(False), frozenset()
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError, SafetensorError) as error:
        got = str(error).partition("\n")[0]
        raise TrainingError(Problem(str(directory), "a causal language model", got, WHOLE_MODEL)) from error
    model, told = loaded
    return model.eval().requires_grad_(False), frozenset(told["missing_keys"])


def files_digest(directory: Path) -> str:
    """SHA-256 of a model's files by name and content; of adapters, those of the model they name as well."""
    found = hashlib.sha256()
    for file in sorted(file for file in directory.iterdir() if file.name in NAMES or file.suffix in SUFFIXES):
        found.update(f"{file.name}\n".encode() + bytes.fromhex(file_sha256(file)))
    base = base_of(directory)
    if base is not None:
        found.update(files_digest(base).encode())
    return found.hexdigest()


def weights_digest(weights: Iterable[tuple[str, Any]], sampled: int, *, with_precision: bool) -> str:
    """SHA-256 of names, shapes and some evenly spaced values of all weights, and on demand of their precisions.

    Any training moves them all, adapters that were merged too; hashing them whole would take minutes for a large model.
    """
    found = hashlib.sha256()
    for name, tensor in weights:
        flat = tensor.detach().flatten()
        some = flat[:: max(1, len(flat) // sampled)].float().cpu().numpy().astype("<f4")
        precision = f" {tensor.dtype}" if with_precision else ""
        found.update(f"{name} {tuple(tensor.shape)}{precision}".encode() + some.tobytes())
    return found.hexdigest()


def record_of(source: str, tokenizer: Tokenizer, prompt: str) -> ModelRecord:
    """What a checkpoint says of a model that stays as it is."""
    return described(source, open_table(directory_of(source)), tokenizer, prompt)


def described(source: str, table: EmbeddingTable, tokenizer: Tokenizer, prompt: str) -> ModelRecord:
    """What a checkpoint says of a model of which only table and tokenizer were read."""
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
