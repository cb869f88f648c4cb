"""Where the files of a model come from: a local directory, the hub, or the base model of an adapter."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probe.errors import Problem, TableError
from probe.models.table_files import DAMAGED, TABLE_NAMES, damaged
from probe.models.table_foreign import tensor_names
from probe.output.reading import Wanted, read_object

ADAPTER = "adapter_config.json"
"""The file of a directory of LoRA weights that names their base model."""

TOKENKIT = "params.msgpack"
"""Where tokenkit keeps what it has trained, in a format of JAX, which is not read."""
TOKENKIT_REMEDY = "Export the model with its scripts/export_checkpoint.py --with_pt, and name what that has written."

Download = Callable[..., str]
"""Called as `huggingface_hub.hf_hub_download` is: ``(repo_id, filename, revision=…)``, returns a local path."""


@dataclass(frozen=True)
class Directory:
    """A model directory on this machine."""

    path: Path

    def fetch(self, name: str) -> Path | None:
        """The path of the file, or None if the directory has no such file."""
        path = self.path / name
        return path if path.is_file() else None

    def missing(self, expected: str) -> TableError:
        """The error for files that are not in the directory."""
        names = sorted(path.name for path in self.path.iterdir())[:8]
        got = f"only {', '.join(names)}" if names else "an empty directory"
        remedy = "Name a directory that save_pretrained wrote, or a .gguf file."
        if self.fetch(TOKENKIT) is not None:
            got, remedy = f"{TOKENKIT} of tokenkit, which is not read", TOKENKIT_REMEDY
        return TableError(Problem(str(self.path), expected, got, remedy))


@dataclass
class Hub:
    """A model on the hub. Only requested files are downloaded, or taken from the cache of the hub."""

    repo: str
    revision: str | None
    download: Download | None = None
    unreachable: list[str] = field(default_factory=list[str])
    """Files that are not in the cache, while the hub cannot be reached."""

    def fetch(self, name: str) -> Path | None:
        """The path of the file in the cache, or None.

        Raises:
            TableError: the hub refuses the model, or the download fails.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        download: Download = self.download or hf_hub_download
        try:
            return Path(download(self.repo, name, revision=self.revision))
        except LocalEntryNotFoundError:
            # Offline, it is unknown whether the model has this file; an alternative may be in the cache.
            self.unreachable.append(name)
            return None
        except EntryNotFoundError:
            return None
        # Broad, because releases of the library raise errors of three HTTP libraries; all are reported.
        except Exception as error:
            first_line = str(error).partition("\n")[0]
            raise TableError(
                Problem(
                    str(self),
                    f"a local directory, or a hub model whose {name} can be read",
                    f"{type(error).__name__}: {first_line}",
                    "Check the spelling and the network; for a gated model accept its terms and run `hf auth login`.",
                )
            ) from error

    def missing(self, expected: str) -> TableError:
        """The error for files that the hub does not have, or for a hub that cannot be reached."""
        if self.unreachable:
            got = f"no answer from the hub, and nothing in the cache for {', '.join(self.unreachable)}"
            remedy = "Check the path if you meant a directory. Else go online, or download it first with `hf download`."
        else:
            got, remedy = "no such file on the hub", "Name the repository with the weights of the model."
        return TableError(Problem(str(self), expected, got, remedy))

    def __str__(self) -> str:
        return f"hub model {self.repo}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class Folder:
    """A model in a folder of a repository."""

    files: "Source"
    name: str

    def fetch(self, name: str) -> Path | None:
        """The path of the file, or None."""
        return self.files.fetch(f"{self.name}/{name}")

    def missing(self, expected: str) -> TableError:
        """The error for files that are not there."""
        return self.files.missing(f"{self.name}/{expected}")


Source = Directory | Hub | Folder


def find_source(source: str | Path, *, where: str, revision: str | None = None, download: Download | None) -> Source:
    """A local directory if there is one, else the hub model ``owner/name`` or ``owner/name@revision``.

    Raises:
        TableError: ``source`` is neither; ``where`` says who named it.
    """
    path = Path(source)
    if str(source) and path.is_dir():  # Path("") is the current directory
        return Directory(path)
    # A Path is local. Require one slash and no path syntax, so that a mistyped directory does not use the network.
    match = re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\S+))?", source) if isinstance(source, str) else None
    # If the parent is a directory here, this is a mistyped path, which must not be looked up on the hub.
    is_local = path.exists() or (str(path.parent) != "." and path.parent.is_dir())
    if match is None or is_local:
        raise TableError(
            Problem(
                where,
                "a model directory, a .gguf file, or a hub id such as openai-community/gpt2",
                f"{str(source)!r}, which is none of them",
                "Check the path; a hub id is owner/name or owner/name@revision.",
            )
        )
    return Hub(match[1], match[2] or revision, download)


def base_model(files: Source, adapter: Path, download: Download | None) -> Source:
    """The files of the base model of a LoRA adapter.

    Raises:
        TableError: the adapter changes the embedding table, or names no base model that can be found.
    """
    config = read_json(adapter)
    weights = files.fetch("adapter_model.safetensors") or files.fetch("adapter_model.bin")
    # Check the weights too: peft saves a resized embedding, and its configuration does not say so.
    if _changes_table(config) or (weights and _holds_table(tensor_names(weights))):
        raise TableError(
            Problem(
                str(adapter),
                "an adapter that does not change the embedding table",
                "an adapter that trains, resizes or replaces it",
                "Merge it first: model.merge_and_unload().save_pretrained(…), and name that directory.",
            )
        )
    base, revision = config.get("base_model_name_or_path") or "", config.get("revision")
    for key, value in (("base_model_name_or_path", base), ("revision", revision)):
        if not isinstance(value, str | None):
            raise damaged(adapter, f"a text as {key}", repr(value)[:80])
    return find_source(base, where=f"{adapter}: base_model_name_or_path", revision=revision, download=download)


def _changes_table(adapter: Mapping[str, Any]) -> bool:
    """Whether a peft configuration targets an input embedding, by peft's rules: a list of endings, or one pattern."""
    modules = [name.removesuffix(".weight") for name in TABLE_NAMES]
    if adapter.get("trainable_token_indices"):  # rows of an embedding, by token id
        return True
    for key in ("target_modules", "modules_to_save"):
        targets = adapter.get(key) or []
        if not isinstance(targets, str | list):
            raise damaged(Path(ADAPTER), f"names of modules as {key}", repr(targets)[:80])
        if isinstance(targets, str):
            try:
                if any(re.fullmatch(targets, module) for module in modules):
                    return True
            except re.error as error:
                raise damaged(Path(ADAPTER), f"a pattern as {key}", str(error)) from error
        elif any(f".{module}".endswith(f".{target}") for module in modules for target in targets):
            return True
    return False


def _holds_table(names: set[str]) -> bool:
    leaves = {name.split(".")[-2] for name in TABLE_NAMES} - {"w"}  # of CTRL, whose layers may be called so as well
    return any(leaves & set(name.split(".")) for name in names)


def weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor of a model in several.

    Raises:
        TableError: the index does not say it.
    """
    shards: Any = read_json(index).get("weight_map", {})
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise damaged(index, "a weight_map of file names", repr(shards)[:80])
    return shards


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        TableError: it is not JSON, or not an object.
    """
    return read_object(path, Wanted("a JSON object", DAMAGED, TableError))
