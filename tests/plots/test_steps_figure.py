"""The picture of training runs: each checkpoint is a point at its step, and what is no run is refused."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from places import GOLD

from probe.alignment.align import align
from probe.errors import ArgumentError, ReportError
from probe.figures.plot import plot
from probe.plots.steps_figure import REFERENCES, spread, steps_figure
from probe.plots.style import DARK, LIGHT
from probe.report.report import ProbeReport
from probe.scoring.scores import COUNTS
from probe.stats import as_float

STEPS = {400: "demo-cma", 50: "demo-cma-step-50", 200: "demo-cma-step-200"}


@pytest.fixture(scope="module")
def run() -> dict[int, ProbeReport]:
    return {step: align(name, GOLD, methods=list(REFERENCES)) for step, name in STEPS.items()}


@pytest.fixture(scope="module")
def worse(run: dict[int, ProbeReport]) -> dict[int, ProbeReport]:
    """Another run, with half of the hits."""
    found: dict[int, ProbeReport] = {}
    for step, report in run.items():
        counts = report.counts.copy()
        counts[:, 0, COUNTS.index("top-1")] /= 2
        found[step] = replace(report, counts=counts)
    return found


def curves(figure: Figure) -> list[Any]:
    """The lines that have markers."""
    return [line for line in figure.axes[0].lines if line.get_marker() != "None"]


def y_of(line: Any) -> Any:
    return np.asarray(line.get_ydata())


def values(run: Mapping[Any, ProbeReport]) -> list[float]:
    return [100 * as_float(run[step].intervals.at(0, 0).value) for step in sorted(run)]


def test_each_checkpoint_is_a_point_at_its_step_within_its_interval(run: dict[int, ProbeReport]):
    figure = steps_figure({"": run})
    (curve,) = curves(figure)
    assert curve.get_xdata().tolist() == [50, 200, 400]
    assert curve.get_ydata() == pytest.approx(values(run))
    (band,) = figure.axes[0].collections
    ends = {(x, round(y, 6)) for x, y in np.asarray(band.get_paths()[0].vertices).tolist()}
    for step, report in run.items():
        found = report.intervals.at(0, 0)
        assert {(step, round(100 * as_float(end), 6)) for end in (found.low, found.high)} <= ends
    assert not figure.legends


def test_several_runs_are_named_and_told_apart_by_marker(run: dict[int, ProbeReport], worse: dict[int, ProbeReport]):
    figure = plot({"plain": run, "worse": worse})
    one, other = curves(figure)
    assert other.get_ydata() == pytest.approx(np.array(one.get_ydata()) / 2)
    assert one.get_marker() != other.get_marker()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["plain", "worse"]


def test_references_are_named_with_their_value_and_no_two_names_overlap(run: dict[int, ProbeReport]):
    figure = steps_figure({"": run})
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    assert set(texts) == {"the best a query can reach, 88.1", "position alone, 43.3", "equal weights, 3.4"}
    levels = sorted(float(y_of(line)[0]) for line in figure.axes[0].lines if line not in curves(figure))
    assert levels == pytest.approx(sorted(100 * as_float(run[50][name].top1.value) for name in REFERENCES))
    assert max(levels) < figure.axes[0].get_ylim()[1] <= 100
    assert spread(np.array([1.0, 1.5, 9.0]), 2.0).tolist() == [1.0, 3.0, 9.0]


@pytest.mark.parametrize(("dark", "colours"), [(False, LIGHT), (True, DARK)])
def test_it_has_the_colours_of_its_ground(run: dict[int, ProbeReport], dark: bool, colours: Any):
    figure = plot(run, dark=dark)
    assert curves(figure)[0].get_color() == colours.repeats[0]
    assert {text.get_color() for text in figure.axes[0].texts} == {colours.muted}


def test_numbers_are_steps_and_names_are_checkpoints_unless_steps_are_asked_for(run: dict[int, ProbeReport]):
    named = {STEPS[step]: report for step, report in run.items()}
    assert len(curves(plot(run))) == len(curves(plot(named, "step"))) == 1
    assert len(plot(named).axes) > 1


def test_what_is_no_run_is_refused(run: dict[int, ProbeReport], worse: dict[int, ProbeReport]):
    with pytest.raises(ReportError, match=r"steps of one run; got demo-cma at step 400, demo-cma at step 400\. Give"):
        plot({"one": run[400], "other": worse[400]}, "step")
    with pytest.raises(ReportError, match="picture of late: expected reports of the steps of one run"):
        plot({"whole": run, "late": {400: run[400]}})
    with pytest.raises(ArgumentError, match="by step; got ProbeReport"):
        plot(run[400], "step")
    with pytest.raises(ReportError, match="1 to 12 runs; got 13"):
        plot(dict.fromkeys(map(str, range(13)), run))
    other = {step: replace(report, origin=replace(report.origin, gold_sha256="x")) for step, report in run.items()}
    with pytest.raises(ReportError, match="the same sentences"):
        plot({"one": run, "other": other})
