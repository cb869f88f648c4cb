"""Learn a query projector from two embedding tables: rows to batches, batches to the loss."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.attention import attention_logits, bigrams
from probe.models.embeddings import EmbeddingTable
from probe.projectors import QUERY, Projector
from probe.training.attention.objectives import forward_sum, overlap
from probe.training.attention.rows import Row
from probe.training.attention.whitening import Whitening, folded, none, whitening
from probe.training.attention_recipe import AttentionRecipe
from probe.training.criteria.projectors import Projectors
from probe.training.examples import batches
from probe.training.progress import Progress
from probe.training.projector_loop import LoopSettings, Loss, optimise

LOOP = {field.name for field in fields(LoopSettings)} - {"seed"}
"""The keys of a recipe that the loop is told."""
SAMPLE = 1 << 14
"""Tokens of the training texts from which means and covariances are estimated."""


@dataclass(frozen=True)
class Side:
    """A table, and the map that whitens it."""

    table: EmbeddingTable
    whitening: Whitening

    def bigrams(self, ids: Int[np.ndarray, "batch positions_and_one"]) -> Float[Tensor, "batch positions two_widths"]:
        """Whitened embeddings of input and target of each position; each distinct token is read once."""
        distinct, which = np.unique(ids, return_inverse=True)
        rows = (self.table.take(distinct) - self.whitening.mean) @ self.whitening.matrix
        embedded = torch.from_numpy(rows)[torch.from_numpy(which.reshape(ids.shape))]
        return bigrams(embedded[:, :-1], embedded[:, 1:])


class Batch(NamedTuple):
    """Texts padded at the end: bigrams of both sides, the pairs of positions that exist, and links."""

    student: Float[Tensor, "batch student two_student_widths"]
    teacher: Float[Tensor, "batch teacher two_teacher_widths"]
    inside: Bool[Tensor, "batch student teacher"]
    links: Bool[Tensor, "batch student teacher"]


@dataclass(frozen=True)
class Learning:
    """A run before its first step."""

    recipe: AttentionRecipe
    rows: Sequence[Row]
    student: Side
    teacher: Side
    key_scale: float
    """Standard deviation of the keys over the training texts; checkpoints divide keys by it."""

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Gather and pad the given rows."""
        rows = [self.rows[number] for number in numbers]
        ids = _padded([row.student for row in rows]), _padded([row.teacher for row in rows])
        links = np.zeros((len(rows), ids[0].shape[1] - 1, ids[1].shape[1] - 1), dtype=bool)
        inside = links.copy()
        for n, row in enumerate(rows):
            links[n, : row.links.shape[0], : row.links.shape[1]] = row.links
            inside[n, : row.links.shape[0], : row.links.shape[1]] = True
        sides = self.student.bigrams(ids[0]), self.teacher.bigrams(ids[1])
        return Batch(*sides, torch.from_numpy(inside), torch.from_numpy(links))

    def loss(self, query: Projector, batch: Batch, done: float) -> Float[Tensor, ""]:
        """The objective, in nats a token; ``done`` is the share of steps that are taken."""
        logits = attention_logits(query, batch.student, batch.teacher, key_scale=1.0)
        part = self.recipe.attention
        if part.objective == "overlap":
            return overlap(logits, batch.inside, batch.links)
        prior = part.diagonal_prior * max(0.0, 1.0 - 2.0 * done)
        return forward_sum(logits, batch.inside, scale=part.scale, prior=prior)

    def saved(self, query: Projector) -> Projector:
        """The projector as a checkpoint holds it, for embeddings as they are."""
        return folded(query, self.student.whitening, self.teacher.whitening, self.key_scale)


def prepare(recipe: AttentionRecipe, rows: Sequence[Row], tables: tuple[EmbeddingTable, EmbeddingTable]) -> Learning:
    """Estimate what whitens both tables, and the key scale, on tokens of the training texts."""
    ids = [row.student for row in rows], [row.teacher for row in rows]
    part = recipe.attention
    # What relu takes is not bilinear, so a query that begins with it learns from embeddings as they are.
    student = _whitening(tables[0], ids[0], recipe.seed, whiten=part.whiten and part.structure[:7] != "2s-relu")
    teacher = _whitening(tables[1], ids[1], recipe.seed, whiten=part.whiten)
    # Keys have no bias, so their mean stays in them.
    teacher = teacher._replace(mean=np.zeros_like(teacher.mean))
    key_scale = _key_scale(tables[1], ids[1])
    if not part.whiten:
        teacher = teacher._replace(matrix=teacher.matrix / np.float32(key_scale))
    return Learning(recipe, rows, Side(tables[0], student), Side(tables[1], teacher), key_scale)


def learn(learning: Learning, directory: Path, *, every: int) -> Iterator[tuple[int, Projector]]:
    """Train, and pause before the first step, after every so many, and after the last. A killed run goes on.

    Yields:
        Steps taken, and the projector as a checkpoint holds it.

    Raises:
        TrainingError: the loss is not finite, or the state in the directory belongs to other settings.
    """
    recipe = learning.recipe
    settings = LoopSettings(**recipe.training.model_dump(include=LOOP), seed=recipe.seed)
    projectors = Projectors(
        {QUERY: recipe.attention.structure},
        student=learning.student.table.width,
        teacher=learning.teacher.table.width,
        seed=recipe.seed,
    )

    def loss_of(step: tuple[int, Sequence[int]]) -> Loss:
        batch = learning.batch(step[1])
        loss = learning.loss(projectors[QUERY], batch, step[0] / settings.steps)
        return Loss(loss, {"loss": round(float(loss.detach()), 4), "targets": int(batch.inside.any(-1).sum())})

    order = batches([row.links.shape[0] for row in learning.rows], settings.batch_size, settings.seed)
    progress = Progress(directory, recipe.model_dump(mode="json"))
    title = recipe.attention.objective
    for step in optimise(projectors, order, loss_of, settings, progress, every=every, title=title):
        yield step, learning.saved(projectors.to_numpy()[QUERY])


def _whitening(table: EmbeddingTable, ids: Sequence[Int[np.ndarray, " _"]], seed: int, *, whiten: bool) -> Whitening:
    if not whiten:
        return none(table.width)
    distinct = np.unique(np.concatenate(ids))
    if len(distinct) > SAMPLE:
        distinct = np.sort(np.random.default_rng((seed, 3)).choice(distinct, SAMPLE, replace=False))
    return whitening(table.take(distinct))


def _key_scale(table: EmbeddingTable, ids: Sequence[Int[np.ndarray, " _"]]) -> float:
    """The deviation over all elements of the keys, as training with the full objective estimates it."""
    distinct, counts = np.unique(
        np.concatenate([part for one in ids for part in (one[:-1], one[1:])]), return_counts=True
    )
    weights = counts / counts.sum()
    mean = square = 0.0
    for begin in range(0, len(distinct), SAMPLE):
        rows = table.take(distinct[begin : begin + SAMPLE]).astype(np.float64)
        mean += float(weights[begin : begin + SAMPLE] @ rows.mean(axis=1))
        square += float(weights[begin : begin + SAMPLE] @ np.square(rows).mean(axis=1))
    return math.sqrt(square - mean**2)


def _padded(ids: Sequence[Int[np.ndarray, " _"]]) -> Int[np.ndarray, "batch longest"]:
    """Rows of one length; the padding repeats the last token, and no position of it exists."""
    longest = max(map(len, ids))
    return np.stack([np.pad(one, (0, longest - len(one)), mode="edge") for one in ids])
