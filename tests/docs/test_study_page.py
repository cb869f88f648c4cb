"""The tables of the page on the study are those of the saved results."""

import re
import runpy

import pytest
from places import ROOT

from probe.figures.saved import Saved

MODULE = runpy.run_path(str(ROOT / "docs" / "study.py"))
PAGE = MODULE["PAGE"].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables() -> dict[str, str]:
    return MODULE["tables_of"](Saved(MODULE["SAVED"]))


def test_its_tables_are_those_that_make_docs_writes(tables: dict[str, str]):
    assert MODULE["document"](PAGE, tables) == PAGE
    assert PAGE.count("| P") >= 12
    assert PAGE.count("| random-sharp |") == 2  # students
    assert PAGE.count("| shipped |") == 2  # sets of the real pair


def test_a_number_that_was_changed_is_written_again(tables: dict[str, str]):
    changed = PAGE.replace("| P1 | aligned", "| P1 | another", 1)
    assert changed != PAGE
    assert MODULE["document"](changed, tables) == PAGE


def test_tables_are_written_where_there_are_none_yet(tables: dict[str, str]):
    marks = re.compile(r"(?<=-->\n)\n\|.*?\n\n(?=<!-- end -->)", flags=re.DOTALL)
    empty = marks.sub("", PAGE)
    assert len(empty) < len(PAGE) / 2
    assert MODULE["document"](empty, tables) == PAGE


def test_the_page_is_short():
    """In what is read as text: without tables, their marks, pictures and commands."""
    text = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "<!--", "!["))]
    assert len(" ".join(prose).split()) <= 900
