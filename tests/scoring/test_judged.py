"""What an attention does with heads and roles, on maps small enough to count by hand."""

import numpy as np
import pytest

from probe.gold.rows import HEADS, ROLES, GoldRow
from probe.maps import AttentionMap
from probe.report.judged import JudgedScores
from probe.scoring.judged import head_counts, role_counts
from probe.tokens import TokenizedText

OVER_TEACHER = [[0.1, 0.5, 0.2, 0.2], [0.25, 0.25, 0.25, 0.25]]
OVER_STUDENT = [[0.6, 0.5, 0.3, 0.5], [0.4, 0.5, 0.7, 0.5]]


def test_a_word_of_one_token_against_several_is_judged_over_the_teacher_alone():
    sides = (
        TokenizedText.from_pieces("rewrites", ["rewrites"]),
        TokenizedText.from_pieces("rewrites", ["re", "wri", "tes"]),
    )
    links = frozenset({(0, 0), (0, 1), (0, 2)})
    row = GoldRow("h", "s~t", *sides, links, frozenset(), (HEADS,), "", frozenset({(0, 1)}))
    map_ = AttentionMap("m", *sides, np.array(OVER_TEACHER), np.array(OVER_STUDENT))
    over_teacher, over_student = head_counts(map_, row)
    assert over_teacher == pytest.approx([1, 1, 0.5 / 0.8, 1 / 3])
    assert not over_student.any()
    # The same from the other side.
    assert head_counts(map_.reversed, row.reversed)[1] == pytest.approx(over_teacher)
    other = GoldRow("h", "s~t", *sides, links, frozenset(), (HEADS,), "", frozenset({(0, 0)}))
    assert head_counts(map_, other)[0] == pytest.approx([1, 0, 0.1 / 0.8, 1 / 3])


def test_each_token_with_a_role_counts():
    sides = TokenizedText.unplaced("Hi", ["<s>", "▁Hi"]), TokenizedText.unplaced("Hi", ["<a>", "<b>", "Hi"])
    row = GoldRow("r", "s~t", *sides, frozenset({(1, 2)}), frozenset(), (ROLES,), "", roles=frozenset({(0, 0), (0, 1)}))
    weights = np.array([[0.1, 0.2, 0.5, 0.2], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    back = np.array([[0.7, 0.2, 0.1, 0.1], [0.2, 0.8, 0.9, 0.1], [0.1, 0, 0, 0.8]])
    over_teacher, over_student = role_counts(AttentionMap("m", *sides, weights, back), row)
    assert over_teacher == pytest.approx([1, 0, 0.3 / 0.8, 2 / 3])
    assert over_student == pytest.approx([2, 1, 0.7 / 0.9 + 0.2, 1])


def test_figures_are_means_over_what_was_judged_and_heads_never_meet_roles():
    heads = np.zeros((12, 2, 4))
    heads[:6, 0] = [1, 1, 0.8, 0.5]
    heads[6:, 0] = [1, 0, 0.2, 0.25]
    found = JudgedScores("c", "f", heads, np.zeros((0, 2, 4)), 3, 4)
    judged, figures = found.figures("heads", 0)
    assert judged == 12
    assert figures.value == pytest.approx([0.5, 0.5, 0.375])
    assert 0 <= figures.low[0] < 0.5 < figures.high[0] <= 1
    assert found.table().row_count == 1
    assert "12 words with a head, 3 without, and 0 dialogues; 4 rows are for other tokenizers" in found.heading()
