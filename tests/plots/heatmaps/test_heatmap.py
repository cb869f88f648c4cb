import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
from drawn import GOLD, STUDENT, TEACHER, attention, long_map
from matplotlib import image as plt_image
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from places import ROOT

from probe.cli.heatmap import main
from probe.errors import MapError, OutputError
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.drawing import DASHES
from probe.plots.heatmaps.heatmap import Look, heatmap, save_heatmap
from probe.plots.heatmaps.labels import repeats
from probe.plots.heatmaps.panels import Scale, Window, picture
from probe.plots.saving import png_bytes
from probe.plots.style import DARK, LIGHT, VENUES, Palette
from probe.tokens import TokenizedText


def cells(colour_and_line: object) -> set[tuple[int, int]]:
    """(student, teacher) of the outlines drawn in a line style, read back from the axes."""
    axes = heatmap(attention(), gold=GOLD).axes[0]
    squares = [patch for patch in axes.patches if to_hex(patch.get_edgecolor()) == LIGHT.link]
    assert all(isinstance(square, Rectangle) for square in squares)
    solid = {(round(s.get_y() + 0.5), round(s.get_x() + 0.5)) for s in squares if s.get_linestyle() in ("-", "solid")}
    every = {(round(s.get_y() + 0.5), round(s.get_x() + 0.5)) for s in squares}
    return solid if colour_and_line == "-" else every - solid


def test_sure_links_are_outlined_solid_and_possible_ones_dashed_on_their_own_cells():
    assert cells("-") == GOLD.sure
    assert cells(DASHES) == GOLD.possible


def test_students_are_rows_teachers_are_columns_and_both_say_target():
    axes = heatmap(attention()).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "␣cat", "␣s", "at", "⟨eos⟩"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "␣", "cat", "␣sat", "⟨eos⟩"]
    said = {text.get_text(): text.get_rotation() for text in axes.figure.texts}
    assert (said["student token (predicted)"], said["teacher token (predicted)"]) == (90, 0)
    np.testing.assert_array_equal(axes.images[0].get_array(), attention().weights)


def test_every_tied_largest_weight_carries_a_dot():
    weights = np.full((5, 5), 0.2)
    figure = heatmap(AttentionMap("uniform", STUDENT, TEACHER, weights))
    assert max(len(marks.get_offsets()) for marks in figure.axes[0].collections) == 25


def test_the_colour_bar_says_what_it_means():
    bar = heatmap(attention()).axes[-1]
    assert bar.get_ylabel() == "attention weight"


def test_colours_mean_the_same_in_every_figure():
    assert heatmap(attention()).axes[0].images[0].get_clim() == (0, 1)


def test_links_of_another_sentence_are_refused():
    other = replace(GOLD, student=TokenizedText.from_pieces("a cat sit", ["a", "Ġcat", "Ġs", "it"]))
    with pytest.raises(MapError, match="the row from which the map was made"):
        heatmap(attention(), gold=other)


def test_the_title_says_whose_map_it_is():
    assert "demo" in [text.get_text() for text in heatmap({"demo": attention()}).texts]


def test_the_legend_names_what_is_drawn_and_nothing_else():
    def labels(gold: GoldRow | None) -> list[str]:
        return [text.get_text() for text in heatmap(attention(), gold=gold).legends[0].get_texts()]

    assert labels(GOLD) == ["largest weight of the row", "sure link", "possible link", "chunk"]
    assert labels(None) == ["largest weight of the row", "chunk"]


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
def test_equal_inputs_give_equal_bytes_in_another_process(tmp_path: Path, suffix: str):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    save_heatmap(attention(), first, gold=GOLD)
    code = f"""
import warnings
from pathlib import Path
from tests.drawn import GOLD, attention
from probe.plots.heatmaps.heatmap import save_heatmap
save_heatmap(attention(), Path({str(second)!r}), gold=GOLD)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("style", ["ggplot", "dark_background", "usetex"])
def test_the_style_of_the_user_changes_no_byte(tmp_path: Path, style: str):
    save_heatmap(attention(), tmp_path / "own.svg", gold=GOLD)
    with mpl.style.context({"text.usetex": True} if style == "usetex" else style):
        save_heatmap(attention(), tmp_path / "theirs.svg", gold=GOLD)
        assert png_bytes(heatmap(attention(), gold=GOLD), 100) == drawn_plainly()
    assert (tmp_path / "own.svg").read_bytes() == (tmp_path / "theirs.svg").read_bytes()


def drawn_plainly() -> bytes:
    with mpl.rc_context():
        mpl.rcdefaults()
        return png_bytes(heatmap(attention(), gold=GOLD), 100)


def test_dollar_signs_are_text(tmp_path: Path):
    text = TokenizedText.from_pieces(r"$$\pi r^2$$ $($", ["$$", r"\pi", "Ġr", "^", "2", "$$", "Ġ$($"])
    found = AttentionMap("cma", text, text, np.full((8, 8), 1 / 8))
    save_heatmap({"$x$": found}, tmp_path / "map.svg")
    written = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "␣$($" in written
    assert "$$" in written
    assert "$x$" in written


def test_pdf_and_svg_hold_real_text(tmp_path: Path):
    save_heatmap(attention(), tmp_path / "map.svg")
    assert re.search(r"<text[^>]*>␣cat</text>", (tmp_path / "map.svg").read_text())
    save_heatmap(attention(), tmp_path / "map.pdf")
    assert (
        b"/FontType 42" in (tmp_path / "map.pdf").read_bytes()
        or b"/CIDFontType2" in (tmp_path / "map.pdf").read_bytes()
    )
    assert b"CreationDate" not in (tmp_path / "map.pdf").read_bytes()


def test_an_unknown_suffix_is_refused_and_nothing_is_written(tmp_path: Path):
    with pytest.raises(OutputError, match=r"\.pdf, \.svg, \.png"):
        save_heatmap(attention(), tmp_path / "map.jpeg")
    assert list(tmp_path.iterdir()) == []


def pixels(tmp_path: Path, **options: object) -> tuple[np.ndarray, Figure]:
    """The picture as it is written, and the figure that says where its cells should be."""
    save_heatmap(attention(), tmp_path / "map.png", dpi=200, **options)
    return plt_image.imread(tmp_path / "map.png")[..., :3], heatmap(attention(), **options)


def colour_at(picture: np.ndarray, figure: Figure, student: float, teacher: float) -> np.ndarray:
    """The colour at a place in cell units of the heatmap's axes."""
    axes = figure.axes[0]
    box = axes.get_position()
    x = box.x0 + box.width * (teacher + 0.5) / 5
    y = box.y1 - box.height * (student + 0.5) / 5
    return picture[round((1 - y) * picture.shape[0] - 0.5), round(x * picture.shape[1] - 0.5)]


def test_the_picture_has_link_colour_on_the_edges_of_linked_cells_and_of_no_other(tmp_path: Path):
    picture, figure = pixels(tmp_path, gold=GOLD)
    wanted = np.array(to_rgb(LIGHT.link))
    found = set()
    for i in range(5):
        for j in range(5):
            # Off the middle of an edge, where no dash of a possible link decides; a cell counts when all four edges do.
            edges = [(i - 0.5, j + 0.2), (i + 0.5, j + 0.2), (i + 0.2, j - 0.5), (i + 0.2, j + 0.5)]
            if all(np.abs(colour_at(picture, figure, *edge) - wanted).max() < 0.2 for edge in edges):
                found.add((i, j))
    assert found == GOLD.sure


def test_the_picture_is_dark_where_the_weight_is_and_not_one_beside_it(tmp_path: Path):
    picture, figure = pixels(tmp_path)
    shown = np.array([[colour_at(picture, figure, i + 0.25, j + 0.25).mean() for j in range(5)] for i in range(5)])
    assert {(i, int(row.argmin())) for i, row in enumerate(shown)} == {(i, i) for i in range(5)}


def test_rows_and_columns_are_not_exchanged_where_their_numbers_differ():
    student = TokenizedText.from_pieces("a cat", ["a", "Ġcat"])
    teacher = TokenizedText.from_pieces("a cat", ["a", "▁", "c", "at"])
    gold = GoldRow("r", "s~t", student, teacher, frozenset({(0, 0), (1, 2), (1, 3)}), frozenset({(1, 1)}), (), "")
    map_ = AttentionMap("cma", student, teacher, np.full((3, 5), 0.2))
    axes = heatmap(map_, gold=gold).axes[0]
    assert axes.images[0].get_array().shape == (3, 5)
    edges = [patch for patch in axes.patches if to_hex(patch.get_edgecolor()) == LIGHT.link]
    assert {(round(e.get_y() + 0.5), round(e.get_x() + 0.5)) for e in edges} == gold.sure | gold.possible
    (chunk,) = [patch for patch in axes.patches if to_hex(patch.get_edgecolor()) == LIGHT.chunk]
    assert (round(chunk.get_width()), round(chunk.get_height())) == (3, 1)


@pytest.mark.parametrize("venue", VENUES)
def test_a_figure_for_a_venue_is_as_wide_as_its_column(venue: str):
    assert heatmap(attention(), look=Look(venue=venue)).get_size_inches()[0] == pytest.approx(VENUES[venue])


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_lightness_runs_evenly_along_the_colour_maps(palette: Palette):
    def lightness(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return 116 * float(np.dot(linear, (0.2126, 0.7152, 0.0722))) ** (1 / 3) - 16

    steps = np.diff([lightness(palette.colour_map()(value)) for value in np.linspace(0, 1, 9)])
    assert np.abs(steps - steps.mean()).max() < abs(steps.mean()) / 5
    both = [lightness(palette.colour_map(diverging=True)(value)) for value in np.linspace(0, 1, 9)]
    np.testing.assert_allclose(both, both[::-1], atol=2)


def luminance(colours: Any) -> Any:
    shown = np.asarray(colours)[..., :3]
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("scale", ["linear", "row", "log"])
@pytest.mark.parametrize("dark", [False, True])
def test_marks_stand_out_from_their_cells(dark: bool, scale: Scale, difference: bool):
    weights = np.tri(5)[::-1] + np.eye(5)[::-1] * np.linspace(0, 4, 5)[:, None]
    map_ = AttentionMap("cma", STUDENT, TEACHER, weights / weights.sum(axis=1, keepdims=True))
    maps = {"one": map_, "two": attention()} if difference else map_
    axes = heatmap(maps, difference=difference, look=Look(dark=dark, scale=scale)).axes[0]
    cells = luminance(axes.images[0].to_rgba(axes.images[0].get_array()))
    for marks in axes.collections:
        columns, rows = marks.get_offsets().T.astype(int)
        ground = cells[rows, columns]
        mark = luminance(marks.get_facecolor() if len(marks.get_facecolor()) else marks.get_edgecolor())
        lighter, darker = np.maximum(mark, ground), np.minimum(mark, ground)
        assert ((lighter + 0.05) / (darker + 0.05)).min() >= 2.95  # 3 is what graphics of the web have to reach


def test_dark_is_drawn_on_a_dark_ground(tmp_path: Path):
    picture, _ = pixels(tmp_path, look=Look(dark=True))
    np.testing.assert_allclose(picture[0, 0], to_rgb(DARK.ground), atol=0.01)


def other() -> AttentionMap:
    return AttentionMap("cma", STUDENT, TEACHER, np.full((5, 5), 0.2))


def test_a_difference_is_the_second_less_the_first_about_zero():
    axes = heatmap({"one": attention(), "two": other()}, difference=True).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), other().weights - attention().weights)
    low, high = axes.images[0].get_clim()
    assert -low == high == pytest.approx(0.4)


def test_maps_stand_side_by_side_under_their_names():
    figure = heatmap({"one": attention(), "two": other()})
    assert [len(axes.images) for axes in figure.axes[:2]] == [1, 1]
    assert {"one", "two"} <= {text.get_text() for text in figure.texts}


def test_maps_of_other_tokens_do_not_stand_side_by_side():
    side = TokenizedText.from_pieces("b", ["b"])
    with pytest.raises(MapError, match="each map by itself"):
        heatmap({"one": attention(), "two": AttentionMap("cma", side, side, np.eye(2))})
    with pytest.raises(MapError, match="two maps"):
        heatmap(attention(), difference=True)


def test_a_window_counts_links_from_its_corner_and_says_what_lies_outside():
    drawn = picture({"": attention()}, GOLD, window=Window((1, 3)))
    assert (drawn.rows, drawn.columns) == (range(1, 3), range(1, 4))
    assert drawn.links is not None
    assert (drawn.links.sure, drawn.links.possible) == ({(0, 1), (1, 2)}, {(0, 0)})
    assert drawn.row_labels == ("␣cat", "␣s")
    assert drawn.panels[0].outside == pytest.approx(1 - 1.6 / 2)
    figure = heatmap(attention(), gold=GOLD, look=Look(window=Window((1, 3))))
    words = " ".join(text.get_text() for text in reversed(figure.texts)).split()
    assert {"1–2", "1–3", "20"} <= set(words)  # wrapped to the width of the page


@pytest.mark.parametrize("window", [Window((0, 6)), Window((2, 2)), Window((0, 2), (4, 9))])
def test_a_window_outside_of_the_sentence_is_refused(window: Window):
    with pytest.raises(MapError, match="window"):
        heatmap(attention(), look=Look(window=window))


def test_a_long_sentence_names_every_nth_token_and_says_so():
    figure = heatmap(long_map(300))
    assert len(figure.axes[0].get_yticklabels()) == 101
    assert any(text.get_text() == "Only every 3rd token is labelled." for text in figure.texts)


def test_what_no_page_can_hold_is_refused_and_a_window_of_it_drawn():
    with pytest.raises(MapError, match="window"):
        heatmap(long_map(512))
    assert heatmap(long_map(512), look=Look(window=Window((500, 513)))).axes[0].images[0].get_array().shape == (13, 13)
    with pytest.raises(MapError, match="a wider page"):
        heatmap(long_map(400), look=Look(venue="ieee"))


@pytest.mark.parametrize(("scale", "smallest"), [("linear", 0.1), ("row", 1 / 6), ("log", -1.0)])
def test_scales(scale: Scale, smallest: float):
    assert heatmap(attention(), look=Look(scale=scale)).axes[0].images[0].get_array().min() == pytest.approx(smallest)


def test_margins_show_entropy_by_row_and_mass_by_column():
    figure = heatmap(attention(), look=Look(marginals=True))
    entropy, mass = figure.axes[1], figure.axes[2]
    expected = -(0.6 * np.log(0.6) + 0.4 * np.log(0.1)) / np.log(5)
    np.testing.assert_allclose([bar.get_width() for bar in entropy.patches], expected)
    np.testing.assert_allclose([bar.get_height() for bar in mass.patches], attention().weights.sum(axis=0))


def test_pieces_that_come_again_are_tied_on_both_sides_and_others_are_not():
    text = "a cat, a cat."
    student = TokenizedText.from_pieces(text, ["a", "Ġcat", ",", "Ġa", "Ġcat", "."])
    teacher = TokenizedText.from_pieces(text, ["a", "▁", "cat", ",", "▁", "a", "▁", "cat", "."])
    ties = repeats(student, teacher)
    assert ties[0] == (1, 0, None, 1, 0, None)  # the teacher has its a twice, which ties the student's
    assert ties[1] == (1, 2, 0, None, 2, 1, 2, 0, None)


def test_a_text_too_long_to_draw_is_refused_before_its_attention_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def computed(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr("probe.checkpoints.opened.OpenCheckpoint.map", computed)
    assert main(["Return the path. " * 200, "--out", str(tmp_path / "a.pdf")]) == 2
    assert "at most 512 tokens on each side" in capsys.readouterr().err


def test_the_label_of_a_small_difference_is_on_the_page():
    """Its ticks have many digits, and push the label of the colour bar to the right."""
    map_ = attention()
    other = map_.weights + np.float32(1e-4) * (np.arange(map_.weights.shape[1]) - (map_.weights.shape[1] - 1) / 2)
    changed = replace(map_, weights=np.abs(other) / np.abs(other).sum(axis=1, keepdims=True))
    figure = heatmap({"one": map_, "other": changed}, difference=True)
    figure.draw_without_rendering()
    bar = figure.axes[-1]
    assert max(len(label.get_text()) for label in bar.get_yticklabels()) > 6
    assert bar.get_tightbbox().x1 < figure.bbox.x1
