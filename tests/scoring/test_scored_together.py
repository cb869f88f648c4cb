"""Scores of many maps at once, ranks under ties, the other direction, and weights at a common entropy."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import demo_gold, map_of, random_map

from probe.alignment.align import align
from probe.attention import cross_model_attention
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint
from probe.checkpoints.queries import Queries
from probe.maps import AttentionMap
from probe.scoring.ranks import row_figures
from probe.scoring.references import overlap, uniform
from probe.scoring.scores import COUNTS, count, score
from probe.scoring.sharpness import common_power, entropy
from probe.scoring.truth import Truth

ROWS = demo_gold(4).rows


@pytest.fixture(scope="module")
def opened() -> OpenCheckpoint:
    return load("demo")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(ROWS))
def test_many_maps_score_as_each_alone(seed: int, row):
    maps = [random_map(row, seed), overlap(row), random_map(row, seed + 1, levels=3)]
    truth, powers = Truth(row), [2.0, None, 0.5]
    together = score(maps, truth, powers)
    for k, map_ in enumerate(maps):
        alone = score([map_], truth, powers[k : k + 1])
        for name in ("counts", "slices", "mass"):
            np.testing.assert_allclose(getattr(together, name)[k], getattr(alone, name)[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(count(maps, truth)[:, :6], together.counts[:, :6])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.data())
def test_reciprocal_rank_is_the_mean_over_all_ways_to_break_ties(weights: list[int], data: st.DataObject):
    sure = data.draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights)).filter(any))
    ranks = []
    for order in permutations(range(len(weights))):
        ranking = sorted(order, key=lambda j: -weights[j])  # stable, so that ties keep the drawn order
        ranks.append(1 / (1 + next(n for n, j in enumerate(ranking) if sure[j])))
    links = np.stack([np.zeros(sum(sure), int), np.flatnonzero(sure)])
    found = row_figures(np.array([[[*weights, -1.0]]]), np.zeros(1, int), links)[0, :, 1]
    assert found[0] == pytest.approx(np.mean(ranks))


def test_backward_counts_are_those_of_the_transposed_problem(opened: OpenCheckpoint):
    report = align(opened, demo_gold(4), methods=["lexical"])
    for k, row in enumerate(ROWS):
        map_ = opened.map(row.student, row.teacher)
        assert map_.over_student is not None
        swapped = AttentionMap("cma", row.teacher, row.student, map_.over_student.T)
        np.testing.assert_allclose(report.backward[k, 0], score([swapped], Truth(row.reversed), [None]).counts[0])
        assert report.backward[k, 0, COUNTS.index("rows")] == len({j for _, j in row.sure})


def test_a_reversed_row_and_map_are_themselves_when_turned_again():
    row, map_ = ROWS[0], random_map(ROWS[0])
    assert row.reversed.reversed == row
    assert {(j, i) for i, j in row.sure} == row.reversed.sure
    again = map_.reversed.reversed
    np.testing.assert_array_equal(again.weights, map_.weights)
    assert (again.student, again.teacher) == (map_.student, map_.teacher)
    assert map_.reversed.weights.sum(axis=1) == pytest.approx(np.ones(len(row.teacher.tokens) + 1))


def raised(map_: AttentionMap, power: float) -> np.ndarray:
    weights = map_.weights**power
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.3, 4), st.integers(0, 50))
def test_rescaling_logits_beforehand_changes_nothing_at_a_common_entropy(factor: float, seed: int):
    maps = [random_map(row, seed + n) for n, row in enumerate(ROWS[:2])]
    scaled = [map_of(row, raised(map_, factor)) for row, map_ in zip(ROWS, maps, strict=False)]
    powers = tuple(common_power([one.weights for one in of], 0.5) for of in (maps, scaled))
    assert None not in powers
    counts = [
        sum(score([one], Truth(row), [power]).counts[0] for row, one in zip(ROWS, of, strict=False))
        for of, power in zip((maps, scaled), powers, strict=True)
    ]
    for name in ("attention mass at common entropy", "distance at common entropy"):
        assert counts[0][COUNTS.index(name)] == pytest.approx(counts[1][COUNTS.index(name)], rel=0.01)
    if not 0.8 < factor < 1.25:
        assert counts[0][COUNTS.index("entropy")] != pytest.approx(counts[1][COUNTS.index("entropy")], rel=0.01)


def test_the_common_entropy_is_reached():
    maps = [random_map(row, n) for n, row in enumerate(ROWS)]
    for wanted in (0.2, 0.5, 0.9):
        power = common_power([one.weights for one in maps], wanted)
        assert power is not None
        assert np.concatenate([entropy(raised(m, power)) for m in maps]).mean() == pytest.approx(wanted, abs=0.01)


def test_masks_and_equal_weights_have_no_common_entropy():
    assert common_power([uniform(row).weights for row in ROWS], 0.5) is None
    assert common_power([overlap(row).weights for row in ROWS], 0.5) is None
    found = score([overlap(ROWS[0])], Truth(ROWS[0]), [None]).counts[0]
    assert np.isnan(
        found[[COUNTS.index("attention mass at common entropy"), COUNTS.index("distance at common entropy")]]
    ).all()
    assert np.isnan(found).sum() == 2


def test_half_queries_see_their_half_alone(opened: OpenCheckpoint):
    row = demo_gold(10).rows[9]  # whose words come again
    which, states = opened.student.bigrams(row.student)
    mean, width = opened.mean_state([row.student]), opened.student.table.width
    np.testing.assert_allclose(mean, states[which].mean(axis=0), rtol=1e-5, atol=1e-6)
    queries = Queries.of(opened.student, opened.checkpoint.query, [row.student], mean)
    sentence = opened.sentence(row.student, row.teacher)
    by_input, by_target = (
        cross_model_attention(opened.logits_of(half, queries(half.pairs))) for half in sentence.halves
    )
    pieces = [*row.student.pieces, "eos"]
    seen = 0
    for i in range(1, len(pieces)):
        for k in range(1, i):
            if pieces[i - 1] == pieces[k - 1]:
                np.testing.assert_allclose(by_input.over_teacher[i], by_input.over_teacher[k], rtol=1e-4)
            if pieces[i] == pieces[k]:
                np.testing.assert_allclose(by_target.over_teacher[i], by_target.over_teacher[k], rtol=1e-4)
                seen += 1
    assert seen
    np.testing.assert_allclose(mean[:width], states[which][:, :width].mean(axis=0), rtol=1e-5, atol=1e-6)
