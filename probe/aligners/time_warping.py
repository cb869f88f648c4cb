"""Dynamic time warping of token strings with edit distance as the cost: MinED, as in FuseLLM and DSKD.

The tools are FuseLLM (fanqiwan/FuseAI, 7d9a307) and DSKD (songmzhang/DSKD, 077337a, criterion `min_edit_dis_kld`). They
warp the *input* tokens of a response; `warped_pairs` warps the tokens of a text. The tools then keep student tokens
with one partner, and of those only the ones that a map between the vocabularies agrees with
(`probe.training.criteria.links.warped_links`). `warped_pairs` is the whole path.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from probe.aligners.strings import without_marks
from probe.errors import Problem, TokenError
from probe.gold.rows import Link
from probe.tokens import TokenizedText


def warped_pairs(student: TokenizedText, teacher: TokenizedText) -> frozenset[Link]:
    """The cells of the path, so that each token has a partner; none where a side has no tokens.

    Example:
        >>> from probe import TokenizedText
        >>> student = TokenizedText.from_pieces("the alignment", ["the", "Ġalign", "ment"])
        >>> teacher = TokenizedText.from_pieces("the alignment", ["▁the", "▁alignment"])
        >>> sorted(warped_pairs(student, teacher))
        [(0, 0), (1, 1), (2, 1)]
    """
    if not (student.tokens and teacher.tokens):
        return frozenset()
    matched = warp(without_marks(teacher.pieces), without_marks(student.pieces))
    return frozenset((i, j) for i, partners in enumerate(matched) for j in partners)


def warp(teacher: Sequence[str], student: Sequence[str]) -> list[list[int]]:
    """For each student token the teacher tokens it is matched with, ascending; it has at least one.

    This is MinED's dynamic time warping with edit distance as the cost. The teacher's tokens are rows and the student's
    are columns. A path runs from the first cell to the last and moves down, right or both at once; it costs the sum of
    the edit distances of its cells. Of all cheapest paths, the one is taken that FuseLLM and DSKD find going back from
    the last cell: to the cheapest cell before it, of equals the diagonal one first, then the one above.

    Args:
        teacher: the teacher's tokens, without the marks that begin a word.
        student: the student's, likewise.

    Raises:
        TokenError: one of them is empty, so that nothing can be matched.
    """
    for role, tokens in (("teacher", teacher), ("student", student)):
        if not len(tokens):
            remedy = "Leave out examples without a response."
            raise TokenError(Problem(f"tokens of the {role}", "at least one", "none", remedy))
    costs = _path_costs(teacher, student)
    matched: list[list[int]] = [[] for _ in student]
    row, column = len(teacher) - 1, len(student) - 1
    while row or column:
        matched[column].append(row)
        if not row or not column:  # along the border there is one way to go
            row, column = max(row - 1, 0), max(column - 1, 0)
            continue
        diagonal, up, left = costs[row - 1][column - 1], costs[row - 1][column], costs[row][column - 1]
        cheapest = min(diagonal, up, left)
        if diagonal == cheapest:
            row, column = row - 1, column - 1
        elif up == cheapest:
            row -= 1
        else:
            column -= 1
    matched[0].append(0)
    return [rows[::-1] for rows in matched]


def one_to_one(teacher: Sequence[str], student: Sequence[str]) -> Int[np.ndarray, " student"]:
    """For each student token the teacher token it is matched with, or -1 where it is matched with several.

    One teacher token can still be matched with several student tokens.

    Raises:
        TokenError: one of them is empty.
    """
    return np.array([rows[0] if len(rows) == 1 else -1 for rows in warp(teacher, student)], dtype=np.int64)


def _path_costs(teacher: Sequence[str], student: Sequence[str]) -> list[list[int]]:
    """What the cheapest path to each cell costs."""
    distances = cdist(teacher, student, scorer=Levenshtein.distance, dtype=np.int32).astype(np.int64)
    sums = distances.cumsum(axis=1)
    costs = np.empty_like(sums)
    costs[0] = sums[0]
    for row in range(1, len(costs)):
        # A path enters a row at some column, from above, and goes right from there: the sums of the row turn the
        # cheapest entry up to each column into a running minimum.
        above = costs[row - 1].copy()
        np.minimum(above[1:], costs[row - 1, :-1], out=above[1:])
        before = sums[row] - distances[row]
        costs[row] = np.minimum.accumulate(above - before) + sums[row]
    return costs.tolist()
