"""The teacher's hidden states at response positions, computed once per corpus and memory-mapped afterwards."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from rich.progress import track

from probe.errors import Problem, TrainingError
from probe.files import replacing_file
from probe.training.data import Encoded

BATCH = 8


@dataclass(frozen=True)
class TeacherStates:
    """States after the final norm, all examples' response positions in a row, and where each example begins."""

    states: Float[np.ndarray, "positions width"]
    begins: tuple[int, ...]

    def of(self, example: int) -> Float[np.ndarray, "positions width"]:
        """States of one example, one for each of its targets."""
        return self.states[self.begins[example] : self.begins[example + 1]]


def teacher_states(teacher: Any, identity: str, examples: Sequence[Encoded], path: Path) -> TeacherStates:
    """Read the cache at ``path``, or run the teacher over all examples and write it.

    Args:
        teacher: a model whose output has ``last_hidden_state`` (the base model, without head).
        identity: names the teacher's weights; part of the key under which the cache is valid.
        examples: what to run it on.
        path: a ``.npy`` file; its key is stored beside it.

    Raises:
        TrainingError: the cache belongs to another teacher or to other data.
    """
    begins = tuple(np.cumsum([0, *(len(example.targets) for example in examples)]).tolist())
    ids = b"".join(np.append(e.ids, e.response_start).astype("<i8").tobytes() for e in examples)
    key = {"teacher": identity, "data": hashlib.sha256(ids).hexdigest()}
    key_file = path.with_suffix(".json")
    if path.is_file() and key_file.is_file():
        stored = json.loads(key_file.read_text(encoding="utf-8"))
        if stored != key:
            raise TrainingError(
                Problem(str(path), f"states of {key}", f"states of {stored}", "Delete the file, or name another.")
            )
        return TeacherStates(np.load(path, mmap_mode="r"), begins)
    with replacing_file(path) as temporary:
        _compute(teacher, examples, begins, temporary)
    with replacing_file(key_file) as temporary:
        temporary.write_text(json.dumps(key, indent=2) + "\n", encoding="utf-8")
    return TeacherStates(np.load(path, mmap_mode="r"), begins)


def _compute(teacher: Any, examples: Sequence[Encoded], begins: Sequence[int], path: Path) -> None:
    shape = (begins[-1], teacher.config.hidden_size)
    states: Shaped[np.ndarray, "positions width"] = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    groups = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    for group in track(groups, "Teacher states", disable=not sys.stderr.isatty()):
        longest = max(len(examples[i].ids) for i in group)
        ids = torch.zeros((len(group), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(group):
            ids[row, : len(examples[i].ids)] = torch.from_numpy(examples[i].ids)
            mask[row, : len(examples[i].ids)] = 1
        with torch.inference_mode():
            hidden = teacher(input_ids=ids, attention_mask=mask).last_hidden_state
        for row, i in enumerate(group):
            positions = slice(examples[i].response_start - 1, len(examples[i].ids) - 1)
            states[begins[i] : begins[i + 1]] = hidden[row, positions].float().numpy()
    states.flush()
