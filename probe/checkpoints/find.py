"""Find and open a checkpoint: a bundled name, a directory of this project or of DSKD, or a hub id."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from probe.checkpoints.checkpoint import TENSORS, Checkpoint, load_checkpoint
from probe.checkpoints.manifest import MANIFEST, is_ours
from probe.checkpoints.opened import OpenCheckpoint, open_checkpoint
from probe.errors import CheckpointError, Problem, option
from probe.models.sources import BUNDLED, bundled_dir, bundled_names
from probe.models.table_sources import find_source


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the user says about a checkpoint besides its name."""

    student: str | None = None
    teacher: str | None = None
    key_scale: float | None = None
    embedding_scales: Mapping[str, float] = field(default_factory=dict[str, float])
    """What the embedding modules of ``student`` and ``teacher`` multiply rows by, where their types do not tell."""


def find_checkpoint(named: str, overrides: Overrides = Overrides(), texts: Sequence[str] = ()) -> OpenCheckpoint:
    """Load and open a checkpoint.

    Args:
        named: a bundled name, a directory, or a hub id ``owner/name``.
        overrides: models to use instead of the sources of the checkpoint, and the key scale if it stores none.
        texts: responses for estimating the key scale of a DSKD directory.

    Raises:
        CheckpointError: there is no such checkpoint, or it is incomplete, untrained, or made for other models.

    Example:
        >>> import probe
        >>> opened = probe.find_checkpoint("demo")
        >>> opened.checkpoint.method, opened.student.source, opened.teacher.source
        ('cma', 'bundled:demo/student', 'bundled:demo/teacher')
    """
    return open_checkpoint(_load(named, overrides, texts), student=overrides.student, teacher=overrides.teacher)


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


def _load(named: str, overrides: Overrides, texts: Sequence[str]) -> Checkpoint:
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
            student=overrides.student,
            teacher=overrides.teacher,
            key_scale=overrides.key_scale,
            embedding_scales=overrides.embedding_scales,
            texts=texts,
        )
    elif re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@\S+)?", named):
        checkpoint = load_checkpoint(_from_hub(named))
    else:
        raise _unknown(named, "no such name or directory")
    if overrides.embedding_scales:
        given = ", ".join(f"{role}={scale:g}" for role, scale in overrides.embedding_scales.items())
        got = f"{named}, which stores {checkpoint.student.embedding_scale:g} and {checkpoint.teacher.embedding_scale:g}"
        remedy = "Leave it out."
        raise CheckpointError(
            Problem(f"{option('--embedding-scale')} {given}", "a checkpoint that stores no scale", got, remedy)
        )
    if overrides.key_scale is not None:
        raise CheckpointError(
            Problem(
                option("--key-scale", str(overrides.key_scale)),
                "a checkpoint that stores no key scale",
                f"{named}, which stores {checkpoint.scales.key:.4g}",
                "Leave it out.",
            )
        )
    return checkpoint


def _from_hub(named: str) -> Path:
    files = find_source(named, where=named, download=None)
    for name in (MANIFEST, TENSORS):
        path = files.fetch(name)
        if path is None:
            raise files.missing(name)
    return path.parent


def _holds_checkpoints(directory: Path) -> bool:
    from probe.checkpoints.dskd import is_dskd

    places = [directory, *directory.iterdir()] if directory.is_dir() else []
    return any(is_ours(place) or is_dskd(place) for place in places)


def _no_checkpoint(named: str, directory: Path) -> CheckpointError:
    """The error for a directory without a checkpoint; if it is that of a run, suggest its last checkpoint."""
    from probe.checkpoints.dskd import is_dskd

    inside = [one.name for one in directory.iterdir() if is_ours(one) or is_dskd(one)]
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
