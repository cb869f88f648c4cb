"""Estimate the key scale of runs that stored none, from simulated batches as in the published code."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from probe.checkpoints.open_model import OpenModel
from probe.errors import CheckpointError, Problem, option

SIMULATED_BATCHES = 20


@dataclass(frozen=True, slots=True)
class Batches:
    """The shape of the batches of a run: the number of sentences, and the length to which each is padded."""

    size: int
    length: int


def simulated_key_scale(teacher: OpenModel, texts: Sequence[str], batches: Batches) -> float:
    """The mean, over simulated batches, of the number by which the released code divides keys.

    This number is the standard deviation over all elements of the padded batch. Each position outside of a response
    counts as a pair of tokens with id 0.

    Raises:
        CheckpointError: there are no sentences to estimate it from.
    """
    if not texts:
        raise CheckpointError(
            Problem("key scale", "sentences to estimate it from", "none", f"Give it with {option('--key-scale')}.")
        )
    rng = np.random.default_rng(0)
    moments = [_moments(_keys(teacher, text)[: batches.length]) for text in texts]
    filler = _moments(np.tile(teacher.table.take(np.array([0])), (1, 2)))
    scales: list[float] = []
    for _ in range(SIMULATED_BATCHES):
        chosen = [moments[i] for i in rng.integers(0, len(moments), batches.size)]
        padding = batches.size * batches.length - sum(int(m[0]) for m in chosen)
        total = np.sum(chosen, axis=0) + padding * filler
        elements = total[0] * teacher.table.width * 2
        mean = total[1] / elements
        scales.append(float(np.sqrt((total[2] - elements * mean**2) / (elements - 1))))
    return float(np.mean(scales))


def _keys(teacher: OpenModel, text: str) -> Float[np.ndarray, "positions two_widths"]:
    which, distinct = teacher.bigrams(teacher.tokenizer.tokenize(text))
    return distinct[which]


def _moments(keys: Float[np.ndarray, "positions two_widths"]) -> Float[np.ndarray, " moments"]:
    """Number of positions, sum and sum of squares of all elements."""
    values = keys.astype(np.float64)
    return np.array([len(values), values.sum(), np.square(values).sum()])
