"""The cross-model attention of a checkpoint, for any sentence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from probe.attention import CrossModelAttention, Logits, attention_logits, cross_model_attention
from probe.checkpoints.checkpoint import Checkpoint
from probe.checkpoints.open_model import OpenModel, open_model
from probe.errors import ArgumentError, CheckpointError, Problem
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.projectors import Projector, initial_tensors, project
from probe.tokens import TokenizedText

Sides = tuple[TokenizedText, TokenizedText]


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
        rows, states = self.student.bigrams(student)
        columns, keys = self.teacher.bigrams(teacher)
        return self._logits(query, states, keys)[rows][:, columns]

    def vectors(
        self, student: TokenizedText, teacher: TokenizedText
    ) -> tuple[Float[np.ndarray, "student_targets width"], Float[np.ndarray, "teacher_targets width"]]:
        """The query of each student target and the key of each teacher target, with the end of sequence."""
        (rows, states), (columns, keys) = self.student.bigrams(student), self.teacher.bigrams(teacher)
        return project(self.checkpoint.query, states)[rows], (keys / self.checkpoint.scales.key)[columns]

    def attend_by_half(
        self, student: TokenizedText, teacher: TokenizedText, mean: Float[np.ndarray, " two_widths"]
    ) -> Iterator[CrossModelAttention]:
        """The attention of queries made only from the input, then that of queries made only from the target.

        The other half is replaced by its mean (see `mean_state`), so that queries keep their usual size.
        """
        rows, states = self.student.bigrams(student)
        columns, keys = self.teacher.bigrams(teacher)
        targets = np.arange(states.shape[1]) >= self.student.table.width
        for half in (np.where(targets, mean, states), np.where(targets, states, mean)):
            yield cross_model_attention(self._logits(self.checkpoint.query, half, keys)[rows][:, columns])

    def mean_state(self, texts: Sequence[TokenizedText]) -> Float[np.ndarray, " two_widths"]:
        """The mean of input and target embeddings, side by side, over the positions of some student sentences."""
        found = [self.student.bigrams(text) for text in texts]
        total = np.sum([states[rows].sum(axis=0) for rows, states in found], axis=0)
        return total / sum(len(rows) for rows, _ in found)

    def _logits(
        self,
        query: Projector,
        states: Float[np.ndarray, "distinct_queries two_student_widths"],
        keys: Float[np.ndarray, "distinct_keys two_teacher_widths"],
    ) -> Logits:
        """The logits of distinct pairs of tokens."""
        for side, values in ((self.student, states), (self.teacher, keys)):
            if not np.isfinite(values).all():
                remedy = "Training diverged, or the file is damaged: name another copy."
                raise CheckpointError(Problem(side.source, "finite embeddings", "others", remedy))
        with np.errstate(over="ignore", invalid="ignore"):
            logits = attention_logits(query, states, keys, key_scale=self.checkpoint.scales.key)
        if not np.isfinite(logits).all():
            where = f"{self.checkpoint.path}: projector query"
            remedy = "Training diverged: use an earlier checkpoint."
            raise CheckpointError(Problem(where, "weights whose attention is finite", "others", remedy))
        return logits

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
