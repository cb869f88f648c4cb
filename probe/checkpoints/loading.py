"""Find and open a checkpoint: a bundled name, a directory of this project or of DSKD, or a hub id."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.checkpoints.checkpoint import STUDENT, TENSORS, Checkpoint, load_checkpoint
from probe.checkpoints.manifest import MANIFEST, is_ours
from probe.checkpoints.opened import OpenCheckpoint, open_checkpoint
from probe.errors import ArgumentError, CheckpointError, Problem, option
from probe.gold.pairs import read_pairs
from probe.models.embeddings import fetch_model
from probe.models.sources import BUNDLED, bundled_dir, bundled_names
from probe.models.table_sources import ADAPTER, Folder, find_source


def load(
    named: str | Path = "demo",
    *,
    student: str | None = None,
    teacher: str | None = None,
    key_scale: float | None = None,
    embedding_scales: Mapping[str, float] | None = None,
    texts: Sequence[str] | None = None,
) -> OpenCheckpoint:
    """Open a checkpoint with both of its models.

    Args:
        named: a bundled name, a directory of this project or of DSKD, or a hub id ``owner/name``.
        student: a model to use instead of the sources of the checkpoint.
        teacher: likewise.
        key_scale: the number that keys are divided by, for DSKD directories, which do not store it; default: an
            estimate from ``texts``.
        embedding_scales: for such directories, by role (``student``, ``teacher``) the number that an embedding module
            multiplies rows by, where the model type does not tell.
        texts: responses for that estimate; default: those of the bundled gold file.

    Raises:
        CheckpointError: there is no such checkpoint, or it is incomplete, untrained, or made for other models.

    Example:
        >>> import probe
        >>> probe.load("demo")
        <OpenCheckpoint demo: cma, bundled:demo/student ← bundled:demo/teacher>
    """
    if not isinstance(named, str | Path):
        raise ArgumentError.of("load", "the name or directory of a checkpoint", named, 'Write load("demo").')
    adopting = _Adopting(student, teacher, key_scale, embedding_scales or {}, texts)
    return open_checkpoint(_load(str(named), adopting), student=student, teacher=teacher)


@dataclass(frozen=True, slots=True)
class _Adopting:
    """What a DSKD directory does not say by itself."""

    student: str | None
    teacher: str | None
    key_scale: float | None
    embedding_scales: Mapping[str, float]
    texts: Sequence[str] | None


def bundled_checkpoint(named: str) -> Path | None:
    """The directory of a bundled checkpoint, named as ``demo`` or ``bundled:demo``; None for any other name.

    Raises:
        CheckpointError: a directory here holds checkpoints and has the same name, so that nobody knows which is meant.
    """
    if named in bundled_names() and _holds_checkpoints(Path(named)):
        got = f"the bundled {named} and the directory {Path(named).absolute()}"
        remedy = f"Name {BUNDLED}{named}, or ./{named}."
        raise CheckpointError(Problem(named, "one checkpoint of this name", got, remedy))
    name = named.removeprefix(BUNDLED)
    return bundled_dir() / name if name in bundled_names() else None


def _load(named: str, adopting: _Adopting) -> Checkpoint:
    directory = Path(named)
    if (bundled := bundled_checkpoint(named)) is not None:
        checkpoint = load_checkpoint(bundled)
    elif is_ours(directory):
        checkpoint = load_checkpoint(directory)
    elif directory.is_dir():
        from probe.checkpoints.adopt import adopt
        from probe.checkpoints.dskd import is_dskd

        if not is_dskd(directory):
            raise _no_checkpoint(named, directory)
        return adopt(
            directory,
            student=adopting.student,
            teacher=adopting.teacher,
            key_scale=adopting.key_scale,
            embedding_scales=adopting.embedding_scales,
            texts=_bundled_texts() if adopting.texts is None else adopting.texts,
        )
    elif re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@\S+)?", named):
        checkpoint = _from_hub(named)
    else:
        raise _unknown(named, "no such name or directory")
    if adopting.embedding_scales:
        given = ", ".join(f"{role}={scale:g}" for role, scale in adopting.embedding_scales.items())
        got = f"{named}, which stores {checkpoint.student.embedding_scale:g} and {checkpoint.teacher.embedding_scale:g}"
        remedy = "Leave it out."
        raise CheckpointError(
            Problem(f"{option('--embedding-scale')} {given}", "a checkpoint that stores no scale", got, remedy)
        )
    if adopting.key_scale is not None:
        raise CheckpointError(
            Problem(
                option("--key-scale", str(adopting.key_scale)),
                "a checkpoint that stores no key scale",
                f"{named}, which stores {checkpoint.scales.key:.4g}",
                "Leave it out.",
            )
        )
    return checkpoint


def _bundled_texts() -> list[str]:
    return [row.text for row in read_pairs()]


def _from_hub(named: str) -> Checkpoint:
    """A checkpoint of this project on the hub, and what of its models lies beside it."""
    files = find_source(named, where=named, download=None)
    for name in (MANIFEST, TENSORS):
        path = files.fetch(name)
        if path is None:
            raise files.missing(name)
    checkpoint = load_checkpoint(path.parent)
    beside = {one.source for model in (checkpoint.student, checkpoint.teacher) for one in model.sources}
    if STUDENT in beside:
        fetch_model(Folder(files, STUDENT))
    return checkpoint


def _holds_checkpoints(directory: Path) -> bool:
    from probe.checkpoints.dskd import is_dskd

    places = [directory, *directory.iterdir()] if directory.is_dir() else []
    return any(is_ours(place) or is_dskd(place) for place in places)


def _no_checkpoint(named: str, directory: Path) -> CheckpointError:
    """The error for a directory without a checkpoint; if it is that of a run, suggest its last checkpoint."""
    from probe.checkpoints.dskd import is_dskd, without_projectors

    inside = [one.name for one in directory.iterdir() if is_ours(one) or is_dskd(one)]
    if not inside and ((directory / "config.json").is_file() or (directory / ADAPTER).is_file()):
        return CheckpointError(Problem(named, f"{MANIFEST} or projector.pt", *without_projectors(directory)))
    if not inside:
        return _unknown(named, f"a directory with neither {MANIFEST} nor projector.pt")
    last = max(inside, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
    held = "a directory with 1 checkpoint" if len(inside) == 1 else f"a directory with {len(inside)} checkpoints"
    return CheckpointError(Problem(named, "one checkpoint", held, f"Did you mean {directory / last}?"))


def _unknown(named: str, got: str) -> CheckpointError:
    names = bundled_names()
    close = difflib.get_close_matches(named, names, n=1)
    if close:
        return CheckpointError(Problem(named, "a checkpoint", got, f"Did you mean {close[0]}?"))
    remedy = "Run `probe-models` to see the bundled names."
    return CheckpointError(Problem(named, f"a checkpoint: {', '.join(names)}, a directory, or a hub id", got, remedy))
