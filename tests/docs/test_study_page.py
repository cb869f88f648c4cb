"""The tables of the page on the study are those of the saved results."""

import re
import runpy

from places import ROOT

from probe.figures.saved import Saved

MODULE = runpy.run_path(str(ROOT / "docs" / "study.py"))
PAGE = MODULE["PAGE"].read_text(encoding="utf-8")


def test_its_tables_are_those_that_make_docs_writes():
    assert MODULE["document"](PAGE, Saved(MODULE["SAVED"])) == PAGE
    assert PAGE.count("| P") >= 12
    assert PAGE.count("| random-sharp |") == 2  # students
    assert PAGE.count("| shipped |") == 2  # sets of the real pair


def test_a_number_that_was_changed_is_written_again():
    changed = PAGE.replace("| P1 | aligned", "| P1 | another", 1)
    assert changed != PAGE
    assert MODULE["document"](changed, Saved(MODULE["SAVED"])) == PAGE


def test_tables_are_written_where_there_are_none_yet():
    marks = re.compile(r"(?<=-->\n)\n\|.*?\n\n(?=<!-- end -->)", flags=re.DOTALL)
    empty = marks.sub("", PAGE)
    assert len(empty) < len(PAGE) / 2
    assert MODULE["document"](empty, Saved(MODULE["SAVED"])) == PAGE


def test_the_page_is_short():
    """In what is read as text: without tables, their marks, pictures and commands."""
    text = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "<!--", "!["))]
    assert len(" ".join(prose).split()) <= 900
