"""Rows of the judged layer: read, written, converted and blanked like all others, and never scored with them."""

from pathlib import Path

import pytest
from places import GOLD

from probe.alignment.align import source_of
from probe.errors import PairsError, TokenError
from probe.exchange.conversion import read_onto, written
from probe.gold.check import check_rows
from probe.gold.counts import pair_stats
from probe.gold.drafts import blank_pairs
from probe.gold.pairs import GoldFile, format_pairs, read_pairs, scan_pairs
from probe.gold.rows import COLUMNS, format_row

WORD = "h-1\ts~t\tbankers\tĠbank ers\t▁ban kers\t0h0 0p1 1-1\tmany-to-many,judged-heads\tThe root is bank."
DIALOGUE = "r-1\ts~t\tHi.\t<|im_start|> user Ċ Hi .\t<s> [INST] ▁Hi .\t0r1 1r1 3-2 4-3\tjudged-roles\t"
CHANGED = "o-1\ts~t\tZürich Ende\tZ Ã¼rich ĠEnde\tzurich [UNK]\t0-0 1-0 2p1\tjudged-overlap\t"
LINES = WORD, DIALOGUE, CHANGED


def read(tmp_path: Path, *lines: str) -> GoldFile:
    path = tmp_path / "judged.tsv"
    path.write_text("\n".join(["\t".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    return read_pairs(path)


def test_every_row_is_written_as_it_was_read(tmp_path: Path):
    word, dialogue, changed = read(tmp_path, *LINES).rows
    assert [format_row(row) for row in (word, dialogue, changed)] == list(LINES)
    assert (word.judged, word.heads, sorted(word.sure)) == ("judged-heads", {(0, 0)}, [(0, 0), (1, 1)])
    assert (dialogue.judged, sorted(dialogue.roles)) == ("judged-roles", [(0, 1), (1, 1)])
    assert (changed.judged, changed.sure, changed.possible) == ("judged-overlap", {(0, 0), (1, 0)}, {(2, 1)})


def test_a_row_turned_round_twice_is_the_same(tmp_path: Path):
    for row in read(tmp_path, *LINES):
        assert row.reversed.reversed == row
        assert {(j, i) for i, j in row.heads} == row.reversed.heads


def test_tokens_without_a_place_are_never_compared_by_bytes(tmp_path: Path):
    from probe.chunks import chunk_mask, overlap_mask

    row = read(tmp_path, DIALOGUE)[0]
    assert row.student.display() == ("<|im_start|>", "user", "Ċ", "Hi", ".")
    for mask in (chunk_mask, overlap_mask):
        with pytest.raises(TokenError, match="without a place"):
            mask(row.student, row.teacher)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (WORD.replace(",judged-heads", ""), "one head at most"),
        (WORD.replace("1-1", "1h1"), "one head at most"),
        (DIALOGUE.replace("judged-roles", "judged-overlap"), "roles only with the tag judged-roles"),
        (DIALOGUE.replace("4-3", "5r3"), "links within 0 to 4"),
        (DIALOGUE.replace("4-3", "1-1"), "each link once"),
        (CHANGED.replace("judged-overlap", "judged-overlap,judged-heads"), "one kind of judgement"),
        (CHANGED.replace("judged-overlap", "many-to-many"), "tokens that spell this sentence"),
    ],
)
def test_what_is_no_judged_row(tmp_path: Path, line: str, part: str):
    with pytest.raises(PairsError, match=part):
        read(tmp_path, line)


def test_a_blank_keeps_what_rules_link_and_drops_what_a_reader_judged(tmp_path: Path):
    read(tmp_path, *LINES)
    blank_pairs(tmp_path / "judged.tsv", tmp_path / "blank.tsv")
    word, dialogue, changed = read_pairs(tmp_path / "blank.tsv").rows
    assert (word.heads, len(word.sure), word.note, word.judged) == (frozenset(), 2, "", "judged-heads")
    assert (dialogue.roles, sorted(dialogue.sure)) == (frozenset(), [(3, 2), (4, 3)])
    assert (changed.links.either, changed.phenomena) == (frozenset(), ("judged-overlap",))


@pytest.mark.parametrize("format_", ["pharaoh", "naacl", "simalign"])
def test_links_of_rules_go_to_other_formats_and_back(tmp_path: Path, format_: str):
    rows = read(tmp_path, *LINES).rows
    path = tmp_path / "links"
    path.write_text(written(rows, format_)[""], encoding="utf-8")
    assert read_onto(path, format_, rows, None) == list(rows)


def test_check_looks_at_the_bytes_of_words_alone(tmp_path: Path):
    clean = read(tmp_path, *LINES)
    assert all("tokenizer" in problem.expected for problem in check_rows(clean, "f"))
    moved = read(tmp_path, WORD.replace("0p1 ", "0-1 "), DIALOGUE.replace("3-2", "0-2"))
    assert any("half rule" in problem.expected for problem in check_rows(moved, "f"))


def test_judged_rows_are_neither_counted_nor_scored_with_others(tmp_path: Path):
    judged, gold = read(tmp_path, *LINES), read_pairs(GOLD)
    both = GoldFile((*gold.rows, *judged.rows), gold.comments)
    counted = pair_stats(both, "f")
    assert counted.all == pair_stats(gold, "f").all
    assert "heads" in counted.judged_line()
    assert source_of(both) == gold
    assert gold.unjudged is gold
    with pytest.raises(PairsError, match="only rows of the judged layer"):
        source_of(judged)


def test_an_unknown_tag_is_still_refused(tmp_path: Path):
    path = tmp_path / "f.tsv"
    path.write_text("\t".join(COLUMNS) + "\n" + WORD.replace("judged-heads", "judged") + "\n", encoding="utf-8")
    assert scan_pairs(path)[1]
    assert format_pairs(read(tmp_path, WORD).rows).splitlines()[-1] == WORD
