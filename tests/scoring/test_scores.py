"""Golden cases, each worked out by hand in its comment."""

import numpy as np
import pytest
from scipy.stats import rankdata

from probe.aligners.links import argmax
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.scoring.scores import COUNTS, METRICS, metrics, score, top_1
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
