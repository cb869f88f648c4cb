"""Figures with their intervals: of which sentences, of how many, and of pairs."""

import math
import warnings

import numpy as np
import pytest
from scipy.stats import DegenerateDataWarning, bootstrap

from probe import stats
from probe.stats import FEW, Estimate, Estimates, estimates, paired_difference


def share(summed: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return summed[..., :1] / summed[..., 1:]


def sentences(size: int, seed: int = 0) -> np.ndarray:
    """Hits and tokens of some sentences."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(5, 40, size)
    return np.stack([rng.binomial(tokens, 0.6), tokens], axis=1).astype(np.float64)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, 400)
    counts = np.stack([values, np.ones(400)], axis=1)
    found = estimates(counts, lambda summed: summed[..., :1] / summed[..., 1:])
    half = 1.96 * values.std(ddof=1) / 20
    assert found.low[0] == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high[0] == pytest.approx(values.mean() + half, abs=0.03)


@pytest.mark.parametrize("batch", [1 << 20, 1000])
def test_the_interval_is_that_of_the_bootstrap_of_scipy(batch: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stats, "BATCH_ELEMENTS", batch)
    counts = np.stack([sentences(57, seed) for seed in range(5)], axis=1)
    counts[:, 4] = 0.0
    counts[0, 4] = 1.0  # without the first sentence, the last figure is undefined
    found = estimates(counts, share)
    warnings.simplefilter("ignore", DegenerateDataWarning)
    expected = bootstrap(
        (np.arange(57),),
        lambda index, axis: np.moveaxis(share(counts[index].sum(axis=-3))[..., 0], -1, 0),
        n_resamples=stats.RESAMPLES,
        batch=max(1, batch // 57),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(stats.SEED),
    ).confidence_interval
    for ours, theirs in ((found.low, expected.low), (found.high, expected.high)):
        np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-12)
        assert np.isnan(ours[:, 0]).tolist() == [False] * 4 + [True]


def test_few_sentences_have_a_figure_and_no_interval():
    few, enough = (estimates(sentences(size), share).at(0) for size in (FEW - 1, FEW))
    assert few == Estimate(few.value)
    assert few.value is not None
    assert None not in enough
    assert None not in estimates(sentences(2), share, least=2).at(0)
    assert estimates(sentences(1), share, least=1).at(0).low is None


def test_a_figure_of_few_of_the_sentences_has_no_interval():
    both = np.stack([sentences(30), sentences(30, 1)], axis=1)
    found = estimates(both, share, np.array([[FEW - 1], [FEW]]))
    assert np.isnan(found.low[0]).all()
    np.testing.assert_array_equal(found.low[1], estimates(both[:, 1], share).low)
    np.testing.assert_array_equal(found.value, share(both.sum(axis=0)))


def test_a_statistic_may_have_no_axis_and_counts_may_have_several():
    cube = sentences(20)[:, None, :] * np.ones((3, 1))
    found = estimates(cube, lambda summed: summed[..., 0, 0] / summed[..., 2, 1])
    assert found.at() == estimates(cube[:, 0], share).at(0)


def test_a_paired_difference_is_second_minus_first_and_narrower_than_its_parts():
    first = sentences(40)
    second = first + np.array([1, 0])
    value, low, high = (float(part[0]) for part in vars(paired_difference(first, second, share)).values())
    assert low < value < high
    assert value == pytest.approx(40 / first[:, 1].sum())
    apart = estimates(first, share)
    assert high - low < (apart.high[0] - apart.low[0]) / 4
    assert paired_difference(first, first, share).at(0) == Estimate(0.0, 0.0, 0.0)


def test_what_is_not_known_is_none_of_one_and_nan_of_many():
    many = Estimates(np.array([0.5, np.nan]), np.array([0.4, np.nan]), np.array([0.6, np.nan]))
    assert many.each() == [Estimate(0.5, 0.4, 0.6), Estimate(None)]
    assert many[:1].each() == many.each()[:1]
    assert list(Estimate.of(0.5, math.nan, math.inf)) == [0.5, None, None]
