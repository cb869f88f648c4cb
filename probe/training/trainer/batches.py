"""Rows of a corpus as batches of tensors, in an order that neither a resume nor the number of processes changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from probe.errors import Problem, TrainingError
from probe.training.criteria.links import Links, place_links
from probe.training.criteria.views import Positions, pad_as_published, response_positions
from probe.training.examples import Encoded, epoch_batches
from probe.training.teacher.states import TeacherStates


@dataclass(frozen=True)
class Rows:
    """Everything that is known of a corpus before training: tokens of both sides, and what is cached of the teacher."""

    student: Sequence[Encoded]
    teacher: Sequence[Encoded] | None = None
    states: TeacherStates | None = None
    expected: TeacherStates | None = None
    """Head rows that the teacher expects, with the entropy of its prediction as one more column."""
    links: Links | None = None
    padded: tuple[int, int, int] | None = None
    """In reference mode: length, and the pad ids of student and teacher."""


class Corpus(Dataset[int]):
    """Numbers of rows; `Collate` makes tensors of them."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index


class GlobalBatches(Sampler[int]):
    """Row after row, so that each run of ``batch_size`` rows is one optimizer step, whoever computes what of it.

    The order is a function of seed, epoch and batch size: shuffled, sorted by length within windows, shuffled again
    (see `probe.training.examples`). Rows that do not fill the last batch of an epoch wait for another epoch.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        if len(lengths) < batch_size:
            got = f"{len(lengths)} rows"
            raise TrainingError(Problem("data", f"at least one batch of {batch_size} rows", got, "Add rows."))
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths) // self.batch_size * self.batch_size

    def __iter__(self) -> Iterator[int]:
        for rows in epoch_batches(self.lengths, self.batch_size, self.seed, self.epoch):
            if len(rows) == self.batch_size:
                yield from rows


class Collate:
    """Tensors of a few rows, in one flat mapping that can be sent to a device."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __call__(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Pad and stack; keys are ``student_…`` and ``teacher_…`` with the fields of `Positions`, and the rest."""
        rows = self.rows
        found = self._side("student", [rows.student[n] for n in numbers])
        if rows.teacher is None:
            return found
        found |= self._side("teacher", [rows.teacher[n] for n in numbers])
        for name, cache in (("states", rows.states), ("expected", rows.expected)):
            if cache is not None:
                stacked = [torch.from_numpy(np.array(cache.of(n))) for n in numbers]
                found[name] = torch.nn.utils.rnn.pad_sequence(stacked, batch_first=True)
        if rows.links is not None:
            masks = found["student_mask"], found["teacher_mask"]
            found["links"] = place_links([rows.links(n) for n in numbers], *masks)
        return found

    def _side(self, name: str, examples: Sequence[Encoded]) -> dict[str, Tensor]:
        if self.rows.padded is None:
            positions = response_positions(examples)
        else:
            length, *pads = self.rows.padded
            positions = pad_as_published(examples, length=length, pad_id=pads[name == "teacher"])
        return {f"{name}_{key}": value for key, value in positions._asdict().items() if value is not None}


def positions_of(batch: dict[str, Any], side: str) -> Positions:
    """One side of a collated batch."""
    fields: dict[str, Any] = {key: batch.get(f"{side}_{key}") for key in Positions._fields}
    return Positions(**fields)
