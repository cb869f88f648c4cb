"""ROUGE-L and exact match are those of the published evaluation, to the last bit."""

import json
import sys
from itertools import chain
from typing import Any

import pytest
from places import ROOT

from probe.errors import MissingExtraError, TrainingError
from probe.training.evaluation import rouge
from probe.training.evaluation.rouge import exact_match, normalise, rouge_l, score

GOLDEN = ROOT / "tests" / "golden" / "golden.json"
CASES: dict[str, dict[str, Any]] = {
    case["name"]: case for case in json.loads(GOLDEN.read_text(encoding="utf-8"))["rouge"]
}
UNEVEN = {"more_predictions_than_references", "more_references_than_predictions"}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def even(case: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Predictions and references, cut to the shorter list as the published code cuts them; others keep all."""
    count = len(case["per_pair"])
    predictions, references = case["predictions"], case["references"]
    if case["name"] in UNEVEN:
        predictions, references = predictions[:count], references[:count]
    assert len(predictions) == len(references) == count
    return predictions, references


# As published


@each_case
def test_every_pair_is_as_published(case: dict[str, Any]):
    for prediction, several, wanted in zip(*even(case), case["per_pair"], strict=True):
        assert normalise(prediction) == wanted["normalized_prediction"]
        assert [rouge_l(prediction, one) for one in several] == wanted["rougeL_f"]
        assert [exact_match(prediction, one) for one in several] == wanted["exact_match"]


@each_case
def test_every_corpus_is_as_published(case: dict[str, Any]):
    found = score(*even(case))
    assert {"rougeL": round(found.rouge_l, 4), "exact_match": round(found.exact_match, 4)} == case["metrics"]


def test_the_golden_cases_are_those_the_tests_rely_on():
    assert len(CASES) >= 22
    assert {name for name, case in CASES.items() if len(case["predictions"]) != len(case["references"])} == UNEVEN
    # Taking the first or the last reference, or the mean of all, would be seen.
    pairs = list(chain.from_iterable(case["per_pair"] for case in CASES.values()))
    assert any(max(pair["rougeL_f"]) > pair["rougeL_f"][0] for pair in pairs)
    assert any(max(pair["rougeL_f"]) > pair["rougeL_f"][-1] for pair in pairs)


def test_each_figure_takes_its_own_best_reference():
    # The fourth is best for ROUGE-L and the second for exact match; neither is so for both.
    assert score(["a!b"], [["x", "ab", "y", "a b", "z"]]) == (100, 100)


def test_nothing_is_rounded():
    assert score(["the answer"], [["answer"]]).rouge_l == 100 * (2 / 3)


# What the figures do not see


def test_rouge_l_knows_no_letters_but_a_to_z():
    assert score(["你好 世界"], [["你好 世界"]]) == (0, 100)
    assert score(["café"], [["caf"]]) == (100, 0)


def test_characters_count_in_every_script():
    assert rouge_l("北京是首都", "北京是首都") == 0
    assert rouge_l("北京是首都", "北京是首都", "characters") == 1
    assert rouge_l("北京是首都", "北京 首府", "characters") == pytest.approx(2 * 3 / (5 + 4))
    assert rouge_l("Straße", "STRASSE", "characters") == 1


def test_two_empty_texts_match_and_score_nothing():
    assert score([""], [[""]]) == (0, 100)


def test_punctuation_splits_for_one_and_joins_for_the_other():
    assert score(["well-known"], [["well known"]]) == (100, 0)
    assert score(["well-known"], [["wellknown"]]) == (0, 100)
    assert score(["“fine”"], [['"fine"']]) == (100, 0)


# Bad input


@pytest.mark.parametrize("name", sorted(UNEVEN))
def test_lists_of_different_lengths_are_not_cut(name: str):
    predictions, references = CASES[name]["predictions"], CASES[name]["references"]
    with pytest.raises(TrainingError) as caught:
        score(predictions, references)
    (problem,) = caught.value.problems
    assert f" {len(predictions)} predictions" in problem.expected
    assert problem.got == f"{len(references)} lists"


def test_every_prediction_without_a_list_of_references_is_named():
    with pytest.raises(TrainingError) as caught:
        score(["a", "b", "c", "d"], [[], ["b"], "c", ""])
    found = [(problem.where, problem.got) for problem in caught.value.problems]
    assert found == [("prediction 1", "none"), ("prediction 3", "a string"), ("prediction 4", "a string")]


def test_an_empty_corpus_has_no_score():
    with pytest.raises(TrainingError, match="at least one row"):
        score([], [])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    rouge._scorer.cache_clear()
    with pytest.raises(MissingExtraError, match=r"rouge-score.*cma-probe\[train\]"):
        score(["a"], [["a"]])
