"""The directory itself: what kind it is by its files, and which epoch of a run to explain."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.adopt import ARGUMENTS, PROJECTORS
from probe.checkpoint import MANIFEST
from probe.doctor.findings import Notes, Verdict

ADAPTER = "adapter_config.json"
_KNOWN_FILES = (MANIFEST, PROJECTORS, ARGUMENTS, "config.json", ADAPTER)
_SHOWN_FILES = 12


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch's directory, and what its name tells: ``epoch3_step1071_loss2.7312_rougel25.8114``."""

    path: Path
    number: int | None = None
    step: int | None = None
    loss: float | None = None
    rougel: float | None = None


def known_files(directory: Path) -> frozenset[str]:
    """Which of the files are there that tell what a directory is."""
    return frozenset(name for name in _KNOWN_FILES if (directory / name).is_file())


def is_checkpoint(directory: Path) -> bool:
    """Whether there is a model or there are projectors: something to examine."""
    return bool(known_files(directory) - {ARGUMENTS})


def find_epochs(run: Path) -> tuple[Epoch, ...]:
    """Epochs in the directory of a run, in the order of their steps."""
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
    """By ROUGE-L, as the released code keeps epochs; the loss may rise while it improves."""
    scored = [(epoch.rougel, epoch.step or 0, epoch.path) for epoch in epochs if epoch.rougel is not None]
    if scored:
        return max(scored)[2], "the best by ROUGE-L"
    return epochs[-1].path, "the latest"


def examine_files(directory: Path, notes: Notes) -> str:
    """Note what the directory holds, and tell its kind."""
    kind = _kind(directory)
    names = sorted(path.name for path in directory.iterdir())
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    facts = (kind, f"files: {', '.join(names[:_SHOWN_FILES])}{more}" if names else "it is empty")
    if is_checkpoint(directory):
        notes.add("directory", Verdict.OK, *facts)
    else:
        remedy = f"Name a directory that holds {PROJECTORS} or {MANIFEST}, or the one above such directories."
        notes.add("directory", Verdict.PROBLEM, *facts, remedy=remedy)
    return kind


def _kind(directory: Path) -> str:
    has = known_files(directory)
    if MANIFEST in has:
        return "a checkpoint in this project's format"
    if PROJECTORS in has:
        beside = "a LoRA student" if ADAPTER in has else "a student" if "config.json" in has else "no student"
        return f"an epoch of DSKD's: projectors and {beside}"
    if has - {ARGUMENTS}:
        return "a LoRA adapter without projectors" if ADAPTER in has else "a model without projectors"
    return "a run without epochs" if ARGUMENTS in has else "no checkpoint"
