"""Where weight goes: each of the seven kinds by hand, and which comes first where several fit."""

import numpy as np
from hypothesis import given, settings
from planted import random_map, row_of
from strategies import gold_rows

from probe.gold.rows import GoldRow
from probe.scoring.destinations import (
    ADJACENT,
    CHUNK,
    DESTINATIONS,
    ELSEWHERE,
    EOS,
    SURE,
    TOKEN,
    WORD,
    destinations,
    shares,
)
from probe.scoring.scores import score
from probe.scoring.truth import Truth

#          0    1   2    3    4    5
STUDENT = "cat Ġdog Ġcat ĠCat Ġcow Ġcat"
#          0   1  2   3    4    5    6
TEACHER = "cat Ġd og Ġcat ĠCat Ġcow Ġcat"
ROW = row_of("cat dog cat Cat cow cat", STUDENT, TEACHER)


def test_each_of_the_seven():
    found = destinations(ROW)
    # The third word: "cat" without space is the same word, Ġd and og are next to it, Cat is next to it but the same
    # word first, cow is two chunks away, and the last cat is the same token.
    assert found[2].tolist() == [WORD, ADJACENT, ADJACENT, SURE, WORD, ELSEWHERE, TOKEN, EOS]
    assert set(found[2].tolist()) | {CHUNK} == set(range(len(DESTINATIONS)))


def test_the_rest_of_the_own_chunk():
    row = row_of(ROW.text, STUDENT, TEACHER, ROW.sure - {(1, 2)})
    assert destinations(row)[1].tolist() == [ADJACENT, SURE, CHUNK, ADJACENT, *[ELSEWHERE] * 3, EOS]


def test_the_same_piece_comes_before_the_chunk_next_to_it():
    row = row_of("x x x", "x Ġx Ġx", "x Ġx Ġx")
    assert destinations(row)[1].tolist() == [WORD, SURE, TOKEN, EOS]


def test_the_own_chunk_comes_before_the_same_piece_and_a_sure_link_before_all():
    pieces = "aaaa", "aaa a", "a aaa"
    assert destinations(row_of(*pieces, {(1, 1)}))[1].tolist() == [CHUNK, SURE, EOS]
    assert destinations(row_of(*pieces, {(1, 0)}))[1].tolist() == [SURE, CHUNK, EOS]


def test_the_row_of_end_of_sequence_knows_nothing_else():
    assert destinations(ROW)[-1].tolist() == [ELSEWHERE] * 7 + [EOS]


def test_empty_tokens_and_halves_of_characters_are_no_words_that_come_again():
    # Both dummies are empty; the two bytes of ï come again in the second ï, as the same tokens.
    row = row_of("ï é ï", "Ã ¯ Ġ Ã © Ġ Ã ¯", "Ã ¯ Ġ Ã © Ġ Ã ¯")
    assert destinations(row)[1].tolist()[7] == TOKEN
    assert destinations(row)[1].tolist()[4] != WORD  # ¯ and © are other bytes
    dummy = row_of("a b", "▁ a ▁b", "▁ a ▁b", {(1, 1)})
    # The dummies are in the chunk of a; that of the other side is never called the same token.
    assert TOKEN not in destinations(dummy)[:-1]


def test_shares_add_up_weights_by_kind():
    weights = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
    kind = np.array([[SURE, TOKEN, EOS], [TOKEN, SURE, EOS]])
    together = shares(np.stack([weights[::-1], weights]), kind)
    assert together[0].tolist() == shares(weights[None, ::-1], kind)[0].tolist() != together[1].tolist()
    found = dict(zip(DESTINATIONS, together[1], strict=True))
    assert found == {**dict.fromkeys(DESTINATIONS, 0.0), "sure link": 0.35, "same token elsewhere": 0.7, "EOS": 0.95}


@settings(max_examples=50, deadline=None)
@given(gold_rows())
def test_they_sum_to_one_for_each_linked_row(row: GoldRow):
    truth = Truth(row)
    found = score([random_map(row)], truth, [None])
    np.testing.assert_allclose(found.mass.sum(), truth.linked.sum())
    np.testing.assert_allclose(found.mass[0, SURE], found.counts[0, 4])  # attention mass, counted another way
