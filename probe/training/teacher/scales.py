"""The three scales as constants, estimated once on the training set.

The published code divides by one standard deviation over each padded batch, prompt and pads included, so that a
sentence's attention depends on its batch mates. A constant does not, and can be stored in the checkpoint.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int

from probe.checkpoints.checkpoint import Scales
from probe.training.examples import Encoded

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
