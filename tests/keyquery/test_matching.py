"""Training-free matching: what each match brings about, repairs, and what it cannot change."""

from dataclasses import replace

import numpy as np
import pytest
from places import GOLD

from probe.alignment.fitting import fitting_rows
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint
from probe.gold.pairs import read_pairs
from probe.gold.rows import GoldRow
from probe.keyquery.clouds import Cloud, Clouds, collect
from probe.keyquery.interventions import attention_counts, figures, intervene
from probe.keyquery.matching import (
    MATCHES,
    match_covariance,
    match_mean,
    match_mean_and_covariance,
    match_mean_of_centred,
    match_norms,
    match_scale,
    match_transport,
)
from probe.keyquery.moments import frechet, scale_ratio
from probe.keyquery.values import Intervention
from probe.scoring.scores import METRICS, metrics, score
from probe.scoring.truth import Truth

WIDTH = 12


@pytest.fixture(scope="module")
def opened() -> OpenCheckpoint:
    return load("demo")


@pytest.fixture(scope="module")
def rows(opened: OpenCheckpoint) -> list[GoldRow]:
    return fitting_rows(opened, read_pairs(GOLD))


@pytest.fixture(scope="module")
def clouds(opened: OpenCheckpoint, rows: list[GoldRow]) -> Clouds:
    return collect(opened, [(row.student, row.teacher) for row in rows], [opened.checkpoint.query])[0]


@pytest.fixture(scope="module")
def found(clouds: Clouds, rows: list[GoldRow]) -> dict[str, Intervention]:
    return {intervention.name: intervention for intervention in intervene(clouds, rows)}


def pair_of_clouds(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = np.eye(WIDTH) + 0.2 * rng.normal(size=(2, WIDTH, WIDTH))
    return rng.normal(size=(4000, WIDTH)) @ mix[0] + 3, rng.normal(size=(3000, WIDTH)) @ mix[1] - 1


# What each match brings about


def test_scale_makes_root_mean_square_norms_equal():
    queries, keys = pair_of_clouds()
    assert scale_ratio(match_scale(queries, keys), keys) == pytest.approx(1)


def test_mean_makes_means_equal_and_moves_nothing_else():
    queries, keys = pair_of_clouds()
    moved = match_mean(queries, keys)
    np.testing.assert_allclose(moved.mean(axis=0), keys.mean(axis=0))
    np.testing.assert_allclose(np.diff(moved, axis=0), np.diff(queries, axis=0))
    np.testing.assert_allclose(match_mean_of_centred(queries, keys).mean(axis=0), 0, atol=1e-12)


def test_norms_become_those_of_the_keys_in_order_and_directions_stay():
    queries, keys = pair_of_clouds()
    moved = match_norms(queries, keys)
    before, after = (np.linalg.norm(points, axis=1) for points in (queries, moved))
    np.testing.assert_array_equal(np.argsort(before), np.argsort(after))
    quantiles = np.linspace(0.01, 0.99, 50)
    wanted = np.quantile(np.linalg.norm(keys, axis=1), quantiles)
    np.testing.assert_allclose(np.quantile(after, quantiles), wanted, rtol=0.01)
    np.testing.assert_allclose(moved / after[:, None], queries / before[:, None])


def test_equal_queries_are_given_equal_norms():
    queries, keys = pair_of_clouds()
    twice = np.concatenate([queries[:50], queries[:50], np.zeros((2, WIDTH))])
    moved = match_norms(twice, keys)
    np.testing.assert_array_equal(moved[:50], moved[50:100])
    np.testing.assert_array_equal(moved[100:], 0)


def test_covariance_becomes_that_of_the_keys_around_the_old_mean():
    queries, keys = pair_of_clouds()
    moved = match_covariance(queries, keys)
    np.testing.assert_allclose(moved.mean(axis=0), queries.mean(axis=0))
    goal = np.cov(keys, rowvar=False)
    off = np.abs(np.cov(moved, rowvar=False) - goal).max() / np.abs(goal).max()
    assert off < 0.05  # Ledoit and Wolf shrink a little
    assert np.abs(np.cov(queries, rowvar=False) - goal).max() / np.abs(goal).max() > 0.5


def test_mean_and_covariance_close_the_frechet_distance():
    queries, keys = pair_of_clouds()
    assert frechet(match_mean_and_covariance(queries, keys), keys) < 0.01 * frechet(queries, keys)


def test_transport_closes_the_frechet_distance_and_moves_less_than_coral():
    queries, keys = pair_of_clouds()
    transported, other = match_transport(queries, keys), match_mean_and_covariance(queries, keys)
    assert frechet(transported, keys) < 0.01 * frechet(queries, keys)
    moved = [np.square(points - queries).sum(axis=1).mean() for points in (transported, other)]
    assert moved[0] == pytest.approx(frechet(queries, keys), rel=0.05)  # which is what the distance is: the least cost
    assert moved[0] < moved[1]


def test_transport_undoes_any_symmetric_mixing():
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(20_000, WIDTH)) * np.geomspace(1, 4, WIDTH)
    axes = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    mixed = keys @ (axes * np.geomspace(0.4, 2, WIDTH)) @ axes.T - 7
    off = [np.abs(match(mixed, keys) - keys).mean() for match in (match_transport, match_mean_and_covariance)]
    assert off[0] < 0.05  # but for shrinkage it would be none
    assert off[1] > 3 * off[0]  # CORAL leaves a rotation


def test_covariance_stands_fewer_points_than_dimensions():
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(20, 60)), 5 * rng.normal(size=(30, 60))
    moved = match_covariance(queries, keys)
    assert np.isfinite(moved).all()
    assert scale_ratio(moved, keys) == pytest.approx(1, abs=0.2)


# Repairs: sentences whose queries are their keys and some noise, then spoiled


def sentences() -> tuple[Clouds, list[GoldRow]]:
    """The demo's tokens, each student token's query near the key of its first sure partner, keys isotropic."""
    rng = np.random.default_rng(0)
    opened = load("demo")
    gold = [row for row in fitting_rows(opened, read_pairs(GOLD)) if row.sure]
    queries: list[np.ndarray] = []
    keys: list[np.ndarray] = []
    for row in gold:
        keys.append(rng.normal(size=(len(row.teacher.tokens) + 1, WIDTH)))
        partner = {i: j for i, j in sorted(row.sure, reverse=True)}
        places = [partner.get(i, -1) for i in range(len(row.student.tokens))]
        queries.append(keys[-1][[*places, -1]] + 0.3 * rng.normal(size=(len(places) + 1, WIDTH)))
    return Clouds(_cloud(queries), _cloud(keys)), gold


def _cloud(points: list[np.ndarray]) -> Cloud:
    sizes = [len(text) for text in points]
    sentence = np.repeat(np.arange(len(sizes)), sizes)
    return Cloud(np.concatenate(points), np.arange(len(sentence)), sentence, np.zeros(len(sentence), bool))


def scores(both: Clouds, gold: list[GoldRow]) -> np.ndarray:
    """Forward top-1 and mass, backward top-1."""
    return figures(attention_counts(both, gold).sum(axis=0))


@pytest.mark.parametrize(
    ("spoil", "repair"),
    [
        (lambda q: q * 0.05, "scale"),
        (lambda q: q + 6 * np.eye(WIDTH)[0], "mean"),
        (lambda q: q @ np.diag(np.geomspace(0.02, 5, WIDTH)), "covariance"),
        (lambda q: q @ np.diag(np.geomspace(0.02, 5, WIDTH)) + 6 * np.eye(WIDTH)[0], "mean + cov."),
        (lambda q: q @ np.diag(np.geomspace(0.02, 5, WIDTH)) + 6 * np.eye(WIDTH)[0], "transport"),
    ],
    ids=["scaled", "shifted", "mixed", "both", "both, transported"],
)
def test_spoiled_queries_are_repaired(spoil, repair: str):
    clouds, gold = sentences()
    whole = scores(clouds, gold)
    assert whole[0] > 0.85
    spoiled = Clouds(clouds.queries.moved(spoil(clouds.queries.points)), clouds.keys)
    broken = scores(spoiled, gold)
    figure = 1 if repair == "scale" else 0  # one factor for all is a temperature: it moves the mass alone
    assert broken[figure] < whole[figure] - 0.15
    repaired = MATCHES[repair](spoiled.queries.points, spoiled.keys.points)
    assert scores(Clouds(clouds.queries.moved(repaired), clouds.keys), gold)[figure] > whole[figure] - 0.04
    change = next(i for i in intervene(spoiled, gold) if i.name == repair)
    assert (change.mass_change if repair == "scale" else change.top_1_change).low > 0.1


def test_norms_repair_rows_whose_sizes_were_drawn_at_random():
    # The largest query takes every column of the backward attention, so sizes matter there, and matching cannot know
    # which was whose.
    clouds, gold = sentences()
    sizes = np.random.default_rng(1).lognormal(0, 2, (len(clouds.queries.points), 1))
    spoiled = clouds.queries.points * sizes
    repaired = match_norms(spoiled, clouds.keys.points)
    whole, broken, after = (
        scores(Clouds(clouds.queries.moved(points), clouds.keys), gold)
        for points in (clouds.queries.points, spoiled, repaired)
    )
    assert broken[2] < whole[2] - 0.2
    assert broken[2] + 0.1 < after[2]
    assert broken[0] == after[0] == whole[0]


def test_a_checkpoint_whose_query_was_scaled_and_shifted_is_repaired(
    opened: OpenCheckpoint, rows: list[GoldRow], clouds: Clouds
):
    query = opened.checkpoint.query
    spoiled_query = replace(
        query,
        tensors={
            "0.weight": query.tensors["0.weight"] * np.float32(0.1),
            "0.bias": query.tensors["0.bias"] * np.float32(0.1) + np.float32(2),
        },
    )
    spoiled = collect(opened, [(row.student, row.teacher) for row in rows], [spoiled_query])[0]
    before, broken = scores(clouds, rows), scores(spoiled, rows)
    assert broken[0] < before[0] - 0.1
    own = clouds.queries.points  # the cloud to be matched is the one that the queries had
    centred = match_mean_of_centred(spoiled.queries.points, own)
    repaired = match_mean(match_scale(centred, own - own.mean(axis=0)), own)
    np.testing.assert_allclose(repaired, own, atol=1e-3)
    assert scores(Clouds(clouds.queries.moved(repaired), clouds.keys), rows)[0] == pytest.approx(before[0], abs=0.005)


# What the report says of the demo


def test_the_trained_figures_are_those_of_the_probe(
    found: dict[str, Intervention], opened: OpenCheckpoint, rows: list[GoldRow]
):
    counts = np.sum(
        [score([opened.map(row.student, row.teacher)], Truth(row), [None]).counts[0] for row in rows], axis=0
    )
    values = dict(zip(METRICS, metrics(counts), strict=True))
    assert found["trained"].top_1 == pytest.approx(values["top-1"], abs=1e-6)
    assert found["trained"].mass == pytest.approx(values["attention mass"], abs=1e-5)
    assert found["trained"].top_1_change.value == 0
    assert found["mean + cov."].frechet < found["covariance"].frechet < found["trained"].frechet


def test_what_the_equation_forbids_does_not_happen(found: dict[str, Intervention]):
    # One factor, or one for each query, reorders no row; a shift of the queries is invisible to the backward attention.
    for name in ("scale", "norms"):
        assert found[name].top_1_change.value == pytest.approx(0, abs=1e-9)
    assert found["scale"].backward_top_1_change.value == pytest.approx(0, abs=1e-9)
    for name in ("mean", "mean, centred"):
        assert found[name].backward_top_1_change.value == pytest.approx(0, abs=2e-3)
    assert abs(found["scale"].mass_change.value) > 0.02
    assert abs(found["mean"].top_1_change.value) > 1e-3
    assert tuple(found) == ("trained", *MATCHES)


def test_changes_have_paired_bounds_around_them(found: dict[str, Intervention]):
    for name in ("mean", "covariance"):
        change = found[name].top_1_change
        assert change.low < change.value < change.high
        assert change.value == pytest.approx(found[name].top_1 - found["trained"].top_1)
