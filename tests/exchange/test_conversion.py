"""``probe-pairs convert``: there and back without loss of what a format holds, and files of another base."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import GOLD
from strategies import gold_rows

from probe.cli import pairs as cli
from probe.cli.pairs import main
from probe.errors import MapError, PairsError
from probe.exchange.align_jsonl import PROMPT_END, Alignment, alignment_of, links_of, read_alignments, spelled
from probe.exchange.conversion import FORMATS, Naming, left_out, read_alone, read_onto, written
from probe.exchange.link_formats import (
    LinkLine,
    format_naacl,
    format_pharaoh,
    format_simalign,
    parse_naacl,
    parse_pharaoh,
    parse_simalign,
    rebase,
)
from probe.gold.check import check_row, odd_links
from probe.gold.drafts import draft_row
from probe.gold.pairs import format_pairs, read_pairs, write_pairs
from probe.gold.rows import GoldRow, Links
from probe.tokens import TokenizedText


def row(id_: str, student: str, teacher: str, sure: str, possible: str = "") -> GoldRow:
    """Pieces between bars, links between spaces."""
    cuts = student.split("|"), teacher.split("|")
    text = "".join(cuts[0])
    both = [TokenizedText.from_pieces(text, cut) for cut in cuts]
    links = [frozenset((int(link[0]), int(link[2])) for link in cell.split()) for cell in (sure, possible)]
    return GoldRow(id_, "s~t", both[0], both[1], links[0], links[1], (), "")


ROWS = [row("a", "un|tied", "unt|ied", "0-0 1-1", "1p0"), row("b c", "x", "x", ""), row("d", "a| b", "a| b", "0-0 1-1")]


def write(directory: Path, files: dict[str, str]) -> Path:
    for end, text in files.items():
        (directory / f"links{end}").write_bytes(text.encode())
    return directory / "links"


def links(rows: Sequence[GoldRow]) -> list[Links]:
    return [one.links for one in rows]


# What the formats look like


def test_pharaoh():
    assert format_pharaoh(ROWS) == "0-0 1p0 1-1\n\n0-0 1-1\n"


def test_naacl():
    assert format_naacl(ROWS) == "1 1 1 S\n1 2 1 P\n1 2 2 S\n3 1 1 S\n3 2 2 S\n"


def test_simalign():
    assert format_simalign(ROWS) == "a\t0-0 1p0 1-1\nb\\sc\t\nd\t0-0 1-1\n"


def test_align_jsonl_is_of_input_tokens_from_the_end_of_the_prompt():
    first, second, _ = [json.loads(line) for line in written(ROWS, "align-jsonl")[""].splitlines()]
    assert first == {
        "student": [PROMPT_END, "un", "tied"],
        "teacher": [PROMPT_END, "unt", "ied"],
        "alignment": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    }
    # A token without a link draws from the end of sequence, and that from itself.
    assert second["alignment"] == [[0, 1], [0, 1]]


def test_tokens_go_into_two_files():
    spaced = row("b c", "a|  |\\", "a|  |\\", "0-0")
    files = written([ROWS[0], spaced], "pharaoh")
    assert (files[".student"], files[".teacher"]) == ("un tied\na \\s\\s \\\\\n", "unt ied\na \\s\\s \\\\\n")
    assert written([spaced], "simalign")[".student"] == "b\\sc\ta \\s\\s \\\\\n"
    assert set(written(ROWS, "align-jsonl")) == {""}


# There and back

MANY = st.lists(gold_rows(), min_size=1, max_size=4, unique_by=lambda one: one.id)


@pytest.mark.parametrize("format_", ["pharaoh", "naacl", "simalign"])
@given(rows=MANY)
@settings(deadline=None, max_examples=60)
def test_round_trip_onto_the_rows(format_: str, tmp_path_factory: pytest.TempPathFactory, rows: list[GoldRow]):
    path = write(tmp_path_factory.mktemp("convert"), written(rows, format_))
    bare = [replace(one, sure=frozenset(), possible=frozenset()) for one in rows]
    base = 1 if format_ == "naacl" else 0
    assert read_onto(path, format_, bare, base) == rows


@given(rows=MANY)
@settings(deadline=None, max_examples=60)
def test_round_trip_of_weights_onto_the_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[GoldRow]):
    path = write(tmp_path_factory.mktemp("convert"), written(rows, "align-jsonl"))
    assert read_onto(path, "align-jsonl", rows, None) == [replace(one, possible=frozenset()) for one in rows]


@pytest.mark.parametrize("format_", FORMATS)
@given(rows=MANY)
@settings(deadline=None, max_examples=60)
def test_round_trip_alone(format_: str, tmp_path_factory: pytest.TempPathFactory, rows: list[GoldRow]):
    """Without the gold file: links and pieces come back, and a file that the format accepts."""
    directory = tmp_path_factory.mktemp("convert")
    path = write(directory, written(rows, format_))
    found = read_alone(path, format_, Naming("s~t", "x-"), {"align-jsonl": None, "naacl": 1}.get(format_, 0))
    assert [(one.student.pieces, one.teacher.pieces) for one in found] == [
        (one.student.pieces, one.teacher.pieces) for one in rows
    ]
    assert [one.sure for one in found] == [one.sure for one in rows]
    if format_ != "align-jsonl":
        assert [one.possible for one in found] == [one.possible for one in rows]
    assert [one.id for one in found] == (
        [one.id for one in rows] if format_ == "simalign" else [f"x-{n:03}" for n in range(1, len(rows) + 1)]
    )
    write_pairs(directory / "back.tsv", found)
    assert read_pairs(directory / "back.tsv").rows == tuple(found)


@pytest.mark.parametrize("format_", ["pharaoh", "naacl", "simalign"])
def test_the_gold_file_comes_back_to_the_byte(format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, back = tmp_path / "links", tmp_path / "back.tsv"
    assert main(["convert", str(GOLD), "--to", format_, "--out", str(out)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["links", "links.student", "links.teacher"]
    assert "name it with --rows" in capsys.readouterr().err
    assert main(["convert", str(out), "--from", format_, "--rows", str(GOLD), "--out", str(back)]) == 0
    assert back.read_bytes().endswith(GOLD.read_bytes())
    assert read_pairs(back) == read_pairs(GOLD)  # away from tokenizers.tsv, it declares the tokenizers itself
    assert capsys.readouterr() == ("", "")


def test_the_gold_files_texts_are_spelled_by_its_pieces():
    for one in read_pairs(GOLD).rows:
        student, teacher = spelled(one.student.pieces, one.teacher.pieces, "here")
        if "".join(one.student.pieces) and one.student.text != student.text:
            # A text that begins with a space, or that a tokenizer normalised, may be spelled in two ways.
            assert one.text.lstrip(" ") == student.text.lstrip(" ") or not one.text.isascii(), one.id
        assert (student.pieces, teacher.pieces) == (one.student.pieces, one.teacher.pieces)


@pytest.mark.parametrize(
    ("student", "teacher", "text"),
    [
        (("cat",), ("▁cat",), "cat"),
        (("Ġcat",), ("▁cat",), " cat"),
        (("▁cat",), ("▁ca", "t"), "cat"),
        (("▁a", "▁cat"), ("a", "Ġcat"), "a cat"),
        (("▁", "<0xC3>", "<0xA9>"), ("▁é",), "é"),
        (("Ã", "©"), ("é",), "é"),
        (("▁ﬁ",), ("▁fi",), "ﬁ"),
    ],
)
def test_texts_are_spelled_by_the_pieces(student: tuple[str, ...], teacher: tuple[str, ...], text: str):
    assert [side.text for side in spelled(student, teacher, "here")] == [text, text]


# What is lost


def test_what_a_format_cannot_hold_is_said():
    assert "ids, pairs, sentences" in left_out(ROWS, "pharaoh")[0]
    assert "ids" not in left_out(ROWS, "simalign")[0]
    assert left_out(ROWS, "align-jsonl")[1].startswith("1 possible link")
    assert not any("possible" in line for line in left_out(ROWS[1:], "align-jsonl"))
    late = [row("a", "a| b", "a| b", "1-1")]
    assert "read it with --base 0" in left_out(late, "pharaoh")[-1]
    assert len(left_out(ROWS, "pharaoh")) == len(left_out(late, "naacl")) == 1


def test_links_that_the_format_wants_named_are_named(tmp_path: Path):
    """Predictions link what shares nothing; the file must be readable all the same."""
    path = write(tmp_path, written(ROWS, "pharaoh") | {"": "0-1\n0-0\n0p1\n"})
    found = read_onto(path, "pharaoh", ROWS, None)
    assert [one.note for one in found] == [
        "Stands in the file that this row was converted from: 0-1.",
        "",
        "Stands in the file that this row was converted from: 0p1.",
    ]
    write_pairs(tmp_path / "back.tsv", found)
    assert links(read_pairs(tmp_path / "back.tsv").rows) == links(found)


# The base


def parsed(text: str) -> list[LinkLine]:
    return parse_pharaoh(text, "links")


SIZES = [(2, 2), (1, 1), (2, 2)]


def test_a_one_based_file_read_as_zero_based_is_named():
    one_based = "1-1 2p1 2-2\n\n1-1 2-2\n"
    with pytest.raises(PairsError) as caught:
        rebase(parsed(one_based), "links", SIZES, None, 0)
    first, second = caught.value.problems
    assert (first.where, first.expected) == ("links:1", "numbers from 0 to 1 and to 1")
    assert "2-1, 2-2: an index equal to the number of tokens, as in a file that counts from 1" in first.got
    assert "use base=1" in first.remedy
    assert second.where == "links:3"
    assert rebase(parsed(one_based), "links", SIZES, 1, 0) == links(ROWS)


def test_no_index_0_anywhere_is_named_though_all_numbers_fit():
    with pytest.raises(PairsError) as caught:
        rebase(parsed("1-1\n\n\n"), "links", SIZES, None, 0)
    (problem,) = caught.value.problems
    assert problem.where == "links"
    assert "no index 0 anywhere" in problem.got
    # Whoever says the base is believed.
    assert rebase(parsed("1-1\n\n\n"), "links", SIZES, 0, 0)[0].sure == {(1, 1)}
    assert rebase(parsed("1-1\n\n\n"), "links", SIZES, 1, 0)[0].sure == {(0, 0)}
    # One index 0 on either side is enough; no link at all says nothing.
    assert rebase(parsed("1-0\n\n\n"), "links", SIZES, None, 0)[0].sure == {(1, 0)}
    assert rebase(parsed("\n\n\n"), "links", SIZES, None, 0) == [Links()] * 3


def test_a_zero_based_file_read_as_one_based_is_named():
    zero_based = parse_naacl("1 0 0\n1 1 0 P\n1 1 1\n3 0 0\n3 1 1\n", "wpt", 3)
    with pytest.raises(PairsError) as caught:
        rebase(zero_based, "wpt", SIZES, None, 1)
    first, _ = caught.value.problems
    assert first.where == "wpt, sentence 1"
    assert "0-0, 1-0: an index 0, as in a file that counts from 0 or has links to nothing" in first.got
    assert "use base=0" in first.remedy
    assert rebase(zero_based, "wpt", SIZES, 0, 1) == links(ROWS)


def test_numbers_that_fit_no_base():
    with pytest.raises(PairsError) as caught:
        rebase(parsed("0-2\n\n0-0\n"), "links", SIZES, None, 0)
    (problem,) = caught.value.problems
    assert "0-2" in problem.got
    assert "base=" not in problem.remedy


# Reading what others write


def test_naacl_as_the_standard_has_it():
    """Leading zeros, tabs, no tag for sure, a confidence; a link that is listed as both is sure."""
    lines = parse_naacl("0001 1 1\n1\t2 1 P 0.5\n1 2 2 S\n1 2 2 P\n", "wpt", 2)
    assert rebase(lines, "wpt", [(2, 2), (1, 1)], None, 1) == [ROWS[0].links, Links()]


@pytest.mark.parametrize(
    ("text", "where", "got"),
    [
        ("1 1\n", "wpt:1", "'1 1'"),
        ("1 1 1 S\n1 1 1 X\n", "wpt:2", "'1 1 1 X'"),
        ("0 1 1\n", "wpt:1", "0"),
        ("3 1 1\n", "wpt:1", "3"),
        ("1 -1 1\n", "wpt:1", "'1 -1 1'"),
    ],
)
def test_bad_naacl(text: str, where: str, got: str):
    with pytest.raises(PairsError) as caught:
        parse_naacl(text, "wpt", 2)
    (problem,) = caught.value.problems
    assert (problem.where, problem.got) == (where, got)


@pytest.mark.parametrize("item", ["0", "0:0", "0-0-0", "0q0", "-1-0", "a-b", "0-"])
def test_bad_pharaoh(item: str):
    with pytest.raises(PairsError) as caught:
        parsed(f"0-0 {item}\n0-0\n{item}\n")
    assert [(problem.where, problem.got) for problem in caught.value.problems] == [
        ("links:1", repr(item)),
        ("links:3", repr(item)),
    ]


def test_pharaoh_of_other_tools():
    """Windows line ends, no line end at the end, double spaces, a sure link that is listed as possible too."""
    assert [line.links for line in parsed("0-0  1-1\r\n1p0 1-0")] == [
        Links(frozenset({(0, 0), (1, 1)})),
        Links(frozenset({(1, 0)})),
    ]


@pytest.mark.parametrize(
    ("text", "got"), [("0-0 1-1\n", "'0-0 1-1'"), ("\t0-0\n", "'\\t0-0'"), ("a\t\na\t0-0\n", "'a' again")]
)
def test_bad_simalign(text: str, got: str):
    with pytest.raises(PairsError) as caught:
        parse_simalign(text, "links")
    assert got in [problem.got for problem in caught.value.problems]


def test_simalign_lines_are_found_by_their_id(tmp_path: Path):
    path = write(tmp_path, {"": "d\t0-0 1-1\na\t0-0 1p0 1-1\nb\\sc\t\n"})
    assert read_onto(path, "simalign", ROWS, None) == ROWS
    path = write(tmp_path, {"": "d\t0-0 1-1\nother\t0-0\n"})
    with pytest.raises(PairsError, match="no a, b c; also other"):
        read_onto(path, "simalign", ROWS, None)


def test_attention_is_read_by_its_largest_weights():
    weights = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8], [0.0, 0.0, 1.0]])
    found = links_of(Alignment(("p", "a", "b", "c"), ("p", "x", "y"), weights))
    assert found == Links(frozenset({(0, 1), (1, 0), (1, 1)}))


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path):
    (tmp_path / "links").write_text('{"student": ["p", "x"], "teacher": ["p", "x"], "alignment": [[NaN, 1], [0, 1]]}\n')
    with pytest.raises(MapError, match="links:1: expected finite weights"):
        read_alone(tmp_path / "links", "align-jsonl", Naming("s~t", "x"), None)


def test_the_map_of_a_row_is_the_gold_reference():
    np.testing.assert_array_equal(alignment_of(ROWS[0]).weights, np.eye(3))


@pytest.mark.parametrize("format_", ["pharaoh", "align-jsonl"])
def test_another_number_of_sentences(format_: str, tmp_path: Path):
    path = write(tmp_path, written(ROWS, format_))
    with pytest.raises(PairsError, match="2 sentences, one for each row; got 3 lines"):
        read_onto(path, format_, ROWS[:2], None)


def test_another_texts_align_jsonl(tmp_path: Path):
    path = write(tmp_path, written(ROWS, "align-jsonl"))
    with pytest.raises(PairsError, match=r"links:1: expected the tokens of row d, a  b; got un tied\."):
        read_onto(path, "align-jsonl", [ROWS[2], *ROWS[1:]], None)


def test_files_of_tokens_that_do_not_match(tmp_path: Path):
    naming = Naming("s~t", "x")
    good = written(ROWS, "pharaoh")
    for files, message in (
        (good | {".teacher": "unt ied\nx\n"}, "3 sentences"),
        (good | {".student": "un tied\nx\n\\q\n"}, "links.student:3"),
        (good | {".student": "un tied\ny\na \\sb\n"}, "sentence 2: expected tokens that spell one sentence"),
        (good | {"": "0-0\n"}, "3 sentences, one for each row; got 1 lines"),
    ):
        with pytest.raises(PairsError, match=message.replace("\\", "\\\\")):
            read_alone(write(tmp_path, files), "pharaoh", naming, None)
    (tmp_path / "links.teacher").unlink()
    with pytest.raises(PairsError, match=r"links\.teacher: expected a file of links or tokens"):
        read_alone(tmp_path / "links", "pharaoh", naming, None)
    swapped = written(ROWS, "simalign")
    swapped[".teacher"] = "".join(reversed(swapped[".teacher"].splitlines(keepends=True)))
    with pytest.raises(PairsError, match="the same ids"):
        read_alone(write(tmp_path, swapped), "simalign", naming, None)


# The command


def test_the_help_names_the_formats_there_are():
    assert cli.FORMATS == FORMATS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "pharaoh", "--base", "0"], "--base can be used only with --from"),
        (["--to", "naacl", "--rows", "x"], "--rows can be used only with --from"),
        (["--from", "pharaoh"], "--from needs --rows FILE, or --pair"),
        (["--from", "pharaoh", "--rows", "x", "--pair", "s~t"], "leave out --pair"),
        (["--from", "pharaoh", "--rows", "x", "--student", "s"], "leave out --student"),
        (["--from", "pharaoh", "--pair", "s~t", "--teacher", "t"], "must be given together"),
        (["--to", "pharaoh", "--student", "s"], "--student can be used only with --from"),
        (["--from", "align-jsonl", "--rows", "x", "--base", "0"], "which has weights"),
        (["--from", "pharaoh", "--to", "naacl"], "not allowed with"),
        ([], "one of the arguments --to --from is required"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["convert", "nowhere", *options])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_links_alone_go_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_pairs(tmp_path / "mine.tsv", ROWS)
    assert main(["convert", str(tmp_path / "mine.tsv"), "--to", "naacl"]) == 0
    captured = capsys.readouterr()
    assert captured.out == format_naacl(ROWS)
    assert (
        captured.err.splitlines()[-1]
        == "With --out FILE, the tokens are written too, to FILE.student and FILE.teacher."
    )


def test_rows_go_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path, written([draft_row("a", "s~t", one.student, one.teacher) for one in ROWS], "pharaoh"))
    assert main(["convert", str(path), "--from", "pharaoh", "--pair", "s~t", "--prefix", "x"]) == 0
    drafts = [draft_row(f"x{n:03}", "s~t", one.student, one.teacher) for n, one in enumerate(ROWS, start=1)]
    assert capsys.readouterr().out == format_pairs(drafts)


@pytest.mark.parametrize("format_", FORMATS)
def test_bad_files_leave_nothing_behind(format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_pairs(tmp_path / "mine.tsv", ROWS)
    (tmp_path / "bad").write_bytes(b"\xff nonsense\n")
    out = tmp_path / "out.tsv"
    for file in ("bad", "nowhere"):
        options = ["--from", format_, "--rows", str(tmp_path / "mine.tsv"), "--out", str(out)]
        assert main(["convert", str(tmp_path / file), *options]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("probe-pairs: ")
    assert main(["convert", str(tmp_path / "mine.tsv"), "--to", format_, "--out", str(tmp_path / "no" / "out")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "mine.tsv"]
    assert "no folder" in capsys.readouterr().err


def test_a_pair_without_two_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path, written(ROWS, "pharaoh"))
    assert main(["convert", str(path), "--from", "pharaoh", "--pair", "s"]) == 2
    assert "a pair such as smollm2~gemma3" in capsys.readouterr().err


def test_an_align_jsonl_without_rows_is_named(tmp_path: Path):
    (tmp_path / "empty").write_text("")
    with pytest.raises(MapError, match="an empty file"):
        read_alignments(tmp_path / "empty")


# Made anew

DEMO = "--student", "bundled:demo/student", "--teacher", "bundled:demo/teacher"


def demo_links(tmp_path: Path) -> Path:
    gold = read_pairs(GOLD)
    rows = [one for one in gold.rows if one.pair == "demo~demo-teacher"]
    assert any("p" in one.note and one.note for one in rows)
    write_pairs(tmp_path / "demo.tsv", rows)
    assert main(["convert", str(tmp_path / "demo.tsv"), "--to", "pharaoh", "--out", str(tmp_path / "links")]) == 0
    return tmp_path / "links"


def test_corrected_links_made_anew_are_clean_and_the_loss_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path, back = demo_links(tmp_path), tmp_path / "back.tsv"
    capsys.readouterr()
    options = ["--from", "pharaoh", "--pair", "demo~demo-teacher", "--out", str(back)]
    assert main(["convert", str(path), *options, *DEMO]) == 0
    rows = read_pairs(back).rows
    noted = sum(bool(one.note) for one in rows)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Notes are lost: {noted} rows")
    assert 0 < noted < len(rows)
    assert [one.links for one in rows] == [one.links for one in read_pairs(tmp_path / "demo.tsv").rows]
    assert main(["check", str(back), *DEMO]) == 0, capsys.readouterr().out


def test_vocabularies_that_are_not_declared_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = demo_links(tmp_path)
    capsys.readouterr()
    assert main(["convert", str(path), "--from", "pharaoh", "--pair", "demo~demo-teacher"]) == 0
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("No vocabulary is declared. To declare them, name both models:")
    )


def test_models_with_other_pieces_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path, back = demo_links(tmp_path), tmp_path / "back.tsv"
    options = ["--student", DEMO[3], "--teacher", DEMO[1], "--out", str(back)]
    assert main(["convert", str(path), "--from", "pharaoh", "--pair", "demo~demo-teacher", *options]) == 2
    assert "student_tokens: expected the tokens of demo: " in capsys.readouterr().err
    assert not back.exists()


def test_a_lack_of_links_is_named():
    both = [TokenizedText.from_pieces("a b", ["a", "Ġb"])] * 2
    bare = GoldRow("r", "s~t", *both, frozenset({(0, 0)}), frozenset({(1, 0)}), (), "")
    assert odd_links(bare) == (("1p0",), ("1-1",))


def test_a_note_says_what_is_not_linked(tmp_path: Path):
    path = write(tmp_path, written(ROWS[2:], "pharaoh") | {"": "0-0\n"})
    (found,) = read_alone(path, "pharaoh", Naming("s~t", "x-"), None)
    assert found.note == "Not linked in that file: 1-1."
    assert check_row(found, "here") == ()
