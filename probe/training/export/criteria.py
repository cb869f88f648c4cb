"""DSKD's names of the methods, and the one of a checkpoint."""

from probe.adopt import MATCHING, TRAINED_QUERY
from probe.checkpoint import Checkpoint
from probe.errors import CheckpointError, Problem
from probe.projectors import STRUCTURES

PRETRAINING = "t2s pre-training"

CRITERIA = {
    "dskd": "dual_space_kd",
    "cma": "dual_space_kd_with_cma",
    "cla": "dual_space_kd_with_cla",
    "clp": "dual_space_kd_with_clp",
    "cma-ga": MATCHING,
    "cma-ct": MATCHING,
}
"""DSKD-KQ's name of each method whose projectors it knows."""

ADVERSARIES = {"cma-ga": "gan", "cma-ct": "ct"}


def dskd_criterion(checkpoint: Checkpoint) -> str:
    """DSKD's name of a checkpoint's method.

    Raises:
        CheckpointError: the method has no counterpart, or there are no projectors, or unknown ones.
    """
    unknown = sorted(checkpoint.projectors.keys() - STRUCTURES.keys())
    if checkpoint.method not in CRITERIA or unknown or not checkpoint.projectors:
        projectors = ", ".join(checkpoint.projectors) or "none"
        raise CheckpointError(
            Problem(
                str(checkpoint.path),
                f"a method of DSKD's ({', '.join(CRITERIA)}) with its projectors ({', '.join(STRUCTURES)})",
                f"method {checkpoint.method} with projectors {projectors}",
                "DSKD cannot read this checkpoint; share it as it is.",
            )
        )
    # An adopted checkpoint keeps the name that it came with.
    is_theirs = checkpoint.criterion in TRAINED_QUERY | set(CRITERIA.values())
    return checkpoint.criterion if is_theirs else CRITERIA[checkpoint.method]
