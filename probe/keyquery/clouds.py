"""Clouds: the queries and the scaled keys at all response positions of many texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.attention import Logits, scaled_products
from probe.checkpoints.opened import OpenCheckpoint, Sides
from probe.projectors import Projector, project


@dataclass(frozen=True)
class Cloud:
    """One point for each response position, text after text."""

    points: Float[np.ndarray, "tokens width"]
    sentence: Int[np.ndarray, " tokens"]
    """Number of the text that a point comes from."""
    eos: Bool[np.ndarray, " tokens"]
    """Whether the target is end of sequence."""
    bigram: Int[np.ndarray, " tokens"]
    """Within a text, points of equal number are of equal bigrams and are equal."""

    def moved(self, points: Float[np.ndarray, "tokens other_width"]) -> "Cloud":
        """The same tokens at other points."""
        return replace(self, points=points)

    def of(self, number: int) -> slice:
        """Where the points of a text lie."""
        begin, end = np.searchsorted(self.sentence, [number, number + 1])
        return slice(int(begin), int(end))


@dataclass(frozen=True)
class Clouds:
    """Queries and keys of the same texts."""

    queries: Cloud
    keys: Cloud

    @property
    def sentences(self) -> int:
        """Number of texts."""
        return int(self.keys.sentence[-1]) + 1


def collect(open_: OpenCheckpoint, sides: Sequence[Sides], projectors: Sequence[Projector]) -> list[Clouds]:
    """Queries under each projector, and the keys, which are the same for all.

    Args:
        open_: the checkpoint; its tables are read and its key scale divides the keys.
        sides: each text, cut by both tokenizers; at least one.
        projectors: the trained query projector, untrained ones, or any other of these widths.
    """
    students = [open_.student.bigrams(student) for student, _ in sides]
    teachers = [open_.teacher.bigrams(teacher) for _, teacher in sides]
    scale = np.float32(open_.checkpoint.scales.key)
    keys = _cloud([which for which, _ in teachers], [distinct / scale for _, distinct in teachers])
    rows = [which for which, _ in students]
    return [
        Clouds(_cloud(rows, [project(projector, distinct) for _, distinct in students]), keys)
        for projector in projectors
    ]


def _cloud(which: Sequence[np.ndarray], distinct: Sequence[np.ndarray]) -> Cloud:
    sizes = [len(rows) for rows in which]
    ends = np.cumsum(sizes)
    eos = np.zeros(ends[-1], dtype=bool)
    eos[ends - 1] = True
    points = np.concatenate([text[rows] for rows, text in zip(which, distinct, strict=True)])
    return Cloud(points, np.repeat(np.arange(len(sizes)), sizes), eos, np.concatenate(which))


def text_logits(clouds: Clouds, number: int) -> Logits:
    """q_i · k_j / sqrt(width) of one text. Equal bigrams are multiplied once, so that ties stay ties."""
    (queries, rows), (keys, columns) = (_distinct(cloud, number) for cloud in (clouds.queries, clouds.keys))
    return scaled_products(queries, keys)[rows][:, columns]


def _distinct(cloud: Cloud, number: int) -> tuple[np.ndarray, np.ndarray]:
    place = cloud.of(number)
    _, first, which = np.unique(cloud.bigram[place], return_index=True, return_inverse=True)
    return cloud.points[place][first], which.reshape(-1)
