"""A checkpoint × judged rows → what its attention does with heads and roles."""

import numpy as np

from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import PairsError, Problem
from probe.gold.pairs import GoldFile, declared_vocabularies
from probe.gold.rows import HEADS, ROLES
from probe.report.judged import JudgedScores
from probe.scoring.judged import COUNTS, DIRECTIONS, head_counts, role_counts


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
    found = {
        "heads": [head_counts(opened.map(row), row) for row in words if row.heads],
        "roles": [role_counts(opened.map(row), row) for row in mine if row.judged == ROLES],
    }
    shape = 0, len(DIRECTIONS), len(COUNTS)
    counts = {kind: np.stack(rows) if rows else np.zeros(shape) for kind, rows in found.items()}
    without = sum(not row.heads for row in words)
    return JudgedScores(
        opened.checkpoint.name, gold.name, counts["heads"], counts["roles"], without, len(asked) - len(mine)
    )
