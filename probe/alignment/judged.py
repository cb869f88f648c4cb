"""A checkpoint × judged rows → what its attention does with heads and roles."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import PairsError, Problem
from probe.gold.judged_agreement import cluster_of
from probe.gold.pairs import GoldFile, declared_vocabularies
from probe.gold.rows import HEADS, ROLES
from probe.report.judged import JudgedScores
from probe.scoring.judged import COUNTS, DIRECTIONS, head_counts, role_counts
from probe.stats import by_cluster


def judged_scores(opened: OpenCheckpoint, gold: GoldFile) -> JudgedScores:
    """Score the attention on the judged heads and roles of its tokenizers; other rows of the file are left out.

    A word is scored alone, and a dialogue whole, each as if it were the response.

    Raises:
        PairsError: none is for the tokenizers of the checkpoint.
    """
    asked = [row for row in gold if row.judged in (HEADS, ROLES)]
    own = tuple(record.vocabulary_sha256 for record in (opened.checkpoint.student, opened.checkpoint.teacher))
    declared = declared_vocabularies(gold)
    mine = [row for row in asked if tuple(map(declared.get, row.pair.split("~"))) == own]
    if not mine:
        expected = f"judged heads or roles for the tokenizers of {opened.checkpoint.name}"
        got = ", ".join(sorted({row.pair for row in asked})) or "no judged row"
        raise PairsError(Problem(gold.name, expected, got, "Name a checkpoint of one of those pairs."))
    words = [row for row in mine if row.judged == HEADS]
    headed, dialogues = [row for row in words if row.heads], [row for row in mine if row.judged == ROLES]
    heads = _stacked([head_counts(opened.map(row), row) for row in headed])
    roles = _stacked([role_counts(opened.map(row), row) for row in dialogues])
    # Several rows can be of one dialogue, in other templates; intervals resample dialogues.
    roles = by_cluster(roles, [cluster_of(row) for row in dialogues])
    without = sum(not row.heads for row in words)
    return JudgedScores(opened.checkpoint.name, gold.name, heads, roles, without, len(asked) - len(mine))


def _stacked(rows: Sequence[Float[np.ndarray, "directions counts"]]) -> Float[np.ndarray, "rows directions counts"]:
    return np.stack(rows) if rows else np.zeros((0, len(DIRECTIONS), len(COUNTS)))
