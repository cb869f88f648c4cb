"""Clouds of real checkpoints, what each softmax sees of them, and planted differences."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from places import GOLD

from probe.alignment.fitting import fitting_rows
from probe.attention import cross_model_attention, scaled_products
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import ProjectorError
from probe.gold.pairs import read_pairs
from probe.gold.rows import GoldRow, link_mask
from probe.keyquery.classifier import quiet
from probe.keyquery.clouds import Cloud, Clouds, collect, sentence_logits
from probe.keyquery.matched import Matches, argmax_matches, cosine_counts, cosine_difference, gold_matches
from probe.keyquery.measure import DISTANCES, half_sample_estimate, half_splits, measure
from probe.keyquery.moments import moments
from probe.keyquery.values import Measurement, Settings
from probe.keyquery.views import BACKWARD, FORWARD, RAW, VIEWS, View, outside_share, principal_axes, span_basis, views
from probe.projectors import Linear, Projector, project
from probe.stats import as_float

FEW = Settings(splits=4, subsample=200, permutations=99, projections=30, classifier_splits=2)
FEWER = replace(FEW, permutations=9, projections=5, classifier_splits=1)
"""Where no area under a curve and no p is asked."""


@pytest.fixture(autouse=True)
def few_steps() -> Iterator[None]:
    """Classifiers stop before they converge, and are to."""
    with quiet():
        yield


@pytest.fixture(scope="module")
def opened() -> OpenCheckpoint:
    return load("demo")


@pytest.fixture(scope="module")
def rows(opened: OpenCheckpoint) -> list[GoldRow]:
    return fitting_rows(opened, read_pairs(GOLD))[:20]


@pytest.fixture(scope="module")
def clouds(opened: OpenCheckpoint, rows: list[GoldRow]) -> Clouds:
    return collect(opened, [(row.student, row.teacher) for row in rows], [opened.checkpoint.query])[0]


def attention_of(queries: np.ndarray, keys: np.ndarray, width: int):
    """Both softmaxes of clouds in other coordinates: the width that logits are divided by stays the keys' own."""
    return cross_model_attention(scaled_products(queries, keys) * (keys.shape[1] / width) ** 0.5)


def seen_of(clouds: Clouds, basis: np.ndarray, name: str, components: int = 999) -> View:
    """One of the views."""
    return dict(zip(VIEWS, views(clouds, basis, components), strict=True))[name]


# Clouds


def test_each_point_knows_its_sentence_and_whether_it_is_end_of_sequence(clouds: Clouds, rows: list[GoldRow]):
    for cloud, sides in ((clouds.queries, [r.student for r in rows]), (clouds.keys, [r.teacher for r in rows])):
        sizes = [len(side.tokens) + 1 for side in sides]
        np.testing.assert_array_equal(np.bincount(cloud.sentence), sizes)
        np.testing.assert_array_equal(np.nonzero(cloud.eos)[0], np.cumsum(sizes) - 1)
        assert cloud.of(3) == slice(sum(sizes[:3]), sum(sizes[:4]))


def test_clouds_give_the_attention_of_the_checkpoint(clouds: Clouds, opened: OpenCheckpoint, rows: list[GoldRow]):
    for number, row in enumerate(rows):
        ours = cross_model_attention(sentence_logits(clouds, number))
        map_ = opened.map(row.student, row.teacher)
        np.testing.assert_allclose(ours.over_teacher, map_.weights, atol=1e-5)
        np.testing.assert_allclose(ours.over_student, map_.over_student, atol=1e-5)


def test_equal_bigrams_keep_equal_weight(clouds: Clouds):
    ties = 0
    for number in range(clouds.sentences):
        logits, bigram = sentence_logits(clouds, number), clouds.keys.bigram[clouds.keys.of(number)]
        for j in range(len(bigram)):
            twin = int(np.argmax(bigram == bigram[j]))
            ties += twin != j
            np.testing.assert_array_equal(logits[:, j], logits[:, twin])
    assert ties > 5


def test_several_projectors_share_their_keys(opened: OpenCheckpoint, rows: list[GoldRow]):
    sides = [(row.student, row.teacher) for row in rows[:3]]
    trained, untrained = collect(opened, sides, [opened.checkpoint.query, opened.untrained_query(0)])
    assert trained.keys is untrained.keys
    assert not np.allclose(trained.queries.points, untrained.queries.points)
    assert trained.queries.bigram is untrained.queries.bigram


def test_moments_of_tokens_are_those_of_the_points(opened: OpenCheckpoint, rows: list[GoldRow]):
    sides = [(row.student, row.teacher) for row in rows]
    both = collect(opened, sides, [opened.checkpoint.query, opened.untrained_query(0)])
    for cloud in (both[0].queries, both[1].queries, both[0].keys):
        assert cloud.of_tokens
        some = np.arange(len(cloud))[::3]
        for found, points in ((cloud.moments, cloud.points), (cloud.moments_at(some), cloud.at(some))):
            assert found.count == len(points)
            np.testing.assert_allclose(found.mean, points.mean(axis=0, dtype=np.float64), rtol=0, atol=1e-5)
            covariance = np.cov(points.astype(np.float64), rowvar=False)
            np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-6 * covariance.max())
        moved = cloud.moved(cloud.points * 2), cloud.along(2 * np.eye(256), np.zeros(256))
        for other in moved:  # and what lies elsewhere has moments of its own
            np.testing.assert_allclose(np.trace(other.moments.covariance), 4 * np.trace(cloud.moments.covariance))


# Views


def test_every_query_lies_in_the_span(clouds: Clouds, opened: OpenCheckpoint):
    basis = span_basis(opened.checkpoint.query)
    assert basis.shape == (256, 193)  # 2·96 columns of W, and b
    np.testing.assert_allclose(basis.T @ basis, np.eye(193), atol=1e-10)
    np.testing.assert_allclose(clouds.queries.points @ basis @ basis.T, clouds.queries.points, atol=1e-4)


def test_the_rank_of_a_span_is_found_by_a_relative_tolerance():
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(10, 2)) @ rng.normal(size=(2, 6))).astype(np.float32)  # rank 2, but for rounding
    for bias, rank in ((weight[:, 0], 2), (rng.normal(size=10).astype(np.float32), 3)):
        for factor in (1e-5, 1.0, 1e5):
            tensors = {"0.weight": weight * np.float32(factor), "0.bias": bias * np.float32(factor)}
            assert span_basis(Projector("2s-2t", (Linear(0, 6, 10),), tensors)).shape == (10, rank)


def test_a_projector_without_a_linear_map_has_no_span():
    with pytest.raises(ProjectorError, match="a linear map at the end"):
        span_basis(Projector("2s", (), {}))


@pytest.mark.parametrize("name", [FORWARD, BACKWARD])
def test_the_seen_clouds_have_the_real_attention(name: str, clouds: Clouds, opened: OpenCheckpoint):
    seen = seen_of(clouds, span_basis(opened.checkpoint.query), name).clouds
    assert seen.keys.distinct.shape[1] == 193
    for number in range(clouds.sentences):
        rows, columns = clouds.queries.of(number), clouds.keys.of(number)
        ours = attention_of(seen.queries.points[rows], seen.keys.points[columns], 256)
        real = cross_model_attention(sentence_logits(clouds, number))
        if name == FORWARD:
            np.testing.assert_allclose(ours.over_teacher, real.over_teacher, atol=1e-4)
        else:
            np.testing.assert_allclose(ours.over_student, real.over_student, atol=1e-4)


def test_each_softmax_is_blind_to_its_own_shift_alone(clouds: Clouds):
    shift = np.random.default_rng(0).normal(size=256).astype(np.float32)
    shift *= 10 / np.linalg.norm(shift)
    queries, keys = (cloud.points[cloud.of(0)] for cloud in (clouds.queries, clouds.keys))
    real = cross_model_attention(scaled_products(queries, keys))
    moved_keys = cross_model_attention(scaled_products(queries, keys + shift))
    moved_queries = cross_model_attention(scaled_products(queries + shift, keys))
    np.testing.assert_allclose(moved_keys.over_teacher, real.over_teacher, atol=1e-4)
    np.testing.assert_allclose(moved_queries.over_student, real.over_student, atol=1e-4)
    assert np.abs(moved_keys.over_student - real.over_student).max() > 0.05
    assert np.abs(moved_queries.over_teacher - real.over_teacher).max() > 0.05


@pytest.mark.parametrize("name", [FORWARD, BACKWARD])
def test_few_components_keep_less_variance(name: str, clouds: Clouds, opened: OpenCheckpoint):
    basis = span_basis(opened.checkpoint.query)
    whole, few, fewer = (seen_of(clouds, basis, name, k) for k in (999, 32, 8))
    assert (few.clouds.queries.distinct.shape[1], fewer.clouds.keys.distinct.shape[1]) == (32, 8)
    assert whole.kept_keys == pytest.approx(1)
    assert 0 < fewer.kept_keys < few.kept_keys < 1
    assert 0 < fewer.kept_queries < few.kept_queries < 1
    kept = np.var(few.clouds.keys.points, axis=0).sum() / np.var(whole.clouds.keys.points, axis=0).sum()
    assert few.kept_keys == pytest.approx(kept)


def test_principal_axes_are_of_both_clouds_however_large_one_is():
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(500, 4)) * [1e4, 1, 1, 1], rng.normal(size=(100, 4)) * [0, 0, 3, 0]
    axes, shares = principal_axes(moments(queries), moments(keys), 2)
    np.testing.assert_allclose(np.abs(axes[[0, 2]]), np.eye(2), atol=0.1)
    np.testing.assert_allclose(shares, [0.5, 0.5], atol=0.02)


def test_variance_outside_the_span_is_what_attention_cannot_meet():
    keys = np.random.default_rng(0).normal(size=(4000, 4)) * [1, 1, 1, 3] + 5
    basis = np.eye(4)[:, :3]
    assert outside_share(moments(keys), basis) == pytest.approx(9 / 12, abs=0.02)
    assert outside_share(moments(keys), np.eye(4)) == pytest.approx(0, abs=1e-12)


# Planted differences


def planted(*, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> Clouds:
    """Forty sentences of thirty tokens in six dimensions: keys N(0, I), queries N(shift · e₁, scale² I)."""
    rng = np.random.default_rng(seed)
    sentence, none = np.repeat(np.arange(40), 30), np.zeros(1200, dtype=bool)
    bigram = np.arange(1200)
    queries = scale * rng.normal(size=(1200, 6)) + shift * np.eye(6)[0]
    return Clouds(Cloud(queries, bigram, sentence, none), Cloud(rng.normal(size=(1200, 6)), bigram, sentence, none))


def measured(both: Clouds, name: str, settings: Settings = FEW, shape: str = "") -> dict[str, Measurement]:
    inside = seen_of(both, np.eye(6), name, 6).clouds
    found = measure(name, inside, [inside], settings)
    return {one.distance: one for one in found if one.view == name + shape}


def test_a_planted_shift_is_measured_to_within_its_interval():
    found = measured(planted(shift=2), RAW)
    assert tuple(found) == DISTANCES
    frechet = found["Fréchet"].pair
    assert frechet.low <= 4 + found["Fréchet"].floor <= frechet.high
    assert found["sliced W₂"].pair.value == pytest.approx(2 / 6**0.5, rel=0.15)
    assert found["MMD²"].p_value <= 0.01
    for distance in DISTANCES:
        assert found[distance].pair.low > found[distance].floor, distance


def test_a_shift_of_the_keys_is_invisible_where_attention_is_blind_to_it():
    # Apart by a shift of all keys: backward attention sees it, forward does not.
    # And backward attention does not see a shift of the queries.
    apart = planted()
    apart = Clouds(apart.queries, apart.keys.moved(apart.keys.points + 3 * np.eye(6)[0]))
    seen, hidden = measured(apart, BACKWARD), measured(apart, FORWARD)
    own = measured(planted(shift=3), BACKWARD)
    for distance in DISTANCES:
        assert seen[distance].pair.low > seen[distance].floor
    for blind in (hidden, own):
        for distance in ("Fréchet", "sliced W₂", "energy"):
            assert blind[distance].pair.low < blind[distance].floor
        assert blind["MMD²"].p_value > 0.05
        assert blind["AUC linear"].pair.low < 0.5 < blind["AUC linear"].pair.high


def test_a_planted_scale_is_gone_from_the_shape():
    both = planted(scale=3)
    as_it_is, shape = (measured(both, RAW, FEWER, shape) for shape in ("", " shape"))
    assert as_it_is["Fréchet"].pair.value == pytest.approx(6 * 4, rel=0.1)
    assert shape["Fréchet"].pair.value < 1.3 * shape["Fréchet"].floor


def test_a_shape_is_the_view_of_clouds_over_their_sizes():
    both = planted(shift=1, scale=2)
    queries, keys = (cloud.moved(cloud.points / cloud.moments.size) for cloud in (both.queries, both.keys))
    shape, over = measured(both, RAW, shape=" shape"), measured(Clouds(queries, keys), RAW)
    for distance in DISTANCES:
        assert over[distance].pair.value == pytest.approx(shape[distance].pair.value, rel=1e-6)
        # Of keys against keys, areas are taken from the view as it is, for classifiers standardise their input.
        assert over[distance].floor == pytest.approx(shape[distance].floor, rel=1e-2)


def test_what_a_half_is_made_of_are_its_own_points():
    distinct, bigram = np.random.default_rng(0).normal(size=(50, 6)), np.random.default_rng(1).integers(0, 50, 1200)
    both = planted()
    repeated = Cloud(distinct, bigram, both.keys.sentence, both.keys.eos)
    for half in half_splits(40, 3, 0):
        tokens = np.flatnonzero(half[repeated.sentence])
        found, points = repeated.moments_at(tokens), repeated.points[tokens]
        np.testing.assert_allclose(found.mean, points.mean(axis=0))
        np.testing.assert_allclose(found.covariance, np.cov(points, rowvar=False))
        np.testing.assert_array_equal(repeated.at(tokens), points)
    np.testing.assert_allclose(repeated.moments.covariance, np.cov(repeated.points, rowvar=False))
    np.testing.assert_allclose(repeated.norms, np.linalg.norm(repeated.points, axis=1))
    moved = repeated.moved(repeated.points * 2)
    np.testing.assert_array_equal(moved.points, repeated.points * 2)


def test_no_distance_is_a_function_of_attention(clouds: Clouds):
    # Another q and k of the same products: the attention stays, the distance does not.
    queries, keys = clouds.queries.points, clouds.keys.points
    moved = Clouds(clouds.queries.moved(queries * 4), clouds.keys.moved(keys / 4))
    np.testing.assert_allclose(sentence_logits(moved, 0), sentence_logits(clouds, 0), rtol=1e-4, atol=1e-4)
    ratio = np.linalg.norm(moved.queries.points) / np.linalg.norm(moved.keys.points)
    assert ratio > 10 * np.linalg.norm(queries) / np.linalg.norm(keys)


def test_of_large_clouds_a_seeded_part_is_measured_and_of_small_ones_all():
    both = planted(shift=2)  # 40 sentences of 30 tokens: a half has 600
    whole, capped, again, other = (
        measured(both, RAW, replace(FEWER, moment_subsample=size, seed=seed))
        for size, seed in ((600, 0), (300, 0), (300, 0), (300, 1))
    )
    assert whole == measured(both, RAW, FEWER)
    assert capped == again != other
    # As near to the planted 2² + bias as half of the points can be, and the floor has the same bias.
    assert capped["Fréchet"].pair.value == pytest.approx(whole["Fréchet"].pair.value, rel=0.1)
    assert capped["Fréchet"].floor > 1.3 * whole["Fréchet"].floor


def test_axes_are_those_of_all_points_in_any_blocks(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(1, 2, (50, 4)), rng.normal(0, 1, (37, 4)) * np.arange(1, 5)
    whole = moments(queries)
    axes, shares = principal_axes(whole, moments(keys), 4)
    monkeypatch.setattr("probe.keyquery.moments.BLOCK_ROWS", 8)
    np.testing.assert_allclose(moments(queries).products, whole.products)
    others, again = principal_axes(moments(queries), moments(keys), 4)
    np.testing.assert_allclose(shares, again)
    np.testing.assert_allclose(np.abs(np.sum(axes * others, axis=0)), 1)


# Splits and intervals


def test_halves_are_of_sentences_and_by_seed():
    halves = list(half_splits(11, 6, 0))
    assert {int(half.sum()) for half in halves} == {5}
    assert len({half.tobytes() for half in halves}) > 1
    assert all((a == b).all() for a, b in zip(halves, half_splits(11, 6, 0), strict=True))
    assert any((a != b).any() for a, b in zip(halves, half_splits(11, 6, 1), strict=True))


def test_the_half_sample_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(3, 2, 400)
    means = [values[half].mean() for half in half_splits(400, 400, 0)]
    found = half_sample_estimate(values.mean(), means)
    assert found.high - found.value == pytest.approx(1.96 * 2 / 20, rel=0.1)
    assert half_sample_estimate(1.0, [1.0]).low is None
    assert half_sample_estimate(float("nan"), [1.0, 2.0]).value is None


# Matches


def test_gold_matches_are_sure_links_and_unmatched_cells_are_neither_sure_nor_possible(
    clouds: Clouds, rows: list[GoldRow]
):
    matches = gold_matches(clouds, rows)
    assert len(matches.matched[0]) == sum(len(row.sure) for row in rows)
    assert len(matches.possible[0]) == sum(len(row.sure) + len(row.possible) for row in rows)
    for i, j in (matches.matched, matches.possible):
        assert not clouds.queries.eos[i].any()
        assert not clouds.keys.eos[j].any()
        np.testing.assert_array_equal(clouds.queries.sentence[i], clouds.keys.sentence[j])
    counts = cosine_counts(clouds, matches)
    for number, row in enumerate(rows):
        queries, keys = (cloud.points[cloud.of(number)][:-1] for cloud in (clouds.queries, clouds.keys))
        cosines = (queries @ keys.T) / np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(keys, axis=1))
        sure, possible = (link_mask(links, row.sizes) for links in (row.sure, row.possible))
        unmatched = ~(sure | possible)
        expected = [cosines[sure].sum(), sure.sum(), cosines[unmatched].sum(), unmatched.sum()]
        np.testing.assert_allclose(counts[number], expected, rtol=1e-4, atol=1e-4)


def test_argmax_matches_are_the_largest_weights_of_a(clouds: Clouds, opened: OpenCheckpoint, rows: list[GoldRow]):
    matches = argmax_matches(clouds)
    cells = set(zip(*(side.tolist() for side in matches.matched), strict=True))
    for number, row in enumerate(rows):
        weights = opened.map(row.student, row.teacher).weights[:-1, :-1]
        begins = clouds.queries.of(number).start, clouds.keys.of(number).start
        assert {(begins[0] + i, begins[1] + int(j)) for i, j in enumerate(weights.argmax(axis=1))} <= cells
    assert not clouds.queries.eos[matches.matched[0]].any()
    assert not clouds.keys.eos[matches.matched[1]].any()
    assert matches.by != gold_matches(clouds, rows).by


def test_cosines_of_planted_matches():
    # Each key is its query, so matched cosines are 1; others are of independent directions.
    both = planted()
    both = Clouds(both.queries, both.keys.moved(5 * both.queries.points))
    diagonal = np.arange(1200), np.arange(1200)
    known = Matches("hand", diagonal, diagonal)
    found = cosine_difference(both, known)
    matched, unmatched, difference = (as_float(one.value) for one in found)
    low, high = as_float(found[2].low), as_float(found[2].high)
    assert matched == pytest.approx(1)
    assert unmatched == pytest.approx(0, abs=0.03)
    assert low <= difference <= high
    assert difference == pytest.approx(matched - unmatched)
    assert high - low < 0.1


def test_projecting_by_hand_gives_the_queries(clouds: Clouds, opened: OpenCheckpoint, rows: list[GoldRow]):
    which, distinct = opened.student.bigrams(rows[0].student)
    np.testing.assert_allclose(
        clouds.queries.points[clouds.queries.of(0)],
        project(opened.checkpoint.query, distinct)[which],
        rtol=1e-6,
        atol=1e-6,
    )
    which, distinct = opened.teacher.bigrams(rows[0].teacher)
    np.testing.assert_allclose(
        clouds.keys.points[clouds.keys.of(0)], distinct[which] / opened.checkpoint.scales.key, rtol=1e-5
    )
