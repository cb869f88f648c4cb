import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import gold_rows, texts

from probe.errors import OutputError, PairsError, Problem
from probe.gold.escapes import escape, unescape
from probe.gold.pairs import GoldFile, declared_vocabularies, read_pairs, write_pairs
from probe.gold.rows import COLUMNS, PHENOMENA, GoldRow, format_row
from probe.tokens import TokenizedText

HEADER = "\t".join(COLUMNS)
CELLS = {
    "id": "r1",
    "pair": "gpt2~qwen1.5",
    "text": "a cat",
    "student_tokens": "a Ġ cat",
    "teacher_tokens": "▁a ▁cat",
    "links": "0-0 1p1 2-1",
    "phenomena": "split,whitespace",
    "note": "",
}


def line(**changes: str) -> str:
    assert changes.keys() <= CELLS.keys()
    return "\t".join((CELLS | changes).values())


def parse(path: Path, content: str | bytes) -> GoldFile:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_pairs(path)


def problems(path: Path, content: str | bytes) -> Sequence[Problem]:
    with pytest.raises(PairsError) as caught:
        parse(path, content)
    return caught.value.problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gold.tsv"


# Reading


def test_a_row(file: Path) -> None:
    gold = parse(file, f"# first\n#second\n\n{HEADER}\n{line()}\n#\n{line(id='r2', note='two words')}")
    assert gold.comments == ("first", "second", "")
    first, second = gold.rows
    assert (first.id, first.pair, first.text, first.note) == ("r1", "gpt2~qwen1.5", "a cat", "")
    assert first.student.pieces == ("a", "Ġ", "cat")
    assert first.teacher.pieces == ("▁a", "▁cat")
    assert (first.sure, first.possible) == ({(0, 0), (2, 1)}, {(1, 1)})
    assert first.phenomena == ("split", "whitespace")
    assert second == replace(first, id="r2", note="two words")


def test_a_header_alone_is_a_file_without_rows(file: Path) -> None:
    assert parse(file, HEADER + "\n") == GoldFile((), ())


def test_a_row_without_links_or_phenomena(file: Path) -> None:
    (row,) = parse(file, f"{HEADER}\n{line(links='', phenomena='')}\n").rows
    assert (row.sure, row.possible, row.phenomena) == (frozenset(), frozenset(), ())


@pytest.mark.parametrize("char", ["\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u2029", "\u3000"])
def test_no_other_white_space_divides(char: str, file: Path) -> None:
    """Lines, columns and pieces, with the character raw: nobody is obliged to escape it."""
    comment = f"# no new{char}line\n"
    row = line(
        text=f"a{char}cat", student_tokens=f"a{char} cat", teacher_tokens=f"a {char}cat", links="0-0 1-1", note=char
    )
    gold = parse(file, comment + f"{HEADER}\n{row}\n")
    assert gold.comments == (f"no new{char}line",)
    assert gold.rows[0].student.pieces == (f"a{char}", "cat")
    assert gold.rows[0].teacher.pieces == ("a", f"{char}cat")
    assert gold.rows[0].note == char


# Writing


@given(st.lists(gold_rows(), max_size=3, unique_by=lambda row: row.id), st.lists(texts(), max_size=2))
@settings(deadline=None, max_examples=100)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[GoldRow], comments: list[str]) -> None:
    file = tmp_path_factory.mktemp("pairs") / "gold.tsv"
    comments = [comment.replace("\n", "").strip() for comment in comments]
    write_pairs(file, rows, comments)
    assert read_pairs(file) == GoldFile(tuple(rows), tuple(comments))


@given(gold_rows())
@settings(deadline=None, max_examples=100)
def test_rows_are_lines_that_an_editor_leaves_alone(row: GoldRow) -> None:
    written = format_row(row)
    assert written.count("\t") == len(COLUMNS) - 1
    odd = {char for char in written if unicodedata.category(char) in ("Cc", "Cf", "Zs", "Zl", "Zp")}
    assert odd <= {"\t", " "}


ESCAPES = {
    "\\": r"\\",
    "\t": r"\t",
    "\n": r"\n",
    "\r": r"\r",
    " ": r"\s",
    "\x00": r"\u0000",
    "\x0b": r"\u000B",
    "\x1b": r"\u001B",
    "\x85": r"\u0085",
    "\u00a0": r"\u00A0",
    "\u00ad": r"\u00AD",
    "\u200b": r"\u200B",
    "\u200d": r"\u200D",
    "\u202e": r"\u202E",
    "\u2028": r"\u2028",
    "\u3000": r"\u3000",
    "\ufeff": r"\uFEFF",
    "\U000e0061": r"\U000E0061",
    "\U0001d173": r"\U0001D173",
}


@pytest.mark.parametrize("char", ESCAPES)
def test_escapes(char: str) -> None:
    assert escape(f"a{char}b", spaces=True) == f"a{ESCAPES[char]}b"
    assert unescape(f"a{ESCAPES[char]}b") == f"a{char}b"
    assert escape(char, spaces=False) == (char if char == " " else ESCAPES[char])


@pytest.mark.parametrize("text", ["京👍🏽é\u0301\ufe0f#~_", "▁Ġ", "<0x0A>", "\ue000"])
def test_other_characters_are_written_as_they_are(text: str) -> None:
    assert escape(text, spaces=True) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (r"\\n", r"\n"),
        (r"\\\n", "\\\n"),
        (r"\\\\s", r"\\s"),
        (r"\u00e9\u00E9", "éé"),
        (r"\u00411", "A1"),
        (r"\U0001f44d", "👍"),
        (r"\U0010FFFF", "\U0010ffff"),
    ],
)
def test_unescape(cell: str, text: str) -> None:
    assert unescape(cell) == text


BROKEN = [r"\x", r"a\ b", r"\u12", r"\u00G0", r"\U0001F44", "\\", r"\\\q", r"\ud83d", r"\U0000DFFF", r"\U00110000"]


@pytest.mark.parametrize("cell", [*BROKEN, r"\UFFFFFFFF"])
@pytest.mark.parametrize("column", ["id", "text", "note"])
def test_unknown_escapes_are_refused(cell: str, column: str, file: Path) -> None:
    found = problems(file, f"{HEADER}\n{line(**{column: cell})}\n")
    assert f"column {column}" in found[0].got
    assert r"\uXXXX" in found[0].expected
    assert found[0].where == "gold.tsv:2"


def test_writing_is_whole_or_not_at_all(file: Path) -> None:
    rows = parse(file, f"{HEADER}\n{line()}\n").rows
    before = file.read_bytes()
    for bad in ([replace(rows[0], id="#1")], [replace(rows[0], id="")]):
        with pytest.raises(PairsError, match="ids that do not begin with #"):
            write_pairs(file, bad)
    with pytest.raises(PairsError, match="comments of one line"):
        write_pairs(file, rows, ["two\nlines"])
    assert file.read_bytes() == before
    with pytest.raises(OutputError):
        write_pairs(file / "below.tsv", rows)
    assert list(file.parent.iterdir()) == [file]


# What is wrong with a file


def test_missing_file(file: Path) -> None:
    for place in (file, file.parent):
        with pytest.raises(PairsError) as caught:
            read_pairs(place)
        (problem,) = caught.value.problems
        assert problem.where == str(place)
        assert problem.got in ("No such file or directory", "Is a directory")
        assert problem.remedy == "Correct the path."


def test_a_missing_file_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PairsError) as caught:
        read_pairs("alignments/gold.tsv")
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path / "alignments" / "gold.tsv")
    assert "gold.tsv" not in problem.remedy


@pytest.mark.parametrize("content", ["", "\n\n", "# only\n# comments\n"])
def test_no_header(content: str, file: Path) -> None:
    (problem,) = problems(file, content)
    assert (problem.where, problem.got) == ("gold.tsv", "nothing")
    assert "id pair text student_tokens" in problem.remedy


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace("\t", " "),
        HEADER.replace("student_tokens\tteacher_tokens", "teacher_tokens\tstudent_tokens"),
        HEADER.removesuffix("\tnote"),
        f"{HEADER}\textra",
        HEADER.upper(),
        line(),
    ],
)
def test_wrong_header(header: str, file: Path) -> None:
    (problem,) = problems(file, f"# comment\n{header}\n{line()}\n")
    assert problem.where == "gold.tsv:2"
    assert "id pair text student_tokens teacher_tokens links phenomena note" in problem.expected
    assert repr(header[:20])[:-1] in problem.got


def test_windows_line_ends(file: Path) -> None:
    (problem,) = problems(file, f"# comment\r\n{HEADER}\r\n{line()}\r\n")
    assert problem.where == "gold.tsv:2"
    assert "carriage return" in problem.got
    assert "Unix" in problem.remedy
    # A file of which an editor changed some lines.
    found = problems(file, f"{HEADER}\n{line()}\n{line(id='r2')}\r\n")
    assert [problem.where for problem in found] == ["gold.tsv:3"]
    assert "carriage return in column note" in found[0].got


@pytest.mark.parametrize("first", ["# comment\n", ""])
def test_byte_order_mark(first: str, file: Path) -> None:
    (problem,) = problems(file, f"\ufeff{first}{HEADER}\n{line()}\n")
    assert problem.where == "gold.tsv:1"
    assert "byte order mark" in problem.got
    assert "without a byte order mark" in problem.remedy


def test_bytes_that_are_no_utf8(file: Path) -> None:
    lines = [b"# caf\xe9", HEADER.encode(), line().encode(), line().encode() + b"\xf0\x9f"]
    found = problems(file, b"\n".join(lines))
    assert [(problem.where, problem.got) for problem in found] == [
        ("gold.tsv:1", "byte 0xE9 at column 6"),
        ("gold.tsv:4", f"byte 0xF0 at column {len(line().encode()) + 1}"),
    ]
    assert all(problem.expected == "UTF-8" for problem in found)


# What is wrong with a row


@pytest.mark.parametrize(
    ("changes", "where", "expected", "got", "remedy"),
    [
        pytest.param({"id": ""}, "", "an id", "empty", "an id", id="empty id"),
        pytest.param({"pair": "gpt2"}, "", "smollm2~gemma3", "'gpt2'", "both", id="one tokenizer"),
        pytest.param({"pair": "gpt2~"}, "", "smollm2~gemma3", "'gpt2~'", "both", id="no teacher"),
        pytest.param({"pair": "a~b~c"}, "", "smollm2~gemma3", "'a~b~c'", "both", id="three tokenizers"),
        pytest.param({"pair": "gpt 2~qwen"}, "", "smollm2~gemma3", "'gpt 2~qwen'", "both", id="space in a name"),
        pytest.param({"pair": ""}, "", "smollm2~gemma3", "''", "both", id="no pair"),
        pytest.param({"links": "0-3"}, "", "within 0 to 2 and 0 to 1", "0-3", "from zero", id="outside"),
        pytest.param({"links": "3-0"}, "", "within 0 to 2 and 0 to 1", "3-0", "from zero", id="outside by one"),
        pytest.param({"links": "1-1 2-1 3-2"}, "", "within 0 to 2", "3-2", "from zero", id="counted from one"),
        pytest.param({"links": "0p2"}, "", "0 to 1", "0-2", "student first", id="a possible link outside"),
        pytest.param({"links": "0-0 0-0"}, "", "each link once", "0-0 twice", "sure or as possible", id="twice sure"),
        pytest.param(
            {"links": "0-0 0p0"}, "", "each link once", "0p0 twice", "sure or as possible", id="sure, possible"
        ),
        pytest.param(
            {"phenomena": "splits"}, "", "phenomena of the list", "'splits'", "many-to-many", id="unknown phenomenon"
        ),
        pytest.param(
            {"phenomena": "split, merge"}, "", "phenomena of the list", "' merge'", "many-to-many", id="space in a list"
        ),
        pytest.param(
            {"phenomena": "split,split"}, "", "each phenomenon once", "split,split", "Remove", id="repeated tag"
        ),
        pytest.param({"student_tokens": "a cat"}, ", student_tokens", "spell", "a cat", "exactly", id="other student"),
        pytest.param({"teacher_tokens": "▁a"}, ", teacher_tokens", "spell", "▁a", "exactly", id="other teacher"),
        pytest.param({"teacher_tokens": ""}, ", teacher_tokens", "spell", "", "exactly", id="no teacher tokens"),
        pytest.param({"text": "a bat"}, ", student_tokens", "spell", "a Ġ cat", "exactly", id="other text"),
        pytest.param(
            {"teacher_tokens": "▁a  ▁cat"},
            ", teacher_tokens",
            "single spaces",
            "would shift the links",
            "Remove",
            id="two spaces",
        ),
        pytest.param(
            {"student_tokens": "a Ġ cat "},
            ", student_tokens",
            "single spaces",
            "would shift the links",
            "Remove",
            id="at the end",
        ),
        pytest.param(
            {"links": "1-1"}, "", "share more than white space", "1-1", "note", id="sure on white space alone"
        ),
        pytest.param({"links": "2-0"}, "", "share more than white space", "2-0", "note", id="sure on nothing"),
        pytest.param({"links": "0p1"}, "", "possible links within a chunk", "0p1", "note", id="outside of its chunk"),
        pytest.param(
            {"links": "1-1 0p1", "note": "1-1 stands"}, "", "within a chunk", "0p1", "note", id="the note names another"
        ),
        pytest.param(
            {"links": "1-1", "note": "See 11-1, 1-10 and 1p1."}, "", "white space", "1-1", "note", id="nearly named"
        ),
    ],
)
def test_bad_rows(changes: dict[str, str], where: str, expected: str, got: str, remedy: str, file: Path) -> None:
    problem, *_ = problems(file, f"# comment\n{HEADER}\n{line(id='r0')}\n{line(**changes)}\n")
    assert problem.where == f"gold.tsv:4{where}"
    assert expected in problem.expected
    assert got in problem.got
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    "link", ["0:0", "0-", "-0", "0--0", "-1-0", "0-0,1-1", "00-0", "0-0-0", "0P0", "½-0", "٠-0", ""]
)
def test_malformed_links(link: str, file: Path) -> None:
    (problem,) = problems(file, f"{HEADER}\n{line(links=f'0-0 {link}')}\n")
    assert problem.where == "gold.tsv:2"
    assert "i-j (sure) or ipj (possible)" in problem.expected
    assert problem.got == repr(link)


@pytest.mark.parametrize("count", [1, 7, 9])
def test_columns_are_counted(count: int, file: Path) -> None:
    cells = [*CELLS.values(), "", ""]
    (problem,) = problems(file, "\n".join([HEADER, "\t".join(cells[:count])]))
    assert (problem.where, problem.got) == ("gold.tsv:2", str(count))
    assert "8 columns" in problem.expected
    assert "note" in problem.remedy


def test_an_empty_text_has_no_row(file: Path) -> None:
    (problem,) = problems(file, f"{HEADER}\n{line(text='', student_tokens='', teacher_tokens='', links='')}\n")
    assert (problem.where, problem.expected) == ("gold.tsv:2", "a sentence")


@pytest.mark.parametrize(
    "changes", [{"links": "1-1", "note": "1-1: the space is all there is."}, {"links": "0p1 2-0", "note": "0p1, 2-0"}]
)
def test_a_note_that_names_a_link_excuses_it(changes: dict[str, str], file: Path) -> None:
    (row,) = parse(file, f"{HEADER}\n{line(**changes)}\n").rows
    assert row.note == changes["note"]


def test_an_id_is_used_once(file: Path) -> None:
    first, second = problems(file, f"{HEADER}\n{line()}\n{line(id='r2')}\n{line()}\n{line()}\n")
    assert (first.where, second.where) == ("gold.tsv:4", "gold.tsv:5")
    for problem in (first, second):
        assert "'r1'" in problem.got
        assert "line 2" in problem.got


def test_all_bad_rows_are_listed(file: Path) -> None:
    bad = [line(id="r2", links="9-9"), "too\tfew", line(id="", phenomena="nonsense"), line(id="r5", text="a dog")]
    with pytest.raises(PairsError) as caught:
        parse(file, "\n".join(["# comment", HEADER, line(), *bad, line(id="r6")]))
    assert [problem.where for problem in caught.value.problems] == [
        *("gold.tsv:4", "gold.tsv:5", "gold.tsv:6", "gold.tsv:6"),
        *("gold.tsv:7, student_tokens", "gold.tsv:7, teacher_tokens"),
    ]
    assert len(str(caught.value).split("\n")) == 6


def test_phenomena_are_distinct() -> None:
    assert len(set(PHENOMENA)) == len(PHENOMENA) == 18


def test_pieces_with_spaces_come_back(file: Path) -> None:
    sides = TokenizedText.from_pieces("a  b", ["a", "  ", "b"]), TokenizedText.from_pieces("a  b", ["a", "ĠĠ", "b"])
    row = GoldRow("r", "s~t", *sides, frozenset({(0, 0), (2, 2)}), frozenset({(1, 1)}), (), "")
    write_pairs(file, [row])
    assert r"a \s\s b" in file.read_text()
    assert read_pairs(file).rows == (row,)


# Tokenizers that a table beside the file declares


def test_a_table_beside_the_file_declares_its_tokenizers(file: Path, tmp_path: Path):
    parse(file, f"{HEADER}\n{line(pair='a~b')}\n")
    table = f"name\tvocabulary_sha256\tdescription\na\t{'1' * 64}\tof a\nother\t{'2' * 64}\tof another\n"
    (tmp_path / "tokenizers.tsv").write_text(table, encoding="utf-8")
    gold = read_pairs(file)
    assert gold.comments == (f"tokenizer a: vocabulary sha256 {'1' * 64}, of a",)
    assert declared_vocabularies(gold) == {"a": "1" * 64}
    # Beside the table nothing is said twice; elsewhere the file says it itself.
    before = file.read_bytes()
    write_pairs(file, gold, gold.comments)
    assert file.read_bytes() == before
    (tmp_path / "alone").mkdir()
    write_pairs(tmp_path / "alone" / "gold.tsv", gold, gold.comments)
    assert (tmp_path / "alone" / "gold.tsv").read_text().startswith("# tokenizer a: ")
    assert read_pairs(tmp_path / "alone" / "gold.tsv") == gold


@pytest.mark.parametrize(
    ("table", "where"), [("name\tsha\n", "tokenizers.tsv:1"), ("name\tvocabulary_sha256\tdescription\na\t1\t\n", ":2")]
)
def test_a_table_of_tokenizers_that_is_none(table: str, where: str, file: Path, tmp_path: Path):
    (tmp_path / "tokenizers.tsv").write_text(table)
    with pytest.raises(PairsError, match=where):
        parse(file, f"{HEADER}\n{line()}\n")
