"""``probe-pairs agree``: F1 and kappa against figures worked out by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLD

from probe.cli.pairs import main
from probe.errors import PairsError
from probe.gold.agreement import COUNTS, FIGURES, Agreement, compare, count, figures
from probe.gold.pairs import GoldFile, write_pairs
from probe.gold.rows import GoldRow
from probe.tokens import TokenizedText

# Chunks: the | un tied / unt ied | c at s / ca ts. Outside of one against one there are four and six cells.
STUDENT = TokenizedText.from_pieces("the untied cats", ["the", "Ġun", "tied", "Ġc", "at", "s"])
TEACHER = TokenizedText.from_pieces("the untied cats", ["▁the", "▁unt", "ied", "▁ca", "ts"])


def row(links: str, id_: str = "r", tags: tuple[str, ...] = ()) -> GoldRow:
    kinds = {sign: {(int(link[0]), int(link[2])) for link in links.split() if link[1] == sign} for sign in "-p"}
    return GoldRow(id_, "s~t", STUDENT, TEACHER, frozenset(kinds["-"]), frozenset(kinds["p"]), tags, "")


A = row("0-0 1-1 2p1 2-2 3-3 4-3 4-4", tags=("split",))
B = row("0p0 1-1 2p1 2p2 3-3 4-4 5-4 5p3", tags=("merge",))
# Outside: A has 2-2, 1-1, 3-3, 4-3, 4-4 sure and 2p1 possible; B 1-1, 3-3, 4-4, 5-4 sure and 2p1, 2p2, 5p3 possible.
# In both: 1-1, 3-3, 4-4 sure for both, 2-2 sure and possible, 2-1 possible for both. 0-0 is a chunk of its own.


def test_counts():
    assert dict(zip(COUNTS, count(A, B).tolist(), strict=True)) == {
        "both": 5,
        "A": 6,
        "B": 7,
        "both sure": 3,
        "A sure": 5,
        "B sure": 4,
        "sure sure": 3,
        "sure possible": 1,
        "possible sure": 0,
        "possible possible": 1,
        "same rows": 0,
        "rows": 1,
    }


def test_figures_worked_out_by_hand():
    """Observed agreement 4/5; by chance 4/5 · 3/5 + 1/5 · 2/5 = 14/25; kappa (20 − 14) / (25 − 14)."""
    found = dict(zip(FIGURES, figures(count(A, B)).tolist(), strict=True))
    assert found == {
        "F1": pytest.approx(10 / 13),
        "sure F1": pytest.approx(6 / 9),
        "kappa": pytest.approx(6 / 11),
        "same rows": 0,
    }


def test_figures_are_of_sums_and_not_means_of_rows():
    summed = figures(count(A, B) + count(A, A))
    assert summed[0] == pytest.approx(2 * 11 / (12 + 13))
    assert summed[3] == 0.5
    both = np.stack([count(A, B), count(A, A)])
    np.testing.assert_array_equal(figures(both)[1], [1, 1, 1, 1])


def test_swapping_the_readers_changes_no_figure():
    np.testing.assert_allclose(figures(count(A, B)), figures(count(B, A)))
    assert count(B, A)[COUNTS.index("possible sure")] == 1


def test_undefined_figures():
    """No link outside; and one kind alone, of which chance explains all."""
    assert np.isnan(figures(count(row("0-0"), row("0p0")))[:3]).all()
    sure = figures(count(row("1-1"), row("1-1")))
    assert (sure[0], sure[1], np.isnan(sure[2])) == (1, 1, True)
    assert figures(count(row("1-1"), row("2-2")))[0] == 0


def agreement(a: Sequence[GoldRow], b: Sequence[GoldRow]) -> Agreement:
    return compare(GoldFile(tuple(a), ()), GoldFile(tuple(b), ()), ("a.tsv", "b.tsv"))


def test_rows_are_matched_by_id_and_the_others_are_named():
    a = [replace(A, id="x"), replace(A, id="y"), replace(A, id="only-a")]
    b = [replace(B, id="only-b"), replace(A, id="y"), replace(B, id="x")]
    found = agreement(a, b)
    assert (found.ids, found.only_a, found.only_b) == (("x", "y"), ("only-a",), ("only-b",))
    np.testing.assert_array_equal(found.counts, [count(A, B), count(A, A)])
    heading = found.heading()
    assert heading[2:] == ["2 rows in both, 5 links differ", "1 only in A: only-a", "1 only in B: only-b"]


def test_phenomena_are_those_of_a():
    found = agreement([replace(A, id="x"), row("1-1", "y")], [replace(B, id="x"), row("1-1", "y", ("merge",))])
    assert list(found.by_phenomenon) == ["split"]
    assert found.by_phenomenon["split"].rows == 1
    np.testing.assert_allclose(found.by_phenomenon["split"].found.value, figures(count(A, B)))


def test_intervals_hold_the_figure_and_one_row_has_none():
    pairs = [(A, B), (A, A), (B, B), (B, A), (A, A)]
    found = agreement(
        *zip(*[(replace(a, id=f"{n}"), replace(b, id=f"{n}")) for n, (a, b) in enumerate(pairs)], strict=True)
    )
    overall = found.overall.found
    assert (overall.low <= overall.value).all()
    assert (overall.value <= overall.high).all()
    assert (overall.low < overall.high).all()
    assert np.isnan(agreement([A], [B]).overall.found.low).all()


def test_what_differs():
    found = agreement([A], [B]).disagreements
    assert [(one.link, one.student, one.teacher, one.a, one.b) for one in found] == [
        ((0, 0), "the", "the", "sure", "possible"),
        ((2, 2), "tied", "ied", "sure", "possible"),
        ((4, 3), "at", "␣ca", "sure", "none"),
        ((5, 3), "s", "␣ca", "none", "possible"),
        ((5, 4), "s", "ts", "none", "sure"),
    ]


def test_other_tokens_are_refused_and_all_of_them_named():
    text = TokenizedText.from_pieces("the untied cats", ["the", "Ġuntied", "Ġcats"])
    a = [replace(A, id=f"{n}") for n in range(3)]
    b = [replace(B, id="0", student=text), replace(B, id="1"), replace(B, id="2", teacher=text)]
    with pytest.raises(PairsError) as caught:
        agreement(a, b)
    assert [problem.where for problem in caught.value.problems] == ["b.tsv, row 0", "b.tsv, row 2"]
    with pytest.raises(PairsError, match=r"rows of a\.tsv, by id; got none"):
        agreement([A], [replace(B, id="z")])


# The command


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    # Possible links that do not touch need a note, and so do sure ones.
    note = "4-3 5p3"
    for name, rows in {
        "a": [replace(A, note=note), row("1-1", "y")],
        "b": [replace(B, note=note), row("1-1", "y")],
    }.items():
        write_pairs(tmp_path / f"{name}.tsv", rows)
    return [str(tmp_path / f"{name}.tsv") for name in "ab"]


def test_json(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["agree", *files, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["all"]["rows"] == 2
    assert document["all"]["kappa"]["value"] == pytest.approx((5 / 6 - 22 / 36) / (1 - 22 / 36))
    assert document["phenomena"]["split"]["F1"] == {"value": pytest.approx(10 / 13), "interval": [None, None]}
    assert len(document["disagreements"]) == 5
    assert document["disagreements"][2] == {
        "id": "r",
        "link": [4, 3],
        "student": "at",
        "teacher": "␣ca",
        "a": "sure",
        "b": "none",
    }
    assert document["counts"]["rows"]["r"] == count(A, B).tolist()


def test_markdown(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["agree", *files, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  | rows | F1 [95 %] | sure F1 [95 %] | kappa [95 %] | same rows [95 %] |"
    assert lines[2].startswith("| all rows | 2 | .800 [.769, 1] | .727 [.667, 1] | ")
    assert lines[3] == "| split | 1 | .769 [–] | .667 [–] | .55 [–] | 0 [–] |"


def test_the_list(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["agree", *files, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[2] == "r\t4,3\tat\t␣ca\tA sure\tB none"


def test_the_table_is_80_columns_wide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from probe.gold.pairs import read_pairs

    rows = read_pairs(GOLD).rows
    other = [
        replace(one, sure=one.sure - set(sorted(one.sure)[1::9]), possible=frozenset(sorted(one.sure)[1::9]))
        for one in rows
    ]
    other = [replace(one, note=" ".join(f"{i}-{j} {i}p{j}" for i, j in one.links.either)) for one in other]
    write_pairs(tmp_path / "b.tsv", other)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tsv").symlink_to(GOLD)
    assert main(["agree", "a.tsv", "b.tsv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.strip().startswith("repeat-same-context ") for line in lines)
    assert lines[-1] == "A row counts for the phenomena that A names. --list prints what differs."


def test_bad_files(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["agree", files[0], str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("probe-pairs: ")
    with pytest.raises(SystemExit):
        main(["agree", *files, "--json", "--list"])
