"""What became of the attention along a training, from the projectors that it saved."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from probe.alignment.fitting import fitting_rows
from probe.checkpoints.checkpoint import load_checkpoint
from probe.checkpoints.opened import OpenCheckpoint, open_checkpoint
from probe.gold.pairs import GoldFile
from probe.gold.rows import GoldRow
from probe.scoring.destinations import CHUNK, SURE
from probe.scoring.scores import COUNTS, score
from probe.scoring.sharpness import entropy
from probe.scoring.truth import Truth
from probe.training.trainer.saving import PROJECTORS


@dataclass(frozen=True, slots=True)
class Point:
    """The attention at one step, over the student tokens of the gold rows that have a sure link."""

    step: int
    top_1: float
    """Share of tokens whose largest weight is on a sure link."""
    in_chunk: float
    """Mean weight on the teacher tokens of their own chunk."""
    entropy: float
    """Mean, as a share of its maximum."""
    fan_in: float
    """How many of them have their largest weight on the same teacher token, on average over those teacher tokens."""


def trajectory(run: Path, gold: GoldFile) -> list[Point]:
    """The attention of the projectors that a run saved along the way.

    Raises:
        PairsError: no gold row fits its tokenizers.
    """
    steps = {int(path.name.removeprefix("step-")): path for path in (run / PROJECTORS).glob("step-*")}
    return [point(step, open_checkpoint(load_checkpoint(steps[step])), gold) for step in sorted(steps)]


def point(step: int, open_: OpenCheckpoint, gold: GoldFile) -> Point:
    """The attention of one checkpoint."""
    rows, *summed, best = np.sum([_sums(open_, row) for row in fitting_rows(open_, gold)], axis=0).tolist()
    top_1, in_chunk, spread = (one / rows for one in summed)
    return Point(step, top_1, in_chunk, spread, rows / best)


def _sums(open_: OpenCheckpoint, row: GoldRow) -> Float[np.ndarray, " 5"]:
    """Linked tokens, top-1, weight in the chunk and entropy of one sentence, and how many teacher tokens are best."""
    truth, map_ = Truth(row), open_.map(row)
    counts = dict(zip(COUNTS, score([map_], truth, None).counts[0], strict=True))
    weights, kind = map_.weights[truth.linked], truth.destinations[truth.linked]
    in_chunk = weights[(kind == SURE) | (kind == CHUNK)].sum()
    best = len(np.unique(weights.argmax(axis=1)))
    return np.array([counts["rows"], counts["top-1"], in_chunk, entropy(weights).sum(), best], dtype=np.float64)
