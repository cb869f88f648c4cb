"""Checkpoints compared by how far their queries lie from their keys."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLD
from rich.console import Console
from scipy.stats import norm, ttest_1samp

from probe.alignment.fitting import fitting_rows
from probe.checkpoints.loading import load
from probe.cli.keyquery import main
from probe.gold.pairs import GoldFile, read_pairs, write_pairs
from probe.keyquery.analyse import key_query
from probe.keyquery.differences import differences, on_same_sentences
from probe.keyquery.measure import AUC_LINEAR, FRECHET, half_splits
from probe.keyquery.report import KeyQueryReport
from probe.keyquery.tables_compared import compared, is_run, step_table
from probe.keyquery.values import Analysis, Measurement, Settings
from probe.stats import Estimate

FEW = Settings(
    components=8, splits=4, untrained_seeds=1, subsample=100, permutations=19, projections=20, classifier_splits=1
)


@pytest.fixture(scope="module")
def run() -> tuple[Analysis, ...]:
    """Two steps of one run, the later first."""
    opened = [load(name) for name in ("demo-cma", "demo-cma-step-25")]
    few = GoldFile(tuple(fitting_rows(opened[0], read_pairs(GOLD))[:12]), ())
    return key_query(opened, few, settings=FEW).analyses


def measured(halves: Sequence[float], distance: str = FRECHET, pair: Estimate | None = None) -> Measurement:
    value = Estimate(float(np.mean(halves)) if halves else None)
    return Measurement("forward", distance, pair or value, None, None, None, tuple(halves))


def of(analysis: Analysis, *measurements: Measurement) -> Analysis:
    return replace(analysis, measurements=measurements)


def test_a_checkpoint_does_not_differ_from_itself(run: tuple[Analysis, ...]):
    for one in differences(run[0], run[0]):
        assert (one.difference.value, one.p_value) == (0, 1)


def test_a_planted_shift_is_measured_in_the_same_halves(run: tuple[Analysis, ...]):
    base = [1.0, 3.0, 2.0, 5.0]  # halves differ by far more than checkpoints do
    first, second = of(run[0], measured(base)), of(run[1], measured([1.5, 3.6, 2.4, 5.5]))
    (one,) = differences(first, second)
    assert one.difference.value == pytest.approx(0.5)
    assert 0.2 < one.difference.low < 0.5 < one.difference.high < 0.8
    assert one.p_value < 0.05
    (back,) = differences(second, first)
    assert back.difference.low == pytest.approx(-one.difference.high)


def test_areas_are_put_together_as_if_independent(run: tuple[Analysis, ...]):
    first = of(run[0], measured((), AUC_LINEAR, Estimate(0.7, 0.65, 0.75)))
    second = of(run[1], measured((), AUC_LINEAR, Estimate(0.8, 0.76, 0.83)))
    (one,) = differences(first, second)
    down, up = np.hypot(0.04, 0.05), np.hypot(0.03, 0.05)
    assert [one.difference.low, one.difference.high] == pytest.approx([0.1 - down, 0.1 + up])
    assert one.p_value == pytest.approx(2 * norm.sf(norm.ppf(0.975) * 0.1 / down))
    (none,) = differences(first, of(run[1], measured((), AUC_LINEAR, Estimate(None))))
    assert (none.difference, none.p_value) == (Estimate(None), None)


def test_p_values_are_adjusted_together(run: tuple[Analysis, ...]):
    far = measured([2.0, 2.1, 1.9, 2.0])
    twice = [replace(far, view=view) for view in ("forward", "raw")]
    near = [measured([0.0, 0.1, 0.0, 0.1]), replace(measured([0.0, 0.1, 0.0, 0.1]), view="raw")]
    alone = differences(of(run[0], near[0]), of(run[1], far))[0].p_value
    both = [one.p_value for one in differences(of(run[0], *near), of(run[1], *twice))]
    assert both == pytest.approx([2 * alone] * 2)


def test_checkpoints_that_are_alike_seldom_seem_to_differ(run: tuple[Analysis, ...]):
    """Of sentences whose differences are noise about zero, five in a hundred samples are to reach 5 %."""
    rng, hits, plain = np.random.default_rng(0), 0, 0
    for _ in range(400):
        noise = rng.normal(size=200)
        found = [float(noise[half].mean()) for half in half_splits(200, 10, int(rng.integers(1 << 30)))]
        (one,) = differences(of(run[0], measured([0.0] * 10)), of(run[1], measured(found)))
        hits += one.p_value < 0.05
        plain += ttest_1samp(found, 0).pvalue < 0.05
    assert 0.02 < hits / 400 < 0.09
    assert plain / 400 > 0.3  # what halves would say if they were taken for independent samples


def test_steps_of_a_run_are_known_and_come_in_their_order(run: tuple[Analysis, ...]):
    assert on_same_sentences(*run)
    assert is_run(run)
    assert not is_run(run[:1])
    assert not is_run((run[0], replace(run[1], method="cla")))
    assert not is_run((run[0], replace(run[1], steps=run[0].steps)))
    assert not is_run((run[0], replace(run[1], query_tokens=1)))
    assert list(step_table(run).columns[0].cells) == ["25", "400"]


def test_other_tokens_are_not_compared(run: tuple[Analysis, ...]):
    other = replace(run[1], key_tokens=run[1].key_tokens + 1)
    report = KeyQueryReport("gold.tsv", "0" * 64, FEW, (), (run[0], other))
    assert report.differences() == []
    assert any("1 pairs of checkpoints saw other tokens" in str(part) for part in compared(report))


def test_two_that_are_of_no_run_are_set_against_each_other(run: tuple[Analysis, ...], capsys):
    console = Console(width=80, highlight=False, markup=False)
    others = (run[0], replace(run[1], method="cla", checkpoint="other"))
    for part in compared(KeyQueryReport("gold.tsv", "0" * 64, FEW, (), others)):
        console.print(part)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "other minus demo-cma" in lines
    assert sum("AUC MLP" in line for line in lines) == 2 * 6


@pytest.mark.slow
def test_the_command_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    gold = read_pairs(GOLD)
    rows = fitting_rows(load("demo-cma"), gold)[:10]
    write_pairs(tmp_path / "few.tsv", rows, gold.comments)
    names = ["--checkpoint", "demo-cma", "--checkpoint", "demo-cma-step-25"]
    assert main(["--pairs", "few.tsv", *names, "--components", "4", "--json", "r.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("by step" in line for line in lines)
    read = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    (pair,) = read["differences"]
    assert (pair["first"], pair["second"], len(pair["distances"])) == ("demo-cma", "demo-cma-step-25", 36)
