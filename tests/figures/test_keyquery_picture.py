"""The picture of queries and keys shows the points and figures of its report, and no more."""

from dataclasses import replace
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from places import ROOT

import probe
from probe.figures.clouds import SHOWN
from probe.figures.keyquery_picture import VIEWS, key_query_figure
from probe.keyquery.report import KeyQueryReport, load_report
from probe.plots.style import DARK, LIGHT


@pytest.fixture(scope="module")
def several() -> KeyQueryReport:
    return load_report(ROOT / "figures" / "saved" / "keyquery.json.gz")


@pytest.fixture(scope="module")
def report(several: KeyQueryReport) -> KeyQueryReport:
    return replace(several, analyses=several.analyses[-1:])


def offsets(collection: Any) -> set[tuple[float, float]]:
    return {(abs(x), abs(y)) for x, y in collection.get_offsets().tolist()}  # the sign of a component is arbitrary


def test_each_view_shows_points_of_its_own_clouds(report: KeyQueryReport):
    (analysis,) = report.analyses
    axes = probe.plot(report).axes
    assert len(axes) == len(VIEWS) + 1
    for panel, view in zip(axes, VIEWS, strict=False):
        plane = next(one for one in analysis.planes if one.view == view)
        for collection, points in zip(panel.collections, (plane.queries, plane.keys), strict=True):
            shown = offsets(collection)
            assert 0 < len(shown) <= SHOWN
            assert shown <= {(abs(x), abs(y)) for x, y in points}
        distance = analysis.measurement(view, "Fréchet")
        assert VIEWS[view] in panel.get_title()
        assert f"{distance.pair.value:.3g} [" in panel.get_title()
        assert f"({distance.floor:.3g})" in panel.get_title()


def test_changes_of_top_1_lie_where_the_report_says(report: KeyQueryReport):
    _, *found = report.analyses[0].interventions
    axes = probe.plot(report).axes[-1]
    (marks,) = (line for line in axes.lines if line.get_marker() == "o")
    expected = [100 * float(one.top_1_change) for one in found]
    assert list(marks.get_xdata()) == pytest.approx(expected)  # pyright: ignore[reportArgumentType]
    assert [label.get_text() for label in axes.get_yticklabels()] == [one.name for one in found]
    ends = sorted(tuple(path.vertices[:, 0]) for path in axes.collections[0].get_paths())  # pyright: ignore
    known = ((one.top_1_change.low or 0, one.top_1_change.high or 0) for one in found)
    assert ends == [pytest.approx(both) for both in sorted((100 * low, 100 * high) for low, high in known)]
    assert [text.get_text() for text in axes.texts] == [f"{one.frechet:.3g}" for one in found]


def test_without_gold_there_are_no_changes(report: KeyQueryReport):
    texts = replace(report, analyses=(replace(report.analyses[0], interventions=()),))
    assert len(probe.plot(texts).axes) == len(VIEWS)


def test_several_checkpoints_have_a_line_and_a_name_each(several: KeyQueryReport):
    two = replace(several, analyses=several.analyses[:2])
    titles = [axes.get_title() for axes in probe.plot(two).axes]
    assert len(titles) == 2 * (len(VIEWS) + 1)
    for one, line in zip(two.analyses, (titles[:3], titles[3:]), strict=True):
        assert all(title.startswith(f"{one.checkpoint}\n") for title in line)


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_reaches_over_the_edge_or_over_another_title(several: KeyQueryReport, dark: bool):
    figure: Figure = key_query_figure(replace(several, analyses=several.analyses[-2:]), dark=dark)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert figure.get_facecolor()[:3] == pytest.approx(ground((DARK if dark else LIGHT).ground))
    box, (wide, tall) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0, wide - box.x1, tall - box.y1) >= -0.01
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    for number, one in enumerate(titles):
        assert not any(one.overlaps(other) for other in titles[:number])


def ground(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
