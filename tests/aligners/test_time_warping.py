from functools import cache
from itertools import pairwise, product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.aligners.time_warping import one_to_one, warp, warped_pairs
from probe.errors import TokenError
from probe.tokens import TokenizedText

TOKENS = st.lists(st.text("abé", max_size=3), min_size=1, max_size=6)


@cache
def distance(a: str, b: str) -> int:
    """Levenshtein's, by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))


def cheapest(teacher: list[str], student: list[str], i: int, j: int) -> float:
    """The cost of the best path to a cell, by recursion over the cells before it."""

    @cache
    def cost(i: int, j: int) -> float:
        if i < 0 or j < 0:
            return 0 if i == j == -1 else inf
        return distance(teacher[i], student[j]) + min(cost(i - 1, j), cost(i, j - 1), cost(i - 1, j - 1))

    return cost(i, j)


def cells(matched: list[list[int]]) -> list[tuple[int, int]]:
    return [(i, j) for j, rows in enumerate(matched) for i in rows]


@given(TOKENS, TOKENS)
def test_cells_are_a_monotone_path_from_corner_to_corner_of_the_smallest_cost(teacher: list[str], student: list[str]):
    path = cells(warp(teacher, student))
    assert (path[0], path[-1]) == ((0, 0), (len(teacher) - 1, len(student) - 1))
    assert all((c - a, d - b) in {(1, 1), (1, 0), (0, 1)} for (a, b), (c, d) in pairwise(path))
    total = sum(distance(teacher[i], student[j]) for i, j in path)
    assert total == cheapest(teacher, student, len(teacher) - 1, len(student) - 1)


@given(TOKENS, TOKENS)
def test_of_equal_ways_back_the_diagonal_one_is_taken_and_then_the_one_up(teacher: list[str], student: list[str]):
    path = cells(warp(teacher, student))
    for before, (i, j) in pairwise(path):
        ways = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        assert before == min(ways, key=lambda way: cheapest(teacher, student, *way) if min(way) >= 0 else inf)


def test_the_smallest_cost_is_that_of_all_paths_tried():
    """The oracle above is itself held against every path there is."""

    def paths(i: int, j: int) -> list[list[tuple[int, int]]]:
        if i == j == 0:
            return [[(0, 0)]]
        ways = [(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        return [[*path, (i, j)] for way in ways for path in paths(*way)]

    tokens = ["a", "ab", "bab"]
    for teacher, student in product(product(tokens, repeat=3), product(tokens, repeat=2)):
        costs = [sum(distance(teacher[i], student[j]) for i, j in path) for path in paths(2, 1)]
        assert min(costs) == cheapest(list(teacher), list(student), 2, 1)


@given(st.lists(st.text("abé", max_size=3), min_size=1, unique=True))
def test_a_sequence_is_matched_with_itself_one_to_one(tokens: list[str]):
    assert warp(tokens, tokens) == [[i] for i in range(len(tokens))]
    assert one_to_one(tokens, tokens).tolist() == list(range(len(tokens)))


def test_a_word_that_the_teacher_cuts_in_two_has_no_single_match():
    teacher, student = ["has", "understand", "able", "responsibilities"], ["has", "understandable", "responsibilities"]
    assert warp(teacher, student) == [[0], [1, 2], [3]]
    assert one_to_one(teacher, student).tolist() == [0, -1, 3]


def test_a_word_that_the_student_cuts_in_two_is_matched_twice():
    assert one_to_one(["the", "alignment"], ["the", "align", "ment"]).tolist() == [0, 1, 1]


def test_of_the_ways_up_and_left_around_a_dear_middle_up_is_taken():
    assert warp(["a", "bbb", "a"], ["bbb", "a", "bbb"]) == [[0], [0], [1, 2]]


def test_along_a_border_there_is_one_way():
    assert warp(["a", "b", "c"], ["b"]) == [[0, 1, 2]]
    assert warp(["b"], ["a", "b", "c"]) == [[0], [0], [0]]


def test_empty_sequences_are_refused():
    with pytest.raises(TokenError, match="tokens of the teacher: expected at least one"):
        warp([], ["a"])
    with pytest.raises(TokenError, match="tokens of the student: expected at least one"):
        one_to_one(["a"], [])


def test_links_of_a_text_are_the_path_without_the_marks_of_spaces():
    student = TokenizedText.from_pieces("the alignment is", ["the", "Ġalign", "ment", "Ġis"])
    teacher = TokenizedText.from_pieces("the alignment is", ["▁the", "▁alignment", "▁i", "s"])
    # `ment` is four edits from `i` and five from `alignment`, though it is a part of the latter.
    assert warped_pairs(student, teacher) == {(0, 0), (1, 1), (2, 2), (3, 3)}
