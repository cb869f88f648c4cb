"""The aligners that need vectors: simalign's three, and the expected alignment of soft dynamic time warping."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
import torch

from probe.aligners.of_attention import Method, simalign_links, soft_dtw, token_similarity

METHODS: tuple[Method, ...] = ("simalign inter", "simalign itermax", "simalign matching")
Cell = tuple[int, int]


def test_similarity_is_the_cosine_and_zero_of_nothing():
    queries, keys = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[6.0, 8.0], [-4.0, 3.0], [0.0, -2.0]])
    np.testing.assert_allclose(token_similarity(queries, keys), [[1, 0, -0.8], [0, 0, 0]], atol=1e-15)


# Mutual are 0-0 and 3-3. Rows 1 and 2 and columns 1 and 2 are left. Moved to 0 to 1, row 1 has .9 · .95 = .855 at
# column 0, more than .75 at column 1, but column 0 is best there with row 1 as well, so 1-0 is linked in round two.
SIMILAR = np.array([[0.95, 0.1, 0.0, 0.0], [0.9, 0.5, 0.2, 0.0], [0.1, 0.3, 0.6, 0.5], [0.0, 0.0, 0.7, 0.9]])


@pytest.mark.parametrize(
    ("method", "links"),
    [
        ("simalign inter", {(0, 0), (3, 3)}),
        ("simalign itermax", {(0, 0), (1, 0), (2, 2), (3, 3)}),
        ("simalign matching", {(0, 0), (1, 1), (2, 2), (3, 3)}),
    ],
)
def test_by_hand(method: Method, links: set[Cell]):
    assert simalign_links(SIMILAR, method) == links


def test_itermax_looks_once_where_a_side_has_no_token_left_or_only_two():
    narrow = np.array([[0.9, 0.1], [0.8, 0.3], [0.7, 0.2]])
    assert simalign_links(narrow, "simalign itermax") == simalign_links(narrow, "simalign inter") == {(0, 0)}
    full = np.vstack([np.eye(3), [[0.9, 0.0, 0.0]]])  # row 3 is left, and no column
    assert simalign_links(full, "simalign itermax") == {(0, 0), (1, 1), (2, 2)}


def test_itermax_links_no_two_tokens_that_are_linked_already():
    swapped = np.full((3, 3), -1.0)
    swapped[0, 1] = swapped[1, 0] = 1
    assert simalign_links(swapped, "simalign itermax") == {(0, 1), (1, 0)}


def test_of_equal_cosines_the_first_counts():
    assert simalign_links(np.zeros((2, 2)), "simalign inter") == {(0, 0)}


def test_matching_has_the_largest_sum_and_links_the_whole_shorter_side():
    for seed in range(20):
        similarity = np.random.default_rng(seed).uniform(-1, 1, size=(3, 5))
        links = simalign_links(similarity, "simalign matching")
        best = max(sum(similarity[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(5), 3))
        assert sorted(i for i, _ in links) == [0, 1, 2]
        assert sum(similarity[link] for link in links) == pytest.approx(best)


@pytest.mark.parametrize("method", METHODS)
def test_equal_tokens_are_linked_one_to_one_and_no_tokens_not_at_all(method: Method):
    vectors = np.random.default_rng(0).normal(size=(6, 16))
    assert simalign_links(token_similarity(vectors, vectors), method) == {(i, i) for i in range(6)}
    assert simalign_links(np.zeros((0, 3)), method) == simalign_links(np.zeros((3, 0)), method) == frozenset()


def path_costs(costs: np.ndarray, here: Cell = (0, 0)) -> Iterator[float]:
    """The cost of every monotone path from a cell to the last one."""
    i, j = here
    if here == (costs.shape[0] - 1, costs.shape[1] - 1):
        yield costs[here]
    for there in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
        if there[0] < costs.shape[0] and there[1] < costs.shape[1]:
            yield from (costs[here] + rest for rest in path_costs(costs, there))


def soft_minimum(costs: np.ndarray, gamma: float) -> float:
    return -gamma * np.log(sum(np.exp(-cost / gamma) for cost in path_costs(costs)))


@pytest.mark.parametrize("gamma", [0.1, 1.0, 5.0])
def test_soft_dtw_is_the_gradient_of_the_soft_minimum(gamma: float):
    costs, step = np.random.default_rng(1).uniform(size=(3, 4)), 1e-5
    expected = np.zeros(costs.shape)
    for cell in np.ndindex(costs.shape):
        moved = np.zeros(costs.shape)
        moved[cell] = step
        expected[cell] = (soft_minimum(costs + moved, gamma) - soft_minimum(costs - moved, gamma)) / (2 * step)
    np.testing.assert_allclose(soft_dtw(costs, gamma), expected, atol=1e-7)
    np.testing.assert_allclose(soft_dtw(torch.from_numpy(costs), gamma).numpy(), expected, atol=1e-7)
