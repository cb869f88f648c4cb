"""Each distance on Gaussians whose answer is known."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import binom, norm, wasserstein_distance
from scipy.stats import energy_distance as scipy_energy
from sklearn.metrics import roc_auc_score

from probe.keyquery.classifier import held_out_area, held_out_auc, quiet
from probe.keyquery.clouds import Cloud, Clouds
from probe.keyquery.matched import cka, linear_cka
from probe.keyquery.moments import (
    Moments,
    effective_rank,
    frechet,
    gaussian_distances,
    moments,
    norm_profile,
    scale_ratio,
)
from probe.keyquery.two_samples import (
    Sample,
    energy_distance,
    median_bandwidth,
    mmd2,
    mmd2_and_energy,
    mmd_p_value,
    pair_means,
    sliced_wasserstein,
    sorted_projections,
    squared_distances,
    subsample,
)
from probe.stats import as_float


def gaussian(count: int, width: int, *, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Points of N(shift · e₁, scale² I)."""
    points = scale * np.random.default_rng(seed).normal(size=(count, width))
    points[:, 0] += shift
    return points


def singles(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A group for each point."""
    return np.arange(len(x)), len(x) + np.arange(len(y))


def sliced(x: np.ndarray, y: np.ndarray, *, seed: int, projections: int = 100) -> float:
    """The sliced Wasserstein distance of two clouds."""
    return sliced_wasserstein(*(sorted_projections(one, seed=seed, projections=projections) for one in (x, y)))


@pytest.fixture(autouse=True)
def few_steps() -> Iterator[None]:
    """Classifiers stop before they converge, and are to."""
    with quiet():
        yield


# Fréchet


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (2.0, 1.0), (0.0, 3.0), (1.5, 0.5)])
def test_frechet_is_the_closed_form_of_isotropic_gaussians(shift: float, scale: float):
    x, y = gaussian(40_000, 6, seed=0), gaussian(30_000, 6, seed=1, shift=shift, scale=scale)
    # ‖μ‖² + d (1 - s)²
    assert frechet(x, y) == pytest.approx(shift**2 + 6 * (1 - scale) ** 2, abs=0.02, rel=0.02)


def test_frechet_is_the_formula_with_a_matrix_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)) + 1
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(first @ second).real
    formula = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet(x, y) == pytest.approx(formula)


def test_frechet_stands_fewer_points_than_dimensions_and_blocks(monkeypatch: pytest.MonkeyPatch):
    x, y = gaussian(20, 50, seed=0), gaussian(30, 50, seed=1, shift=3)
    whole = frechet(x, y)
    assert frechet(x, x.copy()) == pytest.approx(0, abs=1e-9)
    assert whole == pytest.approx(frechet(y, x))
    many = gaussian(1000, 8, seed=2), gaussian(900, 8, seed=3, scale=2)
    before = frechet(*many)
    monkeypatch.setattr("probe.keyquery.moments.BLOCK_ROWS", 64)
    assert frechet(*many) == pytest.approx(before)
    assert frechet(x, y) == pytest.approx(whole)


def test_moments_are_those_of_numpy():
    x = gaussian(300, 5, seed=0, shift=3)
    found = moments(x)
    np.testing.assert_allclose(found.mean, x.mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(x, rowvar=False))
    assert found.size == pytest.approx(np.sqrt(np.square(x).sum(axis=1).mean()))
    axes = np.random.default_rng(1).normal(size=(5, 2))
    np.testing.assert_allclose(found.along(axes).covariance, np.cov(x @ axes, rowvar=False))
    assert moments(np.zeros((4, 3))).size == 1


@pytest.mark.parametrize("count", [5, 40])
def test_points_that_repeat_are_counted_once(count: int):
    rng = np.random.default_rng(0)
    distinct, times = rng.normal(2, 1, size=(count, 12)), rng.integers(0, 5, count)
    whole, direct = moments(distinct, times), moments(np.repeat(distinct, times, axis=0))
    assert whole.count == direct.count == times.sum()
    np.testing.assert_allclose(whole.mean, direct.mean, rtol=1e-12)
    np.testing.assert_allclose(whole.products, direct.products, atol=1e-10)


def test_the_factor_of_a_singular_covariance_has_its_rank():
    flat = gaussian(30, 3, seed=0) @ np.random.default_rng(1).normal(size=(3, 8))
    found = moments(flat)
    upper, order = found.factor
    assert not upper[3:].any()
    np.testing.assert_allclose(upper.T @ upper, found.covariance[np.ix_(order, order)], atol=1e-12)
    still = Moments(4, np.zeros(8), np.zeros((8, 8)))
    assert gaussian_distances(found, still) == pytest.approx([found.variance * 30 / 29 + np.square(found.mean).sum()])


def test_distances_at_other_sizes_are_those_of_clouds_over_them():
    x, y = gaussian(200, 6, seed=0, shift=1), gaussian(150, 6, seed=1, scale=3)
    scales = [(1.0, 1.0), (0.5, 7.0)]
    found = gaussian_distances(moments(x), moments(y), scales)
    assert found == pytest.approx([frechet(x / s, y / t) for s, t in scales])
    ours, theirs = (Sample(points, sizes) for points, sizes in zip((x, y), zip(*scales, strict=True), strict=True))
    pairs = ((ours, theirs), (ours, ours), (theirs, theirs))
    gap, energy = mmd2_and_energy(*(pair_means(*pair, [1.7, 0.9]) for pair in pairs))
    assert gap == pytest.approx([mmd2(x / s, y / t, b) for (s, t), b in zip(scales, (1.7, 0.9), strict=True)])
    assert energy == pytest.approx([energy_distance(x / s, y / t) for s, t in scales])


# MMD


def test_mmd_is_its_formula_in_slow_loops():
    x, y = gaussian(7, 2, seed=0), gaussian(5, 2, seed=1, shift=1)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-float(((a - b) ** 2).sum()) / (2 * 1.3**2))

    def within(points: np.ndarray) -> float:
        cells = [kernel(a, b) for i, a in enumerate(points) for j, b in enumerate(points) if i != j]
        return sum(cells) / len(cells)

    across = [kernel(a, b) for a in x for b in y]
    expected = within(x) + within(y) - 2 * sum(across) / len(across)
    assert mmd2(x, y, 1.3) == pytest.approx(expected)


def test_mmd_is_unbiased_and_grows_with_a_shift():
    null = [mmd2(gaussian(60, 3, seed=s), gaussian(60, 3, seed=1000 + s), 1.5) for s in range(200)]
    assert abs(np.mean(null)) < 3 * np.std(null) / math.sqrt(200)
    assert mmd2(gaussian(300, 3, seed=0), gaussian(300, 3, seed=1, shift=2)) > 0.1


def test_median_bandwidth_is_the_median_distance_of_pairs():
    x, y = np.array([[0.0], [1.0]]), np.array([[3.0]])
    assert median_bandwidth(x, y) == pytest.approx(2)  # distances 1, 2 and 3


def test_mmd_p_values_keep_their_level_under_the_null_and_vanish_under_a_shift():
    p_values = [
        mmd_p_value(gaussian(40, 3, seed=s), gaussian(50, 3, seed=500 + s), seed=s, permutations=199)
        for s in range(100)
    ]
    for level in (0.05, 0.2, 0.5):
        low, high = binom.ppf([0.001, 0.999], 100, level)
        assert low <= sum(p <= level for p in p_values) <= high
    assert mmd_p_value(gaussian(40, 3, seed=0), gaussian(50, 3, seed=1, shift=2), seed=0) <= 1 / 400


def clustered(seed: int, *, shared: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twenty sentences of ten tokens whose means differ more than their tokens do; both samples hold all of them."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(20), 10)
    means = rng.normal(size=(2, 20, 2))
    x, y = (means[side][group] + 0.2 * rng.normal(size=(200, 2)) for side in ((0, 0) if shared else (0, 1)))
    return x, y, group


def test_permuting_tokens_of_sentences_is_too_sure_and_swapping_sentences_is_not():
    rejected = {"tokens": 0, "sentences": 0}
    for seed in range(60):
        x, y, group = clustered(seed, shared=False)
        rejected["tokens"] += mmd_p_value(x, y, seed=seed, permutations=99) <= 0.05
        rejected["sentences"] += mmd_p_value(x, y, seed=seed, permutations=99, groups=(group, group)) <= 0.05
    assert rejected["sentences"] <= binom.ppf(0.999, 60, 0.05)
    assert rejected["tokens"] > 30


def test_a_shift_of_one_sample_is_seen_through_its_sentences():
    x, y, group = clustered(0, shared=True)
    assert mmd_p_value(x, y, seed=0, permutations=199, groups=(group, group)) > 0.05
    assert mmd_p_value(x, y + 1, seed=0, permutations=199, groups=(group, group)) <= 0.005


# Energy distance, sliced Wasserstein


def test_energy_distance_is_scipys_in_one_dimension():
    x, y = gaussian(200, 1, seed=0), gaussian(300, 1, seed=1, shift=0.7, scale=2)
    assert energy_distance(x, y) == pytest.approx(scipy_energy(x[:, 0], y[:, 0]))


def test_energy_distance_does_not_change_under_rotation():
    x, y = gaussian(100, 4, seed=0), gaussian(120, 4, seed=1, shift=1)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    assert energy_distance(x @ rotation, y @ rotation) == pytest.approx(energy_distance(x, y))


@pytest.mark.parametrize("size", [80, 81])
def test_sliced_wasserstein_is_pots_for_equal_sizes_and_for_others(size: int):
    import ot

    x, y = gaussian(80, 5, seed=0), gaussian(size, 5, seed=1, shift=2)
    directions = ot.sliced.get_random_projections(5, 100, 3)
    expected = ot.sliced_wasserstein_distance(x, y, projections=directions)
    assert sliced(x, y, seed=3) == pytest.approx(expected)


def test_sliced_wasserstein_is_the_distance_on_the_line():
    x, y = gaussian(300, 1, seed=0), gaussian(300, 1, seed=1, shift=5)
    assert sliced(x, y, seed=0) == pytest.approx(5, abs=0.2)
    # W_2 and W_1 agree for a pure shift, and scipy has W_1.
    assert sliced(x, x + 5, seed=0) == pytest.approx(wasserstein_distance(x[:, 0], x[:, 0] + 5))


def test_sliced_wasserstein_of_a_shift_is_its_length_over_the_root_of_the_dimension():
    x = gaussian(2000, 8, seed=0)
    y = gaussian(2000, 8, seed=0, shift=4)
    assert sliced(x, y, seed=0, projections=2000) == pytest.approx(4 / math.sqrt(8), rel=0.05)
    assert sliced(x, y, seed=0) == sliced(x, y, seed=0) != sliced(x, y, seed=1)


# Classifier


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_auc_is_a_half_under_the_null(kind: str):
    x, y = gaussian(400, 4, seed=0), gaussian(400, 4, seed=1)
    value, low, high = map(as_float, held_out_auc(x, y, singles(x, y), kind=kind, seed=0))
    assert low <= 0.5 <= high
    assert value == pytest.approx(0.5, abs=0.06)


def test_auc_of_a_mean_shift_is_the_closed_form():
    x, y = gaussian(3000, 4, seed=0, shift=1.2), gaussian(3000, 4, seed=1)
    value, low, high = map(as_float, held_out_auc(x, y, singles(x, y), kind="linear", seed=0))
    expected = norm.cdf(1.2 / math.sqrt(2))
    assert low < expected < high
    assert value == pytest.approx(expected, abs=0.015)
    assert high - low < 0.04


def test_the_mlp_sees_a_difference_in_scale_that_no_line_separates():
    x, y = gaussian(600, 3, seed=0), gaussian(600, 3, seed=1, scale=3)
    assert held_out_auc(x, y, singles(x, y), kind="linear", seed=0).value < 0.6  # pyright: ignore
    assert held_out_auc(x, y, singles(x, y), kind="mlp", seed=0).value > 0.8  # pyright: ignore


def test_auc_is_sklearns_on_each_fold_and_sentences_are_not_split():
    # The label is a property of the sentence, and so is the point: who has seen the sentence knows, others guess.
    rng = np.random.default_rng(0)
    where = rng.normal(size=(60, 30))
    group = np.repeat(np.arange(60), 8)
    points = where[group] + 0.01 * rng.normal(size=(480, 30))
    label = group % 2 == 0
    groups = group[label], group[~label]
    apart = list(map(as_float, held_out_auc(points[label], points[~label], groups, kind="mlp", seed=0)))
    assert apart[0] < 0.75
    mixed = held_out_auc(points[label], points[~label], singles(*groups), kind="mlp", seed=0)
    assert as_float(mixed.value) > 0.99
    assert apart[2] - apart[1] > 0.1  # thirty sentences a side are few, however many tokens they have


def test_the_area_alone_is_the_same_area():
    x, y = gaussian(60, 3, seed=0), gaussian(70, 3, seed=1, shift=1)
    for kind in ("linear", "mlp"):
        both = held_out_auc(x, y, singles(x, y), kind=kind, seed=4)
        assert held_out_area(x, y, singles(x, y), kind=kind, seed=4) == both.value
        assert held_out_area(x, y, singles(x, y), kind=kind, seed=5) != both.value


def test_wins_over_pairs_is_the_area_of_sklearn():
    from probe.keyquery.classifier import _wins

    rng = np.random.default_rng(0)
    scores, label, group = rng.integers(0, 6, 50).astype(float), rng.random(50) < 0.4, rng.integers(0, 7, 50)
    times = np.concatenate([np.ones((1, 7)), rng.integers(0, 3, (3, 7))]).astype(float)
    won, pairs = _wins(scores, label, group, times)
    for row, area in zip(times, won / pairs, strict=True):
        assert area == pytest.approx(roc_auc_score(label, scores, sample_weight=row[group]))


# Matched clouds, effective rank, norms


def test_cka_is_one_for_a_rotated_scaled_and_shifted_copy():
    x = gaussian(60, 10, seed=0)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10)))[0]
    assert linear_cka(x, 3 * x @ rotation + 7) == pytest.approx(1)


def test_cka_counts_equal_points_and_equal_pairs_once():
    rng = np.random.default_rng(0)
    distinct = gaussian(40, 6, seed=0, shift=2), gaussian(30, 3, seed=1)
    distinct[1][:, 0] += distinct[0][:30, 0]
    bigram = rng.integers(0, 30, (2, 200))
    bigram[1, ::2] = bigram[0, ::2]
    rows, columns = np.arange(0, 200, 2), np.arange(0, 200, 2)
    none = np.zeros(200, dtype=int)
    for kind, error in ((np.float64, 1e-9), (np.float32, 1e-5)):
        clouds = Clouds(*(Cloud(d.astype(kind), b, none, none > 0) for d, b in zip(distinct, bigram, strict=True)))
        direct = linear_cka(clouds.queries.at(rows).astype(float), clouds.keys.at(columns).astype(float))
        assert direct > 0.02
        assert cka(clouds, rows, columns) == pytest.approx(direct, rel=error)


def test_cka_of_independent_clouds_is_near_zero_even_in_more_dimensions_than_points():
    found = [linear_cka(gaussian(40, 200, seed=s), gaussian(40, 100, seed=99 + s)) for s in range(50)]
    assert abs(np.mean(found)) < 0.02
    assert np.std(found) < 0.1


def test_cka_has_the_unbiased_hsic_of_song_et_al():
    x, y = gaussian(12, 3, seed=0), gaussian(12, 4, seed=1)
    y[:, 0] += x[:, 0]

    def hsic(first: np.ndarray, second: np.ndarray) -> float:
        k, m = first @ first.T, second @ second.T
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        n, ones = len(k), np.ones(len(k))
        middle = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        return (np.trace(k @ m) + middle - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))

    assert linear_cka(x, y) == pytest.approx(hsic(x, y) / math.sqrt(hsic(x, x) * hsic(y, y)))
    assert math.isnan(linear_cka(x[:3], y[:3]))


def test_effective_rank_counts_the_directions_of_an_isotropic_cloud():
    assert effective_rank(moments(gaussian(20_000, 7, seed=0))) == pytest.approx(7, abs=0.01)
    line = gaussian(500, 1, seed=0) @ np.ones((1, 5))
    assert effective_rank(moments(line)) == pytest.approx(1, abs=1e-6)
    flat = gaussian(20_000, 7, seed=0)
    flat[:, 3:] *= 1e-9
    assert effective_rank(moments(flat + 100)) == pytest.approx(3, abs=0.01)  # the mean is not a direction
    assert effective_rank(moments(np.ones((4, 3)))) == 1


def test_norms_and_scales():
    x = np.array([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]])
    norms = np.linalg.norm(x, axis=1)
    assert norm_profile(norms)[2] == pytest.approx(5)
    assert norm_profile(norms)[0] < 2
    assert scale_ratio(3 * x, x) == pytest.approx(3)


# What all share


def test_two_equal_clouds_have_distance_zero():
    x = gaussian(300, 12, seed=0, shift=40)
    assert frechet(x, x.copy()) == pytest.approx(0, abs=1e-6)
    assert energy_distance(x, x.copy()) == pytest.approx(0, abs=1e-6)
    assert sliced(x, x.copy(), seed=0) == pytest.approx(0, abs=1e-9)
    assert -2 / 300 <= mmd2(x, x.copy()) <= 0  # unbiased: the diagonal stands in the mixed term alone
    assert squared_distances(x, x).diagonal().max() == 0


def test_a_subsample_is_all_or_some_in_order_by_its_seed():
    np.testing.assert_array_equal(subsample(5, 5, 0), np.arange(5))
    few = subsample(1000, 50, 0)
    assert len(set(few.tolist())) == 50
    assert (np.diff(few) > 0).all()
    np.testing.assert_array_equal(few, subsample(1000, 50, 0))
    assert not np.array_equal(few, subsample(1000, 50, 1))


def test_directions_of_one_thread_are_no_others():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 12)), rng.normal(size=(60, 12))
    alone = sliced(x, y, projections=50, seed=3)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: sliced(x, y, projections=50, seed=3), range(400)))
    assert set(together) == {alone}
