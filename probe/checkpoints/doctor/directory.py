"""Examine the directory: its kind, its arguments, and which epoch of a run to explain."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.checkpoints.doctor.findings import Notes, Verdict
from probe.checkpoints.dskd import (
    ARGUMENTS,
    PROJECTORS,
    TRAINED_QUERY,
    run_arguments,
    run_batch_size,
    run_criterion,
    wrong_arguments,
)
from probe.checkpoints.key_scale import Batches
from probe.checkpoints.manifest import MANIFEST
from probe.models.table_sources import ADAPTER, read_json


def examine_arguments(epoch: Path, notes: Notes) -> dict[str, Any]:
    """The arguments of the run, without those of a wrong type."""
    arguments = notes.attempt("arguments", lambda: run_arguments(epoch))
    if arguments is None:
        return {}
    if strange := wrong_arguments(arguments):
        notes.add("arguments", Verdict.PROBLEM, *strange.values(), remedy=f"Correct {ARGUMENTS}.")
    _note_writer(epoch, notes)
    return {key: value for key, value in arguments.items() if key not in strange}


def _note_writer(epoch: Path, notes: Notes) -> None:
    """Note whether training wrote the file, because an evaluation overwrites it."""
    place = next((place for place in (epoch, epoch.parent) if (place / ARGUMENTS).is_file()), None)
    if place is None:
        remedy = "Copy it from the directory of the run, or name both models."
        notes.add("arguments", Verdict.UNVERIFIED, f"no {ARGUMENTS}, here or in the directory above", remedy=remedy)
        return
    file = f"{ARGUMENTS} {'here' if place == epoch else 'in the directory above'}"
    if read_json(place / ARGUMENTS).get("do_train", True):
        notes.add("arguments", Verdict.OK, f"{file}, written by training")
    else:
        remedy = "The settings of training are read from the name of the directory instead."
        notes.add("arguments", Verdict.UNVERIFIED, f"an evaluation has overwritten {file}", remedy=remedy)


def examine_criterion(epoch: Path, arguments: Mapping[str, Any], notes: Notes) -> bool | None:
    """Whether the criterion trains the query projector; None if the criterion is unknown."""
    criterion = run_criterion(epoch, arguments)
    if criterion is None:
        notes.add("criterion", Verdict.UNVERIFIED, f"neither {ARGUMENTS} nor the path names the criterion")
        return None
    named = f"{criterion}, according to {ARGUMENTS if arguments.get('criterion') else 'the path'}"
    trains = criterion in TRAINED_QUERY
    if trains:
        notes.add("criterion", Verdict.OK, f"{named}: it trains the query projector")
    else:
        remedy = "There is no attention to probe. Use a run whose criterion trains cross-model attention."
        notes.add("criterion", Verdict.PROBLEM, f"{named}: it does not train the query projector", remedy=remedy)
    return trains


def examine_batches(epoch: Path, arguments: Mapping[str, Any], notes: Notes) -> Batches:
    """The shape of the batches over which the standard deviation of keys was taken."""
    batches = Batches(run_batch_size(epoch, arguments), int(arguments.get("max_length") or 512))
    from_path = re.search(r"__bsz=[0-9]+x", str(epoch))
    size = ARGUMENTS if arguments.get("batch_size") else "the path" if from_path else None
    length = ARGUMENTS if arguments.get("max_length") else None
    facts = [
        f"batch size {batches.size}, {f'from {size}' if size else 'assumed'}",
        f"max_length {batches.length}, {f'from {length}' if length else 'assumed'}",
    ]
    notes.add("batches", Verdict.OK if size and length else Verdict.UNVERIFIED, *facts)
    return batches


_KNOWN_FILES = (MANIFEST, PROJECTORS, ARGUMENTS, "config.json", ADAPTER)
_SHOWN_FILES = 12


@dataclass(frozen=True, slots=True)
class Epoch:
    """The directory of an epoch, and what its name says: ``epoch3_step1071_loss2.7312_rougel25.8114``."""

    path: Path
    number: int | None = None
    step: int | None = None
    loss: float | None = None
    rougel: float | None = None


def known_files(directory: Path) -> frozenset[str]:
    """The files in the directory that show its kind."""
    return frozenset(name for name in _KNOWN_FILES if (directory / name).is_file())


def is_checkpoint(directory: Path) -> bool:
    """Whether the directory has a model or projectors to examine."""
    return bool(known_files(directory) - {ARGUMENTS})


def find_epochs(run: Path) -> tuple[Epoch, ...]:
    """The epochs in the directory of a run, in the order of their steps."""
    found = [epoch for path in sorted(run.iterdir()) if path.is_dir() and (epoch := _epoch(path))]
    return tuple(sorted(found, key=lambda epoch: (epoch.step or 0, epoch.number or 0)))


def _epoch(path: Path) -> Epoch | None:
    match = re.fullmatch(r"epoch(\d+)(?:_step(\d+))?(?:_loss([\d.]+|nan|inf))?(?:_rougel([\d.]+))?", path.name)
    if match is None:
        return Epoch(path) if (path / PROJECTORS).is_file() else None
    number, step, loss, rougel = match.groups()
    return Epoch(path, int(number), int(step) if step else None, _number(loss), _number(rougel))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # "1.2.3"
        return None


def choose(epochs: Sequence[Epoch]) -> tuple[Path, str]:
    """Choose the best epoch by ROUGE-L, as the released code does, else the latest; say why."""
    scored = [(epoch.rougel, epoch.step or 0, epoch.path) for epoch in epochs if epoch.rougel is not None]
    if scored:
        return max(scored)[2], "the best by ROUGE-L"
    return epochs[-1].path, "the latest"


def examine_files(directory: Path, notes: Notes) -> str:
    """Note the files of the directory, and return its kind."""
    kind = _kind(directory)
    names = sorted(path.name for path in directory.iterdir())
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    facts = (kind, f"files: {', '.join(names[:_SHOWN_FILES])}{more}" if names else "the directory is empty")
    if is_checkpoint(directory):
        notes.add("directory", Verdict.OK, *facts)
    else:
        remedy = f"Name a directory with {PROJECTORS} or {MANIFEST}, or a run that has such directories."
        notes.add("directory", Verdict.PROBLEM, *facts, remedy=remedy)
    return kind


def _kind(directory: Path) -> str:
    has = known_files(directory)
    if MANIFEST in has:
        return "a checkpoint in this project's format"
    if PROJECTORS in has:
        beside = "a LoRA student" if ADAPTER in has else "a student" if "config.json" in has else "no student"
        return f"an epoch of DSKD: projectors and {beside}"
    if has - {ARGUMENTS}:
        return "a LoRA adapter without projectors" if ADAPTER in has else "a model without projectors"
    return "a run without epochs" if ARGUMENTS in has else "no checkpoint"
