"""The key scale of exported alignments, measured: a line through the logarithms of their weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from probe.align_jsonl import Alignment
from probe.attention import attention_logits, bigrams
from probe.errors import MapError, Problem
from probe.models import OpenModel
from probe.projectors import Projector

GOOD_FIT = 0.9
"""R² from which on the weights are those of these projectors and tables."""

# Below this, float16 keeps at most four bits of a weight. Bfloat16 keeps its eight down to 1e-38.
_NOISE_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class KeyScaleFit:
    """Logarithms of exported weights, regressed on the logits that a key scale of 1 would give.

    In one row, log A_ij - log A_ij' = (l_ij - l_ij') / key_scale: the softmax's denominator is gone.
    """

    slope: float
    r_squared: float
    residual: float
    """Root mean square of what the line leaves of the logarithms, which is about the relative error of a weight."""
    pairs: int
    """Independent differences between weights of one row."""
    lines: int
    zeros: float
    """Share of the weights that are exactly zero, as masked ones are."""

    @property
    def key_scale(self) -> float | None:
        """What the keys were divided by; None where larger logits do not mean larger weights."""
        return 1 / self.slope if self.slope > 0 else None

    @property
    def is_good(self) -> bool:
        """Whether the weights come from these projectors and tables."""
        return self.slope > 0 and self.r_squared >= GOOD_FIT


def fit_key_scale(lines: Sequence[Alignment], query: Projector, student: OpenModel, teacher: OpenModel) -> KeyScaleFit:
    """Measure the key scale of exported weights: the slope of their logarithms is its inverse.

    Raises:
        CheckpointError: a token is not in a model's vocabulary.
        MapError: no row has two weights to compare.
    """
    sums, pairs, zero, cells = np.zeros(3), 0, 0, 0
    for line in lines:
        logits = attention_logits(
            query, _input_bigrams(student, line.student), _input_bigrams(teacher, line.teacher), key_scale=1.0
        ).astype(np.float64)
        # Also false for NaN.
        kept = line.weights > _NOISE_FLOOR
        logs = np.log(line.weights, where=kept, out=np.zeros_like(line.weights))
        x, y = _within_rows(logits, kept), _within_rows(logs, kept)
        sums += np.array([(x * x).sum(), (x * y).sum(), (y * y).sum()])
        pairs += int(np.maximum(kept.sum(axis=1) - 1, 0).sum())
        zero += int((line.weights == 0).sum())
        cells += line.weights.size
    if not pairs or not sums[0]:
        got = f"{zero} zeros among {cells} weights" if not pairs else "one logit for all of them"
        remedy = "An attention this sharp, or a mask this narrow, tells no scale."
        raise MapError(Problem("alignment", f"two weights above {_NOISE_FLOOR:g} in some row", got, remedy))
    slope = float(sums[1] / sums[0])
    left = max(float(sums[2] - slope * sums[1]), 0.0)
    r_squared = 1 - left / float(sums[2]) if sums[2] else 0.0
    return KeyScaleFit(slope, r_squared, math.sqrt(left / pairs), pairs, len(lines), zero / cells)


def _input_bigrams(model: OpenModel, tokens: Sequence[str]) -> Float[np.ndarray, "tokens two_widths"]:
    rows = model.table.take(np.array([*model.tokenizer.ids(tokens), model.eos_id], dtype=np.int64))
    return bigrams(rows[:-1], rows[1:])


def _within_rows(
    values: Float[np.ndarray, "student teacher"], kept: Bool[np.ndarray, "student teacher"]
) -> Float[np.ndarray, "student teacher"]:
    """Differences from the mean of the row, over what is kept; 0 elsewhere."""
    means = np.where(kept, values, 0).sum(axis=1, keepdims=True) / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    return np.where(kept, values - means, 0)
