"""Ranks of links, each worked out by hand in its comment, or by another way to count."""

import numpy as np
from scipy.stats import rankdata

from probe.scoring.ranks import row_figures
from probe.scoring.scores import top_1


def figures(weights: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Of each row of one map, with the links of a mask: top-1, reciprocal rank, AUC and mass."""
    return row_figures(weights[None], np.arange(len(weights)), np.array(sure.nonzero()))[0].T


def test_top_1_and_mass_are_those_of_the_mask():
    rng = np.random.default_rng(0)
    weights, sure = rng.integers(0, 4, (50, 9)).astype(float), rng.random((50, 9)) < 0.3
    sure[:, 0], sure[:, 1] = True, False
    np.testing.assert_array_equal(figures(weights, sure)[0], top_1(weights, sure))
    np.testing.assert_array_equal(figures(weights, sure)[3], (weights * sure).sum(axis=1))


def test_a_row_may_come_again_with_other_links():
    # Row 1 first with its largest weight, then with the next; row 0 with both of its largest.
    weights = np.array([[[0.4, 0.4, 0.2], [0.5, 0.3, 0.2]]])
    found = row_figures(weights, np.array([1, 1, 0]), np.array([[0, 1, 2, 2], [0, 1, 0, 1]]))
    np.testing.assert_allclose(found[0], [[1, 1, 1, 0.5], [0, 1 / 2, 1 / 2, 0.3], [1, 1, 1, 0.8]])


def test_of_no_rows_there_are_no_figures():
    assert row_figures(np.ones((2, 3, 3)), np.zeros(0, int), np.zeros((2, 0), int)).shape == (2, 0, 4)


def test_reciprocal_rank_of_the_first_sure_link():
    # Ranks of the best sure cell: 1, 2 and 3.
    weights = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    sure = np.array([[True, True, False], [False, True, True], [False, False, True]])
    np.testing.assert_allclose(figures(weights, sure)[1], [1, 1 / 2, 1 / 3])


def test_reciprocal_rank_is_its_expectation_over_random_tie_breaking():
    # One sure among three tied: (1 + 1/2 + 1/3) / 3. Two sure among three: first at place 1 with 2/3, at 2 with 1/3.
    # One cell above, then one sure of two tied: (1/2 + 1/3) / 2.
    weights = np.array([[1, 1, 1], [1, 1, 1], [2, 1, 1]]) / 3
    sure = np.array([[True, False, False], [True, True, False], [False, True, False]])
    np.testing.assert_allclose(figures(weights, sure)[1], [11 / 18, 2 / 3 + 1 / 6, 5 / 12])


def test_reciprocal_rank_agrees_with_breaking_ties_many_times():
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, (20, 9)).astype(float)
    sure = rng.random((20, 9)) < 0.3
    sure[:, 0] = True
    broken = weights[None] + rng.random((20_000, 20, 9)) * 1e-6
    best = np.where(sure, broken, -1).max(axis=-1, keepdims=True)
    sampled = (1 / (1 + (broken > best).sum(axis=-1))).mean(axis=0)
    np.testing.assert_allclose(figures(weights, sure)[1], sampled, atol=0.01)


def test_row_auc_counts_ties_half():
    # Sure 0.5 against 0.3 and 0.2: both won. Sure 0.3 against 0.5 (lost) and 0.2 (won). Uniform: all tied.
    weights = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [1 / 3] * 3])
    sure = np.array([[True, False, False], [False, True, False], [True, False, False]])
    np.testing.assert_allclose(figures(weights, sure)[2], [1, 1 / 2, 1 / 2])


def test_row_auc_is_the_statistic_of_mann_and_whitney():
    rng = np.random.default_rng(2)
    weights = rng.integers(0, 5, (30, 12)).astype(float)
    sure = rng.random((30, 12)) < 0.3
    sure[:, 0], sure[:, 1] = True, False
    hits = sure.sum(axis=1)
    u = (rankdata(weights, axis=1) * sure).sum(axis=1) - hits * (hits + 1) / 2
    np.testing.assert_allclose(figures(weights, sure)[2], u / (hits * (12 - hits)))
