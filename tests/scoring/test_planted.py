"""What was planted in an attention is what is measured of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLD
from planted import map_of, row_of

from probe.alignment.align import align_maps
from probe.alignment.methods import REFERENCES
from probe.exchange.given_maps import given_maps
from probe.gold.pairs import GoldFile, read_pairs, write_pairs
from probe.gold.rows import GoldRow
from probe.gold.triples import mark_of
from probe.maps import AttentionMap
from probe.report.comparison import COMPARED, compare_all
from probe.report.report import ProbeReport
from probe.report.several import to_json
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import METRICS, score
from probe.scoring.truth import KINDS, SLICES, Truth
from probe.stats import as_float


@pytest.fixture(scope="module")
def rows() -> tuple[GoldRow, ...]:
    """Rows of no triple, so that each is drawn by itself."""
    return tuple(row for row in read_pairs(GOLD).rows if row.pair.startswith("gpt2~") and not mark_of(row.note))[:40]


def probed(tmp_path: Path, rows: tuple[GoldRow, ...], weights: list[np.ndarray]) -> ProbeReport:
    """The report on maps that are given as files, as anybody's would be."""
    gold, maps = tmp_path / "gold.tsv", tmp_path / "planted"
    write_pairs(gold, rows)
    maps.mkdir()
    for row, own in zip(rows, weights, strict=True):
        AttentionMap("planted", row.student, row.teacher, own).save(maps / f"{row.id}.npz")
    rows_read = read_pairs(gold)
    return align_maps(given_maps(maps, rows_read), rows_read)


def normal(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=1, keepdims=True)


def figure(report: ProbeReport, metric: str, method: int = 0) -> float:
    return float(report.intervals.value[method, METRICS.index(metric)])


def test_gold_mass_and_repeat_confusion(tmp_path: Path, rows: tuple[GoldRow, ...]):
    """Of each linked token 0.6 on its sure links and, where its piece comes again, 0.3 there, the rest on EOS."""
    piece = DESTINATIONS.index("same token elsewhere")
    weights: list[np.ndarray] = []
    linked = again = 0
    for row in rows:
        truth = Truth(row)
        own = np.zeros(truth.sure.shape)
        own[truth.sure] = 1
        own = 0.6 * own / np.maximum(own.sum(axis=1, keepdims=True), 1)
        elsewhere = (truth.destinations == piece) & truth.linked[:, None]
        own += 0.3 * elsewhere / np.maximum(elsewhere.sum(axis=1, keepdims=True), 1)
        own[:, -1] += 1 - own.sum(axis=1)
        linked, again = linked + truth.linked.sum(), again + elsewhere.any(axis=1).sum()
        weights.append(own)
    report = probed(tmp_path, rows, weights)
    assert 0.1 < again / linked < 0.9
    assert figure(report, "attention mass") == pytest.approx(0.6)
    shares = dict(zip(DESTINATIONS, report.destinations.figures.value[0], strict=True))
    assert shares["sure link"] == pytest.approx(0.6)
    assert shares["same token elsewhere"] == pytest.approx(0.3 * again / linked)
    assert sum(shares.values()) == pytest.approx(1)


def test_top_1_is_measured_within_its_interval(tmp_path: Path, rows: tuple[GoldRow, ...]):
    """Seven tokens of ten look at gold, chosen by a coin; the others at end of sequence."""
    rng = np.random.default_rng(0)
    weights: list[np.ndarray] = []
    for row in rows:
        right = Truth(row).sure & (rng.random(len(row.student.tokens) + 1) < 0.7)[:, None]
        right[~right.any(axis=1), -1] = True
        weights.append(normal(right.astype(float)))
    report = probed(tmp_path, rows, weights)
    assert report.intervals.low[0, 0] < 0.7 < report.intervals.high[0, 0]
    assert report.intervals.high[0, 0] - report.intervals.low[0, 0] < 0.1


def test_gold_with_its_columns_permuted_scores_as_chance(tmp_path: Path, rows: tuple[GoldRow, ...]):
    rng = np.random.default_rng(1)
    weights: list[np.ndarray] = []
    for row in rows:
        own = REFERENCES["gold"](row).weights
        inner = rng.permutation(own.shape[1] - 1)
        weights.append(np.concatenate([own[:, inner], own[:, -1:]], axis=1))
    report = probed(tmp_path, rows, weights)
    chance = figure(report, "top-1", report.methods.index("uniform"))
    assert report.intervals.low[0, 0] - 0.01 < chance < report.intervals.high[0, 0] + 0.01
    assert figure(report, "AUC") == pytest.approx(0.5, abs=0.03)


def test_an_attention_built_to_reach_the_ceiling_reaches_it_for_every_kind_of_token(
    tmp_path: Path, rows: tuple[GoldRow, ...]
):
    report = probed(tmp_path, rows, [REFERENCES["bigram"](row).weights for row in rows])
    ceiling = report.methods.index("bigram")
    for one in report.by_slice:
        np.testing.assert_allclose(one.figures.value[0], one.figures.value[ceiling])
    assert figure(report, "top-1") < 1
    (comparison,) = compare_all({"one": report, "other": replace(report)})
    assert all(one.difference.value == 0 for one in (*comparison.figures, *comparison.phenomena))


@pytest.mark.parametrize(("shift", "reading"), [(0, "target"), (1, "input")])
def test_a_map_that_is_read_one_token_off_agrees_with_the_inputs(
    tmp_path: Path, rows: tuple[GoldRow, ...], shift: int, reading: str
):
    weights: list[np.ndarray] = []
    for row in rows:
        links = Truth(row).sure.astype(float)
        moved = np.zeros_like(links)
        moved[shift:, shift:] = links[: len(links) - shift, : links.shape[1] - shift]
        moved[0, 0] = moved[0, 0] if shift == 0 else 1
        moved[moved.sum(axis=1) == 0, -1] = 1
        weights.append(normal(moved))
    report = probed(tmp_path, rows, weights)
    by_name = {one.name: one.figures.value[0, 0] for one in report.by_slice}
    assert by_name[f"by {reading}, where they differ"] == pytest.approx(1)
    value, low, high = map(as_float, report.targets_minus_inputs)
    assert (low > 0) if shift == 0 else (high < 0)
    assert low <= value <= high


def test_every_row_with_a_sure_link_is_of_one_kind_of_each_family(rows: tuple[GoldRow, ...]):
    families = (KINDS[:2], KINDS[2:5], ("occurs once", *KINDS[5:7]))
    for row in rows:
        selector = Truth(row).stack.selector
        for family in families:
            chosen = np.stack([selector[1 + SLICES.index(name)] for name in family])
            np.testing.assert_array_equal(chosen.sum(axis=0)[selector[0]], 1)


def test_maps_without_the_other_softmax_have_no_figures_that_need_it(tmp_path: Path, rows: tuple[GoldRow, ...]):
    report = probed(tmp_path, rows[:12], [REFERENCES["gold"](row).weights for row in rows[:12]])
    f1 = {one.name: one.figures.value[0, 2] for one in report.by_aligner}
    assert np.isnan([f1["backward argmax"], f1["intersection"], f1["itermax"], f1["matching"]]).all()
    assert f1["argmax"] == 1
    assert np.isnan(report.backward_intervals.value[0, 0])


def test_a_gold_file_without_rows_for_the_maps_is_refused(tmp_path: Path, rows: tuple[GoldRow, ...]):
    from probe.errors import PairsError

    map_ = REFERENCES["gold"](rows[0])
    map_.save(tmp_path / "one.npz")
    with pytest.raises(PairsError, match="tokens of a row"):
        given_maps(tmp_path / "one.npz", GoldFile(rows[1:], ()))


def test_planted_hits_are_counted_exactly(tmp_path: Path, rows: tuple[GoldRow, ...]):
    """Each third linked token has .2 on gold and .5 on end of sequence, the others .6 on gold: known to the last."""
    weights: list[np.ndarray] = []
    linked = hits = 0
    for row in rows[:12]:
        sure = Truth(row).sure
        own = np.zeros(sure.shape)
        for i in range(len(own)):
            if sure[i].any():
                own[i, sure[i].argmax()] = 0.2 if linked % 3 == 0 else 0.6
                hits, linked = hits + (linked % 3 > 0), linked + 1
        own[:, -1] = 1 - own.sum(axis=1)
        weights.append(own)
    report = probed(tmp_path, rows[:12], weights)
    assert report.rows == linked
    assert figure(report, "top-1") == pytest.approx(hits / linked)
    assert figure(report, "attention mass") == pytest.approx((0.6 * hits + 0.2 * (linked - hits)) / linked)


def test_the_ceiling_by_kinds_of_tokens_by_hand():
    # "the cat" twice: both "cat" have one query and one key, so each hits half of the time. The two "the" follow "so"
    # and "saw", which tells them apart.
    row = row_of("so the cat saw the cat", *["so Ġthe Ġcat Ġsaw Ġthe Ġcat"] * 2)
    weights = np.eye(7)
    weights[2] = weights[5] = [0, 0, 0.5, 0, 0, 0.5, 0]
    found = score([map_of(row, weights), REFERENCES["bigram"](row)], Truth(row), None).slices
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    counted = {name: tuple(found[0, k, :2].tolist()) for k, name in enumerate(SLICES)}
    known = {
        "again, after the same token": (2, 1),
        "again, after another token": (2, 2),
        "occurs once": (2, 2),
        "occurs twice": (4, 3),
    }
    assert {name: counted[name] for name in known} == known


def test_equal_checkpoints_are_equal_in_json(tmp_path: Path, rows: tuple[GoldRow, ...]):
    report = probed(tmp_path, rows[:12], [REFERENCES["lexical"](row).weights for row in rows[:12]])
    reports = {"one": report, "other": replace(report)}
    document = json.loads(to_json(reports, {"comparisons": compare_all(reports)}))
    assert document["reports"]["one"] == document["reports"]["other"]
    (comparison,) = document["comparisons"]
    assert [one["figure"] for one in comparison["figures"]] == list(COMPARED)
    assert {one["p"] for one in comparison["figures"]} == {1}
    for one in (*comparison["figures"], *comparison["phenomena"]):
        assert one["first"] == one["second"]
        assert (one["low"], one["high"]) in ((0, 0), (None, None))
