"""Golden numbers of the published criteria: ours run on the same inputs and weights, and are held against them.

``python -m probe.training.golden`` prints the table; `command` says where the numbers come from.
"""

from probe.training.golden.command import main
from probe.training.golden.comparison import LIMITS, TENSOR_RUNS, Deviation, deviations
from probe.training.golden.links import chunk_mask
from probe.training.golden.numbers import LEFT_OUT, Golden, RunName
from probe.training.golden.runs import run
from probe.training.golden.weights import network_parameters, projector_parameters

__all__ = [
    "LEFT_OUT",
    "LIMITS",
    "TENSOR_RUNS",
    "Deviation",
    "Golden",
    "RunName",
    "chunk_mask",
    "deviations",
    "main",
    "network_parameters",
    "projector_parameters",
    "run",
]
