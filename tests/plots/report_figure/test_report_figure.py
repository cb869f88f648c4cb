"""Pictures of a report: every figure of the report is a mark at its place, and nothing is cut or covered."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from places import GOLD

from probe.alignment.align import align
from probe.errors import ReportError
from probe.plots.report_figure.drawing import MARKERS
from probe.plots.report_figure.figure import groups_figure, methods_figure, report_figure
from probe.plots.report_figure.panels import HOLLOW, groups_panel, methods_panel
from probe.plots.saving import SUFFIXES, save_figure
from probe.plots.style import DARK, LIGHT
from probe.report.comparison import MANY
from probe.report.overview import grouped
from probe.report.report import ProbeReport
from probe.report.verdict import verdict
from probe.scoring.scores import COUNTS

TOP_1 = COUNTS.index("top-1")


@pytest.fixture(scope="module")
def report(demo_report: ProbeReport) -> ProbeReport:
    return demo_report


@pytest.fixture(scope="module")
def worse(report: ProbeReport) -> ProbeReport:
    """Another checkpoint, with half of the hits."""
    counts = report.counts.copy()
    counts[:, 0, TOP_1] /= 2
    return replace(report, counts=counts)


def first(report: ProbeReport, count: int) -> ProbeReport:
    """The same report on the first sentences alone."""
    per_sentence = ("sentences", "lengths", "phenomena", "triples", "counts", "backward", "slices", "links", "mass")
    return replace(report, **{name: getattr(report, name)[:count] for name in per_sentence})


def marks(figure: Figure) -> list[list[float]]:
    """By axes, the values that are marked, from the top down."""
    found: list[list[float]] = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if line.get_marker() in MARKERS]
        points = [(-y, x) for line in lines for x, y in np.asarray(line.get_xydata())]
        found.append([x for _, x in sorted(points)])
    return found


def bars(figure: Figure) -> list[tuple[float, float]]:
    """The ends of all bars of the first axes, from the top down."""
    drawn = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
    segments = [segment for one in drawn for segment in one.get_segments()]
    return [(a[0], b[0]) for a, b in sorted(map(np.asarray, segments), key=lambda ends: -ends[0, 1])]


def test_methods_are_marks_between_floors_and_ceilings(report: ProbeReport):
    figure = methods_figure(report)
    ordered = ["position-grid", "lexical-grid", "cma-grid"]
    names = ["random", "uniform", "diagonal", "lexical", "cma", *ordered, "target-only", "bigram"]
    at = [report.methods.index(name) for name in names]
    found = report.intervals
    assert marks(figure) == [pytest.approx((100 * found.value[at, 0]).tolist())]
    expected = np.stack([found.low[at, 0], found.high[at, 0]], axis=1)
    np.testing.assert_allclose(bars(figure), 100 * expected)
    written = [text.get_text() for text in figure.texts]
    groups = ["floors", "baselines", "attention", "with order", "ceilings"]
    assert [text for text in written if text in groups] == groups
    assert {f"{100 * value:.1f}" for value in found.value[at, 0]} <= set(written)


def test_the_ground_from_the_highest_floor_to_the_ceiling_is_shaded(report: ProbeReport):
    values = dict(zip(report.methods, report.intervals.value[:, 0].tolist(), strict=True))
    assert methods_panel({"demo": report}).band == (values["random"], values["bigram"])
    without = methods_panel({"demo": align("demo", GOLD, methods=["lexical"])})
    assert without.band is None


def test_the_attention_is_told_from_the_others_without_colours(report: ProbeReport):
    figure = methods_figure(report)
    (name,) = (text for text in figure.texts if text.get_text() == "cma")
    assert name.get_fontweight() == "bold"
    by_size = {
        line.get_markersize(): len(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() in MARKERS
    }
    assert by_size[max(by_size)] == 1
    assert by_size[min(by_size)] == 9


@pytest.mark.parametrize("section", ["phenomenon", "token"])
def test_groups_are_marks_with_their_tokens_beside(report: ProbeReport, section):
    figure = groups_figure(report, section)
    groups = report.groups(section)
    assert marks(figure) == [pytest.approx([100 * one.figures.value[0, 0] for one in groups])]
    written = [text.get_text() for text in figure.texts]
    for one in groups:
        assert written[written.index(one.name) + 1] == str(one.rows)
    hollow = [
        x
        for line in figure.axes[0].lines
        if line.get_marker() in MARKERS and line.get_markerfacecolor() == LIGHT.ground
        for x in np.asarray(line.get_xdata())
    ]
    assert hollow == pytest.approx([100 * one.figures.value[0, 0] for one in groups if one.sentences < 10])
    panel = groups_panel({"demo": report}, section)
    assert panel is not None
    assert HOLLOW in panel.notes
    whole = [line for line in figure.axes[0].lines if line.get_marker() == "None" and line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in whole] == [100 * report.intervals.value[0, 0]]


def test_several_checkpoints_share_the_references(report: ProbeReport, worse: ProbeReport):
    reports = {"one": report, "other": worse}
    assert [line.name for line in grouped(reports)["attention"]] == ["one", "other"]
    assert len(marks(methods_figure(reports))[0]) == 11
    assert len(marks(groups_figure(reports, "token"))[0]) == 2 * len(report.groups("token"))


def test_references_that_differ_have_a_line_each(report: ProbeReport):
    counts = report.counts.copy()
    counts[:, report.methods.index("random"), TOP_1] *= 3
    lines = grouped({"one": report, "other": replace(report, counts=counts)})
    assert [line.name for line in lines["floors"]] == [
        "an untrained query, one",
        "an untrained query, other",
        "equal weights",
    ]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_no_text_is_cut_or_covered(report: ProbeReport, worse: ProbeReport, several: bool, dark: bool):
    long = "outputs/a-run-with-a-long-name/epoch20_step7140"
    figure = report_figure({long: report, f"{long}0": worse} if several else report, dark=dark)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = figure.bbox
    below = [text for axes in figure.axes for text in (axes.xaxis.label, *axes.get_xticklabels())]
    boxes = [text.get_window_extent() for text in (*figure.texts, *below) if text.get_text()]
    for box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
    for axes in figure.axes:
        assert not any(axes.get_window_extent().overlaps(box) for box in boxes)


def test_the_title_is_the_answer(report: ProbeReport):
    assert report_figure(report).texts[0].get_text() == verdict(report)[0]


def test_of_few_sentences_all_marks_are_hollow(report: ProbeReport):
    figure = report_figure(first(report, 4))
    drawn = [line for axes in figure.axes for line in axes.lines if line.get_marker() in MARKERS]
    assert drawn
    assert all(line.get_markerfacecolor() == LIGHT.ground for line in drawn)


def test_without_phenomena_their_panel_is_left_out(report: ProbeReport):
    plain = replace(report, phenomena=((),) * len(report.sentences))
    with_phenomena, without = report_figure(report), report_figure(plain)
    assert (len(with_phenomena.axes), len(without.axes)) == (3, 2)
    assert without.get_figwidth() == with_phenomena.get_figwidth()  # side by side
    with pytest.raises(ReportError, match="expected sentences with a phenomenon"):
        groups_figure(plain, "phenomenon")


def test_too_many_reports_and_reports_of_other_sentences_are_refused(report: ProbeReport):
    with pytest.raises(ReportError, match=f"1 to {MANY} reports; got {MANY + 1}"):
        report_figure({str(n): report for n in range(MANY + 1)})
    with pytest.raises(ReportError, match="expected reports of the same sentences; got a of some, b of others"):
        methods_figure({"a": report, "b": first(report, 20)})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_are_equal_to_the_byte(report: ProbeReport, tmp_path: Path, suffix: str):
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "other")]
    for path in paths:
        save_figure(report_figure(report, dark=True), path)
    one, other = (path.read_bytes() for path in paths)
    assert one == other
    if suffix == ".svg":
        assert DARK.ground.encode() in one
        assert LIGHT.ground.encode() not in one


def test_all_figures_are_said_in_words(report: ProbeReport):
    named: Mapping[str, ProbeReport] = {"demo": report}
    assert "cma 43.3, 95 % CI 36.8 to 50.4;" in methods_panel(named).spoken
    (phenomena,) = (panel for panel in [groups_panel(named, "phenomenon")] if panel)
    assert all(one.name in phenomena.spoken for one in report.by_phenomenon)
