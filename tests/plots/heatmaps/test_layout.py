"""Where the parts of a heatmap lie: nothing leaves its place, and nothing lies on anything else."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drawn import attention
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.heatmap import Look, heatmap
from probe.plots.heatmaps.panels import Window
from probe.plots.style import LIGHT, VENUES
from probe.tokens import TokenizedText

SPLIT = [TokenizedText.from_pieces("Nothing", pieces) for pieces in (["N", "oth", "ing"], ["▁Not", "h", "ing"])]
SPLIT_GOLD = GoldRow("r", "s~t", *SPLIT, frozenset({(0, 0), (1, 0), (1, 1)}), frozenset({(2, 2)}), (), "")


def split(difference: bool = False, gold: GoldRow | None = SPLIT_GOLD, **look: Any) -> Figure:
    """A word that both tokenizers split: the frame of its chunk lies on the border."""
    before, after = (AttentionMap("cma", *SPLIT, weights) for weights in (np.eye(4), np.full((4, 4), 0.25)))
    maps = {"demo-cma": before, "demo-cma-ga": after} if difference else {"demo-cma": before}
    return heatmap(maps, gold=gold, difference=difference, look=Look(**look))


@pytest.mark.parametrize("venue", [min(VENUES, key=VENUES.__getitem__), None])
@pytest.mark.parametrize("gold", [SPLIT_GOLD, None])
@pytest.mark.parametrize("difference", [True, False])
def test_the_legend_lies_within_the_page(difference: bool, gold: GoldRow | None, venue: str | None):
    figure = split(difference, gold, venue=venue)
    FigureCanvasAgg(figure).draw()
    (legend,), page = figure.legends, figure.bbox
    box, margin = legend.get_window_extent(), 0.03 * figure.dpi
    assert page.x0 + margin <= box.x0 < box.x1 <= page.x1 - margin
    assert page.y0 <= box.y0 < box.y1 <= figure.axes[0].get_window_extent().y0


ONE_WORD = AttentionMap("cma", *[TokenizedText.from_pieces("a", ["a"])] * 2, np.eye(2))
LONG_NAMES = tuple(f"checkpoint-of-a-rather-long-name-step-{step}" for step in (2000, 4000))


@pytest.mark.parametrize(
    ("names", "difference"),
    [(("one",), False), *itertools.product([("demo", "demo-cma-ga"), LONG_NAMES], [True, False])],
)
@pytest.mark.parametrize("look", [Look(), Look(scale="row", marginals=True), Look(venue="acl")])
@pytest.mark.parametrize("map_", [ONE_WORD, attention()], ids=["one word", "a sentence"])
def test_no_text_leaves_the_page_or_lies_on_another(
    map_: AttentionMap, look: Look, names: tuple[str, ...], difference: bool
):
    figure = heatmap(dict.fromkeys(names, map_), difference=difference, look=look)
    FigureCanvasAgg(figure).draw()
    bar = figure.axes[-1].yaxis.label
    texts = {text.get_text(): text.get_window_extent() for text in (*figure.texts, bar)}
    page = figure.bbox
    for text, box in texts.items():
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text
    for (text, box), (other, its) in itertools.combinations(texts.items(), 2):
        assert not box.overlaps(its), (text, other)
    for side in (texts["student token (predicted)"], bar.get_window_extent()):
        assert not any(side.overlaps(text.get_window_extent()) for text in figure.legends[0].get_texts())


def test_names_that_are_too_long_for_their_panels_keep_both_ends():
    figure = heatmap(dict.fromkeys(LONG_NAMES, ONE_WORD))
    said = "".join(text.get_text() for text in figure.texts)
    assert ("2000" in said, "4000" in said, said.count("checkp")) == (True, True, 2)


@pytest.mark.parametrize("gold", [SPLIT_GOLD, None])
@pytest.mark.parametrize("difference", [True, False])
def test_the_axes_end_where_the_cells_end(difference: bool, gold: GoldRow | None):
    figure = split(difference, gold)
    FigureCanvasAgg(figure).draw()
    assert (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()) == ((-0.5, 3.5), (3.5, -0.5))


@pytest.mark.parametrize("venue", [None, "acl"])
@pytest.mark.parametrize("gold", [SPLIT_GOLD, None])
@pytest.mark.parametrize("times", [1, 12])
def test_the_frame_of_a_chunk_ends_within_its_cells(times: int, gold: GoldRow | None, venue: str | None):
    cuts = ["N", "oth", "ing"], ["Not", "h", "ing"]
    student, teacher = (TokenizedText.from_pieces("Nothing" * times, pieces * times) for pieces in cuts)
    map_ = AttentionMap("cma", student, teacher, np.full((3 * times + 1,) * 2, 1 / (3 * times + 1)))
    row = None if gold is None else replace(gold, student=student, teacher=teacher)
    axes = heatmap(map_, gold=row, look=Look(venue=venue)).axes[0]
    cell = 72 * axes.figure.get_figwidth() * axes.get_position().width / (3 * times + 1)
    frames = chunk_frames(axes)
    assert len(frames) == times
    for number, frame in enumerate(frames):
        beyond, begin = frame.get_linewidth() / 2 / cell, 3 * number - 0.5
        edges = [frame.get_x(), frame.get_y(), frame.get_x() + frame.get_width(), frame.get_y() + frame.get_height()]
        outer = np.array(edges) + np.array([-1, -1, 1, 1]) * beyond
        np.testing.assert_allclose(outer, [begin, begin, begin + 2, begin + 2], atol=1e-9 if gold is None else 0.06)
        assert (outer[:2] >= begin - 1e-9).all()
        assert (outer[2:] <= begin + 2 + 1e-9).all()


def chunk_frames(axes: Any) -> list[Any]:
    return [patch for patch in axes.patches if to_hex(patch.get_edgecolor()) == LIGHT.chunk]


@pytest.mark.parametrize(("window", "sides"), [(None, {"left", "top"}), (Window((1, 4), (0, 4)), {"left"})])
def test_the_frame_of_a_chunk_that_goes_on_beyond_the_window_is_open(window: Window | None, sides: set[str]):
    figure = split(gold=None, window=window)
    figure.set_dpi(600)  # the border of the axes lies beside the frame
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    (frame,) = chunk_frames(figure.axes[0])
    inside = frame.get_x() + 0.02
    drawn: set[str] = set()
    for side, place in {"left": (inside, 0.2), "top": (0.2, inside), "beyond": (inside, -0.6)}.items():
        x, y = map(round, figure.axes[0].transData.transform(place))
        if shown[::-1][y, x].max() < 0.6:
            drawn.add(side)
    assert drawn == sides
