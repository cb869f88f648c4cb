"""Cross-model attention of a checkpoint, for any text: the bridge from projectors and tables to attention maps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from probe.attention import CrossModelAttention, attention_logits, cross_model_attention
from probe.checkpoints.checkpoint import Checkpoint
from probe.checkpoints.open_model import OpenModel, open_model
from probe.maps import AttentionMap
from probe.projectors import Projector, initial_tensors
from probe.tokens import TokenizedText

Sides = tuple[TokenizedText, TokenizedText]


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint with both of its models open.

    Example:
        >>> import probe
        >>> opened = probe.find_checkpoint("demo")
        >>> student, teacher = opened.tokenize("Return the maximum.")
        >>> student.display()
        ('Return', '␣the', '␣m', 'ax', 'im', 'um', '.')
        >>> teacher.display()
        ('Return', '␣the', '␣maximum', '.')
        >>> opened.map(student, teacher).weights.shape  # with a row and a column for end of sequence
        (8, 5)
    """

    checkpoint: Checkpoint
    student: OpenModel
    teacher: OpenModel

    def tokenize(self, text: str) -> Sides:
        """Any text, cut by both tokenizers."""
        return self.student.tokenizer.tokenize(text), self.teacher.tokenizer.tokenize(text)

    def attend(
        self, student: TokenizedText, teacher: TokenizedText, queries: Sequence[Projector]
    ) -> list[CrossModelAttention]:
        """The attention of one text, end of sequence included, under each of several query projectors.

        Equal bigrams are computed once: they must receive equal weight, and a matrix product does not promise that to
        equal columns, to the last bit. So ties are ties, and repeated tokens are not told apart by rounding.
        """
        rows, states = self.student.bigrams(student)
        columns, keys = self.teacher.bigrams(teacher)
        return [self._attention(query, states, keys, (rows, columns)) for query in queries]

    def attend_by_half(
        self, student: TokenizedText, teacher: TokenizedText, mean: Float[np.ndarray, " two_widths"]
    ) -> tuple[CrossModelAttention, CrossModelAttention]:
        """The attention of queries that see E(x_i) alone, and of queries that see E(x_{i+1}) alone.

        The other half of the state is its mean (see `mean_state`), so that the query keeps its usual size.
        """
        rows, states = self.student.bigrams(student)
        columns, keys = self.teacher.bigrams(teacher)
        targets = np.arange(states.shape[1]) >= self.student.table.width
        input_half, target_half = (
            self._attention(self.checkpoint.query, half, keys, (rows, columns))
            for half in (np.where(targets, mean, states), np.where(targets, states, mean))
        )
        return input_half, target_half

    def mean_state(self, texts: Sequence[TokenizedText]) -> Float[np.ndarray, " two_widths"]:
        """Mean of [E(x_i); E(x_{i+1})] over the response positions of some texts of the student."""
        found = [self.student.bigrams(text) for text in texts]
        total = np.sum([states[rows].sum(axis=0) for rows, states in found], axis=0)
        return total / sum(len(rows) for rows, _ in found)

    def _attention(
        self,
        query: Projector,
        states: Float[np.ndarray, "distinct_queries two_student_widths"],
        keys: Float[np.ndarray, "distinct_keys two_teacher_widths"],
        positions: tuple[Int[np.ndarray, " students"], Int[np.ndarray, " teachers"]],
    ) -> CrossModelAttention:
        """Of distinct bigrams, laid out to the positions that have them."""
        logits = attention_logits(query, states, keys, key_scale=self.checkpoint.scales.key)
        return cross_model_attention(logits[positions[0]][:, positions[1]])

    def map(self, student: TokenizedText, teacher: TokenizedText) -> AttentionMap:
        """The attention of one text under the trained query projector."""
        (attention,) = self.attend(student, teacher, [self.checkpoint.query])
        return AttentionMap("cma", student, teacher, attention.over_teacher, attention.over_student)

    def untrained_query(self, seed: int) -> Projector:
        """A query projector of the same structure that nothing has trained."""
        query = self.checkpoint.query
        return replace(query, tensors=initial_tensors(query.layers, np.random.default_rng(seed)))


def open_checkpoint(
    checkpoint: Checkpoint, *, student: str | None = None, teacher: str | None = None
) -> OpenCheckpoint:
    """Open both models of a checkpoint; ``student`` and ``teacher`` name copies to use instead of its own sources.

    Raises:
        CheckpointError, TableError: see `probe.checkpoints.open_model.open_model`.
    """
    return OpenCheckpoint(
        checkpoint,
        open_model(checkpoint.student, "student", directory=checkpoint.path, override=student),
        open_model(checkpoint.teacher, "teacher", directory=checkpoint.path, override=teacher),
    )
