"""What a reader answered, put onto blank rows: only links that may be judged, and all rows or none."""

from pathlib import Path

import pytest

from probe.errors import PairsError
from probe.gold.judged import read_answers, with_answers
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import COLUMNS

BLANK = (
    "h-1\ts~t\tbankers\tĠbank ers\t▁ban kers\t0-0 0p1 1-1\tmany-to-many,judged-heads\tEnglish.",
    "r-1\ts~t\tHi.\t<|im_start|> user Ċ Hi .\t<s> [INST] ▁Hi .\t3-2 4-3\tjudged-roles\t",
    "o-1\ts~t\tZürich Ende\tZ Ã¼rich ĠEnde\tzurich [UNK]\t\tjudged-overlap\t",
)


@pytest.fixture
def blank(tmp_path: Path) -> GoldFile:
    path = tmp_path / "blank.tsv"
    path.write_text("\n".join(["\t".join(COLUMNS), *BLANK]) + "\n", encoding="utf-8")
    return read_pairs(path)


def answered(tmp_path: Path, blank: GoldFile, *lines: str):
    path = tmp_path / "answers.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return with_answers(blank, read_answers([path]))


def test_answers_go_to_their_rows_in_the_order_of_the_blank_file(tmp_path: Path, blank: GoldFile):
    lines = "o-1\t0-0 1-0 2p1\tunknown word", "h-1\t0h0\t", "r-1\t1r1 0r1"
    word, dialogue, changed = answered(tmp_path, blank, *lines)
    assert (word.heads, word.sure, word.note) == ({(0, 0)}, blank["h-1"].sure, "English.")
    assert (sorted(dialogue.roles), dialogue.sure) == ([(0, 1), (1, 1)], {(3, 2), (4, 3)})
    assert (changed.sure, changed.possible, changed.note) == ({(0, 0), (1, 0)}, {(2, 1)}, "unknown word")


def test_no_link_is_an_answer(tmp_path: Path, blank: GoldFile):
    rows = answered(tmp_path, blank, "h-1\tnone\t", "r-1\tnone\t", "o-1\tnone\t")
    assert [(row.heads, row.roles) for row in rows] == [(frozenset(), frozenset())] * 3
    assert rows[0].sure == blank["h-1"].sure


@pytest.mark.parametrize(
    ("id_", "links", "part"),
    [
        ("h-1", "0h1", "one of the sure links 0-0 1-1"),  # only possible
        ("h-1", "0h0 1h1", "one of the sure links"),
        ("h-1", "0-0", "links written with h"),
        ("h-1", "", "links written with h"),
        ("r-1", "3r2", "links of template tokens"),
        ("r-1", "5r0", "links within 0 to 4"),
        ("r-1", "0-0", "links written with r"),
        ("r-1", "0r0, 1r0", r"links i-j"),
        ("o-1", "0r0", "links written with - or p"),
        ("x-1", "none", "an id of the blank rows"),
    ],
)
def test_answers_that_nobody_may_give(tmp_path: Path, blank: GoldFile, id_: str, links: str, part: str):
    lines = {"h-1": "none", "r-1": "none", "o-1": "none"} | {id_: links}
    with pytest.raises(PairsError, match=part):
        answered(tmp_path, blank, *(f"{name}\t{given}\t" for name, given in lines.items()))


def test_every_row_is_answered_once(tmp_path: Path, blank: GoldFile):
    with pytest.raises(PairsError, match="row o-1: expected an answer"):
        answered(tmp_path, blank, "h-1\tnone", "r-1\tnone")
    with pytest.raises(PairsError, match="a second answer for h-1"):
        answered(tmp_path, blank, "h-1\tnone", "h-1\t0h0")
