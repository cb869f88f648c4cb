"""The cross-model attention of a checkpoint, for any sentence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from probe.attention import CrossModelAttention, Logits, bigrams, cross_model_attention, query_logits, softmax
from probe.checkpoints.checkpoint import Checkpoint
from probe.checkpoints.open_model import OpenModel, open_model
from probe.checkpoints.queries import MEAN, Queries
from probe.errors import ArgumentError, CheckpointError, Problem
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap, MapRows, token_range
from probe.projectors import Projector, initial_tensors, project
from probe.tokens import TokenizedText

BLOCK = 1 << 22
"""Cells of a map that are made at once where only some of its rows are kept."""

Sides = tuple[TokenizedText, TokenizedText]


class Sentence(NamedTuple):
    """The distinct pairs of tokens of a sentence, which its queries and keys are made of."""

    rows: Int[np.ndarray, " student_targets"]
    """The number of the pair of each student target."""
    pairs: Int[np.ndarray, "distinct_queries 2"]
    """Input and target, as ids."""
    columns: Int[np.ndarray, " teacher_targets"]
    keys: Float[np.ndarray, "distinct_keys two_teacher_widths"]
    """Not yet divided by their scale."""

    @property
    def halves(self) -> "Iterator[Sentence]":
        """With the mean in the place of each target, then with the mean in the place of each input."""
        for kept in (0, 1):
            ids, which = np.unique(self.pairs[:, kept], return_inverse=True)
            pairs = np.full((len(ids), 2), MEAN)
            pairs[:, kept] = ids
            yield self._replace(rows=which[self.rows], pairs=pairs)


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint with both of its models open.

    Example:
        >>> import probe
        >>> opened = probe.load("demo")
        >>> student, teacher = opened.tokenize("Return the maximum.")
        >>> student.display()
        ('Return', '␣the', '␣m', 'ax', 'im', 'um', '.')
        >>> teacher.display()
        ('Return', '␣the', '␣maximum', '.')
        >>> opened.map("Return the maximum.").weights.shape  # with a row and a column for end of sequence
        (8, 5)
    """

    checkpoint: Checkpoint
    student: OpenModel
    teacher: OpenModel

    def __repr__(self) -> str:
        """Its name, its method and its two models."""
        named = f"{self.checkpoint.name}: {self.checkpoint.method}"
        return f"<OpenCheckpoint {named}, {self.student.source} ← {self.teacher.source}>"

    def tokenize(self, text: str) -> Sides:
        """A sentence in the tokens of both models.

        Raises:
            ArgumentError: it is no text.
        """
        if not isinstance(text, str):
            raise ArgumentError.of("tokenize", "a text", text, 'Write tokenize("The cat sat.").')
        return self.student.tokenizer.tokenize(text), self.teacher.tokenizer.tokenize(text)

    def attend(self, student: TokenizedText, teacher: TokenizedText, query: Projector) -> CrossModelAttention:
        """The attention of one sentence, with the end of sequence, for a query projector."""
        return cross_model_attention(self.logits(student, teacher, query))

    def logits(self, student: TokenizedText, teacher: TokenizedText, query: Projector) -> Logits:
        """What its attention is made of.

        Equal pairs of tokens are computed only once. They must have exactly equal weights, which a matrix product does
        not guarantee. Otherwise, rounding would tell repeated tokens apart.
        """
        queries = Queries.of(self.student, query, [student])
        sentence = self.sentence(student, teacher)
        return self.logits_of(sentence, queries(sentence.pairs))

    def sentence(self, student: TokenizedText, teacher: TokenizedText) -> Sentence:
        """What the logits of all queries on one sentence need."""
        rows, pairs = self.student.pairs(student)
        columns, keys = self.teacher.pairs(teacher)
        inputs, targets = (self.teacher.finite_rows(half) for half in keys.T)
        return Sentence(rows, pairs, columns, bigrams(inputs, targets))

    def logits_of(
        self, sentence: Sentence, queries: Float[np.ndarray, "distinct_queries two_teacher_widths"]
    ) -> Logits:
        """The logits of the queries of a sentence's distinct pairs, at each of its positions."""
        with np.errstate(over="ignore", invalid="ignore"):
            logits = query_logits(queries, sentence.keys, key_scale=self.checkpoint.scales.key)
        if not np.isfinite(logits).all():
            where = f"{self.checkpoint.path}: projector query"
            remedy = "Training diverged: use an earlier checkpoint."
            raise CheckpointError(Problem(where, "weights whose attention is finite", "others", remedy))
        return logits[sentence.rows[:, None], sentence.columns]

    def vectors(
        self, student: TokenizedText, teacher: TokenizedText
    ) -> tuple[Float[np.ndarray, "student_targets width"], Float[np.ndarray, "teacher_targets width"]]:
        """The query of each student target and the key of each teacher target, with the end of sequence."""
        (rows, states), (columns, keys) = self.student.bigrams(student), self.teacher.bigrams(teacher)
        return project(self.checkpoint.query, states)[rows], (keys / self.checkpoint.scales.key)[columns]

    def mean_state(self, texts: Sequence[TokenizedText]) -> Float[np.ndarray, " two_widths"]:
        """The mean of input and target embeddings, side by side, over the positions of some student sentences."""
        ids = [self.student.ids(text) for text in texts]
        halves = np.concatenate([one[:-1] for one in ids]), np.concatenate([one[1:] for one in ids])
        means: list[np.ndarray] = []
        for half in halves:
            tokens, times = np.unique(half, return_counts=True)
            means.append(times.astype(np.float32) @ self.student.table.take(tokens) / np.float32(len(half)))
        return np.concatenate(means)

    def map(self, text: str | GoldRow | TokenizedText, teacher: TokenizedText | None = None) -> AttentionMap:
        """The attention map of one sentence, with the trained query projector.

        Args:
            text: the sentence, or a gold row, or the sentence in student tokens.
            teacher: the sentence in teacher tokens, if it is given in student tokens.

        Raises:
            ArgumentError: these are no sentence.
        """
        student, teacher = self._sides(text, teacher)
        attention = self.attend(student, teacher, self.checkpoint.query)
        return AttentionMap("cma", student, teacher, attention.over_teacher, attention.over_student)

    def map_rows(
        self, text: str | GoldRow | TokenizedText, teacher: TokenizedText | None = None, *, rows: tuple[int, int]
    ) -> MapRows:
        """Some rows of the map of one sentence: all that a picture of them needs, in little memory for a long text.

        Args:
            text: see `map`.
            teacher: likewise.
            rows: student tokens ``[start, stop)``; the end of sequence comes last.

        Raises:
            ArgumentError: these are no sentence.
            MapError: the rows are outside of the sentence.

        Example:
            >>> import probe
            >>> probe.load("demo").map_rows("Return the path of the file.", rows=(1, 4))
            <MapRows cma, rows 1:4 of 8: 'Return the path of the file.'>
        """
        student, teacher = self._sides(text, teacher)
        kept = token_range(rows, student, "student")
        sentence = self.sentence(student, teacher)
        queries = Queries.of(self.student, self.checkpoint.query, [student])(sentence.pairs)

        def weights(which: np.ndarray) -> Float[np.ndarray, "queries teacher_targets"]:
            block = sentence._replace(rows=np.arange(len(which)))
            return softmax(self.logits_of(block, queries[which]), axis=1)

        times, most = np.bincount(sentence.rows), max(BLOCK // len(sentence.columns), 1)
        blocks = (np.arange(len(queries))[begin : begin + most] for begin in range(0, len(queries), most))
        mass = sum(times[block] @ weights(block) for block in blocks)
        shown, which = np.unique(sentence.rows[kept.start : kept.stop], return_inverse=True)
        return MapRows("cma", student, teacher, kept, weights(shown)[which], np.asarray(mass))

    def _sides(self, text: object, teacher: object) -> Sides:
        if isinstance(text, TokenizedText) and isinstance(teacher, TokenizedText):
            return text, teacher
        if teacher is not None:
            remedy = 'Both models read the same sentence: write map("The cat sat."), or map(*opened.tokenize(text)).'
            raise ArgumentError.of("map", "one sentence", (text, teacher), remedy)
        if isinstance(text, GoldRow):
            return text.student, text.teacher
        if not isinstance(text, str) or not text:
            raise ArgumentError.of("map", "a sentence or a gold row", text, 'Write map("The cat sat.").')
        return self.tokenize(text)

    def untrained_query(self, seed: int) -> Projector:
        """An untrained query projector of the same structure."""
        query = self.checkpoint.query
        return replace(query, tensors=initial_tensors(query.layers, np.random.default_rng(seed)))


def open_checkpoint(
    checkpoint: Checkpoint, *, student: str | None = None, teacher: str | None = None
) -> OpenCheckpoint:
    """Open both models of a checkpoint; ``student`` and ``teacher`` name copies to use instead of its sources.

    Raises:
        CheckpointError, TableError: see `probe.checkpoints.open_model.open_model`.
    """
    return OpenCheckpoint(
        checkpoint,
        open_model(checkpoint.student, "student", directory=checkpoint.path, override=student),
        open_model(checkpoint.teacher, "teacher", directory=checkpoint.path, override=teacher),
    )
