"""Each aligner on a map that is small enough to be aligned by hand, and its counts against sets."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import map_of, random_map, row_of
from strategies import gold_rows

from probe.aligners.links import ALIGNERS, NEED_BOTH, itermax, matching
from probe.alignment.align import COMMON_ENTROPY
from probe.gold.rows import GoldRow
from probe.scoring.scores import count_of_aligners
from probe.scoring.sharpness import common_power, entropy
from probe.scoring.truth import Truth
from probe.tokens import TokenizedText

# Student a b c and end of sequence against teacher A B C and end of sequence. Rows of the forward attention
# sum to one, columns of the backward do.
A = np.array([[0.6, 0.3, 0.0, 0.1], [0.5, 0.4, 0.0, 0.1], [0.0, 0.2, 0.3, 0.5], [0.0, 0.0, 0.0, 1.0]])
B = np.array([[0.7, 0.2, 0.1, 0.0], [0.3, 0.6, 0.0, 0.1], [0.0, 0.2, 0.9, 0.2], [0.0, 0.0, 0.0, 0.7]])


def links(name: str) -> set[tuple[int, int]]:
    return set(zip(*(axis.tolist() for axis in np.nonzero(ALIGNERS[name](A, B))), strict=True))


def test_by_hand():
    assert links("argmax") == {(0, 0), (1, 0)}  # c looks at end of sequence
    assert links("backward argmax") == {(0, 0), (1, 1), (2, 2)}
    assert links("intersection") == {(0, 0)}
    assert links("weight ≥ 0.3") == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)}
    assert links("weight ≥ 0.5") == {(0, 0), (1, 0)}


def test_ties_are_all_linked():
    tied = np.array([[0.4, 0.4, 0.2], [0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    assert ALIGNERS["argmax"](tied, tied).tolist() == [[True, True], [False, False]]


def test_matching_takes_the_best_sum_and_no_pair_without_weight():
    # Greedy would take 0-0 (.9) and leave 1-1 (.1); 0-1 and 1-0 have the larger sum.
    square = np.array([[0.9, 0.8, 0.0], [0.7, 0.1, 0.0], [0.0, 0.0, 1.0]])
    assert matching(square, square).tolist() == [[0, 1], [1, 0]]
    nothing = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert matching(nothing, nothing).tolist() == [[1, 0], [0, 0]]


def test_the_second_round_of_itermax_links_what_is_left_over():
    # First 0-0 alone is mutual. Then, by .9, 0-1 is 0.63 and 1-0 is 0.675: each is above 1-1's 0.6, and mutual.
    first = np.array([[0.8, 0.7, 0.0], [0.75, 0.6, 0.0], [0.0, 0.0, 1.0]])
    assert itermax(first, first).tolist() == [[True, True], [True, False]]
    # 1-1 is 0.67 and both its tokens are free: more than 0-1's 0.63 and 1-0's 0.666.
    second = np.array([[0.8, 0.7, 0.0], [0.74, 0.67, 0.0], [0.0, 0.0, 1.0]])
    assert itermax(second, second).tolist() == [[True, False], [False, True]]


def test_many_maps_at_once_are_aligned_as_each_alone():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 6, 4))
    for aligner in ALIGNERS.values():
        together = aligner(a, b)
        for k in range(5):
            np.testing.assert_array_equal(together[k], aligner(a[k], b[k]))


def test_distances_are_in_characters():
    student = TokenizedText.from_pieces("ab é cd", ["ab", "ĠÃ©", "Ġcd"])
    teacher = TokenizedText.from_pieces("ab é cd", ["a", "b", "Ġ", "Ã", "©", "Ġcd"])
    row = GoldRow("r", "s~t", student, teacher, frozenset({(0, 0), (1, 3)}), frozenset(), (), "")
    distance = Truth(row).distance
    # From "a" (0–1): b touches the end and is one long, so its character is 1 away; the space is at 2–3: 1 + 1; é at
    # 3–4: 2 + 1, both halves; " cd" at 4–7: 3 + (1+2+3)/3; end of sequence behind it: 6 + 1.
    np.testing.assert_allclose(distance[0], [0, 1, 2, 3, 3, 5, 7])
    # From the first half of é both halves are at one place.
    np.testing.assert_allclose(distance[1], [3, 2, 1, 0, 0, 2, 4])
    assert (distance[2:] == 0).all()


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_common_entropy_is_reached_whatever_the_temperature(factor: float):
    logits = factor * np.random.default_rng(2).normal(size=(3, 7, 7))
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    power = common_power(list(weights), COMMON_ENTROPY)
    assert power is not None
    raised = weights**power / (weights**power).sum(axis=-1, keepdims=True)
    assert np.mean([entropy(one) for one in raised]) == pytest.approx(COMMON_ENTROPY, abs=0.01)
    assert common_power([np.full((7, 7), 1 / 7)], COMMON_ENTROPY) is None
    assert common_power([np.eye(7)], COMMON_ENTROPY) is None


def pairs(found: np.ndarray) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in zip(*found.nonzero(), strict=True)}


def padded(*rows: list[float]) -> np.ndarray:
    """With an end of sequence that draws nothing."""
    return np.pad(np.array(rows), ((0, 1), (0, 1)))


def test_ties_survive_the_intersection_and_end_of_sequence_takes_links_away():
    even = padded([0.5, 0.5], [0.5, 0.5])
    assert len(pairs(ALIGNERS["intersection"](even, even))) == 4
    over_student = np.array([[0.3, 0.2, 0.0], [0.2, 0.3, 0.0], [0.5, 0.5, 1.0]])
    assert pairs(ALIGNERS["backward argmax"](over_student, over_student)) == set()


def test_similarity_is_of_both_directions():
    a, b = padded([0.9, 0.5]), padded([0.1, 0.5])  # sqrt(.9 · .1) = .3 loses against sqrt(.5 · .5) = .5
    assert pairs(matching(a, b)) == {(0, 1)}
    assert pairs(itermax(a, b)) == {(0, 1), (0, 0)}  # in the second round 0-0 is what is left of its row and column


def test_itermax_looks_twice_and_not_three_times():
    # Round 1: 0-0. Round 2: 0-1 (.72) and 1-0 (.72) are mutual, and 1-1 and 2-2 are hidden. A third would link 2-2.
    s = padded([0.9, 0.8, 0.7], [0.8, 0.71, 0.7], [0.7, 0.7, 0.1])
    assert pairs(itermax(s, s)) == {(0, 0), (0, 1), (1, 0)}
    zero = padded([0.0, 0.0], [0.0, 0.0])
    assert pairs(itermax(zero, zero)) == set()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_matching_is_the_best_of_all_one_to_one_links(students: int, teachers: int, seed: int):
    s = padded(*np.random.default_rng(seed).integers(0, 4, (students, teachers)).astype(float).tolist())
    tall = s[:-1, :-1] if students >= teachers else s[:-1, :-1].T
    best = max(sum(tall[i, j] for j, i in enumerate(some)) for some in permutations(range(len(tall)), tall.shape[1]))
    share = matching(s, s)
    assert (s[:-1, :-1] * share).sum() == pytest.approx(best)
    assert share.sum(axis=0).max() <= 1
    assert share.sum(axis=1).max() <= 1


def test_matchings_of_equal_weights_do_not_know_the_diagonal():
    size = 16
    share = matching(np.full((size + 1, size + 1), 0.1), np.full((size + 1, size + 1), 0.1))
    assert share.sum() == pytest.approx(size)
    assert np.trace(share) < 4  # one is what chance gives; the order of the text would give all sixteen


def test_matchings_count_by_the_share_of_equal_solutions():
    tied = padded([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.9])
    share = matching(tied, tied)
    assert share[2, 2] == 1
    np.testing.assert_allclose(share[:2, :2].sum(axis=0), 1)
    assert (share[:2, :2] > 0).all()
    # Rounding of another machine is no preference.
    noisy = tied * (1 + 1e-12 * np.arange(16).reshape(4, 4))
    np.testing.assert_array_equal(matching(noisy, noisy), share)


@settings(max_examples=30, deadline=None)
@given(gold_rows(), st.integers(0, 100))
def test_counts_are_those_of_sets(row: GoldRow, seed: int):
    map_ = random_map(row, seed, levels=3)
    assert map_.over_student is not None
    found = count_of_aligners([map_], Truth(row))[0]
    for k, aligner in enumerate(ALIGNERS.values()):
        predicted = aligner(map_.weights, map_.over_student)
        for count, links in zip(found[k], (None, row.links.either, row.sure), strict=True):
            chosen = pairs(predicted) if links is None else pairs(predicted) & links
            assert count == pytest.approx(sum(float(predicted[place]) for place in chosen))


def test_without_the_other_direction_only_its_aligners_are_unknown():
    row = row_of("abc d", "a bc Ġd", "ab c Ġd")
    both = random_map(row)
    found = count_of_aligners([both, map_of(row, both.weights)], Truth(row))
    assert [bool(np.isnan(of_aligner).all()) for of_aligner in found[1]] == [name in NEED_BOTH for name in ALIGNERS]
    assert not np.isnan(found[0]).any()
