"""Steps of one run in one table: what is a run, in which order, and which figures stand there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import GOLD
from rich.console import Console

from probe.alignment.align import align
from probe.checkpoints.loading import load
from probe.cli.align import main
from probe.gold.pairs import read_pairs
from probe.report.report import ProbeReport
from probe.report.steps import by_steps, reading, table
from probe.scoring.destinations import DESTINATIONS
from probe.scoring.scores import COUNTS
from probe.stats import Estimate, as_float

NAMES = ("demo-cma", "demo-cma-step-50", "demo-cma-step-200")


@pytest.fixture(scope="module")
def reports() -> dict[str, ProbeReport]:
    gold = read_pairs(GOLD)
    return {name: align(load(name), gold, methods=["uniform"]) for name in NAMES}


def changed(report: ProbeReport, **origin: Any) -> ProbeReport:
    return replace(report, origin=replace(report.origin, **origin))


def test_steps_stand_in_their_order_with_the_figures_of_each_report(reports: dict[str, ProbeReport]):
    found = by_steps(reports)
    assert [one.steps for one in found] == [50, 200, 400]
    assert [one.checkpoint for one in found] == ["demo-cma-step-50", "demo-cma-step-200", "demo-cma"]
    for one in found:
        report = reports[one.checkpoint]
        groups = {group.name: group for group in report.by_slice}
        assert one.top_1 == report.intervals.at(0, 0)
        assert one.repeat_confusion == pytest.approx(
            report.destinations.figures.value[0, DESTINATIONS.index("same token elsewhere")]
        )
        assert one.after_same == groups["again, after the same token"].figures.value[0, 0]
        assert one.after_another == groups["again, after another token"].figures.value[0, 0]
    assert [one.top_1.value for one in found] == sorted(as_float(one.top_1.value) for one in found)


def test_the_change_is_since_the_step_before_on_the_same_sentences(reports: dict[str, ProbeReport]):
    first, second, third = by_steps(reports)
    assert first.change == Estimate(None)
    values = [as_float(one.top_1.value) for one in (first, second, third)]
    assert [second.change.value, third.change.value] == pytest.approx(np.diff(values))
    # Paired: much narrower than two intervals that know nothing of each other.
    widths = [as_float(one.high) - as_float(one.low) for one in (second.top_1, third.top_1, third.change)]
    assert 0 < widths[2] < np.hypot(*widths[:2]) / 2


def test_a_step_that_changes_nothing_has_bounds_of_nought(reports: dict[str, ProbeReport]):
    report = reports["demo-cma"]
    _, later = by_steps({"one": report, "later": changed(report, steps=500)})
    assert later.change == Estimate(0.0, 0.0, 0.0)


def test_a_planted_confusion_is_measured(reports: dict[str, ProbeReport]):
    report = reports["demo-cma"]
    mass = np.zeros_like(report.mass)
    mass[:, 0, DESTINATIONS.index("same token elsewhere")] = 0.25 * report.counts[:, 0, COUNTS.index("rows")]
    found = by_steps({"one": report, "later": changed(replace(report, mass=mass), steps=500)})
    assert found[1].repeat_confusion == pytest.approx(0.25)


@pytest.mark.parametrize(
    "origin",
    [
        {"steps": 400},
        {"steps": None},
        {"steps": 500, "criterion": "reverse_kl"},
        {"steps": 500, "method": "cla"},
        {"steps": 500, "pair": "a ← b"},
        {"steps": 500, "scales": (("key", 2.0),)},
        {"steps": 500, "gold_sha256": "of another file"},
    ],
)
def test_what_differs_in_more_than_steps_is_no_run(reports: dict[str, ProbeReport], origin: dict[str, Any]):
    report = reports["demo-cma"]
    assert by_steps({"one": report, "other": changed(report, **origin)}) == ()


def test_one_checkpoint_is_no_run(reports: dict[str, ProbeReport]):
    assert by_steps({"one": reports["demo-cma"]}) == ()
    assert by_steps({}) == ()


def test_the_table_fits_80_columns(reports: dict[str, ProbeReport]):
    found = by_steps(reports)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table(found))
        console.print("\n".join(reading(found)))
    lines = capture.get().splitlines()
    assert "…" not in capture.get()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines if line.strip()[:1].isdigit()][:3] == ["50", "200", "400"]


def test_the_command_prints_steps_in_place_of_every_two(
    few_gold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--methods", "uniform", "--json", str(tmp_path / "run.json")]
    names = [part for name in NAMES for part in ("--checkpoint", name)]
    assert main(["--pairs", str(few_gold), *names, *options]) == 0
    out = capsys.readouterr().out
    assert "since last step" in out
    assert "second − first" not in out
    assert len(out.splitlines()) < 30  # and not a page for each
    written = json.loads((tmp_path / "run.json").read_text())
    assert [one["steps"] for one in written["steps"]] == [50, 200, 400]
    assert len(written["comparisons"]) == 3
    assert main(["--pairs", str(few_gold), "--checkpoint", "demo-cma", "--checkpoint", "demo-cla", *options]) == 0
    out = capsys.readouterr().out
    assert "since last step" not in out
    assert "points below demo-cma, p" in out
