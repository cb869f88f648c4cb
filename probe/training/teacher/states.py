"""What a frozen teacher has to say of a corpus: computed once, memory-mapped afterwards, and its scales.

Arrays grow in place beside a note of how far they are, so that a killed pass goes on. They are keyed by a digest of the
teacher's weights and the token ids: other data or another teacher are refused, never mixed.

Scales are constants, estimated once on the training set. The published code divides by one standard deviation over each
padded batch, prompt and pads included, so that a sentence's attention depends on its batch mates. A constant does not,
and can be stored in the checkpoint.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track
from torch import Tensor

from probe.checkpoints.checkpoint import Scales
from probe.errors import OutputError, Problem, TrainingError
from probe.models.digests import remembered
from probe.output.files import replacing_file, sweep
from probe.output.provenance import file_sha256
from probe.output.reading import Wanted, read_object
from probe.training.examples import Encoded

BATCH = 8
SHA256 = "sha256"
"""Under which an array's digest stands beside its key."""
NOTE_EVERY = 16
"""Blocks between two notes of how far a pass is."""

_NOTE = Wanted("what a cache belongs to", "Delete the file.", TrainingError)
Fill = Callable[[Any, Sequence[int]], None]


@dataclass(frozen=True)
class TeacherStates:
    """Rows for all examples' response positions, one after another, and where each example begins.

    What a row holds depends on the pass that made it; here, states after the final norm.
    """

    states: Float[np.ndarray, "positions width"]
    begins: tuple[int, ...]

    def of(self, example: int) -> Float[np.ndarray, "positions width"]:
        """Rows of one example, one for each of its targets."""
        return self.states[self.begins[example] : self.begins[example + 1]]


def teacher_states(teacher: Any, identity: str, examples: Sequence[Encoded], path: Path) -> TeacherStates:
    """Read the cache at ``path``, or run the teacher over all examples and write it; a killed pass goes on.

    Args:
        teacher: a model whose output has ``last_hidden_state`` (the base model, without head), and its ``device``.
        identity: names the teacher's weights; part of the key under which the cache is valid.
        examples: what to run it on.
        path: a ``.npy`` file; its key is stored beside it.

    A file that is not as it was written, cut for one, is made again.

    Raises:
        TrainingError: the cache belongs to another teacher or to other data.
    """
    begins = beginnings(examples)

    def fill(array: Any, group: Sequence[int]) -> None:
        longest = max(len(examples[i].ids) for i in group)
        ids = torch.zeros((len(group), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(group):
            ids[row, : len(examples[i].ids)] = torch.from_numpy(examples[i].ids)
            mask[row, : len(examples[i].ids)] = 1
        with torch.inference_mode():
            hidden = teacher(input_ids=ids.to(teacher.device), attention_mask=mask.to(teacher.device)).last_hidden_state
        for row, i in enumerate(group):
            positions = slice(examples[i].response_start - 1, len(examples[i].ids) - 1)
            array[begins[i] : begins[i + 1]] = hidden[row, positions].float().cpu().numpy()

    key = {"teacher": identity, "data": token_digest(examples)}
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    groups = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    width = getattr(getattr(teacher, "config", None), "hidden_size", 0)  # not needed where the cache is whole
    return TeacherStates(_pass(path, key, (begins[-1], width), groups, fill, "Teacher states"), begins)


def teacher_expectations(
    states: TeacherStates, head: Float[Tensor, "vocabulary width"], temperature: float, identity: str, path: Path
) -> TeacherStates:
    """The head row that the teacher expects at each position, and as one more column the entropy of its prediction.

    See `probe.training.criteria.teacher_space`. Cached as `teacher_states` are.

    Raises:
        TrainingError: the cache belongs to other states or another temperature.
    """
    from probe.training.criteria.logits import Workspace
    from probe.training.criteria.teacher_space import expectations

    workspace = Workspace()
    count, width = states.states.shape
    blocks = [[i, min(i + 1024, count)] for i in range(0, count, 1024)]

    def fill(array: Any, block: Sequence[int]) -> None:
        rows = slice(block[0], block[1])
        some = torch.from_numpy(np.array(states.states[rows])).to(head.device)
        found = expectations(some, head, temperature, workspace)
        array[rows] = torch.cat([found.rows, found.entropies[:, None]], dim=1).cpu().numpy()

    key = {"teacher": identity, "temperature": temperature}
    array = _pass(path, key, (count, width + 1), blocks, fill, "Teacher expectations")
    return TeacherStates(array, states.begins)


def beginnings(examples: Sequence[Encoded]) -> tuple[int, ...]:
    """Where each example's response positions begin among all, and where the last one ends."""
    return tuple(np.cumsum([0, *(len(example.targets) for example in examples)]).tolist())


def token_digest(examples: Sequence[Encoded]) -> str:
    """SHA-256 of the token ids and of where responses begin."""
    ids = b"".join(np.append(e.ids, e.response_start).astype("<i8").tobytes() for e in examples)
    return hashlib.sha256(ids).hexdigest()


def _pass(
    path: Path,
    key: dict[str, Any],
    shape: tuple[int, int],
    blocks: Sequence[Sequence[int]],
    fill: Fill,
    title: str,
) -> Float[np.ndarray, "positions width"]:
    """Read an array, or make it; of several runs that want the same one, the first makes it and the others wait."""
    with FileLock(path.with_suffix(".lock")):
        sweep(path.parent, path.with_suffix(".json").name, path.with_suffix(".partial.json").name)
        stored = _note(path.with_suffix(".json"))
        if path.is_file() and stored is not None:
            sha256 = stored.pop(SHA256, None)
            _check(path, key, stored)
            if sha256 != _sha256(path):
                stored = None
        if path.is_file() and stored is None:
            print(f"{path}: not as it was written; made again", file=sys.stderr)
            path.unlink()
        if not path.is_file():
            _make(path, key, shape, blocks, fill, title)
        return np.load(path, mmap_mode="r")


def _sha256(path: Path) -> str:
    return remembered(path, "file", lambda: file_sha256(path))


def _note(path: Path) -> dict[str, Any] | None:
    """What is noted of an array; None where nothing is, or nothing that can be read."""
    try:
        return read_object(path, _NOTE)
    except TrainingError:
        return None


def _make(
    path: Path, key: dict[str, Any], shape: tuple[int, int], blocks: Sequence[Sequence[int]], fill: Fill, title: str
) -> None:
    partial = path.with_suffix(".partial.npy")
    note = partial.with_suffix(".json")
    stored = _note(note)
    done = 0
    if stored is not None and _has_shape(partial, shape):
        done = int(stored.pop("done", 0))
        stored.pop(SHA256, None)
        _check(partial, key, stored)
    if not done:
        note.unlink(missing_ok=True)  # of an earlier pass
    array = _open(partial, "r+" if done else "w+", shape)
    for number, block in enumerate(track(blocks, title, console=Console(stderr=True), disable=not sys.stderr.isatty())):
        if number >= done:
            fill(array, block)
            if number % NOTE_EVERY == NOTE_EVERY - 1:
                array.flush()
                _write_json(note, key | {"done": number + 1})
    array.flush()
    _write_json(path.with_suffix(".json"), key | {SHA256: file_sha256(partial)})
    partial.replace(path)
    note.unlink(missing_ok=True)


def _has_shape(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a file holds an array of this shape, whole: mapped for writing, a cut one would be filled with zeros."""
    try:
        return np.load(path, mmap_mode="r").shape == shape
    except (OSError, ValueError, EOFError):
        return False


def _open(path: Path, mode: Literal["r+", "w+"], shape: tuple[int, int]) -> Any:
    """Map the file. A map that finds the disk full ends the process with a signal, so its room is taken before."""
    try:
        array: Any = np.lib.format.open_memmap(path, mode, np.float32, shape)
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        remedy = "Make room, or set PROBE_CACHE to another directory."
        raise OutputError(Problem(str(path), "room for the teacher's states", str(error), remedy)) from error
    return array


def _check(path: Path, key: dict[str, Any], stored: dict[str, Any]) -> None:
    if stored != key:
        raise TrainingError(
            Problem(str(path), f"a cache of {key}", f"a cache of {stored}", "Delete the file, or name another.")
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


Embed = Callable[[Int[np.ndarray, " positions"]], Float[np.ndarray, "positions width"]]


class _Moments:
    """Standard deviation over all elements of arrays that come one after another."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, values: Float[np.ndarray, "positions width"]) -> None:
        self.count += values.size
        self.total += float(values.sum(dtype=np.float64))
        self.squares += float(np.square(values, dtype=np.float64).sum())

    def std(self) -> float:
        mean = self.total / self.count
        return float(np.sqrt((self.squares - self.count * mean**2) / (self.count - 1)))


def estimate_scales(
    examples: Iterable[Encoded],
    embed: Embed,
    states: Iterable[Float[np.ndarray, "_ width"]],
) -> Scales:
    """Standard deviations of keys, hidden states and target embeddings over the teacher's response positions."""
    key, target, hidden = _Moments(), _Moments(), _Moments()
    for example, state in zip(examples, states, strict=True):
        inputs, targets = embed(example.inputs), embed(example.targets)
        key.add(inputs)  # a key is [input; target]; the deviation over all elements needs no concatenation
        key.add(targets)
        target.add(targets)
        hidden.add(state)
    return Scales(key=key.std(), hidden=hidden.std(), target=target.std())
