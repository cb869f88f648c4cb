"""Read checkpoint directories that DSKD and DSKD-KQ write, with ``projector.pt`` beside a student model.

What such a directory does not say is looked up or asked for, never guessed. The structures are in
``projector_config.json``, the criterion and the teacher in the ``args.json`` of the parent directory. Every evaluation
overwrites that file; then the settings of training are read from the name of the directory. A directory is refused if
its criterion does not train the query projector, because its ``query`` is then random.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from probe.checkpoints.checkpoint import Checkpoint, ModelRecord, Scales, VerifiedSource, group_projectors
from probe.checkpoints.dskd import (
    ARGUMENTS,
    CLA,
    CONFIG,
    MATCHING,
    PROJECTORS,
    PROMPT,
    TRAINED_QUERY,
    run_arguments,
    run_batch_size,
    run_criterion,
    wrong_arguments,
)
from probe.checkpoints.key_scale import Batches, simulated_key_scale
from probe.checkpoints.open_model import OpenModel, tokenizer_of
from probe.errors import CheckpointError, MissingExtraError, Problem, option
from probe.models.embeddings import EmbeddingTable, open_table
from probe.models.sources import resolve
from probe.models.table_sources import ADAPTER, read_json
from probe.projectors import QUERY, STRUCTURES, Projector

UNIFORM_KURTOSIS, TRAINED_KURTOSIS = 1.8, 2.1
"""The kurtosis E[w⁴] / E[w²]² of an initial, uniform matrix, and the least for a trained one."""


def adopt(
    directory: Path,
    *,
    student: str | None,
    teacher: str | None,
    key_scale: float | None,
    texts: Sequence[str],
    embedding_scales: Mapping[str, float] | None = None,
) -> Checkpoint:
    """Read a DSKD directory as a checkpoint.

    Args:
        directory: holds ``projector.pt`` and, unless the run trained projectors alone, the student.
        student: the student model, if it is elsewhere.
        teacher: the teacher model, if ``args.json`` is missing or names a path of another machine.
        key_scale: the number that keys were divided by; None to estimate it from simulated batches of ``texts``.
        texts: responses for that estimate.
        embedding_scales: by role the number that an embedding module multiplies rows by, if its type does not tell.

    Raises:
        CheckpointError: a file is missing, the query projector was not trained, or something does not fit the models.
        ProjectorError: a tensor does not fit the structures.
        TableError: a model or a configuration file cannot be read.
        MissingExtraError: torch, which reads ``projector.pt``, is not installed.
    """
    directory = directory.resolve()  # "." has no name and no parent to read settings from
    arguments = _arguments(directory)
    criterion = run_criterion(directory, arguments)
    if criterion is not None and criterion not in TRAINED_QUERY:
        raise _untrained(directory, f"criterion {criterion}, which saves an untrained, random one")
    known = embedding_scales or {}
    teacher = teacher or _named(arguments.get("teacher_model_path"), "teacher", directory)
    sides = {
        "student": _open(student or student_source(directory, arguments), known.get("student")),
        "teacher": _open(teacher, known.get("teacher")),
    }
    widths = sides["student"].table.width, sides["teacher"].table.width
    tensors = read_projector_file(directory / PROJECTORS)
    structures = projector_structures(directory, arguments, tensors)
    projectors = group_projectors(tensors, structures, *widths, str(directory / PROJECTORS))
    if QUERY not in projectors:
        raise _untrained(directory, f"only projectors {', '.join(projectors)}")
    if criterion is None:
        _check_trained(directory, projectors[QUERY])
    batches = Batches(run_batch_size(directory, arguments), int(arguments.get("max_length") or 512))
    estimated = key_scale is None
    scale = simulated_key_scale(sides["teacher"], texts, batches) if key_scale is None else key_scale
    return Checkpoint(
        name=directory.name,
        path=directory,
        method=_method(criterion, arguments),
        criterion=criterion or "unknown",
        steps=_steps(directory),
        student=_record(sides["student"]),
        teacher=_record(sides["teacher"]),
        scales=Scales(key=scale, key_is_estimate=estimated),
        prompt=PROMPT,
        projectors=projectors,
    )


def _arguments(directory: Path) -> Mapping[str, Any]:
    arguments = run_arguments(directory)
    if wrong := wrong_arguments(arguments):
        expected, got = "arguments of their types", "; ".join(wrong.values())
        raise CheckpointError(Problem(f"{directory}: {ARGUMENTS}", expected, got, f"Correct {ARGUMENTS}."))
    return arguments


def _method(criterion: str | None, arguments: Mapping[str, Any]) -> str:
    """Our name of the method; cma if it is unknown, because all these methods share its attention."""
    if criterion == CLA:
        return "cla"
    if criterion == MATCHING:
        # The published code uses a critic, unless conditional transport is chosen.
        return "cma-ct" if arguments.get("kq_adver_type") == "ct" else "cma-ga"
    return "cma"


def read_projector_file(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a ``projector.pt`` as float32; nothing in the file is executed.

    Raises:
        CheckpointError: the file is missing, malformed, or wants to run code.
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            Problem(str(path), "torch, to read PyTorch files", "no torch", "Run: pip install 'cma-probe[train]'.")
        ) from error
    remedy = "Save the state dict alone: torch.save(projectors.state_dict(), path)."
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        got = "a file that is damaged or would run code; it was refused and nothing was executed"
        raise CheckpointError(Problem(str(path), "a file of plain tensors", got, remedy)) from error
    # Broad, because torch has no error for damaged files: 3,000 damaged files raised six unrelated types.
    except Exception as error:
        got = str(error).partition("\n")[0]
        raise CheckpointError(Problem(str(path), "a file written by torch.save", got, remedy)) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        kinds = sorted({type(value).__name__ for value in loaded.values()}) if isinstance(loaded, Mapping) else []
        got = type(loaded).__name__ + (f" of {', '.join(kinds)}" if kinds else "")
        raise CheckpointError(Problem(str(path), "a flat dict of tensors", got, remedy))
    return {str(key): _plain(value, f"{path}: {key}") for key, value in cast(Mapping[str, Any], loaded).items()}


def _plain(tensor: Any, where: str) -> np.ndarray:
    """The values of a tensor of numbers.

    Raises:
        CheckpointError: it is sparse, quantised, complex or without values.
    """
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or not tensor.is_floating_point():
        got = f"{tensor.dtype} in the layout {tensor.layout}, on {tensor.device}".replace("torch.", "")
        remedy = "Save it in full: tensor.to_dense() or tensor.dequantize()."
        raise CheckpointError(Problem(where, "a dense tensor of floating-point numbers", got, remedy))
    return tensor.detach().float().numpy()  # parameters come out of `named_parameters()`: detach them


def student_source(directory: Path, arguments: Mapping[str, Any]) -> str:
    """Where the student is: in the directory, or the initial student if the run trained only projectors.

    Raises:
        CheckpointError: it is at neither place.
    """
    if any((directory / name).is_file() for name in ("config.json", ADAPTER)):
        return str(directory)
    # A run that trains only projectors saves no student; its student is the initial one.
    named = arguments.get("model_path") if arguments.get("only_save_projector") else None
    return _named(named, "student", directory)


def _named(path: str | None, role: str, directory: Path) -> str:
    if path and Path(path).exists():
        return path
    got = f"{path}, which is not on this machine" if path else f"no {ARGUMENTS} that names it"
    raise CheckpointError(
        Problem(str(directory), f"the directory of the {role}", got, f"Name it with {option(f'--{role}')}.")
    )


def projector_structures(
    directory: Path, arguments: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Structures of the enabled projectors: from a configuration, or the published ones if the tensors fit them.

    Raises:
        CheckpointError: the configuration is malformed, or it is missing and the tensors need it.
        TableError: it is not a JSON object.
    """
    named = arguments.get("projector_config_path")
    places = [directory / CONFIG, directory.parent / CONFIG, *([Path(named)] if named else [])]
    for place in places:
        if place.is_file():
            return _enabled(place)
    # In the published configuration each projector is one linear map; shapes are checked later.
    names = {key.partition(".")[0] for key in tensors}
    if names <= STRUCTURES.keys() and all(re.fullmatch(r"\w+\.0\.(weight|bias)", key) for key in tensors):
        return {name: STRUCTURES[name] for name in sorted(names)}
    keys = ", ".join(sorted(tensors))
    raise CheckpointError(
        Problem(
            str(directory), f"a {CONFIG} for the tensors {keys}", "none", "Copy that of the run into this directory."
        )
    )


def _enabled(path: Path) -> dict[str, str]:
    config = read_json(path)
    try:
        return {name: str(entry["structure"]) for name, entry in config.items() if entry["enabled"]}
    except (KeyError, TypeError) as error:
        expected = 'entries such as {"enabled": true, "structure": "2s-2t"}'
        raise CheckpointError(Problem(str(path), expected, str(config), "Copy the file from the run.")) from error


def _check_trained(directory: Path, query: Projector) -> None:
    kurtosis = weight_kurtosis(query)
    if kurtosis < TRAINED_KURTOSIS:
        ratio = f"kurtosis {kurtosis:.2f}; that of initial weights is {UNIFORM_KURTOSIS}"
        got = f"weights that are distributed as at initialisation ({ratio})"
        raise _untrained(directory, got)


def weight_kurtosis(query: Projector) -> float:
    """The kurtosis E[w⁴] / E[w²]² of the first weight matrix; it tells a trained query matrix from an initial one."""
    weight = next(value for key, value in query.tensors.items() if key.endswith("weight")).astype(np.float64)
    return float(np.mean(weight**4) / np.mean(weight**2) ** 2)


def _untrained(directory: Path, got: str) -> CheckpointError:
    return CheckpointError(
        Problem(
            str(directory), "a trained query projector", got, "Use a run whose criterion trains cross-model attention."
        )
    )


def _open(source: str, scale: float | None) -> OpenModel:
    found = resolve(source, Path.cwd())
    table: EmbeddingTable = open_table(found, scale=scale)
    tokenizer = tokenizer_of(found)
    return OpenModel(source, table, tokenizer, tokenizer.encode(PROMPT)[-1], tokenizer.dskd_eos_id)


def _record(model: OpenModel) -> ModelRecord:
    identity = model.table.identity()
    return ModelRecord(
        name=Path(model.source).name,
        revision=None,
        rows=identity.rows,
        width=identity.width,
        embedding_scale=model.table.scale,
        eos_id=model.eos_id,
        prompt_end_id=model.prompt_end_id,
        vocabulary_sha256=model.tokenizer.vocabulary_sha256(),
        sources=(VerifiedSource(model.source, identity.sha256),),
    )


def _steps(directory: Path) -> int | None:
    match = re.search(r"step([0-9]+)", directory.name)
    return int(match[1]) if match else None
