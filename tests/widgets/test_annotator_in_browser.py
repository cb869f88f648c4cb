"""The annotator in a real JupyterLab and a real Notebook 7: what is clicked and typed is what the file says."""

from dataclasses import replace
from pathlib import Path

import pytest
from browser import Jupyter, chromium, jupyter, playwright
from playwright.sync_api import Page, expect

import probe
from probe.gold.rows import GoldRow

__all__ = ["chromium", "jupyter", "playwright"]  # fixtures

pytestmark = pytest.mark.slow

COMMENT = "tokenizer a: kept as it is"
TEXT = "The cat sat."
STUDENT, TEACHER = ("The", "Ġc", "at", "Ġsat", "."), ("The", "Ġcat", "Ġs", "at", ".")


def row(id_: str, note: str = "") -> GoldRow:
    sides = [probe.TokenizedText.from_pieces(TEXT, pieces) for pieces in (STUDENT, TEACHER)]
    return GoldRow(id_, "a~b", *sides, frozenset(), frozenset(), (), note)


@pytest.fixture
def gold(jupyter: Jupyter, request: pytest.FixtureRequest) -> Path:
    path = jupyter.root / f"{request.node.originalname}.tsv"
    probe.write_pairs(path, [row("r-1"), row("r-2", "kept")], [COMMENT])
    return path


def widget(page: Page):
    return page.locator(".probe-annotator")


def cell(page: Page, i: int, j: int):
    return widget(page).locator(f'[data-at="{i},{j}"]')


def says(page: Page, i: int, j: int, kind: str) -> None:
    expect(cell(page, i, j)).to_have_attribute("data-kind", kind)


def test_links_tags_and_notes_reach_the_file(jupyter: Jupyter, gold: Path):
    with jupyter.run("import probe", f"probe.annotate({gold.name!r}, suggest='nothing')") as page:
        cell(page, 0, 0).click()
        says(page, 0, 0, "sure")
        expect(cell(page, 0, 0)).to_have_accessible_name("student 0 'The', teacher 0 'The': sure")
        cell(page, 1, 1).click(modifiers=["Shift"])
        says(page, 1, 1, "possible")
        page.keyboard.press("ArrowDown")
        expect(cell(page, 2, 1)).to_be_focused()
        page.keyboard.press("Space")
        says(page, 2, 1, "sure")
        cell(page, 4, 4).click()
        says(page, 4, 4, "sure")
        page.keyboard.press("Control+z")
        says(page, 4, 4, "")
        widget(page).get_by_label("many-to-many").check()
        widget(page).get_by_label("note", exact=True).fill("read aloud: كتاب 😀")
        widget(page).get_by_role("button", name="Save").click()
        expect(widget(page).get_by_role("status")).to_have_text(f"Saved {gold.name}: r-1 changed; 2 rows in total.")
        assert page.locator(".jp-Notebook .jp-Cell").count() == 2  # none of these keys was the notebook's

    read = probe.read_pairs(gold)
    first = read.rows[0]
    assert (first.sure, first.possible) == ({(0, 0), (2, 1)}, {(1, 1)})
    assert (first.phenomena, first.note) == (("many-to-many",), "read aloud: كتاب 😀")
    assert (read.rows[1], read.comments) == (row("r-2", "kept"), (COMMENT,))


def test_every_key_does_what_the_help_says(jupyter: Jupyter, gold: Path):
    probe.write_pairs(gold, [row("r-1"), replace(row("r-2", "kept"), phenomena=("judged-heads",))], [COMMENT])
    with jupyter.run("import probe", f"probe.annotate({gold.name!r})") as page:
        expect(cell(page, 0, 0)).to_have_accessible_name("student 0 'The', teacher 0 'The': sure, filled in")
        expect(cell(page, 1, 1)).to_have_attribute("tabindex", "0")
        cell(page, 1, 1).focus()
        for key, kind in (("p", "possible"), ("Space", "sure"), ("Delete", ""), ("Space", "sure")):
            page.keyboard.press(key)
            says(page, 1, 1, kind)
        page.keyboard.press("Control+z")
        says(page, 1, 1, "")
        page.keyboard.press("Control+Shift+z")
        says(page, 1, 1, "sure")
        page.keyboard.press("n")
        expect(cell(page, 3, 2)).to_be_focused()
        page.keyboard.press("Space")
        says(page, 3, 2, "sure")
        page.keyboard.press("End")
        expect(cell(page, 3, 4)).to_be_focused()
        page.keyboard.press("Enter")
        expect(widget(page).get_by_label("row id")).to_have_value("r-2")
        expect(widget(page).get_by_role("status")).to_contain_text("r-1 changed")
        expect(cell(page, 1, 1)).to_be_focused()
        for key, kind in (("Space", "sure"), ("h", "head")):
            page.keyboard.press(key)
            says(page, 1, 1, kind)
        page.keyboard.press("Control+s")
        expect(widget(page).get_by_role("status")).to_contain_text("r-2 changed")
        page.keyboard.press("PageUp")
        expect(widget(page).get_by_label("row id")).to_have_value("r-1")
    first, second = probe.read_pairs(gold).rows
    assert first.sure == {(0, 0), (1, 1), (3, 2), (4, 4)}
    assert (second.sure, second.heads) == ({(0, 0), (1, 1), (4, 4)}, {(1, 1)})


def test_a_file_that_changed_meanwhile_is_not_overwritten(jupyter: Jupyter, gold: Path):
    with jupyter.run("import probe", f"probe.annotate({gold.name!r}, suggest='nothing')") as page:
        cell(page, 0, 0).click()
        says(page, 0, 0, "sure")
        probe.write_pairs(gold, [row("r-1", "somebody else's")], [COMMENT])
        theirs = gold.read_bytes()
        widget(page).get_by_role("button", name="Save").click()
        expect(widget(page).get_by_role("status")).to_contain_text(
            "that was changed in the meantime. Nothing was written."
        )
        says(page, 0, 0, "sure")
    assert gold.read_bytes() == theirs
