"""The explorer in a real JupyterLab and a real Notebook 7: what is typed is what a picture of the page shows."""

import io
import json
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from browser import Jupyter, chromium, jupyter, playwright
from matplotlib import image as plt_image
from matplotlib.colors import to_rgb
from places import GOLD
from playwright.sync_api import Page, expect

import probe
from probe.attention import cross_model_attention
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.style import DARK, LIGHT, Palette
from probe.scoring.references import diagonal

__all__ = ["chromium", "jupyter", "playwright"]  # fixtures

pytestmark = pytest.mark.slow

TEXT = "A file; the file."
BURST = """(text) => {
    const box = document.querySelector(".probe-explorer textarea"), map = document.querySelector(".probe-map");
    window.answers = new Set();
    new MutationObserver(() => window.answers.add(map.dataset.drawn)).observe(map, { attributes: true });
    for (let length = 1; length <= text.length; length++) {
        box.value = text.slice(0, length);
        box.dispatchEvent(new Event("input"));
    }
}"""


def attention(text: str, checkpoint: str = "demo", temperature: float = 1.0) -> AttentionMap:
    open_ = probe.load(checkpoint)
    student, teacher = open_.tokenize(text)
    found = open_.attend(student, teacher, open_.checkpoint.query)
    return AttentionMap("cma", student, teacher, cross_model_attention(found.logits / temperature).over_teacher)


def worst_rows() -> list[GoldRow]:
    """The gold rows that demo fails on, worked out anew."""
    open_ = probe.load("demo")
    rows = probe.fitting_rows(open_, probe.read_pairs(GOLD))

    def top_1(row: GoldRow) -> float:
        weights = open_.map(row.student, row.teacher).weights
        hits: list[float] = []
        for i in sorted({i for i, _ in row.sure}):
            largest = np.flatnonzero(weights[i] == weights[i].max())
            hits.append(np.mean([(i, int(j)) in row.sure for j in largest]))
        return float(np.mean(hits))

    return sorted(rows, key=lambda row: (top_1(row), row.id))


def explorer(page: Page):
    return page.locator(".probe-explorer")


def status(page: Page):
    return explorer(page).get_by_role("status").first


def seen(page: Page, across: float, down: float) -> np.ndarray:
    """Colours of all cells that are in view, from a screenshot, at a place within each cell; NaN for the others."""
    node = page.locator(".probe-map")
    shot = plt_image.imread(io.BytesIO(node.screenshot()))[..., :3]
    left, top, cell, rows, columns = (int(float(node.get_attribute(f"data-{name}") or "0")) for name in NAMES)
    found = np.full((rows, columns, 3), np.nan)
    for i in range(rows):
        for j in range(columns):
            y, x = 1 + top + i * cell + int(down * cell), 1 + left + j * cell + int(across * cell)  # behind the border
            if y < shot.shape[0] and x < shot.shape[1]:
                found[i, j] = shot[y, x]
    return found


NAMES = ("left", "top", "cell", "rows", "columns")


def eventually(page: Page, holds: Callable[[], bool], what: str) -> None:
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(100)
    pytest.fail(what)


def draws(page: Page, map_: AttentionMap, colours: Palette = LIGHT) -> None:
    """Wait until each cell has the colour of its weight, between its frame and its dot."""
    expected = colours.colour_map()(np.asarray(map_.weights, dtype=np.float64))[..., :3]

    def alike() -> bool:
        found = seen(page, 0.2, 0.2)
        return found.shape == expected.shape and np.nanmax(np.abs(found - expected)) < 0.02

    eventually(page, alike, "the cells have other colours")
    assert not np.isnan(seen(page, 0.2, 0.2)).any()


def start(jupyter: Jupyter, arguments: str, theme: str = "JupyterLab Light"):
    shutil.copy(GOLD, jupyter.root / "gold.tsv")
    return jupyter.run("import probe", f"explorer = probe.explore({arguments})\nexplorer", theme=theme)


def test_what_is_typed_is_drawn(jupyter: Jupyter):
    with start(jupyter, f"text={TEXT!r}") as page:
        draws(page, attention(TEXT))
        box = explorer(page).get_by_label("sentence")
        expect(box).to_have_value(TEXT)
        box.press("End")
        box.press("Enter")
        box.press_sequentially("على 中 😀")
        expect(box).to_have_value(f"{TEXT}\nعلى 中 😀")
        draws(page, attention(f"{TEXT}\nعلى 中 😀"))
        dots = seen(page, 0.5, 0.5)  # white in the middle of the largest
        largest = attention(f"{TEXT}\nعلى 中 😀").weights
        assert (dots[largest == largest.max(axis=1, keepdims=True)] > 0.95).all()
        assert page.locator(".jp-Notebook .jp-Cell").count() == 2  # none of these keys was the notebook's


def test_of_a_burst_of_keys_the_newest_is_drawn_and_not_each(jupyter: Jupyter):
    text = "Return the path of the file."
    with start(jupyter, "text='A'") as page:
        draws(page, attention("A"))
        page.evaluate(BURST, text)
        draws(page, attention(text))
        assert page.evaluate("() => window.answers.size") == 2  # the first letter, and all that was typed meanwhile


def test_a_row_is_picked_with_the_mouse_and_with_keys(jupyter: Jupyter):
    row = min((row for row in worst_rows() if row.possible), key=lambda row: len(row.student.tokens))
    map_ = attention(row.text)
    with start(jupyter, f"text={row.text!r}, gold='gold.tsv'") as page:
        draws(page, map_)
        node, panel = page.locator(".probe-map"), page.locator(".probe-row")
        left, top, cell, *_ = (float(node.get_attribute(f"data-{name}") or "0") for name in NAMES)
        node.click(position={"x": left - 30, "y": top + 2.5 * cell})
        for i in (2, 3):
            name = f"student token {i} '{map_.student_labels[i]}'"
            assert (node.get_attribute("aria-valuetext") or "").startswith(name)
            expect(panel.locator("caption")).to_contain_text(name)
            best = int(map_.weights[i].argmax())
            first = panel.locator("tbody tr").first
            expect(first.locator("small")).to_have_text(str(best))
            expect(first.locator("bdi")).to_have_text(map_.teacher_labels[best])
            expect(first.locator(".probe-weight")).to_have_text(f"{100 * map_.weights[i, best]:.1f} %")
            for kind, links in (("sure", row.sure), ("possible", row.possible)):
                marked = panel.locator("tr", has=page.locator(f".probe-{kind}")).locator("small").all_inner_texts()
                assert {(i, int(number)) for number in marked} == {link for link in links if link[0] == i}
            node.press("ArrowDown")
        node.press("End")
        expect(panel.locator("caption")).to_contain_text("end of sequence")
        frames = seen(page, 0.05, 0.5)  # within the frame at the left of a cell; dashes have gaps
        outlined = np.abs(frames - to_rgb(LIGHT.link)).max(axis=2) < 0.1
        assert {(int(i), int(j)) for i, j in np.argwhere(outlined)} >= row.sure
        assert {(int(i), int(j)) for i, j in np.argwhere(outlined)} <= row.links.either


def test_temperature_method_and_checkpoint_are_switched(jupyter: Jupyter):
    with start(jupyter, f"['demo', 'demo-cma'], text={TEXT!r}") as page:
        draws(page, attention(TEXT))
        widget = explorer(page)
        slider, entropy = widget.get_by_label("temperature"), page.locator(".probe-entropy")
        cold = entropy.inner_text()
        slider.fill("2")
        draws(page, attention(TEXT, temperature=4.0))
        assert float(entropy.inner_text().split()[1]) > float(cold.split()[1])
        widget.get_by_label("checkpoint").select_option("demo-cma")
        draws(page, attention(TEXT, "demo-cma", 4.0))
        slider.fill("0")
        draws(page, attention(TEXT, "demo-cma"))
        method = widget.get_by_label("method")
        method.select_option("diagonal")
        draws(
            page,
            diagonal(GoldRow("", "", *probe.load("demo").tokenize(TEXT), frozenset(), frozenset(), (), "")),
        )
        expect(slider).to_be_disabled()
        expect(method.locator("option[value=gold]")).to_be_disabled()
        assert method.locator("option[value=gold]").get_attribute("title") == "needs a sentence with gold links"


def test_gold_is_stepped_through_from_the_worst(jupyter: Jupyter):
    first, second, *_ = worst_rows()
    with start(jupyter, "gold='gold.tsv'") as page:
        widget, place = explorer(page), page.locator(".probe-place")
        expect(place).to_contain_text(f"gold row {first.id} · 1 of 43, worst first · top-1 ")
        expect(widget.get_by_role("button", name="Previous")).to_be_disabled()
        widget.get_by_role("button", name="Next").click()
        expect(place).to_contain_text(f"gold row {second.id} · 2 of 43")
        expect(widget.get_by_label("sentence")).to_have_value(second.text)
        widget.get_by_label("sentence").fill("A file.")
        expect(place).to_have_text("This sentence is in no gold row.")


def test_what_is_shown_is_exported(jupyter: Jupyter):
    with start(jupyter, f"text={TEXT!r}") as page:
        widget = explorer(page)
        widget.get_by_label("temperature").fill("1")
        draws(page, attention(TEXT, temperature=2.0))
        widget.get_by_label("file for the export").fill("no/where.pdf")
        widget.get_by_role("button", name="Export").click()
        expect(status(page)).to_contain_text("no folder no. Create it, or name another path.", timeout=30_000)
        widget.get_by_label("file for the export").fill("file.pdf")
        widget.get_by_role("button", name="Export").click()
        expect(status(page)).to_have_text("Wrote file.pdf.", timeout=30_000)
    probe.save_heatmap({"demo, cma, temperature 2": attention(TEXT, temperature=2.0)}, jupyter.root / "expected.pdf")
    assert (jupyter.root / "file.pdf").read_bytes() == (jupyter.root / "expected.pdf").read_bytes()


def test_what_cannot_be_drawn_is_said_over_the_greyed_last_map(jupyter: Jupyter):
    with start(jupyter, f"text={TEXT!r}") as page:
        draws(page, attention(TEXT))
        inked = seen(page, 0.2, 0.2)
        box = explorer(page).get_by_label("sentence")
        box.fill("")
        expect(status(page)).to_have_text("sentence: expected at least one character; got none. Type a sentence.")
        np.testing.assert_allclose(seen(page, 0.2, 0.2), 0.4 * inked + 0.6, atol=0.02)
        box.fill("a\n" * 400)
        expect(status(page)).to_contain_text("fewer than 512 tokens on each side")
        box.fill("A file.")
        draws(page, attention("A file."))
        expect(status(page)).to_have_text("")


def test_a_long_sentence_is_drawn_in_a_window_that_follows_the_row(jupyter: Jupyter):
    text = "one two three; " * 40
    map_ = attention(text)
    with start(jupyter, f"text={text!r}") as page:
        expect(page.locator(".probe-map")).to_have_attribute("data-rows", str(len(map_.weights)))
        expect(page.locator(".probe-overview")).to_be_visible()
        assert page.locator(".probe-map *").count() == 2  # a sheet and a canvas, however many cells there are
        page.locator(".probe-map").press("End")
        node = page.locator(".probe-map")
        left, top, cell, rows, _ = (int(float(node.get_attribute(f"data-{name}") or "0")) for name in NAMES)
        shot = plt_image.imread(io.BytesIO(node.screenshot()))[..., :3]
        y = 1 + top + (rows - 1) * cell + 4
        expected = LIGHT.colour_map()(np.asarray(map_.weights[-1, :20], dtype=np.float64))[..., :3]
        found = shot[y, 1 + left + 4 + cell * np.arange(20)]
        np.testing.assert_allclose(found, expected, atol=0.02)


def test_both_themes_are_drawn_and_a_change_between_them(jupyter: Jupyter):
    with start(jupyter, f"text={TEXT!r}", theme="JupyterLab Dark") as page:
        draws(page, attention(TEXT), DARK)
        page.evaluate(
            "() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })"
        )
        draws(page, attention(TEXT))


def test_without_its_kernel_it_says_so_and_the_saved_notebook_holds_a_picture(jupyter: Jupyter):
    with start(jupyter, f"text={TEXT!r}") as page:
        draws(page, attention(TEXT))
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        expect(status(page)).to_contain_text("Run the cell again", timeout=20_000)
        expect(explorer(page).get_by_label("sentence")).to_be_disabled()
        page.locator(".probe-map").press("ArrowDown")
        expect(page.locator(".probe-row caption")).to_contain_text("student token 1")
        draws(page, attention(TEXT))
    newest = max(jupyter.root.glob("*.ipynb"), key=lambda path: path.stat().st_mtime)
    (output,) = json.loads(newest.read_text(encoding="utf-8"))["cells"][1]["outputs"]
    assert output["data"].keys() >= {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"}
    assert newest.stat().st_size < 1_000_000
