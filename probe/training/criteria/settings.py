"""What an objective depends on beside models and data; names and values of the published run are the defaults."""

import math
from dataclasses import dataclass
from typing import Literal

from probe.errors import Problem, TrainingError

Method = Literal["sft", "kd", "dskd", "cma", "cla", "clp", "cma-ga", "cma-ct", "uld", "mined", "eta"]
DivergenceName = Literal[
    "forward_kl", "reverse_kl", "skewed_forward_kl", "skewed_reverse_kl", "js_divergence", "adaptive_kl"
]
CriticName = Literal["trained", "released", "norm-only"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A method and its numbers.

    ``reference`` reproduces the published code on a batch padded as it pads: masks by adding -1e5, adaptive KL with
    the temperature applied twice, student rows without a partner kept. Scales are given apart, see
    `probe.checkpoints.checkpoint`.
    """

    method: Method = "cma"
    kd_rate: float = 0.5
    temperature: float = 2.0
    teacher_temperature: float = 1.0
    """Divides the t2s logits a second time, in the cross-model methods alone."""
    divergence: DivergenceName = "forward_kl"
    skew: float = 0.1
    alpha: float = 0.5
    """The share of the guide's probability that adaptive KL calls the tail."""
    critic: CriticName = "trained"
    kq_rate: float = 1.0
    kq_hidden: int = 768
    only_projectors: bool = False
    """Drop the two divergences, so that projectors learn from the t2s cross-entropy alone."""
    reference: bool = False

    def __post_init__(self) -> None:
        inside = 0 <= self.kd_rate <= 1 and 0 <= self.skew <= 1 and 0 <= self.alpha <= 1
        numbers = (self.temperature, self.teacher_temperature, self.kq_rate)
        inside = inside and all(map(math.isfinite, numbers))
        if not inside or min(self.temperature, self.teacher_temperature) <= 0 or self.kq_rate < 0 or self.kq_hidden < 1:
            expected = "rates, skew and alpha from 0 to 1, temperatures above 0, kq_rate and kq_hidden not negative"
            raise TrainingError(Problem("objective", expected, str(self), "Mend the number that is out of range."))


CROSS_MODEL: frozenset[Method] = frozenset({"cma", "cla", "clp", "cma-ga", "cma-ct"})
