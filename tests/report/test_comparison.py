"""Two checkpoints on the same texts: what is equal does not differ, what was planted is found, chance is chance."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from probe.errors import ReportError
from probe.report.comparison import COMPARED, compare_all, reading, table
from probe.report.report import ProbeReport
from probe.scoring.scores import COUNTS, METRICS, metrics
from probe.stats import FEW, as_float, holm, permutation_p

ROWS, TOP_1 = COUNTS.index("rows"), COUNTS.index("top-1")


@pytest.fixture(scope="module")
def report(demo_report: ProbeReport) -> ProbeReport:
    return demo_report


def worse(report: ProbeReport, share: float) -> ProbeReport:
    """The same with a share of the hits of the probed method lost in every text."""
    counts = report.counts.copy()
    counts[:, 0, TOP_1] *= 1 - share
    return replace(report, counts=counts)


def test_equal_checkpoints_never_differ(report: ProbeReport):
    (found,) = compare_all({"one": report, "other": replace(report)})
    for one in (*found.figures, *found.phenomena):
        assert one.first == one.second
        assert one.difference.value == 0
        assert one.p in (1, None)
        if one.sentences >= FEW:
            assert (one.difference.low, one.difference.high) == (0, 0)


def test_a_planted_difference_is_measured(report: ProbeReport):
    (found,) = compare_all({"one": report, "other": worse(report, 0.2)})
    figures = {one.figure: one for one in found.figures}
    top_1 = figures["top-1"]
    value, low, high = map(as_float, top_1.difference)
    assert value == pytest.approx(-0.2 * top_1.first)
    assert low < value < high < 0
    assert top_1.p is not None
    assert top_1.p < 0.01
    assert figures["MRR"].p == 1
    assert found.sentences == len(report.sentences)


def test_the_sign_is_second_minus_first(report: ProbeReport):
    (found,) = compare_all({"one": worse(report, 0.2), "other": report})
    assert as_float(found.figures[0].difference.value) > 0


def test_only_shared_texts_of_one_gold_file_are_compared(report: ProbeReport):
    per_sentence = ("sentences", "lengths", "phenomena", "triples", "counts", "backward", "slices", "links", "mass")
    half = replace(report, **{name: getattr(report, name)[::2] for name in per_sentence})
    (found,) = compare_all({"half": half, "whole": report})
    assert found.sentences == len(half.sentences)
    assert found.figures[0].difference.value == 0
    foreign = replace(report, origin=replace(report.origin, gold_sha256="of another file"))
    assert compare_all({"one": report, "other": foreign}) == []
    assert compare_all({"alone": report}) == []


def test_three_checkpoints_are_three_comparisons_and_one_family_of_tests(report: ProbeReport):
    lower = worse(report, 0.1)
    three = compare_all({"a": report, "b": lower, "c": replace(report)})
    assert [(one.first, one.second) for one in three] == [("a", "b"), ("a", "c"), ("b", "c")]
    (two,) = compare_all({"a": report, "b": lower})
    adjusted_of_two, adjusted_of_three = two.figures[0].p, three[0].figures[0].p
    assert adjusted_of_two is not None
    assert adjusted_of_three is not None
    assert adjusted_of_two < adjusted_of_three
    assert three[1].figures[0].p == 1


def test_few_texts_have_no_bounds(report: ProbeReport):
    (found,) = compare_all({"one": report, "other": worse(report, 0.2)})
    assert {one.difference.low is None for one in found.phenomena if one.sentences < FEW} == {True}
    assert {one.difference.low is None for one in found.phenomena if one.sentences >= FEW} == {False}


def test_the_table_fits_80_columns(report: ProbeReport):
    (found,) = compare_all({"one": report, "other": worse(report, 0.2)})
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table(found))
        console.print("\n".join(reading(found)))
    assert "…" not in capture.get()
    assert all(len(line) <= 80 for line in capture.get().splitlines())
    assert [line.split()[0] for line in capture.get().splitlines()[4:8]] == ["top-1", "MRR", "AUC", "F1"]
    assert set(COMPARED) <= set(METRICS)


# The test itself


def pooled(summed: np.ndarray) -> np.ndarray:
    return metrics(summed)[..., METRICS.index("top-1")]


def simulated(rng: np.random.Generator, rates: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    counts = np.ones((len(sizes), len(COUNTS)))
    counts[:, ROWS] = sizes
    counts[:, TOP_1] = rng.binomial(sizes, rates)
    return counts


@pytest.mark.slow
def test_false_positives_are_as_many_as_the_level_says():
    """Two systems with the same rate in every sentence, which differs from sentence to sentence as it does in gold."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(500):
        sizes, rates = rng.integers(5, 40, 30), rng.beta(2, 2, 30)
        found += permutation_p(simulated(rng, rates, sizes), simulated(rng, rates, sizes), pooled) <= 0.05
    assert 0.03 <= found / 500 <= 0.07


def test_p_is_exact_where_all_swaps_can_be_made():
    """Three sentences, all worse: of eight swaps only none and all are as extreme."""
    sizes = np.array([10, 10, 10])
    first, second = (simulated(np.random.default_rng(0), np.full(3, rate), sizes) for rate in (1.0, 0.0))
    assert permutation_p(first, second, pooled) == pytest.approx(2 / 8)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_a_report_is_compared_with_another_as_a_data_frame(report: ProbeReport):
    frame = worse(report, 0.2).compare(report)
    assert list(frame.index) == list(COMPARED)
    top_1 = frame.loc["top-1"]
    assert top_1["it"] == pytest.approx(0.8 * top_1["the other"])
    assert top_1["it − the other"] == pytest.approx(top_1["it"] - top_1["the other"])
    assert top_1["low"] < top_1["it − the other"] < top_1["high"] < 0
    assert top_1["p"] < 0.01


def test_reports_of_other_sentences_cannot_be_compared(report: ProbeReport):
    other = replace(report, origin=replace(report.origin, gold_sha256="x"))
    with pytest.raises(ReportError, match="two reports on the same sentences; got 43 of"):
        report.compare(other)
