"""The tables of the page on the study are those of the saved results."""

import runpy

from places import ROOT

from probe.figures.saved import Saved

MODULE = runpy.run_path(str(ROOT / "docs" / "study.py"))
PAGE = MODULE["PAGE"].read_text(encoding="utf-8")


def test_its_tables_are_those_that_make_docs_writes():
    assert MODULE["document"](PAGE, Saved(MODULE["SAVED"])) == PAGE
    assert PAGE.count("| P") >= 6
    assert PAGE.count("| random-sharp |") == 1


def test_a_number_that_was_changed_is_written_again():
    changed = PAGE.replace("| P1 | aligned", "| P1 | another", 1)
    assert changed != PAGE
    assert MODULE["document"](changed, Saved(MODULE["SAVED"])) == PAGE


def test_the_page_is_short():
    prose = [line for line in PAGE.splitlines() if not line.startswith("|")]
    assert len(" ".join(prose).split()) <= 900
