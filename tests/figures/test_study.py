"""The study of alignment: comparisons of planted differences, each with the outcome that was announced for it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from probe.cli.figures import STUDY, main
from probe.errors import ReportError
from probe.figures.arms import arms
from probe.figures.dose import dose
from probe.figures.every import FIGURES
from probe.figures.forest import forest
from probe.figures.learning import learning
from probe.figures.paper import PaperTable, page
from probe.figures.saved import Saved
from probe.figures.study import (
    ARMS,
    ATTENDING,
    PRIMARY,
    Contrast,
    Study,
    compare,
    contrasted,
    difference,
    read_by_set,
    read_study,
)
from probe.plots.style import venue_width
from probe.stats import over_seeds

SEEDS = [str(seed) for seed in range(110, 201, 10)]
QUESTIONS = 40
PRIMARY_ARMS = list(ARMS)
DOSES = [f"{kind}-{share}" for kind in ("moved", "dropped") for share in (25, 50, 75)]


TOP_1 = {"cma": {"top-1": {"value": 0.3}}, "cma-grid": {"top-1": {"value": 0.8}}}


def fitted(extra: float, rng: np.random.Generator, noise: float) -> dict[str, Any]:
    """So many bits per byte more than 2, evenly on all rows but for the noise; 100 bytes a row."""
    of_seed = extra + noise * rng.standard_normal()
    nats = (2 + of_seed) * 100 * math.log(2) + 0.01 * rng.standard_normal(QUESTIONS)
    bits = float(nats.sum() / math.log(2) / 100 / QUESTIONS)
    return {"bits_per_byte": bits, "temperature": 1.0, "nats": nats.tolist(), "sizes": [100] * QUESTIONS}


def results(arms: dict[str, float], seeds: list[str] = SEEDS, noise: float = 2e-4, untrained: float = 0.1) -> str:
    rng = np.random.default_rng(3)
    raw = {"raw student": {"None": fitted(untrained, np.random.default_rng(1), 0)}}
    raw["teacher (raw)"] = {"None": fitted(-0.1, np.random.default_rng(1), 0)}
    found = raw | {arm: {seed: fitted(extra, rng, noise) for seed in seeds} for arm, extra in arms.items()}
    points = [{"step": step, "top_1": 0.5, "in_chunk": 0.4, "entropy": 0.3, "fan_in": 2.0} for step in (0, 50)]
    with_query = [arm for arm in arms if arm not in ("sft", "uniform")]
    document = {
        "schema": 3,
        "bits per byte, fitted": {arm: {s: {"held-out": one} for s, one in of.items()} for arm, of in found.items()},
        "bits per byte": {arm: {s: {"held-out": 2.5 - arms.get(arm, 0)} for s in of} for arm, of in found.items()},
        "trajectories": {arm: dict.fromkeys(seeds, points) for arm in with_query},
        "accuracy": {arm: {s: {"held-out": 0.5} for s in of} for arm, of in found.items()},
        "ROUGE-L": {arm: {s: {"held-out": 13.0} for s in of} for arm, of in found.items()},
        "probes": {arm: {s: {"figures": TOP_1} for s in seeds} for arm in with_query},
        "t2s hits": {arm: dict.fromkeys(seeds, 0.25) for arm in with_query},
    }
    return json.dumps(document)


def study(**arms: float) -> Study:
    return read_study({"results.json": results(arms)})


A_B = [Contrast("X", {"a": 1, "b": -1})]


@pytest.mark.parametrize(
    ("first", "outcome"), [(-0.005, "below"), (0.005, "above"), (0.0, "equal"), (0.0003, "equal"), (0.0006, "above")]
)
def test_an_outcome_is_the_one_that_was_planted(first: float, outcome: str):
    (found,) = compare(study(a=first, b=0.0), A_B)
    assert found.outcome == outcome
    assert found.value == pytest.approx(first, abs=3e-4)
    assert found.low < found.value < found.high
    assert found.as_is == pytest.approx(-first)  # planted the other way round


def test_noise_that_hides_a_difference_leaves_it_undecided():
    (found,) = compare(read_study({"r": results({"a": 0.001, "b": 0.0}, noise=0.01)}), A_B)
    assert found.outcome == "undecided"


def test_an_interval_is_the_t_interval_of_the_paired_differences():
    found = study(a=0.001, b=0.0)
    paired = np.array([found.arms["a"][s].fitted - found.arms["b"][s].fitted for s in SEEDS])
    half = t.ppf(0.975, 9) * paired.std(ddof=1) / math.sqrt(10)
    (one,) = compare(found, A_B)
    assert (one.low, one.high) == pytest.approx((paired.mean() - half, paired.mean() + half))
    assert list(difference(found, "a", "b")) == pytest.approx([one.value, one.low, one.high])
    assert one.deviation == pytest.approx(paired.std(ddof=1))
    assert one.p == pytest.approx(2 * t.sf(abs(paired.mean()) / (paired.std(ddof=1) / math.sqrt(10)), 9))


def test_a_contrast_by_rouge_is_of_the_same_seeds():
    document = json.loads(results({"a": 0.0, "b": 0.0}))
    for number, seed in enumerate(SEEDS):
        document["ROUGE-L"]["a"][seed]["held-out"] = 14.0 + number / 10
    of_seeds = [1.0 + number / 10 for number in range(len(SEEDS))]
    found = contrasted(read_study({"r": json.dumps(document)}), A_B[0], "rouge")
    assert list(found) == pytest.approx(list(over_seeds(of_seeds)))


def test_rows_that_differ_widen_the_interval_that_draws_them_anew():
    document = json.loads(results({"a": 0.0, "b": 0.0}))
    spread = np.linspace(-30, 30, QUESTIONS)
    for seed in SEEDS:
        one = document["bits per byte, fitted"]["a"][seed]["held-out"]
        one["nats"] = (np.array(one["nats"]) + spread).tolist()
    (even,) = compare(study(a=0.0, b=0.0), A_B)
    (odd,) = compare(read_study({"r": json.dumps(document)}), A_B)
    assert (odd.low, odd.high) == (even.low, even.high)  # rows are fixed there
    assert odd.rows_high - odd.rows_low > 20 * (even.rows_high - even.rows_low)


def test_a_difference_of_differences_weighs_all_four_arms():
    both = {"aligned-critic": 0.004, "aligned": 0.001, "random-critic": 0.009, "random": 0.008}
    (found,) = compare(study(**both), [one for one in PRIMARY if one.name == "P3"])
    assert found.value == pytest.approx(0.004 - 0.001 - (0.009 - 0.008), abs=4e-4)
    assert found.difference == "aligned-critic − aligned − random-critic + random"


def test_p_values_are_corrected_for_all_comparisons_together():
    found = compare(study(**dict.fromkeys(PRIMARY_ARMS, 0.0)), PRIMARY)
    assert [one.name for one in found] == ["P0", "P1", "P2", "P3", "P4", "P5"]
    smallest = min(found, key=lambda one: one.p)
    assert smallest.p_holm == pytest.approx(min(1.0, 6 * smallest.p))
    assert all(one.p_holm >= one.p for one in found)


def test_only_seeds_that_all_arms_have_are_compared():
    first, second = results({"a": 0.0}, SEEDS[:4]), results({"b": 0.0}, SEEDS[2:])
    (found,) = compare(read_study({"one": first, "two": second}), A_B)
    assert found.seeds == 2
    assert compare(read_study({"one": first, "two": results({"b": 0.0}, SEEDS[3:])}), A_B) == []


def two_sets(seeds: list[str]) -> str:
    """On ``other``, a is as much worse as it is better on the first set."""
    document, reverse = (json.loads(results({"a": extra, "b": 0.0}, seeds)) for extra in (-0.005, 0.005))
    for part in ("bits per byte, fitted", "bits per byte", "accuracy", "ROUGE-L"):
        for arm, of_seeds in document[part].items():
            for seed, of_sets in of_seeds.items():
                of_sets["other"] = reverse[part][arm][seed]["held-out"]
    return json.dumps(document)


def test_each_set_of_questions_is_a_study_of_its_own():
    texts = {"one": two_sets(SEEDS[:2]), "two": two_sets(SEEDS[2:])}
    found = read_by_set(texts)
    assert list(found) == ["held-out", "other"]
    values = [difference(study, "a", "b") for study in found.values()]
    assert [float(one) for one in values] == pytest.approx([-0.005, 0.005], abs=3e-4)
    assert all(len(study.arms["a"]) == len(SEEDS) for study in found.values())
    assert difference(read_study(texts), "a", "b") == values[0]


def test_results_of_another_student_are_refused():
    with pytest.raises(ReportError, match=r"two: expected results of the student of one"):
        read_study({"one": results({"a": 0.0}), "two": results({"b": 0.0}, untrained=0.2)})


# Figures


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    place = tmp_path / "study"
    place.mkdir()
    primary = {arm: 0.001 * number for number, arm in enumerate(PRIMARY_ARMS)}
    terms = {arm: 0.0005 * number for number, arm in enumerate(DOSES)}
    for name, text in (
        ("one-epoch.json", results(primary)),
        ("one-epoch+terms.json", results(terms, SEEDS[:5])),
        ("eight-epoch.json", results(primary, untrained=0.05)),
    ):
        (place / name).write_text(text)
    return Saved(tmp_path)


def test_a_forest_has_every_arm_and_comparison_of_every_student(saved: Saved):
    found = forest(saved)
    for student in ("one-epoch", "eight-epoch"):
        assert [one.name for one in found.of(student, "arm")] == [arm for arm in PRIMARY_ARMS if arm != "sft"]
        assert [one.name for one in found.of(student, "comparison")] == [one.name for one in PRIMARY]
        study = saved.student(student)
        baseline = np.array(list(study.fitted("sft").values()))
        for one, run in zip(found.of(student, "reference"), (study.untrained, study.teacher), strict=True):
            assert (one.value, one.low, one.high) == tuple(over_seeds(run.fitted - baseline))
    assert "40 held-out rows" in found.caption
    assert "(one-epoch: 10, eight-epoch: 10)" in found.caption


def test_doses_are_differences_to_right_links_on_the_seeds_that_both_have(saved: Saved):
    found = dose(saved)
    assert [(one.percent, one.seeds) for one in found.of("moved")] == [(0, 10), (25, 5), (50, 5), (75, 5), (100, 10)]
    assert [one.percent for one in found.of("dropped")] == [0, 25, 50, 75]
    one = found.of("moved")[1]
    expected = difference(saved.student("one-epoch"), "moved-25", "cla")
    assert (one.value, one.low, one.high) == tuple(expected)
    assert one.hits == 0.25


def test_learning_has_every_saved_step_of_a_free_attention_and_names_the_other_arms(saved: Saved):
    found = learning(saved)
    assert {one.step for one in found.rows} == {0, 50}
    assert [arm for arm, _ in found.without] == ["sft", "uniform", "cla", "wrong"]
    assert len(found.rows) == 2 * len(SEEDS) * len(ATTENDING)


def written(figure: Any) -> set[str]:
    """All texts of a figure's axes."""
    return {one.get_text() for axes in figure.axes for one in (*axes.texts, *axes.get_yticklabels())}


def test_what_was_not_trained_stands_in_every_figure_at_the_edge_where_it_lies_outside(saved: Saved):
    for made in (forest(saved), learning(saved), dose(saved)):
        texts = written(made.draw("acl"))
        for name in ("untrained student", "teacher"):
            assert any(name in text for text in texts), made
    raw, teacher = (1000 * one.value for one in forest(saved).of("one-epoch", "reference"))
    assert raw > 10 > 0 > teacher
    assert {f"{raw:+.1f} ▸", f"◂ −{-teacher:.1f}"} <= written(forest(saved).draw("acl"))
    assert f"▴ untrained student: {saved.student('one-epoch').untrained.fitted:.3f}" in written(
        learning(saved).draw("acl")
    )
    assert f"▾ teacher: {saved.student('one-epoch').teacher.fitted:.3f}" in written(learning(saved).draw("acl"))


def test_what_lies_inside_is_a_line(saved: Saved):
    rows = [replace(one, value=-0.001) if one.arm == "untrained student" else one for one in dose(saved).rows]
    (axes,) = replace(dose(saved), rows=tuple(rows)).draw("acl").axes
    assert "untrained student: −1.0" in {one.get_text() for one in axes.texts}
    assert any(np.allclose(one.get_ydata(), -1.0) for one in axes.lines)


def test_the_table_has_every_arm_by_every_measure_and_both_references(saved: Saved):
    made = arms(saved)
    heads, lines = made.table("one-epoch")
    assert [line[0] for line in lines[:12]] == ["untrained student", "teacher", *ARMS]
    cells = dict(zip(heads, lines[2 + ARMS.index("cla")], strict=True))
    own = [run.fitted for run in saved.student("one-epoch").arms["cla"].values()]
    assert cells["bits per byte, fitted"].startswith(f"{np.mean(own):.4f} [")
    assert cells["ROUGE-L, %"] == "13.00 [13.00, 13.00]"
    assert cells["top-1 decoded, %"] == "80.0 [80.0, 80.0]"
    assert dict(zip(heads, lines[2], strict=True))["top-1, %"] == ""  # fine-tuning has no attention
    assert made.latex.count(r"\begin{tabular}") == 2


def test_the_real_pair_is_told_by_set_and_without_measures_that_it_has_not(saved: Saved):
    without_responses = json.loads(two_sets(SEEDS[:2]))
    for of_seeds in without_responses["ROUGE-L"].values():
        of_seeds.update({seed: dict.fromkeys(of_sets) for seed, of_sets in of_seeds.items()})
    (saved.directory / "study-real").mkdir()
    (saved.directory / "study-real" / "110-120.json").write_text(json.dumps(without_responses))
    made = arms(Saved(saved.directory))
    assert made.students == ["one-epoch", "eight-epoch", "real pair: held-out", "real pair: other"]
    heads, lines = made.table("real pair: other")
    assert "ROUGE-L, %" not in heads
    assert "top-1, %" in heads
    assert [line[0] for line in lines] == ["untrained student", "teacher", "a", "b"]
    assert made.latex.count(r"\begin{tabular}") == 4


@pytest.mark.parametrize("name", STUDY)
def test_pictures_are_drawn_inside_their_width_and_twice_the_same(saved: Saved, name: str, tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for place in ("one", "two"):
        arguments = ["--reports", str(saved.directory), "--only", name, "--out", str(tmp_path / place)]
        assert main([*arguments, "--format", "png", "--format", "svg"]) == 0
    made = FIGURES[name](saved)
    for suffix in (*((".tex",) if isinstance(made, PaperTable) else (".png", ".svg")), ".csv", "-caption.tex"):
        one, two = (tmp_path / place / f"{name}{suffix}" for place in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    if not isinstance(made, PaperTable):
        width = made.draw("acl").get_size_inches()[0]
        assert width in (pytest.approx(venue_width("acl")), pytest.approx(venue_width(page("acl"))))


@pytest.mark.parametrize(("make", "missing"), [(forest, "sft"), (dose, "cla")])
def test_an_arm_that_a_figure_needs_is_named(make: Any, missing: str, tmp_path: Path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "one-epoch.json").write_text(results({"aligned": 0.0}))
    with pytest.raises(ReportError, match=f"expected runs of {missing}; got those of aligned. Run it: probe-reproduce"):
        make(Saved(tmp_path))


def test_a_student_without_results_is_named(saved: Saved):
    with pytest.raises(ReportError, match="no results of the two-epoch student"):
        saved.student("two-epoch")
