"""Kinds, readings and distances, each worked out by hand in its comment."""

import numpy as np
import pytest
from hypothesis import given, settings
from planted import row_of, rows_of
from strategies import gold_rows

from probe.gold.rows import GoldRow
from probe.scoring.truth import KINDS, SLICES, Truth

#            0   1    2  3    4    5  6 7   8 9 10 11
STUDENT = "the Ġcat , Ġthe Ġcat Ġ4 2 Ġna Ã ¯ ve Ġthe"
TEACHER = "the Ġcat , Ġthe Ġcat Ġ42 ĠnaÃ¯ ve Ġthe"
NAIVE = row_of("the cat, the cat 42 naïve the", STUDENT, TEACHER)


@pytest.mark.parametrize(
    ("kind", "rows"),
    {
        # 4|2 against 42 and na|Ã|¯ against naï are the two chunks of several tokens.
        "in a 1-1 chunk": {0, 1, 2, 3, 4, 10, 11},
        "in another chunk": {5, 6, 7, 8, 9},
        "occurs once": {2, 5, 6, 7, 8, 9, 10},
        "occurs twice": {1, 4},
        "occurs 3+ times": {0, 3, 11},
        # Both "cat" follow "the". The three "the" follow nothing, a comma, and "ve".
        "again, after the same token": {1, 4},
        "again, after another token": {0, 3, 11},
        "with a digit": {5, 6},
        "punctuation": {2},
        # "ve" follows ï. A 2 behind a 4 is no letter, and a byte of ï is none either.
        "continues a word": {10},
        "part of a character": {8, 9},
    }.items(),
)
def test_kinds_of_tokens(kind: str, rows: set[int]):
    assert set(rows_of(Truth(NAIVE), kind)) == rows


def test_kinds_are_of_linked_rows_alone_and_count_gold():
    without = GoldRow("r", "s~t", NAIVE.student, NAIVE.teacher, NAIVE.sure - {(1, 1)}, frozenset({(1, 1)}), (), "")
    assert rows_of(Truth(without), "occurs twice") == {4: {4}}
    assert rows_of(Truth(NAIVE), "with a digit") == {5: {5}, 6: {5}}


def test_symbols_are_punctuation_and_a_space_alone_is_not():
    row = row_of("a + 「b", "a Ġ+ Ġ ãĢĮ b", "a Ġ+ Ġ ãĢĮ b", {(i, i) for i in range(5)})
    assert set(rows_of(Truth(row), "punctuation")) == {1, 3}


@settings(max_examples=50, deadline=None)
@given(gold_rows())
def test_kinds_divide_the_linked_rows(row: GoldRow):
    truth = Truth(row)
    linked = {i for i, _ in row.sure}
    for names in (KINDS[:2], KINDS[2:5]):
        parts = [set(rows_of(truth, name)) for name in names]
        assert sum(map(len, parts)) == len(set().union(*parts))
        assert set().union(*parts) == linked
    again, other = (set(rows_of(truth, name)) for name in KINDS[5:7])
    assert not again & other
    assert other <= linked - set(rows_of(truth, "occurs once"))
    assert truth.stack.selector.shape == (1 + len(SLICES), len(truth.stack.rows))
    assert set(truth.stack.rows[truth.stack.selector[0]].tolist()) == linked


# un|believ|able against unbe|liev|able: bytes 0–2–8–12 and 0–4–8–12.
SPLIT = ("unbelievable", "un believ able", "unbe liev able")


def test_the_three_readings_of_a_row():
    # T: un ~ unbe, believ ~ unbe and liev, able ~ able. I is T one down and one right, and both prompts end at (0, 0).
    # P: un ~ unbe (both begin at 0), able ~ able (8); believ begins at 2, where no teacher token does, so it is out.
    # In the row of un T = I = P, so only the row of able tells them apart.
    truth = Truth(row_of(*SPLIT))
    found = [rows_of(truth, f"by {reading}, where they differ") for reading in ("target", "input", "start")]
    assert found == [{2: {2}}, {2: {1, 2}}, {2: {2}}]
    assert rows_of(truth, "overlap") == {0: {0}, 1: {0, 1}, 2: {2}}
    assert rows_of(truth, "gold, not overlap") == {}


def test_readings_where_an_annotator_dropped_a_link():
    # Without believ ~ unbe, I of able is {liev}'s step {2} alone: all agree. Gold differs from overlap at believ.
    truth = Truth(row_of(*SPLIT, {(0, 0), (1, 1), (2, 2)}))
    assert rows_of(truth, "by target, where they differ") == {}
    assert rows_of(truth, "gold, not overlap") == {1: {1}}
    assert rows_of(truth, "overlap, not gold") == {1: {0, 1}}
    assert rows_of(truth, "overlap") == {0: {0}, 1: {0, 1}, 2: {2}}


def test_a_shared_start_may_be_no_link():
    # a|bc against ab|c: bc overlaps ab and c; it begins at 1, where none does. a overlaps ab and begins with it.
    truth = Truth(row_of("abc d", "a bc Ġd", "ab c Ġd"))
    # d: T {2}; I is the row of bc one on: {1, 2}; P {2}.
    assert [rows_of(truth, f"by {x}, where they differ") for x in ("target", "input", "start")] == [
        {2: {2}},
        {2: {1, 2}},
        {2: {2}},
    ]


def test_both_prompts_end_at_the_first_position():
    # ab ~ a and b. The inputs of the first row are the ends of both prompts, so I is (0, 0); P is (0, 0) as well.
    truth = Truth(row_of("ab c", "ab Ġc", "a b Ġc"))
    assert rows_of(truth, "by target, where they differ") == {0: {0, 1}, 1: {2}}
    assert rows_of(truth, "by input, where they differ") == {0: {0}, 1: {1, 2}}


def test_distances_are_in_characters_and_end_of_sequence_is_one_more():
    # Characters: a b ␣ é, 0 to 3. Teacher spans [0,2), [2,4) for ␣ and the first byte of é, [3,4), and [4,5) for EOS.
    row = row_of("ab é", "ab ĠÃ©", "ab ĠÃ ©", {(0, 0), (1, 1), (1, 2)})
    found = Truth(row).distance
    # From [0,2): characters 2 and 3 are 1 and 2 away, so 1.5; character 3 is 2 away; EOS 3.
    np.testing.assert_allclose(found[0], [0, 1.5, 2, 3])
    # From [2,4) and [3,4): characters 1 and 0 are 1 and 2 away from the first; EOS is 1 away from both.
    np.testing.assert_allclose(found[1], [1.5, 0, 0, 1])
    assert not found[2].any()


def test_pieces_of_one_character_touch():
    row = row_of("aé", "a Ã©", "a Ã ©", {(0, 0), (1, 1)})
    np.testing.assert_allclose(Truth(row).distance[1], [1, 0, 0, 1])  # the second byte is at the sure one's place


def test_an_empty_token_lies_at_its_place():
    # ▁ is the dummy in front, [0,0); a [0,1); ▁b [1,3); EOS [3,4). An empty span has its mean half a character away.
    row = row_of("a b", "a Ġb", "▁ a ▁b")
    np.testing.assert_allclose(Truth(row).distance[:2], [[0.5, 0, 1.5, 3], [1.5, 1, 0, 1]])


@settings(max_examples=50, deadline=None)
@given(gold_rows())
def test_distance_is_nought_at_sure_links_and_grows_to_the_end_of_the_text(row: GoldRow):
    truth = Truth(row)
    assert (truth.distance >= 0).all()
    assert not truth.distance[truth.sure].any()
    assert (truth.distance[truth.linked, -1] >= 1).all()
    assert (truth.distance <= len(row.text) + 1).all()
