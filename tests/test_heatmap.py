import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from probe.errors import MapError, OutputError
from probe.maps import AttentionMap
from probe.pair_rows import GoldRow
from probe.plots.heatmap import DASHES, SURE_COLOUR, drawable, heatmap, save_heatmap
from probe.tokens import TokenizedText

STUDENT = TokenizedText.from_pieces("a cat sat", ["a", "Ġcat", "Ġs", "at"])
TEACHER = TokenizedText.from_pieces("a cat sat", ["a", "▁", "cat", "▁sat"])
GOLD = GoldRow("r", "s~t", STUDENT, TEACHER, frozenset({(0, 0), (1, 2), (2, 3), (3, 3)}), frozenset({(1, 1)}), (), "")


def attention() -> AttentionMap:
    weights = np.full((5, 5), 0.1)
    np.fill_diagonal(weights, 0.6)
    return AttentionMap("cma", STUDENT, TEACHER, weights)


def cells(colour_and_line: object) -> set[tuple[int, int]]:
    """(student, teacher) of the outlines drawn in a line style, read back from the axes."""
    axes = heatmap(attention(), gold=GOLD).axes[0]
    squares = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert {to_hex(square.get_edgecolor()) for square in squares} == {SURE_COLOUR}
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
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("student token (as target)", "teacher token (as target)")
    np.testing.assert_array_equal(axes.images[0].get_array(), attention().weights)


def test_a_character_that_the_font_lacks_is_named_and_never_a_box(tmp_path: Path):
    text = "naïve 中 🎉"
    side = TokenizedText.from_pieces(text, ["na", "ïve", "▁中", "▁🎉"])
    map_ = AttentionMap("cma", side, side, np.eye(5))
    assert drawable(map_.student_labels) == ["na", "ïve", "␣⟨U+4E2D⟩", "␣⟨U+1F389⟩", "⟨eos⟩"]
    save_heatmap(map_, tmp_path / "map.png")  # a missing glyph would warn, and warnings are errors


def test_every_tied_largest_weight_carries_a_dot():
    weights = np.full((5, 5), 0.2)
    figure = heatmap(AttentionMap("uniform", STUDENT, TEACHER, weights))
    assert len(figure.axes[0].collections[0].get_offsets()) == 25


def test_the_colour_bar_says_what_it_means():
    bar = heatmap(attention()).axes[1]
    assert bar.get_ylabel() == "attention weight; each row sums to 1"


def test_colours_mean_the_same_in_every_figure():
    assert heatmap(attention()).axes[0].images[0].get_clim() == (0, 1)


def test_links_of_another_sentence_are_refused():
    other = replace(GOLD, student=TokenizedText.from_pieces("a cat sit", ["a", "Ġcat", "Ġs", "it"]))
    with pytest.raises(MapError, match="the row that the map was made from"):
        heatmap(attention(), gold=other)


def test_the_title_says_whose_map_it_is():
    assert heatmap(attention(), title="demo").get_suptitle() == "demo"


def test_the_legend_names_what_is_drawn_and_nothing_else():
    def labels(gold: GoldRow | None) -> list[str]:
        return [text.get_text() for text in heatmap(attention(), gold=gold).legends[0].get_texts()]

    assert labels(GOLD) == ["largest in its row", "sure link", "possible link"]
    assert labels(None) == ["largest in its row"]


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
def test_equal_inputs_give_equal_bytes_in_another_process(tmp_path: Path, suffix: str):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    save_heatmap(attention(), first, gold=GOLD)
    code = f"""
import warnings
from pathlib import Path
from tests.test_heatmap import GOLD, attention
from probe.plots.heatmap import save_heatmap
save_heatmap(attention(), Path({str(second)!r}), gold=GOLD)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
    assert first.read_bytes() == second.read_bytes()


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
