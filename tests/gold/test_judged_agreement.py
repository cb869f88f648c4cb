"""Agreement of two readings of the judged layer, against figures worked out by hand, and as the page prints it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from probe.cli.pairs import main
from probe.errors import PairsError
from probe.gold.judged_agreement import compare_judged, link_figures
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import COLUMNS, HEADS, ROLES, GoldRow, Link
from probe.tokens import TokenizedText

JUDGED, SECOND = (ROOT / "alignments" / name for name in ("judged.tsv", "judged-second.tsv"))
NAMES = "a.tsv", "b.tsv"


def word(id_: str, *heads: Link, note: str = "Word of sg-001.") -> GoldRow:
    """`bankers` as two tokens against two; both links are sure."""
    student = TokenizedText.from_pieces("bankers", ["bank", "ers"])
    teacher = TokenizedText.from_pieces("bankers", ["ban", "kers"])
    return GoldRow(
        id_,
        "s~t",
        student,
        teacher,
        frozenset({(0, 0), (1, 1)}),
        frozenset({(0, 1)}),
        (HEADS,),
        note,
        frozenset(heads),
    )


def dialogue(id_: str, *roles: Link) -> GoldRow:
    sides = [TokenizedText.unplaced("Hi.", pieces) for pieces in (["<s>", "Hi", "."], ["<bos>", "Hi", "."])]
    return GoldRow(
        id_, "s~t", sides[0], sides[1], frozenset(), frozenset(), (ROLES,), "One turn. Hard.", roles=frozenset(roles)
    )


def compared(a: list[GoldRow], b: list[GoldRow]):
    return compare_judged(GoldFile(tuple(a), ()), GoldFile(tuple(b), ()), NAMES)


def test_kappa_worked_out_by_hand():
    """A has 0h0 twice, 1h1 and none once each; B 0h0, 1h1 twice, none. Three of four are equal.

    By chance (2·1 + 1·2 + 1·1) / 16 = 5/16, so (12 − 5) / (16 − 5). In a row there are two sure links and none: 1/3.
    """
    a = [word("1", (0, 0)), word("2", (0, 0)), word("3", (1, 1)), word("4")]
    b = [word("1", (0, 0)), word("2", (1, 1)), word("3", (1, 1)), word("4")]
    found = compared(a, b)
    whole = found.parts[HEADS][0]
    assert (whole.name, whole.rows) == ("heads", 4)
    np.testing.assert_allclose(whole.found.value, [3 / 4, 7 / 11, (3 / 4 - 1 / 3) / (2 / 3)])
    assert [(one.id, one.link, one.a, one.b) for one in found.disagreements] == [
        ("2", (0, 0), "head", "none"),
        ("2", (1, 1), "none", "head"),
    ]
    # All rows are read alike, and are of one category: chance explains that.
    assert np.isnan(compared(a[:1], b[:1]).parts[HEADS][0].found.value[1])


def test_links_worked_out_by_hand():
    found = compared([dialogue("1", (0, 0), (1, 1))], [dialogue("1", (0, 0), (1, 2), (2, 1))])
    np.testing.assert_allclose(found.parts[ROLES][0].found.value, [2 / 5, np.nan, 0])
    np.testing.assert_allclose(link_figures(np.array([3.0, 4, 4, 1, 2, 4, 1, 2])), [6 / 8, 2 / 6, 1 / 2])


def test_classes_and_languages_are_those_of_the_notes():
    rows = [word("1", note="French: Les banquiers."), word("2"), dialogue("3")]
    found = compared(rows, rows)
    assert [part.name for part in found.parts[HEADS]] == ["heads", "several both", "French", "words of gold.tsv"]
    assert [part.name for part in found.parts[ROLES]] == ["roles", "one turn"]


def test_rows_of_one_dialogue_are_resampled_together():
    """Two pairs of templates are one dialogue, which has no interval; two words are two."""
    whole = compared([dialogue("1", (0, 0)), dialogue("2")], [dialogue("1", (0, 0)), dialogue("2", (0, 0))])
    part = whole.parts[ROLES][0]
    assert (part.rows, part.found.value[2]) == (2, 1 / 2)
    assert np.isnan(part.found.low[2])
    words = [word("1", (0, 0)), word("2", (0, 0))]
    assert (compared(words, [words[0], word("2")]).parts[HEADS][0].found.low[0]) == 0


def test_layers_are_never_compared_together():
    with pytest.raises(PairsError, match="only judged rows"):
        compared([word("1"), replace(word("2"), phenomena=())], [word("1")])
    with pytest.raises(PairsError, match="by id; got none"):
        compared([word("1")], [word("2")])


def test_what_readers_differed_on_is_decided_in_a_note():
    found = compare_judged(read_pairs(JUDGED), read_pairs(SECOND), ("first", "second"))
    differ = {one.id for one in found.disagreements}
    assert len(found.pairs) == 289
    assert differ == {row.id for row in read_pairs(JUDGED) if "Readers differed:" in row.note}
    assert all("Decided:" in read_pairs(JUDGED)[id_].note for id_ in differ)


@pytest.mark.parametrize("page", ["alignments/judged.md", "docs/gold-data.md"])
def test_the_pages_show_the_table(page: str, capsys: pytest.CaptureFixture[str]):
    assert main(["agree", str(JUDGED), str(SECOND), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    text = (ROOT / page).read_text(encoding="utf-8")
    whole = [line for line in lines if line.startswith(("| heads", "| roles", "| overlap"))]
    for line in lines if page.startswith("alignments") else whole:
        assert line in text


def test_forms(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(JUDGED.parent)
    assert main(["agree", JUDGED.name, SECOND.name]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert main(["agree", JUDGED.name, SECOND.name, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["heads"][0]["rows"], document["roles"][0]["rows"], document["overlap"][0]["rows"]) == (150, 75, 64)
    assert main(["agree", JUDGED.name, SECOND.name, "--list"]) == 0
    assert capsys.readouterr().out.startswith("h-049\t0,1\t")
    (tmp_path / "empty.tsv").write_text("\t".join(COLUMNS) + "\n")
    assert main(["agree", JUDGED.name, str(tmp_path / "empty.tsv")]) == 2
