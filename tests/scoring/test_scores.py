"""Golden cases, each worked out by hand in its comment."""

import numpy as np
import pytest
from scipy.stats import rankdata

from probe.aligners.links import argmax
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.scoring.scores import COUNTS, METRICS, metrics, reciprocal_rank, row_auc, score, top_1
from probe.scoring.sharpness import entropy
from probe.scoring.truth import Truth
from probe.tokens import TokenizedText


def gold_row(sure: set[tuple[int, int]], possible: set[tuple[int, int]] = frozenset()) -> GoldRow:
    student = TokenizedText.from_pieces("ab cd", ["ab", "Ġc", "d"])
    teacher = TokenizedText.from_pieces("ab cd", ["a", "b", "Ġcd"])
    return GoldRow("r", "s~t", student, teacher, frozenset(sure), frozenset(possible), (), "")


def attention(*rows: list[float]) -> AttentionMap:
    gold = gold_row(set())
    return AttentionMap("test", gold.student, gold.teacher, np.array(rows))


def counted(map_: AttentionMap, gold: GoldRow) -> np.ndarray:
    return score([map_], Truth(gold), [None]).counts[0]


EOS_ROW = [0.0, 0.0, 0.0, 1.0]


def test_top_1_is_the_share_of_tied_largest_weights_that_is_sure():
    weights = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [1 / 3] * 3])
    sure = np.array([[True, False, False], [False, True, False], [True, True, False]])
    np.testing.assert_allclose(top_1(weights, sure), [1, 1 / 2, 2 / 3])


def test_reciprocal_rank_of_the_first_sure_link():
    # Ranks of the best sure cell: 1, 2 and 3.
    weights = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    sure = np.array([[True, True, False], [False, True, True], [False, False, True]])
    np.testing.assert_allclose(reciprocal_rank(weights, sure), [1, 1 / 2, 1 / 3])


def test_reciprocal_rank_is_its_expectation_over_random_tie_breaking():
    # One sure among three tied: (1 + 1/2 + 1/3) / 3. Two sure among three: first at place 1 with 2/3, at 2 with 1/3.
    # One cell above, then one sure of two tied: (1/2 + 1/3) / 2.
    weights = np.array([[1, 1, 1], [1, 1, 1], [2, 1, 1]]) / 3
    sure = np.array([[True, False, False], [True, True, False], [False, True, False]])
    np.testing.assert_allclose(reciprocal_rank(weights, sure), [11 / 18, 2 / 3 + 1 / 6, 5 / 12])


def test_reciprocal_rank_agrees_with_breaking_ties_many_times():
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, (20, 9)).astype(float)
    sure = rng.random((20, 9)) < 0.3
    sure[:, 0] = True
    broken = weights[None] + rng.random((20_000, 20, 9)) * 1e-6
    best = np.where(sure, broken, -1).max(axis=-1, keepdims=True)
    sampled = (1 / (1 + (broken > best).sum(axis=-1))).mean(axis=0)
    np.testing.assert_allclose(reciprocal_rank(weights, sure), sampled, atol=0.01)


def test_row_auc_counts_ties_half():
    # Sure 0.5 against 0.3 and 0.2: both won. Sure 0.3 against 0.5 (lost) and 0.2 (won). Uniform: all tied.
    weights = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [1 / 3] * 3])
    sure = np.array([[True, False, False], [False, True, False], [True, False, False]])
    np.testing.assert_allclose(row_auc(weights, sure), [1, 1 / 2, 1 / 2])


def test_entropy_is_a_share_of_its_maximum():
    # Two of four equal: log 2 / log 4 = 1/2.
    weights = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(entropy(weights), [0, 1, 1 / 2])


def test_hard_links_are_all_tied_maxima_and_never_end_of_sequence():
    map_ = attention([0.4, 0.4, 0.1, 0.1], [0, 0, 0, 1], [0.1, 0.2, 0.6, 0.1], EOS_ROW)
    assert set(zip(*argmax(map_.weights, map_.weights).nonzero(), strict=True)) == {(0, 0), (0, 1), (2, 2)}


def test_counts_and_metrics_of_a_sentence():
    # ab is sure with a and b, Ġc with Ġcd, d possible with Ġcd: rows with a sure link are 0 and 1.
    gold = gold_row({(0, 0), (0, 1), (1, 2)}, {(2, 2)})
    map_ = attention([0.5, 0.3, 0.1, 0.1], [0.6, 0.0, 0.4, 0.0], [0.1, 0.1, 0.8, 0.0], [0.0, 0.6, 0.0, 0.4])
    counts = dict(zip(COUNTS, counted(map_, gold), strict=True))
    assert counts["rows"] == 2
    assert counts["top-1"] == 1  # row 0 hits, row 1 misses
    assert counts["MRR"] == 1 + 1 / 2
    assert counts["AUC"] == pytest.approx(1 + 2 / 3)  # row 1: Ġcd loses to a, beats b and end of sequence
    assert counts["attention mass"] == pytest.approx(0.8 + 0.4)
    # Predicted 0-0, 1-0, 2-2: 0-0 is sure, 2-2 possible, 1-0 wrong.
    assert [counts[k] for k in ("predicted", "predicted possible", "predicted sure", "sure")] == [3, 2, 1, 3]
    assert (counts["EOS hits"], counts["sentences"]) == (0, 1)
    figures = dict(zip(METRICS, metrics(counted(map_, gold)), strict=True))
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall"] == pytest.approx(1 / 3)
    assert figures["F1"] == pytest.approx(4 / 9)
    assert figures["AER"] == pytest.approx(1 - (1 + 2) / (3 + 3))


def test_corpus_figures_come_from_summed_counts_not_from_means_of_sentences():
    # One row of one hit, two rows of no hit: 1/3, where the mean of sentences would say 1/2.
    first = counted(attention(*[[1.0, 0, 0, 0]] * 3, EOS_ROW), gold_row({(0, 0)}))
    second = counted(attention(*[[1.0, 0, 0, 0]] * 3, EOS_ROW), gold_row({(1, 2), (2, 2)}))
    assert dict(zip(METRICS, metrics(first + second), strict=True))["top-1"] == pytest.approx(1 / 3)


def test_a_sentence_without_sure_links_counts_nothing():
    counts = dict(zip(COUNTS, counted(attention(*[[0.25] * 4] * 4), gold_row(set())), strict=True))
    assert counts["rows"] == counts["top-1"] == counts["attention mass"] == counts["sure"] == 0
    assert np.isnan(
        dict(zip(METRICS, metrics(counted(attention(*[[0.25] * 4] * 4), gold_row(set()))), strict=True))["MRR"]
    )


def test_headline_metrics_do_not_depend_on_temperature():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 4))
    gold = gold_row({(0, 0), (1, 2), (2, 2)})
    headline = []
    for factor in (0.3, 1.0, 4.0):
        weights = np.exp(factor * logits)
        map_ = attention(*(weights / weights.sum(axis=1, keepdims=True)))
        headline.append(metrics(counted(map_, gold))[:3])
    np.testing.assert_allclose(headline[0], headline[1])
    np.testing.assert_allclose(headline[0], headline[2])
    assert rankdata(logits[0]).tolist() != [2.5] * 4  # the case is not degenerate


def test_row_auc_is_the_statistic_of_mann_and_whitney():
    rng = np.random.default_rng(2)
    weights = rng.integers(0, 5, (30, 12)).astype(float)
    sure = rng.random((30, 12)) < 0.3
    sure[:, 0], sure[:, 1] = True, False
    hits = sure.sum(axis=1)
    u = (rankdata(weights, axis=1) * sure).sum(axis=1) - hits * (hits + 1) / 2
    np.testing.assert_allclose(row_auc(weights, sure), u / (hits * (12 - hits)))
