"""Figures of evaluations, against numbers computed by hand, and the tables and files that show them."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import bootstrap

from probe.errors import TrainingError
from probe.output.tables import number
from probe.stats import Estimate
from probe.training.evaluation.evaluate import Evaluation
from probe.training.evaluation.likelihood import Fitted
from probe.training.evaluation.questions import Question, QuestionSet
from probe.training.evaluation.report import escape_latex, latex, reading, table, to_json
from probe.training.evaluation.summary import (
    OUT_OF_DOMAIN,
    Score,
    System,
    bits_difference,
    deviation,
    difference,
    figure,
    interval,
)


def set_of(name: str, count: int, prompt: str = "prompt") -> QuestionSet:
    return QuestionSet(name, tuple(Question(f"{prompt} {n}", (f"reference {n}",)) for n in range(count)))


def evaluation(
    scores: Any, name: str = "dolly", *, seeds: Sequence[int] | None = None, bits: float = 1.0, prompt: str = "prompt"
) -> Evaluation:
    """With these scores, a row for each decoding seed; exact match is where a score is 1."""
    rouge = np.array(scores, dtype=np.float64)
    questions = set_of(name, rouge.shape[1], prompt)
    return Evaluation(
        questions=questions,
        seeds=tuple(range(10, 10 + len(rouge))) if seeds is None else tuple(seeds),
        responses=tuple(tuple(f"response {n}" for n in range(rouge.shape[1])) for _ in rouge),
        rouge_l=rouge,
        exact_match=(rouge == 1).astype(np.float64),
        bits_per_byte=bits,
        accuracy=0.5,
        fitted=Fitted(bits - 0.1, 1.1),
    )


def system(*runs: Any, name: str = "cma", set_: str = "dolly") -> System:
    return System(name, {10 * (n + 1): [evaluation(run, set_)] for n, run in enumerate(runs)})


# Figures by hand


def test_a_mean_is_of_all_seeds_and_questions_in_percent():
    found = system([[0.0, 0.5, 1.0], [0.2, 0.4, 0.6]], [[0.1, 0.1, 0.1], [0.3, 0.3, 0.6]]).figure("rouge_l", "dolly")
    assert found.mean.value == pytest.approx(100 * (1.5 + 1.2 + 0.3 + 1.2) / 12)


def test_decoding_alone_varies():
    # Both training seeds have the means 40 and 60.
    found = system([[0.3, 0.5], [0.5, 0.7]], [[0.6, 0.6], [0.4, 0.4]]).figure("rouge_l", "dolly")
    assert found.mean.value == pytest.approx(50)
    assert found.over_decoding == pytest.approx(math.sqrt(200))  # of 40 and 60: 10² + 10² over one
    assert found.over_training == pytest.approx(0, abs=1e-9)


def test_training_alone_varies():
    found = system([[0.3, 0.5], [0.5, 0.3]], [[0.6, 0.6], [0.7, 0.5]]).figure("rouge_l", "dolly")
    assert found.over_decoding == pytest.approx(0, abs=1e-9)
    assert found.over_training == pytest.approx(math.sqrt(200))


def test_both_vary_and_decoding_is_pooled_within_training():
    # Means by training and decoding: 10, 20, 30; and 50, 50, 80.
    first, second = [[0.1], [0.2], [0.3]], [[0.5], [0.5], [0.8]]
    found = system(*([row * 2 for row in run] for run in (first, second))).figure("rouge_l", "dolly")
    # Variances 100 and 300, whose mean is 200; training means 20 and 60.
    assert found.over_decoding == pytest.approx(math.sqrt(200))
    assert found.over_training == pytest.approx(math.sqrt(800))
    assert found.mean.value == pytest.approx(40)


def test_what_varies_over_questions_alone_is_no_variation_of_seeds():
    found = system([[0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]).figure("rouge_l", "dolly")
    assert (found.over_decoding, found.over_training) == (0, 0)
    assert (found.mean.low, found.mean.value, found.mean.high) == (0, 50, 100)


def test_one_seed_tells_nothing_of_seeds_and_one_question_nothing_of_questions():
    single = system([[0.2, 0.4]]).figure("rouge_l", "dolly")
    assert math.isnan(single.over_decoding)
    assert math.isnan(single.over_training)
    assert single.mean.low is not None
    one_run = system([[0.2, 0.4], [0.4, 0.8]]).figure("rouge_l", "dolly")
    assert one_run.over_decoding == pytest.approx(math.sqrt(2 * 15**2))
    assert math.isnan(one_run.over_training)
    greedy = system([[0.2, 0.4]], [[0.4, 0.6]]).figure("rouge_l", "dolly")
    assert math.isnan(greedy.over_decoding)
    assert greedy.over_training == pytest.approx(math.sqrt(200))
    one = system([[0.2]]).figure("rouge_l", "dolly")
    assert one.mean.value == pytest.approx(20)
    assert one.mean.low is None
    assert one.mean.high is None


def test_exact_match_has_figures_of_its_own():
    of = system([[1.0, 0.5, 1.0, 0.9]])
    assert of.figure("exact_match", "dolly").mean.value == 50
    assert of.figure("rouge_l", "dolly").mean.value == pytest.approx(85)


def test_deviation_is_that_of_a_sample():
    assert deviation(np.array([1.0, 2.0, 3.0, 6.0])) == pytest.approx(math.sqrt(14 / 3))
    assert math.isnan(deviation(np.array([1.0])))


# Several sets


def test_a_mean_over_sets_weighs_sets_and_not_questions():
    scores = {"dolly": [[0.9] * 7], "vicuna": [[0.1, 0.3]], "self": [[0.5] * 5]}
    of = System("cma", {10: [evaluation(rows, name) for name, rows in scores.items()]})
    assert of.sets == ["dolly", "vicuna", "self"]
    average = of.out_of_domain("rouge_l")
    assert average is not None
    assert average.mean.value == pytest.approx((20 + 50) / 2)
    assert average == of.figure("rouge_l", "vicuna", "self")
    # Only vicuna varies, and it is half of the average.
    assert (average.mean.low, average.mean.high) == pytest.approx((30.0, 40.0))
    assert System("cma", {10: [evaluation([[0.9]])]}).out_of_domain("rouge_l") is None


def test_seeds_of_an_average_vary_as_the_average_does():
    """Two sets that vary in opposite directions have an average that does not."""
    up, down = [[0.2, 0.2], [0.4, 0.4]], [[0.4, 0.4], [0.2, 0.2]]
    of = System("cma", {10: [evaluation(up, "a"), evaluation(up, "b"), evaluation(down, "c")]})
    average = of.out_of_domain("rouge_l")
    assert average is not None
    assert average.over_decoding == pytest.approx(0, abs=1e-9)
    assert of.figure("rouge_l", "a", "b").over_decoding == pytest.approx(math.sqrt(200))


def test_bits_per_byte_vary_over_training_alone():
    runs = {seed: [evaluation([[0.5, 0.5]], bits=bits)] for seed, bits in ((1, 1.0), (2, 3.0))}
    assert System("cma", runs).bits_per_byte("dolly") == pytest.approx((2.0, math.sqrt(2)))
    mean, spread = System("cma", {None: [evaluation([[0.5]], bits=1.5)]}).bits_per_byte("dolly")
    assert mean == 1.5
    assert math.isnan(spread)


# Intervals


def test_an_interval_is_scipys_percentile_bootstrap_and_the_same_each_time():
    rng = np.random.default_rng(3)
    values = rng.uniform(size=40)
    found = interval([values])
    state = np.random.get_state()[1].copy()
    np.random.seed(99)
    assert interval([values]) == found
    np.random.set_state(("MT19937", state, 624, 0, 0.0))
    other = bootstrap((values,), np.mean, method="percentile", n_resamples=2000, rng=np.random.default_rng(5))
    assert found == pytest.approx(tuple(other.confidence_interval), abs=0.01)
    assert found[0] < values.mean() < found[1]


def test_an_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    trials, inside = 120, 0
    for _ in range(trials):
        low, high = interval([rng.normal(50, 10, 60)])
        inside += low < 50 < high
        assert high - low == pytest.approx(2 * 1.96 * 10 / math.sqrt(60), rel=0.5)
    # 95 %, and somewhat less with 60 values: outside 0.88 … 0.99 by chance less than once in a thousand.
    assert 0.88 <= inside / trials <= 0.995


def test_an_interval_of_an_average_is_of_questions_drawn_within_each_set():
    rng = np.random.default_rng(0)
    sets = [rng.normal(20, 5, 50), rng.normal(80, 10, 200)]
    low, high = interval(sets)
    half = 1.96 * math.sqrt(25 / 50 + 100 / 200) / 2
    assert high - low == pytest.approx(2 * half, rel=0.2)
    assert low < np.mean([one.mean() for one in sets]) < high


def test_seeds_do_not_narrow_the_interval_over_questions():
    """The same responses five times are no more questions."""
    row = [0.0, 0.2, 0.9, 0.4, 0.7]
    once, often = system([row]).figure("rouge_l", "dolly"), system([row] * 5, [row] * 5).figure("rouge_l", "dolly")
    assert (often.mean.low, often.mean.high) == pytest.approx((once.mean.low, once.mean.high))


# Differences


def test_a_difference_is_paired_by_question_and_seed():
    better = system([[0.5, 0.9], [0.7, 0.3]], [[0.2, 0.4], [0.2, 0.6]], name="cma")
    worse = system([[0.4, 0.8], [0.6, 0.2]], [[0.0, 0.2], [0.0, 0.4]], name="sft")
    found = difference(better, worse, "rouge_l", "dolly")
    # By 10 points with one training seed and by 20 with the other, whatever question or decoding seed.
    assert found.mean.value == pytest.approx(15)
    assert (found.mean.low, found.mean.high) == pytest.approx((15, 15))
    assert found.over_decoding == pytest.approx(0, abs=1e-9)
    assert found.over_training == pytest.approx(math.sqrt(50))
    assert difference(worse, better, "rouge_l", "dolly").mean.value == pytest.approx(-15)


@pytest.mark.parametrize(
    "other",
    [
        System("sft", {10: [evaluation([[0.5, 0.5]], prompt="other")]}),
        System("sft", {10: [evaluation([[0.5, 0.5]], seeds=[99])]}),
        System("sft", {20: [evaluation([[0.5, 0.5]])]}),
        System("sft", {10: [evaluation([[0.5, 0.5, 0.5]])]}),
        System("sft", {10: [evaluation([[0.5, 0.5], [0.5, 0.5]])]}),
        System("sft", {10: [evaluation([[0.5, 0.5]])], 20: [evaluation([[0.5, 0.5]])]}),
    ],
    ids=["questions", "decoding seeds", "training seed", "number of questions", "number of decodings", "more runs"],
)
def test_systems_that_were_not_evaluated_alike_are_not_compared(other: System):
    with pytest.raises(TrainingError, match="cma against sft"):
        difference(system([[0.1, 0.2]]), other, "rouge_l", "dolly")


@pytest.mark.parametrize(
    "second",
    [
        evaluation([[0.5, 0.5]], prompt="other"),
        evaluation([[0.5, 0.5]], seeds=[99]),
        evaluation([[0.5, 0.5]], "vicuna"),
        evaluation([[0.5, 0.5, 0.5]]),
    ],
    ids=["questions", "seeds", "set", "number"],
)
def test_runs_of_a_system_must_be_evaluated_alike(second: Evaluation):
    of = System("cma", {10: [evaluation([[0.1, 0.2]])], 20: [second]})
    with pytest.raises(TrainingError, match=r"cma on dolly: expected each run once.*Evaluate all of them alike"):
        of.figure("rouge_l", "dolly")


def test_figures_of_plain_arrays_need_no_system():
    found = figure([np.full((2, 3, 4), 7.0)])
    assert found == Score(Estimate(7.0, 7.0, 7.0), 0.0, 0.0)


# What is shown


def systems() -> list[System]:
    """A floor without training seeds, and two methods whose names no markup may eat."""
    rng = np.random.default_rng(0)

    def run(seed: int | None) -> list[Evaluation]:
        sets = (("dolly", 9), ("self-instruct", 7), ("super-natural-instructions_[11]", 5))
        return [evaluation(rng.uniform(size=(2, n)).round(1), name, bits=rng.uniform(1, 2)) for name, n in sets]

    return [
        System("teacher (sft, lora)", {None: run(None)}),
        System("sft", {10: run(10), 20: run(20)}),
        System(r"a_name & a [bold]long\one[/bold] of 100% #1 {x} ~ ^ $5$", {10: run(10), 20: run(20)}),
    ]


def rendered(shown: Any) -> list[str]:
    console = Console(width=80, highlight=False, markup=False, color_system=None)
    with console.capture() as captured:
        console.print(shown)
    return captured.get().splitlines()


def test_the_table_is_80_columns_wide_and_has_every_figure():
    lines = rendered(table(systems()))
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    text = " ".join(" ".join(lines).split())
    for one in systems():
        for name in one.sets:
            found = one.figure("rouge_l", name)
            whole = f"{found.mean.value:.1f} [{found.mean.low:.1f}, {found.mean.high:.1f}]"
            cells = (whole, f"{found.over_decoding:.2f}", number(found.over_training, ".2f") or "–")
            row = next(line for line in lines if whole in line)
            assert all(cell in row.replace(whole, "§", 1) or cell == whole for cell in cells)
            assert f"{one.bits_per_byte(name)[0]:.3f}" in row
            assert f"{one.figure('exact_match', name).mean.value:.1f}" in row
        average = one.out_of_domain("rouge_l")
        assert average is not None
        assert f"{average.mean.value:.1f} [{average.mean.low:.1f}, {average.mean.high:.1f}]" in text
    assert sum(" – " in line for line in lines) == 4  # the teacher has no training seeds


@pytest.mark.parametrize("length", [20, 60, 200])
def test_names_of_any_length_leave_the_table_its_figures(length: int):
    one = System("m" * length, {10: [evaluation([[1.0, 1.0], [1.0, 1.0]], "s" * length)]})
    lines = rendered(table([one]))
    assert max(map(len, lines)) <= 80
    assert any("100.0 [100.0, 100.0]" in line for line in lines)
    assert "".join(lines).count("m") >= length


def test_what_is_not_known_is_a_dash_and_never_nan():
    one = System("cma", {None: [evaluation([[0.5]]), evaluation([[0.5]], "other")]})
    for text in ("\n".join(rendered(table([one]))), latex([one]), "\n".join(reading([one]))):
        assert "nan" not in text.lower()
    assert "–" in "\n".join(rendered(table([one])))


def test_reading_names_seeds():
    lines = "\n".join(reading(systems()[:2]))
    assert "Decoding: seeds 10, 11." in lines
    assert "teacher (sft, lora) –; sft 10, 20." in lines
    assert "dolly: 9 questions, self-instruct: 7 questions" in lines


def refuse(constant: str) -> float:
    raise AssertionError(constant)


def test_json_has_every_figure_and_null_where_a_number_is_not_known():
    one, *others = systems()
    document = json.loads(to_json([one, *others]), parse_constant=refuse)
    assert document["units"]["rouge_l"] == "percent"
    assert document["systems"][one.name]["sets"]["dolly"]["questions"] == 9
    assert list(document["systems"]) == [each.name for each in systems()]
    read = document["systems"][one.name]
    assert read["training_seeds"] == [None]
    assert read["decoding_seeds"] == [10, 11]
    assert list(read["sets"]) == [*one.sets, OUT_OF_DOMAIN]
    found = one.figure("rouge_l", "dolly")
    cell = read["sets"]["dolly"]["rouge_l"]
    assert cell["over_training"] is None
    assert (cell["mean"], cell["low"], cell["high"]) == (found.mean.value, found.mean.low, found.mean.high)
    assert cell["over_decoding"] == found.over_decoding
    assert read["sets"]["dolly"]["bits_per_byte"] == {
        "mean": one.bits_per_byte("dolly")[0],
        "over_training": None,
        "fitted": {"bits_per_byte": one.fitted("dolly").bits_per_byte, "temperature": 1.1},
    }
    (trained,) = [document["systems"][each.name] for each in others[:1]]
    assert trained["training_seeds"] == [10, 20]
    single = json.loads(to_json([System("a", {10: [evaluation([[0.5]])]})]), parse_constant=refuse)
    assert OUT_OF_DOMAIN not in single["systems"]["a"]["sets"]
    assert single["systems"]["a"]["sets"]["dolly"]["rouge_l"]["low"] is None


def test_latex_has_as_many_cells_in_each_line_as_columns():
    lines = latex(systems()).splitlines()
    assert all(line.startswith("% ") for line in lines[:2])
    assert lines[2] == r"\begin{tabular}{lrrrr}"
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 4
    for row in rows:
        assert len(re.split(r"(?<!\\)&", row)) == 5
        # Nothing that LaTeX would act upon but what this table means: escapes, and math around ±.
        plain = re.sub(r"\{\\small \$\\pm\$ [0-9.]+\}|\\text(backslash|asciitilde|asciicircum)\{\}", "", row[:-2])
        assert not re.search(r"(?<!\\)[%$#_{}~^\\](?![&%$#_{}])", plain.replace(r"\&", "")), plain
    assert "OOD avg." in rows[0]
    assert [line for line in lines if line.startswith("\\") and "tabular" not in line] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]


def test_latex_has_one_kind_of_spread_and_says_which():
    floor, trained, _ = systems()
    lines = latex([floor, trained]).splitlines()
    assert "over training seeds" in lines[0]
    found = trained.figure("rouge_l", "dolly")
    assert rf"& {found.mean.value:.2f} {{\small $\pm$ {found.over_training:.2f}}} &" in lines[7]
    assert "pm" not in lines[6]
    lines = latex([floor]).splitlines()
    assert "over decoding seeds" in lines[0]
    found = floor.figure("rouge_l", "dolly")
    assert rf"& {found.mean.value:.2f} {{\small $\pm$ {found.over_decoding:.2f}}} &" in lines[6]
    bare = latex([System("a", {None: [evaluation([[0.25, 0.75]])]})])
    assert r"a & 50.00 \\" in bare.splitlines()


def test_latex_is_of_bits_per_byte_where_nothing_was_sampled():
    def of(*sets: float) -> list[Evaluation]:
        return [
            evaluation(np.zeros((0, 3)), name, bits=bits) for name, bits in zip(("dolly", "other"), sets, strict=True)
        ]

    trained = System("cma", {10: of(1.3, 2.1), 20: of(1.5, 2.1)})
    lines = latex([System("floor", {None: of(1.7, 2.5)}), trained]).splitlines()
    assert lines[0] == "% Bits per byte at a fitted temperature; ± is a standard deviation over training seeds"
    assert "Method & dolly & other" in lines[4]
    assert lines[6] == r"floor & 1.6000 & 2.4000 \\"
    assert lines[7] == r"cma & 1.3000 {\small $\pm$ 0.1414} & 2.0000 {\small $\pm$ 0.0000} \\"


def test_every_character_of_latex_is_escaped():
    assert escape_latex("a_b & 50% of $1 #2 {x}") == r"a\_b \& 50\% of \$1 \#2 \{x\}"
    assert escape_latex("\\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"
    assert escape_latex("café") == "café"


def test_a_set_without_words_is_told_beside_the_table() -> None:
    chinese = QuestionSet("zh", (Question("问", ("北京",)), Question("问", ("上海", "Shanghai"))))
    seen = replace(evaluation([[0.0, 1.0]]), questions=chinese)
    warning = "1 of 2 references of zh have no word of a-z and 0-9"
    assert any(warning in line and "--rouge characters" in line for line in reading([System("cma", {10: [seen]})]))
    counted = replace(seen, rouge_unit="characters")
    assert not any("no word" in line for line in reading([System("cma", {10: [counted]})]))
    assert not any("no word" in line for line in reading(systems()[:1]))


def test_bits_are_compared_by_training_seed_with_the_t_interval() -> None:
    ours = System(
        "cma",
        {
            n: [replace(evaluation([[0.5, 0.5]], bits=b), fitted=Fitted(b - 1, 1.2))]
            for n, b in zip((1, 2, 3), (1.5, 1.7, 1.9), strict=True)
        },
    )
    theirs = System(
        "sft",
        {
            n: [replace(evaluation([[0.5, 0.5]], bits=b), fitted=Fitted(b - 1, 1.0))]
            for n, b in zip((1, 2, 3), (1.4, 1.5, 1.6), strict=True)
        },
    )
    found = bits_difference(ours, theirs, "dolly", fitted=False)
    half = 4.30265 * 0.1 / math.sqrt(3)
    assert list(found) == pytest.approx([0.2, 0.2 - half, 0.2 + half], rel=1e-5)
    assert list(bits_difference(ours, theirs, "dolly", fitted=True)) == pytest.approx(list(found))
    assert ours.fitted("dolly").temperature == pytest.approx(1.2)
    with pytest.raises(TrainingError, match="the same seeds"):
        bits_difference(ours, System("sft", {7: theirs.runs[1]}), "dolly", fitted=False)
