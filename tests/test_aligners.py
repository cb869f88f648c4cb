"""Each aligner on a map that is small enough to be aligned by hand."""

import numpy as np
import pytest

from probe.align import COMMON_ENTROPY
from probe.aligners import ALIGNERS, itermax, matching
from probe.cma import common_power
from probe.maps import AttentionMap
from probe.pair_rows import GoldRow
from probe.scores import entropy
from probe.tokens import TokenizedText
from probe.truth import Truth

# Student a b c and end of sequence against teacher A B C and end of sequence. Rows of A sum to one, columns of A′ do.
A = np.array([[0.6, 0.3, 0.0, 0.1], [0.5, 0.4, 0.0, 0.1], [0.0, 0.2, 0.3, 0.5], [0.0, 0.0, 0.0, 1.0]])
B = np.array([[0.7, 0.2, 0.1, 0.0], [0.3, 0.6, 0.0, 0.1], [0.0, 0.2, 0.9, 0.2], [0.0, 0.0, 0.0, 0.7]])


def links(name: str) -> set[tuple[int, int]]:
    return set(zip(*(axis.tolist() for axis in np.nonzero(ALIGNERS[name](A, B))), strict=True))


def test_by_hand():
    assert links("argmax A") == {(0, 0), (1, 0)}  # c looks at end of sequence
    assert links("argmax A′") == {(0, 0), (1, 1), (2, 2)}
    assert links("intersection") == {(0, 0)}
    assert links("weight ≥ 0.3") == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)}
    assert links("weight ≥ 0.5") == {(0, 0), (1, 0)}


def test_ties_are_all_linked():
    tied = np.array([[0.4, 0.4, 0.2], [0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    assert ALIGNERS["argmax A"](tied, tied).tolist() == [[True, True], [False, False]]


def test_matching_takes_the_best_sum_and_no_pair_without_weight():
    # Greedy would take 0-0 (.9) and leave 1-1 (.1); 0-1 and 1-0 have the larger sum.
    square = np.array([[0.9, 0.8, 0.0], [0.7, 0.1, 0.0], [0.0, 0.0, 1.0]])
    assert matching(square, square).tolist() == [[False, True], [True, False]]
    nothing = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert matching(nothing, nothing).tolist() == [[True, False], [False, False]]


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
    side = TokenizedText.from_pieces("abcdef", list("abcdef"))
    logits = factor * np.random.default_rng(2).normal(size=(3, 7, 7))
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    maps = [AttentionMap("m", side, side, one) for one in weights]
    power = common_power(maps, COMMON_ENTROPY)
    assert power is not None
    raised = weights**power / (weights**power).sum(axis=-1, keepdims=True)
    assert np.mean([entropy(one) for one in raised]) == pytest.approx(COMMON_ENTROPY, abs=0.01)
    uniform = AttentionMap("u", side, side, np.full((7, 7), 1 / 7))
    one_hot = AttentionMap("h", side, side, np.eye(7))
    assert common_power([uniform], COMMON_ENTROPY) is None
    assert common_power([one_hot], COMMON_ENTROPY) is None
