"""Errors that an audit planted in the gold data: `probe-pairs check` finds each, and names its row."""

import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLD

from probe.cli.pairs import main
from probe.gold.agreement import compare
from probe.gold.check import check_rows
from probe.gold.manifest import check_manifest
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import GoldRow, unexplained_links
from probe.gold.rules import rule_links
from probe.gold.triples import check_triples
from probe.tokens import TokenizedText, normal_form

Rows = list[GoldRow]


@pytest.fixture(scope="module")
def gold() -> GoldFile:
    return read_pairs(GOLD)


def findings(rows: Sequence[GoldRow], gold: GoldFile) -> list[str]:
    return [str(problem) for problem in check_rows(GoldFile(tuple(rows), gold.comments), "f")]


def put(rows: Sequence[GoldRow], id_: str, change: Callable[[GoldRow], GoldRow | None]) -> Rows:
    """The rows with one changed, or left out."""
    changed = [change(row) if row.id == id_ else row for row in rows]
    return [row for row in changed if row is not None]


def of_pairs(gold: GoldFile, *prefixes: str) -> Rows:
    return [row for row in gold if row.id.startswith(prefixes)]


# Pieces of a normal form


def decomposed(row: GoldRow, role: str) -> GoldRow:
    """The sentence in NFD, with pieces of one side that spell its NFC; the other side is cut into characters."""
    text = unicodedata.normalize("NFD", row.text)
    theirs = TokenizedText.from_pieces(text, getattr(row, role).pieces)
    ours = TokenizedText.from_pieces(text, list(text.replace(" ", "▁")))
    sides = (theirs, ours) if role == "student" else (ours, theirs)
    links = rule_links(*sides)
    return replace(row, student=sides[0], teacher=sides[1], sure=links.sure, possible=links.possible)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_pieces_of_nfc_for_a_text_in_nfd(role: str, gold: GoldFile):
    row = next(row for row in of_pairs(gold, "sg-") if "é" in row.text)
    name = dict(zip(("student", "teacher"), row.pair.split("~"), strict=True))[role]
    found = [text for text in findings([decomposed(row, role)], gold) if "_tokens" in text]
    assert len(found) == 1
    assert f"row {row.id}, {role}_tokens: expected tokens that spell the sentence as it is: {name}" in found[0]
    assert "got tokens of its NFC" in found[0]


def test_a_tokenizer_that_is_declared_to_normalise_may_do_so_and_must(gold: GoldFile):
    row = next(row for row in of_pairs(gold, "gq-") if "é" in row.text)
    assert not [text for text in findings([decomposed(row, "teacher")], gold) if "_tokens" in text]
    assert normal_form(decomposed(row, "teacher").teacher) == "NFC"
    swapped = replace(decomposed(row, "teacher"), pair="qwen1.5~gpt2")
    found = [text for text in findings([swapped], gold) if "_tokens" in text]
    assert len(found) == 2
    assert "expected tokens of the NFC of the sentence, which qwen1.5 declares" in found[0]


# Names of pairs


@pytest.mark.parametrize(("id_", "pair"), [("sg-010", "gpt2~qwen1.5"), ("gq-075", "demo~demo-teacher")])
def test_a_row_under_another_pairs_name(id_: str, pair: str, gold: GoldFile):
    rows = of_pairs(gold, id_[:3])
    found = findings(put(rows, id_, lambda row: replace(row, pair=pair)), gold)
    assert len(found) == 1
    assert f"row {id_}: expected the pair {gold[id_].pair}, as of" in found[0]
    assert f"got {pair}." in found[0]


# Triples


def triples(gold: GoldFile) -> Rows:
    return [row for row in of_pairs(gold, "sg-") if row.note.startswith("triple ")]


def test_a_triple_that_is_incomplete(gold: GoldFile):
    rows = triples(gold)
    found = findings(put(rows, "sg-072", lambda row: None), gold)
    assert len(found) == 1
    assert "row sg-071: expected the sentences same, other, synonym of triple T02" in found[0]


def renamed(row: GoldRow, before: str, after: str) -> GoldRow:
    assert before in row.note
    return replace(row, note=row.note.replace(before, after, 1))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("sg-072", "T02", "T03")], "triple T02, each once"),  # a number of another one
        ([("sg-072", "other", "same")], "triple T02, each once"),  # a kind twice
        ([("sg-072", "triple T02 other", "triple T02 others")], "a note such as"),
        ([("sg-072", "T02", "T03"), ("sg-075", "T03", "T02")], "differs from"),  # two rows exchanged
        ([(f"sg-0{n}", "T02", "T92") for n in (71, 72, 73)], "triple T02 after T01"),  # a whole triple
    ],
)
def test_a_triple_that_is_misnumbered(changes: list[tuple[str, str, str]], expected: str, gold: GoldFile):
    rows = triples(gold)
    for id_, before, after in changes:
        rows = put(rows, id_, lambda row, before=before, after=after: renamed(row, before, after))
    found = findings(rows, gold)
    assert found
    assert any(expected in text for text in found)


def test_triples_of_the_file_are_whole(gold: GoldFile):
    assert not list(check_triples(gold.rows, [row.id for row in gold]))
    # So are those of a part that begins with another number.
    assert not findings(of_pairs(gold, "gq-"), gold)


# Notes


@pytest.mark.parametrize("note", ["3-1: an ending.", "Sure: 99-98.", "2p1 is too little."])
def test_a_note_on_a_link_that_is_not_there(note: str, gold: GoldFile):
    row = gold["demo-002"]
    found = findings([replace(row, note=note)], gold)
    assert len(found) == 1
    assert "expected a note on links of the row; got" in found[0]


def test_a_note_may_explain_why_a_link_is_not_there(gold: GoldFile):
    row = gold["demo-002"]
    bare = replace(row, sure=row.sure - {(3, 3)}, note="3-3: a comma of another kind.")
    assert not findings([bare], gold)


# Rule 6


def test_a_line_break_inside_of_a_token_needs_no_note(gold: GoldFile):
    sides = [TokenizedText.from_pieces("a:\nb", pieces) for pieces in (["a", ":", "Ċ", "b"], ["a", ":Ċ", "b"])]
    links = rule_links(sides[0], sides[1])
    row = GoldRow("x", "demo~demo", sides[0], sides[1], links.sure, links.possible, ("whitespace",), "")
    assert (2, 1) in row.sure
    assert unexplained_links(row) == ()
    assert not findings([row], gold)
    # A space inside of a token is another thing (rule 4).
    space = [TokenizedText.from_pieces("a: b", pieces) for pieces in (["a", ":", "▁", "b"], ["a", ":▁", "b"])]
    assert unexplained_links(replace(row, student=space[0], teacher=space[1])) == ("2-1",)


# The manifest


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("gold.tsv", "tokenizers.tsv", "manifest.tsv"):
        shutil.copy(GOLD.with_name(name), tmp_path)
    return tmp_path / "gold.tsv"


def replaced(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        ("gold.tsv", "demo-001", None, "gold.tsv, row demo-001: expected a row that manifest.tsv names; got none"),
        ("gold.tsv", "demo-001\t", "demo-901\t", "gold.tsv, row demo-901: expected a row that manifest.tsv names"),
        ("gold.tsv", "Nothing is returned.\t", "Nothing is returned!\t", "row demo-001"),
        ("tokenizers.tsv", "gpt2\t9cd3", "gpt2\t9cd4", "tokenizers.tsv, row gpt2: expected the row as manifest.tsv"),
        ("tokenizers.tsv", "gpt2\t", None, "tokenizers.tsv, row gpt2: expected a row"),
    ],
    ids=["a row gone", "another id", "a changed row", "a changed vocabulary hash", "a tokenizer gone"],
)
def test_the_manifest(name: str, before: str, after: str | None, expected: str, copy: Path):
    if after is None:
        (line,) = [
            text for text in copy.with_name(name).read_text(encoding="utf-8").split("\n") if text.startswith(before)
        ]
        before, after = f"{line}\n", ""
    replaced(copy.with_name(name), before, after)
    assert any(expected in str(problem) for problem in check_manifest(copy))


def test_the_check_asks_the_manifest(copy: Path, capsys: pytest.CaptureFixture[str]):
    header, *lines = copy.read_text(encoding="utf-8").split("\n")
    copy.write_text("\n".join([header, *lines[:3], ""]), encoding="utf-8")
    assert main(["check", str(copy)]) == 1
    assert "expected a row that manifest.tsv names; got none" in capsys.readouterr().out


def test_a_manifest_is_asked_only_of_files_that_it_names(copy: Path):
    assert not list(check_manifest(copy))
    (copy.parent / "mine.tsv").write_text(copy.read_text(encoding="utf-8"), encoding="utf-8")
    assert not list(check_manifest(copy.parent / "mine.tsv"))
    copy.with_name("manifest.tsv").write_text("nothing\n")
    with pytest.raises(Exception, match="a manifest"):
        list(check_manifest(copy))


# Intervals


def test_the_rows_of_a_triple_are_resampled_together(gold: GoldFile):
    """Three rows with equal marks give the interval of one row with their sums, and not that of three."""
    rows = [row for row in gold if row.note.startswith("triple ")][:30]
    other = [replace(row, sure=row.sure - set(sorted(row.sure)[::7])) for row in rows]
    names = "a", "b"
    together = compare(GoldFile(tuple(rows), ()), GoldFile(tuple(other), ()), names)
    assert len(set(together.clusters)) == 10
    apart = [replace(row, note="") for row in rows]
    alone = compare(GoldFile(tuple(apart), ()), GoldFile(tuple(other), ()), names)
    assert len(set(alone.clusters)) == 30
    assert (together.overall.rows, alone.overall.rows) == (30, 30)
    np.testing.assert_allclose(together.overall.found.value, alone.overall.found.value)
    assert not np.allclose(together.overall.found.low[0], alone.overall.found.low[0])
