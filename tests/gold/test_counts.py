"""``probe-pairs stats``: sums counted by hand, and those that the README of the gold file prints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from places import GOLD

from probe.cli.pairs import main
from probe.gold.counts import Tally, pair_stats, tally
from probe.gold.half_rule import half_rule_links
from probe.gold.pairs import GoldFile, read_pairs, write_pairs
from probe.gold.rows import PHENOMENA, GoldRow
from probe.output.documents import markdown_table
from probe.tokens import TokenizedText


def row(
    student: str, teacher: str, sure: str, possible: str = "", note: str = "", tags: tuple[str, ...] = ()
) -> GoldRow:
    cuts = student.split("|"), teacher.split("|")
    text = "".join(cuts[0])
    both = [TokenizedText.from_pieces(text, cut) for cut in cuts]
    links = [frozenset((int(link[0]), int(link[2])) for link in cell.split()) for cell in (sure, possible)]
    return GoldRow("r", "s~t", both[0], both[1], links[0], links[1], tags, note)


def test_a_row_counted_by_hand():
    """The half rule says 0-0, 1-1 and 2-2 sure, 2p1 possible, and 3-3 for the chunk of one against one.

    The row drops 0-0, makes 2p1 sure and 2-2 possible: outside it has all three links, and of two sure ones one is the
    rule's.
    """
    counted = row("the| un|tied| cat", "the| unt|ied| cat", "1-1 2-1 3-3", "2p2", "2-1", ("repeat-new-context",))
    rule = half_rule_links(counted.student, counted.teacher)
    assert (rule.sure, rule.possible) == ({(0, 0), (1, 1), (2, 2), (3, 3)}, {(2, 1)})
    found = tally(counted)
    assert found == Tally(
        rows=1,
        student_tokens=4,
        teacher_tokens=4,
        tokens_outside=4,
        sure=3,
        possible=1,
        tokens_without_link=2,
        rows_with_note=1,
        rows_with_repeat=1,
        changed=3,
        outside_both=3,  # 1-1, 2-1, 2-2; the links 0-0 and 3-3 are chunks of one against one
        outside_rule=3,
        outside_file=3,
        outside_sure_both=1,  # 1-1
        outside_sure_rule=2,  # 1-1, 2-2
        outside_sure_file=2,  # 1-1, 2-1
    )
    assert (found.f1, found.sure_f1, found.share_outside) == (1, 1 / 2, 1 / 2)


def test_links_on_white_space_are_counted_apart():
    found = tally(row("a| |\n|b", "a| \n|b", "0-0 1-1 2-1 3-2"))
    assert (found.sure, found.sure_on_white_space, found.possible_on_white_space) == (4, 2, 0)
    found = tally(row(" |a", " a", "1-0", "0p0"))
    assert (found.possible, found.possible_on_white_space) == (1, 1)


def test_f1_is_undefined_without_links_outside():
    found = tally(row("a| b", "a| b", "0-0 1-1"))
    assert (found.f1, found.sure_f1, found.share_outside) == (None, None, 0)
    assert Tally().share_outside is None


def test_groups():
    first = row("ab", "a|b", "0-0 0-1", tags=("merge",))
    second = replace(row("x", "x", "0-0", tags=("merge", "number")), id="q", pair="s~u")
    found = pair_stats(GoldFile((first, second), ()), "mine.tsv")
    assert {name: one.tokens for name, one in found.pairs.items()} == {"s~t": 3, "s~u": 2}
    assert (found.phenomena["merge"].rows, found.phenomena["number"].rows, found.phenomena["split"].rows) == (2, 1, 0)
    assert found.all == tally(first) + tally(second)
    assert [name for name, _ in found.lines()] == ["s~t", "s~u", "all rows", *PHENOMENA]


def test_the_readme_of_the_gold_file_counts_alike():
    found = pair_stats(read_pairs(GOLD), "gold.tsv")
    section = (GOLD.parent / "README.md").read_text(encoding="utf-8").split("\n## Counts\n")[1]
    written = {
        cells[0].split(" (")[0]: cells[1:]
        for line in section.split("\n")
        if line.startswith("| ")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    tallies = [*found.pairs.values(), found.all]
    for name, numbers in {
        "rows": [one.rows for one in tallies],
        "student tokens": [one.student_tokens for one in tallies],
        "teacher tokens": [one.teacher_tokens for one in tallies],
        "rows with a note": [one.rows_with_note for one in tallies],
    }.items():
        assert written[name] == [f"{number:,}" for number in numbers], name
    for name, of_kind in {
        "sure links": "sure",
        "possible links": "possible",
        "tokens outside 1-1 chunks": "tokens_outside",
    }.items():
        assert [cell.split(" ")[0] for cell in written[name]] == [f"{getattr(one, of_kind):,}" for one in tallies]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [row("ab| c", "a|b| c", "0-0 0-1 1-2", tags=("merge",)), replace(row("x", "x", ""), id="q", pair="a|b~t")]
    write_pairs(tmp_path / "mine.tsv", rows)
    return tmp_path / "mine.tsv"


def test_json(file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["stats", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["file"]) == (1, str(file))
    assert document["all"]["tokens_outside"] == 3
    assert document["phenomena"]["merge"]["f1"] == 1
    assert document["phenomena"]["emoji"]["f1"] is None
    assert document["pairs"]["a|b~t"]["changed"] == 1


def test_markdown(file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["stats", str(file), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  | rows | tokens | outside % | sure | poss. | notes | changed | F1 % | sure F1 % |"
    assert lines[2] == "| s~t | 1 | 5 | 60.0 | 3 | 0 | 0 | 0 | 100.0 | 100.0 |"
    assert lines[3].startswith("| a\\|b~t | 1 | 2 | 0.0 | 0 | 0 | 0 | 1 | – | – |")
    assert len(lines) == 2 + 3 + len(PHENOMENA)


def test_markdown_cells_line_up():
    assert markdown_table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"


def test_the_table_is_80_columns_wide(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["stats", str(GOLD)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(line.strip().startswith(f"{tag} ") for line in lines) for tag in PHENOMENA)
    assert "kind, and the sure ones alone." in lines  # no line was broken


def test_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["stats", str(tmp_path / "nowhere.tsv")]) == 2
    assert capsys.readouterr().err.startswith("probe-pairs: ")
