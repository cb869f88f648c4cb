"""The page in a real Chromium: what is sorted, narrowed and opened is what the report and its maps say."""

from pathlib import Path

import numpy as np
import pytest
from browser import chromium, playwright
from places import ROOT
from playwright.sync_api import Browser, Page, expect

from probe.alignment.align import align
from probe.alignment.fitting import fitting_rows
from probe.checkpoints.loading import load
from probe.gold.pairs import read_pairs
from probe.plots.report_page.compared import Compared
from probe.plots.report_page.page import LEVELS, Probed, to_html
from probe.report.comparison import compare_all
from probe.scoring.scores import METRICS, metrics

__all__ = ["chromium", "playwright"]  # fixtures

pytestmark = pytest.mark.slow

GOLD = ROOT / "alignments" / "gold.tsv"
CELLS = """table => [...table.tBodies[0].rows].map(row => [...row.cells].slice(1).map(cell =>
    [Number(cell.style.getPropertyValue("--w")), cell.dataset.link ?? "", "largest" in cell.dataset]))"""


@pytest.fixture(scope="module")
def probed() -> Probed:
    opened, gold = load("demo"), read_pairs(GOLD)
    rows = fitting_rows(opened, gold)
    report = align(opened, gold, methods=["bigram"])
    return Probed(report, tuple((row, opened.map(row.student, row.teacher)) for row in rows))


@pytest.fixture(scope="module")
def file(probed: Probed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(to_html([probed]), encoding="utf-8")
    return path


@pytest.fixture
def page(chromium: Browser, file: Path):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert asked == [file.as_uri()]
    assert not wrong


def test_what_reports_differ_in_is_reached_from_the_top(chromium: Browser, probed: Probed, tmp_path: Path):
    reports = {"one": probed.report, "other": probed.report}
    path = tmp_path / "page.html"
    path.write_text(to_html([probed, probed], Compared(compare_all(reports))), encoding="utf-8")
    page = chromium.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(path.as_uri())
    page.locator("nav").get_by_role("link", name="Compared").click()
    expect(page.locator("#compared")).to_be_in_viewport()
    expect(page.locator("form:visible")).to_have_count(2)
    page.close()
    assert not wrong


def ids(page: Page) -> list[str]:
    return page.locator("tr[data-map]:visible").evaluate_all("rows => rows.map(row => row.dataset.id)")


def test_sorting(page: Page, probed: Probed):
    report = probed.report
    found = dict(zip(METRICS, metrics(report.counts[:, 0]).T.tolist(), strict=True))
    values = {
        "student tokens": dict(zip(report.sentences, report.lengths, strict=True)),
        "mass %": dict(zip(report.sentences, found["attention mass"], strict=True)),
        "top-1 %": dict(zip(report.sentences, found["top-1"], strict=True)),
    }
    for name, of_one in values.items():
        head = page.locator(".sentences").get_by_role("columnheader", name=name)
        for way, order in (("ascending", 1), ("descending", -1)):
            head.get_by_role("button").click()
            expect(head).to_have_attribute("aria-sort", way)
            shown = [order * of_one[id_] for id_ in ids(page)]
            assert len(shown) == len(report.sentences)
            assert shown == sorted(shown)
    page.locator(".sentences").get_by_role("columnheader", name="sentence").get_by_role("button").click()
    assert ids(page) == sorted(report.sentences)


def test_narrowing(page: Page, probed: Probed):
    page.get_by_role("combobox").select_option("emoji")
    tagged = {
        id_ for id_, tags in zip(probed.report.sentences, probed.report.phenomena, strict=True) if "emoji" in tags
    }
    assert set(ids(page)) == tagged
    expect(page.get_by_role("status")).to_have_text(f"{len(tagged)} of {len(probed.drawn)} sentences")
    page.get_by_role("combobox").select_option("")
    page.get_by_label("Sentence or id").fill(" PATH ")
    assert set(ids(page)) == {row.id for row, _ in probed.drawn if "path" in f"{row.id} {row.text}".lower()}


def test_an_opened_sentence_is_drawn_as_its_map(page: Page, probed: Probed, tmp_path: Path):
    row, map_ = next(drawn for drawn in probed.drawn if drawn[0].possible)
    button = page.get_by_role("button", name=row.id, exact=True)
    expect(button).to_have_attribute("aria-expanded", "false")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    table = page.get_by_role("grid")
    expect(table).to_be_visible()
    cells = table.evaluate(CELLS)
    weights = np.array([[cell[0] for cell in line] for line in cells])
    np.testing.assert_allclose(weights, map_.weights, atol=0.5 / LEVELS)
    links = {(i, j): cell[1] for i, line in enumerate(cells) for j, cell in enumerate(line) if cell[1]}
    assert links == {**dict.fromkeys(row.possible, "possible"), **dict.fromkeys(row.sure, "sure")}
    largest = map_.weights == map_.weights.max(axis=1, keepdims=True)
    assert [[cell[2] for cell in line] for line in cells] == largest.tolist()
    assert table.locator("thead th").all_inner_texts() == list(map_.teacher_labels)
    assert table.locator("tbody th").all_inner_texts() == list(map_.student_labels)
    screenshot = tmp_path / "page.png"
    page.screenshot(path=screenshot)
    assert screenshot.stat().st_size
    button.click()
    expect(table).to_be_hidden()


def test_pointing_and_arrows_tell_tokens_and_weight(page: Page, probed: Probed):
    row, map_ = probed.drawn[0]
    page.locator(f'tr[data-id="{row.id}"] bdi').click()  # anywhere on the row
    readout = page.locator(".readout")

    def says(i: int, j: int) -> None:
        expect(readout).to_contain_text(f"{map_.weights[i, j]:.3f}")
        for side, number, labels in (("student", i, map_.student_labels), ("teacher", j, map_.teacher_labels)):
            expect(readout).to_contain_text(f"{side} {number} ‘\u2068{labels[number]}\u2069’")

    page.locator('[data-at="1,2"]').hover()
    says(1, 2)
    page.locator('[data-at="0,0"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator('[data-at="1,1"]')).to_be_focused()
    says(1, 1)
    last = len(map_.student_labels) - 1
    page.locator(f'[data-at="{last},0"]').focus()
    page.keyboard.press("ArrowDown")  # there is nothing below
    says(last, 0)


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_no_wider_than_the_screen(chromium: Browser, file: Path, width: int, scheme: str):
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(file.as_uri())
    for button in page.locator("tbody button").all()[:3]:
        button.click()
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    context.close()
