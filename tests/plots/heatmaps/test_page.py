import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import chromium, playwright
from drawn import GOLD, attention, long_map
from matplotlib.colors import to_rgb
from places import ROOT

from probe.cli.heatmap import main
from probe.errors import MissingExtraError
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.heatmaps.page import interactive, save_page
from probe.plots.heatmaps.page_theme import changes
from probe.plots.style import DARK, LIGHT
from probe.tokens import TokenizedText

__all__ = ["chromium", "playwright"]  # fixtures


def test_links_are_drawn_around_their_own_cells():
    figure = interactive(attention(), gold=GOLD)
    lines = {trace.name: trace for trace in figure.data if trace.type == "scatter"}
    for name, links in (("sure link", GOLD.sure), ("possible link", GOLD.possible)):
        x, y = lines[name].x, lines[name].y
        corners = {(y[k] + 0.5, x[k] + 0.5) for k in range(0, len(x), 6)}
        assert corners == links
        assert all((x[k + 2] - x[k], y[k + 2] - y[k]) == (1, 1) for k in range(0, len(x), 6))


@pytest.mark.parametrize(("gold", "width_of_link"), [(GOLD, 2), (None, 0)])
def test_the_frame_of_a_chunk_ends_within_its_cells(gold: GoldRow | None, width_of_link: int):
    (frame,) = [trace for trace in interactive(attention(), gold=gold).data if trace.name == "chunk"]
    inset = (1 + width_of_link) / 2 / 22  # a cell has 22 pixels
    # "␣cat" and its two teacher tokens, "␣s" and "at" and their one
    assert (min(frame.x[:5]), max(frame.x[:5])) == pytest.approx((0.5 + inset, 2.5 - inset))
    assert (min(frame.y[:5]), max(frame.y[:5])) == pytest.approx((0.5 + inset, 1.5 - inset))
    assert (min(frame.y[6:11]), max(frame.y[6:11])) == pytest.approx((1.5 + inset, 3.5 - inset))


def test_the_hover_names_both_tokens_their_bytes_the_weight_and_the_link():
    said = interactive(attention(), gold=GOLD).data[0].text
    assert re.search(r"student token 1: <b>.␣cat.</b>, bytes 1–5", said[1][2])
    assert re.search(r"teacher token 2: <b>.cat.</b>, bytes 2–5", said[1][2])
    assert "<b>weight 0.1000</b><br>link: sure" in said[1][2]
    assert said[1][1].endswith("link: possible")
    assert "end of sequence" in said[4][4]


def test_a_token_that_looks_like_markup_is_shown_as_it_is():
    side = TokenizedText.from_pieces("<b>", ["<b>"])
    figure = interactive(AttentionMap("cma", side, side, np.eye(2)))
    assert "&lt;b&gt;" in figure.layout.xaxis.ticktext[0]
    assert "&lt;b&gt;" in figure.data[0].text[0][0]


def test_the_page_fetches_nothing_and_is_the_same_in_another_process(tmp_path: Path):
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    save_page(attention(), first, gold=GOLD)
    code = f"""
from tests.drawn import GOLD, attention
from probe.plots.heatmaps.page import save_page
save_page(attention(), {str(second)!r}, gold=GOLD)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert first.read_bytes() == second.read_bytes()
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", first.read_text(encoding="utf-8"))


def test_without_plotly_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "plotly.subplots", None)
    with pytest.raises(MissingExtraError, match="notebooks"):
        save_page(attention(), tmp_path / "map.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [["--venue", "ieee"], ["--marginals"], ["--font", "a.ttf"], ["--dpi", "90"]])
def test_options_for_paper_are_refused_for_a_page(
    tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main(["a text", "--out", str(tmp_path / "map.html"), *option]) == 2
    assert option[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["a text", "--row", "r"], "both"),
        (["a text", "--difference"], "two checkpoints"),
        (["a text", "--checkpoint", "demo", "--checkpoint", "demo-cma", "--difference", "--scale", "log"], "--scale"),
        (["a text", "--checkpoint", "demo", "--checkpoint", "demo"], "the same one twice"),
        (["a text", "--venue", "nowhere"], "icassp"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert main([*options, "--out", str(tmp_path / "map.pdf")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_the_command_draws_a_difference(tmp_path: Path, suffix: str):
    out = tmp_path / f"map{suffix}"
    names = ["--checkpoint", "demo", "--checkpoint", "demo-cma"]
    assert main(["a file", *names, "--difference", "--dark", "--out", str(out)]) == 0
    assert out.stat().st_size > 1000


@pytest.mark.slow
def test_a_browser_draws_the_page_and_its_navigator_moves_the_view(tmp_path: Path, chromium):
    save_page(long_map(100), tmp_path / "long.html")
    page = chromium.new_page(viewport={"width": 1400, "height": 1600})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
    page.goto((tmp_path / "long.html").as_uri())
    page.wait_for_selector("#navigator")
    assert page.evaluate("document.getElementById('heatmap')._fullLayout.xaxis.range") == [-0.5, 47.5]
    assert page.locator("#heatmap .ytick text").count() == 48
    page.mouse.click(*middle(page, "#navigator"))
    left, right = page.evaluate("document.getElementById('heatmap')._fullLayout.xaxis.range")
    assert abs((left + right) / 2 - 50) < 2
    page.mouse.move(*middle(page, "#heatmap .nsewdrag"))
    page.wait_for_selector("#heatmap .hoverlayer text")
    assert "student token" in page.locator("#heatmap .hoverlayer").text_content()
    assert wrong == []


@pytest.mark.parametrize("difference", [False, True])
def test_what_the_browser_changes_makes_the_light_figure_the_dark_one(difference: bool):
    maps = {"one": attention(), "two": attention()}
    light, dark = (interactive(maps, gold=GOLD, difference=difference, dark=dark) for dark in (False, True))
    figure, wanted = (json.loads(one.to_json()) for one in (light, dark))
    found = changes(light, dark)
    for path, before, after in found:
        part = figure
        for key in path[:-1]:
            part = part[key]
        assert part[path[-1]] == before
        part[path[-1]] = after
    for one in (figure, wanted):  # the script writes these labels, of layout.meta
        for axis in ("xaxis", "xaxis2", "yaxis", "yaxis2"):
            one["layout"].get(axis, {}).pop("ticktext", None)
    assert figure == wanted
    assert not [path for path, *_ in found if path[-1] in ("z", "text", "width", "height")]


def test_a_dark_page_is_dark_for_every_reader(tmp_path: Path):
    save_page(attention(), tmp_path / "dark.html", dark=True)
    text = (tmp_path / "dark.html").read_text(encoding="utf-8")
    assert ("const THEMES = [];" in text, "prefers-color-scheme: dark) { body" in text) == (True, False)
    assert f"background: {DARK.ground}" in text


@pytest.mark.slow
def test_a_page_follows_the_preference_of_its_reader(tmp_path: Path, chromium):
    save_page({"demo": long_map(100)}, tmp_path / "page.html")
    page = chromium.new_page(viewport={"width": 700, "height": 900}, color_scheme="dark")
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("#navigator")
    ask = """() => {
        const plot = document.getElementById("heatmap"), style = (one) => getComputedStyle(one);
        const ground = plot._fullLayout.paper_bgcolor, palest = plot.data[0].colorscale[0][1];
        const label = style(plot.querySelector(".ytick text tspan")).fill;
        return [ground, palest, style(document.body).backgroundColor, label];
    }"""
    for palette in (DARK, LIGHT, DARK):
        page.emulate_media(color_scheme="dark" if palette is DARK else "light")
        page.wait_for_timeout(1000)
        *grounds, body, label = page.evaluate(ask)
        assert grounds == [palette.ground, palette.sequential[0]]
        assert (body, label) == (rgb(palette.ground), rgb(palette.repeats[0]))
    assert page.locator("#heatmap .ytick text").count() == 48
    page.mouse.move(*middle(page, "#heatmap .nsewdrag"))
    bar = page.locator("#heatmap .modebar-container .modebar").first.bounding_box()
    title = page.locator("#heatmap .annotation").first.bounding_box()
    assert bar["height"] > 10
    assert bar["y"] + bar["height"] <= title["y"]
    assert wrong == []


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(round(255 * part)) for part in to_rgb(colour))})"


def middle(page, selector: str) -> tuple[float, float]:
    page.locator(selector).first.scroll_into_view_if_needed()
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
