"""The checkpoint directory of this project: ``probe.json`` and ``projectors.safetensors``, loaded strictly.

Loading checks every tensor against the structures, and both embedding tables against the identities in the file.
Missing weights are never replaced by random ones.
"""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from probe.checkpoints.manifest import FORMAT, MANIFEST, check_record, check_types, read_manifest
from probe.errors import CheckpointError, Problem, ProjectorError
from probe.output.files import replacing_directory
from probe.projectors import QUERY, Projector

TENSORS, STUDENT = "projectors.safetensors", "student"


@dataclass(frozen=True, slots=True)
class Scales:
    """The three numbers that keys, hidden states and target embeddings are divided by; None if unknown.

    Raises:
        CheckpointError: one of them is not a positive number.
    """

    key: float
    hidden: float | None = None
    target: float | None = None
    key_is_estimate: bool = False
    """True if the run stored no key scale; then everything that depends on the temperature is uncertain."""

    def __post_init__(self) -> None:
        for name, value in (("key", self.key), ("hidden", self.hidden), ("target", self.target)):
            if value is not None and not 0 < value < math.inf:
                remedy = "It is a standard deviation, such as 0.1243."
                raise CheckpointError(Problem(f"{name} scale", "a positive number", str(value), remedy))


@dataclass(frozen=True, slots=True)
class VerifiedSource:
    """A place of the model, and the SHA-256 of the embedding table that was found there."""

    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What a checkpoint knows of its student or teacher; `prompt_end_id` is the last token of the prompt."""

    name: str
    revision: str | None
    rows: int
    width: int
    embedding_scale: float
    eos_id: int
    prompt_end_id: int
    vocabulary_sha256: str
    sources: tuple[VerifiedSource, ...]


@dataclass(frozen=True)
class Checkpoint:
    """Trained projectors and what they belong to.

    Example:
        >>> import probe
        >>> checkpoint = probe.load("demo").checkpoint
        >>> checkpoint.method, checkpoint.criterion, checkpoint.steps
        ('cma', 't2s pre-training', 3000)
        >>> {name: projector.structure for name, projector in checkpoint.projectors.items()}
        {'query': '2s-2t', 't2s': 't-s'}
        >>> round(checkpoint.scales.key, 4)
        0.1243
    """

    name: str
    path: Path
    method: str
    criterion: str
    steps: int | None
    student: ModelRecord
    teacher: ModelRecord
    scales: Scales
    prompt: str
    projectors: Mapping[str, Projector]
    recipe: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def query(self) -> Projector:
        """The query projector, which makes queries.

        Raises:
            CheckpointError: there is none, as in methods without attention, or it does not map 2s to 2t.
        """
        query = self.projectors.get(QUERY)
        ends = query and (query.structure.split("-")[0], query.structure.split("-")[-1])
        if query is None or ends != ("2s", "2t"):
            got = query.structure if query else f"projectors {', '.join(self.projectors) or 'none'}"
            remedy = "Use a checkpoint of a method that trains cross-model attention."
            raise CheckpointError(
                Problem(
                    str(self.path),
                    "a query projector from twice the student width to twice the teacher width (2s to 2t)",
                    got,
                    remedy,
                )
            )
        return query


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a directory in our format.

    Raises:
        CheckpointError: the manifest is missing, malformed or of another format version.
        ProjectorError: a tensor is missing, superfluous or of another shape.

    Example:
        >>> import probe
        >>> path = probe.load("demo").checkpoint.path  # has probe.json and projectors.safetensors
        >>> checkpoint = probe.load_checkpoint(path)
        >>> checkpoint.name, checkpoint.student.width, checkpoint.teacher.width
        ('demo', 96, 128)
    """
    manifest = read_manifest(path)
    check_types(manifest, path / MANIFEST)
    try:
        student, teacher = _model(manifest["student"]), _model(manifest["teacher"])
        structures: dict[str, str] = manifest["projectors"]
        checkpoint = Checkpoint(
            name=manifest["name"],
            path=path,
            method=manifest["method"],
            criterion=manifest["criterion"],
            steps=manifest["steps"],
            student=student,
            teacher=teacher,
            scales=Scales(**manifest["scales"]),
            prompt=manifest["prompt"],
            projectors=load_projectors(path / TENSORS, structures, student.width, teacher.width),
            recipe=manifest["recipe"],
        )
    except (KeyError, TypeError) as error:
        got = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            Problem(str(path / MANIFEST), f"the keys of format {FORMAT}", got, "Save the checkpoint again.")
        ) from error
    return checkpoint


def load_projectors(file: Path, structures: Mapping[str, str], student: int, teacher: int) -> dict[str, Projector]:
    """Projectors of a safetensors file, as float32.

    Raises:
        CheckpointError: the file is missing or malformed, or holds a projector that the structures do not name.
        ProjectorError: a tensor is missing, superfluous or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not file.is_file():
        raise CheckpointError(Problem(str(file), "the tensors of the projectors", "no such file", "Restore the file."))
    try:
        tensors = load_file(file)
    except (SafetensorError, TypeError) as error:  # numpy knows no bfloat16, nor the 8-bit types
        expected = "a safetensors file of float32 or float16"
        raise CheckpointError(Problem(str(file), expected, str(error), "Restore the file.")) from error
    return group_projectors(tensors, structures, student, teacher, str(file))


def group_projectors(
    tensors: Mapping[str, np.ndarray], structures: Mapping[str, str], student: int, teacher: int, where: str
) -> dict[str, Projector]:
    """Projectors from a flat dict ``query.0.weight`` …, checked against their structures, as float32.

    Raises:
        CheckpointError: a tensor belongs to no projector.
        ProjectorError: a tensor is missing, superfluous or of another shape.
    """
    strays = sorted(key for key in tensors if key.partition(".")[0] not in structures or "." not in key)
    if strays:
        raise CheckpointError(
            Problem(
                where,
                f"only tensors of {', '.join(structures)}",
                ", ".join(strays),
                "Name every projector in the structures.",
            )
        )
    grouped: dict[str, Projector] = {}
    problems = [problem for key, value in tensors.items() if (problem := _no_weights(f"{where}: {key}", value))]
    if problems:
        raise CheckpointError(*problems)
    for name, structure in structures.items():
        own = {
            key.removeprefix(f"{name}."): value.astype(np.float32)
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        try:
            grouped[name] = Projector.load(structure, own, student=student, teacher=teacher, where=f"{where}: {name}")
        except ProjectorError as error:
            problems += error.problems
    if problems:
        raise ProjectorError(*problems)
    return grouped


def _no_weights(where: str, tensor: np.ndarray) -> Problem | None:
    """Why a tensor cannot hold trained weights; None if it can."""
    if not np.issubdtype(tensor.dtype, np.floating):
        return Problem(where, "floating-point numbers", f"{tensor.dtype}", "Save the trained weights again.")
    wrong = int(tensor.size - np.isfinite(tensor).sum())
    got, remedy = f"{wrong} of {tensor.size} that are not finite", "Training diverged: use an earlier checkpoint."
    return Problem(where, "finite values", got, remedy) if wrong else None


def save_checkpoint(checkpoint: Checkpoint, path: Path, *, dtype: type[np.floating[Any]] = np.float32) -> None:
    """Write a checkpoint directory, whole or not at all.

    Raises:
        OutputError: the place cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> import probe
        >>> checkpoint = probe.load("demo").checkpoint
        >>> with TemporaryDirectory() as place:
        ...     probe.save_checkpoint(checkpoint, Path(place) / "copy", dtype=np.float16)
        ...     sorted(path.name for path in (Path(place) / "copy").iterdir())
        ['probe.json', 'projectors.safetensors']
    """
    with replacing_directory(path) as temporary:
        write_checkpoint(checkpoint, temporary, dtype=dtype)


def write_checkpoint(checkpoint: Checkpoint, directory: Path, *, dtype: type[np.floating[Any]] = np.float32) -> None:
    """Write manifest and projectors into a directory that the caller creates."""
    from safetensors.numpy import save

    manifest = {
        "format": FORMAT,
        **{key: getattr(checkpoint, key) for key in ("name", "method", "criterion", "steps", "prompt")},
        "student": asdict(checkpoint.student),
        "teacher": asdict(checkpoint.teacher),
        "projectors": {name: projector.structure for name, projector in checkpoint.projectors.items()},
        "scales": asdict(checkpoint.scales),
        "recipe": dict(checkpoint.recipe),
        "recipe_sha256": hashlib.sha256(json.dumps(dict(checkpoint.recipe), sort_keys=True).encode()).hexdigest(),
        "versions": _versions(),
    }
    tensors = {
        f"{name}.{key}": np.ascontiguousarray(np.asarray(value), dtype=dtype)
        for name, projector in checkpoint.projectors.items()
        for key, value in projector.tensors.items()
    }
    (directory / TENSORS).write_bytes(save(tensors))  # the library's own writer hides that a disk is full
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def _model(record: Mapping[str, Any]) -> ModelRecord:
    check_record(record)
    sources = tuple(VerifiedSource(**source) for source in record["sources"])
    fields: dict[str, Any] = {**record, "sources": sources}
    return ModelRecord(**fields)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("cma-probe", "numpy", "safetensors", "tokenizers", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # the torch-free install has neither torch nor transformers
            continue
    return found
