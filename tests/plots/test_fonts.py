"""Which font draws a character: one given, DejaVu Sans, or any of the machine."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from drawn import attention
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager, get_data_path

from probe.cli.heatmap import main
from probe.errors import OutputError
from probe.maps import AttentionMap
from probe.plots.fonts import find_font, machine_fonts
from probe.plots.heatmaps.heatmap import heatmap, save_heatmap
from probe.plots.heatmaps.labels import Label, drawable
from probe.tokens import TokenizedText

BUNDLED = Path(get_data_path()) / "fonts" / "ttf"
ARC, SMALL_B = "⌒", "ᴯ"
"""In DejaVu Sans Mono and in DejaVu Serif, which are parts of matplotlib; DejaVu Sans has neither."""

UNDRAWN = "no font here draws"
EMOJI = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CJK = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


@pytest.fixture(autouse=True)
def bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no fonts but those of matplotlib."""
    ours = [entry for entry in font_manager.fontManager.ttflist if Path(entry.fname).parent == BUNDLED]
    installed(monkeypatch, ours)


def installed(monkeypatch: pytest.MonkeyPatch, entries: Sequence[object], files: Sequence[Path] = ()) -> None:
    machine_fonts.cache_clear()
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(entries))
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(file) for file in files])


def named(text: str, *fonts: str | Path) -> tuple[str, list[str]]:
    (label,) = drawable([text], fonts)
    return label.text, [Path(font).name for font in label.fonts]


def one_glyph(path: Path, char: str, *, outline: bool) -> Path:
    """A font with a single character: a box, or nothing as in fonts that hold pictures."""
    builder, pen = FontBuilder(1000), TTGlyphPen(None)
    if outline:
        for number, place in enumerate(((0, 0), (0, 700), (500, 700), (500, 0))):
            (pen.lineTo if number else pen.moveTo)(place)
        pen.closePath()
    builder.setupGlyphOrder([".notdef", "one"])
    builder.setupCharacterMap({ord(char): "one"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "one": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "one": (500, 0)})
    builder.setupHorizontalHeader()
    builder.setupNameTable({"familyName": f"Own {path.stem}", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def test_the_machine_draws_what_dejavu_lacks_and_only_that():
    assert named(f"a{ARC}") == (f"a{ARC}", ["DejaVuSans.ttf", "DejaVuSansMono.ttf"])
    assert named(ARC) == (ARC, ["DejaVuSansMono.ttf"])
    assert named(ARC + SMALL_B) == (ARC + SMALL_B, ["DejaVuSansMono.ttf", "DejaVuSerif.ttf"])


def test_the_order_in_which_a_machine_lists_its_fonts_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    side = TokenizedText.from_pieces(f"a {ARC}{SMALL_B}", ["a", f"▁{ARC}", SMALL_B])
    for number in range(2):
        installed(monkeypatch, font_manager.fontManager.ttflist[::-1])
        for suffix in ("pdf", "svg", "png"):
            save_heatmap(AttentionMap("cma", side, side, np.eye(4)), tmp_path / f"{number}.{suffix}")
    for suffix in ("pdf", "svg", "png"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    assert re.search(f"'DejaVu Sans', 'DejaVu Sans Mono'[^>]*>␣{ARC}<", (tmp_path / "0.svg").read_text("utf-8"))


def test_latin_text_asks_for_no_font_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    def asked() -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(font_manager, "findSystemFonts", asked)
    assert heatmap(attention()).axes
    with pytest.raises(AssertionError, match="asked"):
        drawable([ARC])


def test_what_no_font_draws_is_written_by_number_with_a_warning():
    texts = ["naïve 中", "中𓀀", "⟨eos⟩"]
    with pytest.warns(UserWarning, match=r"U\+4E2D \w.*, U\+13000 \w.*Look\(fonts=…\)") as told:
        labels = drawable(texts)
    assert [label.text for label in labels] == ["naïve ⟨U+4E2D⟩", "⟨U+4E2D⟩⟨U+13000⟩", "⟨eos⟩"]
    assert len(told) == 1


@pytest.mark.filterwarnings("default")
def test_the_command_names_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def with_another(labels: Sequence[str], _: object) -> list[Label]:
        return drawable([*labels, "中"])[:-1]

    monkeypatch.setattr("probe.plots.heatmaps.heatmap.drawable", with_another)
    assert main(["a file", "--out", str(tmp_path / "a.svg")]) == 0
    assert "--font FILE" in capsys.readouterr().err


def test_a_font_without_an_outline_of_a_character_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pictures = one_glyph(tmp_path / "pictures.ttf", "中", outline=False)
    installed(monkeypatch, font_manager.fontManager.ttflist, [pictures])
    with pytest.warns(UserWarning, match=UNDRAWN):
        assert named("中")[0] == "⟨U+4E2D⟩"
    with pytest.warns(UserWarning, match=UNDRAWN):
        assert named("中", pictures)[0] == "⟨U+4E2D⟩"
    outlines = one_glyph(tmp_path / "outlines.ttf", "中", outline=True)
    installed(monkeypatch, font_manager.fontManager.ttflist, [pictures, outlines])
    assert named("中") == ("中", ["outlines.ttf"])  # installed since matplotlib made its list


def test_a_font_that_is_gone_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    font = one_glyph(tmp_path / "own.ttf", "中", outline=True)
    installed(monkeypatch, font_manager.fontManager.ttflist, [font])
    assert named("中")[0] == "中"
    font.unlink()
    machine_fonts.cache_clear()
    with pytest.warns(UserWarning, match=UNDRAWN):
        assert named("中")[0] == "⟨U+4E2D⟩"


def test_a_font_by_name():
    assert Path(find_font("dejavu sans mono")).name == "DejaVuSansMono.ttf"
    assert named("a", "DejaVu Serif") == ("a", ["DejaVuSerif.ttf"])


@pytest.mark.parametrize(
    ("name", "remedy"), [("DejaVu Sens Mono", r"Did you mean DejaVu Sans Mono\?"), ("qqzz", "Install it")]
)
def test_an_unknown_name_is_refused_before_anything_is_computed(
    tmp_path: Path, name: str, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def computed(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr("probe.checkpoints.opened.OpenCheckpoint.map", computed)
    with pytest.raises(OutputError, match=remedy):
        find_font(name)
    assert main(["a", "--font", name, "--out", str(tmp_path / "a.pdf")]) == 2
    assert repr(name) in capsys.readouterr().err


def test_what_is_no_font_is_refused(tmp_path: Path):
    (tmp_path / "no.ttf").write_text("no font")
    with pytest.raises(OutputError, match=r"no\.ttf"):
        find_font(tmp_path / "no.ttf")
    with pytest.raises(OutputError, match=r"none\.ttf"):
        find_font(tmp_path / "none.ttf")


@pytest.mark.skipif(not EMOJI.exists(), reason="no Noto Color Emoji on this machine")
def test_colour_emoji_are_never_drawn(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(OutputError, match="pictures"):
        find_font(EMOJI)
    installed(monkeypatch, font_manager.fontManager.ttflist, [EMOJI])
    with pytest.warns(UserWarning, match="PARTY POPPER"):
        assert named("🎉1")[0] == "⟨U+1F389⟩1"


@pytest.mark.skipif(not CJK.exists(), reason="no Noto Sans CJK on this machine")
def test_chinese_is_drawn_by_a_face_of_a_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    installed(monkeypatch, font_manager.fontManager.ttflist, [CJK])
    assert named("模型") == ("模型", [CJK.name])
    assert find_font("Noto Sans CJK SC").face_index == 2
    side = TokenizedText.from_pieces("中", ["中"])
    for suffix in (".png", ".svg", ".pdf"):  # a missing glyph would warn, and warnings are errors
        save_heatmap(AttentionMap("cma", side, side, np.eye(2)), tmp_path / f"map{suffix}")
