"""``probe-pairs check``: each rule broken once, on a file that is otherwise clean."""

import re
from pathlib import Path

import pytest
from places import GOLD

from probe.cli.pairs import main
from probe.gold.pairs import read_pairs, scan_pairs
from probe.gold.rows import COLUMNS
from probe.models.sources import bundled_dir
from probe.models.tokenizer import Tokenizer

DECLARED = [f"# tokenizer {name}: vocabulary sha256 {digit * 64}" for name, digit in (("s", "a"), ("t", "b"))]
CELLS = {
    "id": "r1",
    "pair": "s~t",
    "text": "the untied cat",
    "student_tokens": "the Ġun tied Ġcat",
    "teacher_tokens": "▁the ▁unt ied ▁cat",
    "links": "0-0 1-1 2p1 2-2 3-3",
    "phenomena": "many-to-many",
    "note": "",
}


def line(**changes: str) -> str:
    assert changes.keys() <= CELLS.keys()
    return "\t".join((CELLS | changes).values())


@pytest.fixture(autouse=True)
def no_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROBE_TOKENIZERS", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.tsv"


def write(file: Path, *rows: str, declared: list[str] = DECLARED) -> None:
    file.write_text("\n".join([*declared, "\t".join(COLUMNS), *rows, ""]), encoding="utf-8")


def check(file: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    code = main(["check", str(file), *options])
    return code, capsys.readouterr().out.splitlines()


# The row: `tied` shares one of its four letters with `unt`, and one of three: possible.


def test_a_clean_file_is_one_line(file: Path, capsys: pytest.CaptureFixture[str]):
    write(
        file,
        line(),
        line(
            id="r2",
            text="the untied cat.",
            student_tokens="the Ġun tied Ġcat.",
            links="0-0 1-1 2p1 2-2 3-3",
            teacher_tokens="▁the ▁unt ied ▁cat.",
        ),
    )
    assert check(file, capsys) == (0, [f"{file}: 2 rows, clean"])


def test_a_file_without_rows_is_not_clean(file: Path, capsys: pytest.CaptureFixture[str]):
    write(file)
    assert check(file, capsys) == (1, [f"{file}: no rows"])


def test_the_gold_file_is_clean(capsys: pytest.CaptureFixture[str]):
    assert check(GOLD, capsys) == (0, [f"{GOLD}: {len(read_pairs(GOLD).rows)} rows, clean"])


WHITE = {
    "text": r"a:\nb",
    "student_tokens": "a : Ċ b",
    "teacher_tokens": "a :Ċ b",
    "phenomena": "whitespace",
}


@pytest.mark.parametrize(
    ("changes", "expected", "got"),
    [
        pytest.param({"links": "0-0 1-1 2-1 2-2 3-3"}, "by the half rule", "2-1, possible by this rule", id="too sure"),
        pytest.param({"links": "0-0 1p1 2p1 2-2 3-3"}, "by the half rule", "1p1, sure by this rule", id="too unsure"),
        pytest.param(
            {"links": "0-0 1-1 2-2 3-3"}, "where two tokens overlap", "none between 2 and 1, possible", id="left out"
        ),
        pytest.param({"links": "1-1 2p1 2-2 3-3"}, "one token on each side", "none between 0 and 0", id="1-1 unlinked"),
        pytest.param({"links": "0-0 1-1 1p2 2p1 2-2 3-3"}, "share no byte", "1p2", id="in the chunk, apart"),
        pytest.param({"links": "0p0 1-1 2p1 2-2 3-3"}, "by the half rule", "0p0, sure", id="1-1 possible"),
        pytest.param({"phenomena": ""}, "the tag many-to-many", "no tags", id="tag missing"),
        pytest.param({"phenomena": "many-to-many,emoji"}, "no tag emoji", "many-to-many,emoji", id="tag unfounded"),
        pytest.param(WHITE | {"links": "0-0 1-1 2p1 3-2"}, "a line break or a tab", "2p1", id="line break"),
        pytest.param({"pair": "s~other"}, "comment line `# tokenizer other", "none for other", id="undeclared"),
    ],
)
def test_rules(changes: dict[str, str], expected: str, got: str, file: Path, capsys: pytest.CaptureFixture[str]):
    write(
        file,
        line(id="r0", text="dog", student_tokens="dog", teacher_tokens="dog", links="0-0", phenomena=""),
        line(**changes),
    )
    code, lines = check(file, capsys)
    assert code == 1
    assert len(lines) == 2, lines
    where, found, remedy = re.fullmatch(r"(.*): expected (.*); got (.*)", lines[0]).groups()
    assert where == "mine.tsv:5, row r1"
    assert expected in found
    assert got in remedy
    assert lines[1] == f"{file}: 1 finding"


@pytest.mark.parametrize(
    "changes",
    [
        {"links": "0-0 1-1 2-1 2-2 3-3", "note": "2-1: one letter, and yet."},
        {"links": "0-0 1-1 2-2 3-3", "note": "2p1 is too little."},
        {"links": "1-1 2p1 2-2 3-3", "note": "0-0: the article is another."},
        WHITE | {"links": "0-0 1-1 2-1 3-2", "note": "2-1: line break."},
        WHITE | {"links": "0-0 1-1 2p1 3-2", "note": "2p1: hardly."},
    ],
)
def test_a_note_that_names_the_link_excuses_it(changes: dict[str, str], file: Path, capsys: pytest.CaptureFixture[str]):
    write(file, line(**changes))
    assert check(file, capsys)[0] == 0


def test_a_text_twice(file: Path, capsys: pytest.CaptureFixture[str]):
    declared = [*DECLARED, f"# tokenizer u: vocabulary sha256 {'c' * 64}"]
    write(file, line(), line(id="r2", pair="s~u"), line(id="r3"), declared=declared)
    code, lines = check(file, capsys)
    assert code == 1
    assert [text.partition(": expected")[0] for text in lines] == ["mine.tsv:7, row r3", f"{file}: 1 finding"]
    assert "a different sentence in each row of a pair; got the sentence of row r1" in lines[0]


def test_a_tokenizer_is_asked_for_once(file: Path, capsys: pytest.CaptureFixture[str]):
    write(
        file,
        line(),
        line(id="r2", text="dog", student_tokens="dog", teacher_tokens="dog", links="0-0", phenomena=""),
        declared=[],
    )
    code, lines = check(file, capsys)
    assert code == 1
    assert [("`# tokenizer s:" in text, "`# tokenizer t:" in text) for text in lines[:-1]] == [
        (True, False),
        (False, True),
    ]


def test_rows_that_break_the_format_are_listed_beside_those_that_break_a_rule(
    file: Path, capsys: pytest.CaptureFixture[str]
):
    write(file, line(phenomena=""), line(id="r2", links="9-9"), line(id="r1"), line(id="r4", text="other"))
    code, lines = check(file, capsys)
    assert code == 1
    assert [text.partition(": expected")[0] for text in lines[:-1]] == [
        "mine.tsv:5",
        "mine.tsv:6",
        "mine.tsv:7, student_tokens",
        "mine.tsv:7, teacher_tokens",
        "mine.tsv:4, row r1",
    ]


def test_scanning_keeps_the_rows_that_are_good_with_their_lines(file: Path):
    write(file, line(), line(id="r2", links="9-9"), line(id="r1"), line(id="r4"))
    gold, problems = scan_pairs(file)
    assert [(row.id, number) for row, number in zip(gold.rows, gold.lines, strict=True)] == [("r1", 4), ("r4", 7)]
    assert [problem.where for problem in problems] == ["mine.tsv:5", "mine.tsv:6"]


@pytest.mark.parametrize("content", [None, b"", b"no header\n", b"\xff\n"])
def test_a_file_that_cannot_be_read(content: bytes | None, file: Path, capsys: pytest.CaptureFixture[str]):
    if content is not None:
        file.write_bytes(content)
    assert main(["check", str(file)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("probe-pairs: ")
    assert captured.err.count("\n") == 1


# Cutting anew


def demo_rows(file: Path, *, wrong: bool = False) -> None:
    """Two rows of the bundled demo, the second one perhaps cut as no tokenizer would."""
    gold = GOLD.read_text(encoding="utf-8").split("\n")
    rows = [text for text in gold if text.startswith("demo-00")][:2]
    if wrong:
        rows[1] = rows[1].replace("\tOpen Ġthe", "\tOp enĠthe", 1)
    write(
        file, *rows, declared=[f"# {text}" for text in read_pairs(GOLD).comments if text.startswith("tokenizer demo")]
    )


def test_pieces_are_cut_anew_with_named_models(file: Path, capsys: pytest.CaptureFixture[str]):
    demo_rows(file)
    options = "--student", "bundled:demo/student", "--teacher", "bundled:demo/teacher"
    assert check(file, capsys, *options) == (
        0,
        ["tokenizers checked: demo, demo-teacher", "tokenizers not checked: none", f"{file}: 2 rows, clean"],
    )
    demo_rows(file, wrong=True)
    code, lines = check(file, capsys, *options[:2])
    assert code == 1
    wrong = next(text for text in lines if "student_tokens" in text)
    assert wrong.startswith("mine.tsv:5, row demo-002, student_tokens: expected the tokens of demo: Open Ġthe")
    assert "; got Op enĠthe" in wrong
    code, lines = check(file, capsys, *options[2:])
    assert not any("student_tokens" in text for text in lines)


def test_another_tokenizer_is_refused(file: Path, capsys: pytest.CaptureFixture[str]):
    write(file, line())
    assert main(["check", str(file), "--student", "bundled:demo/student"]) == 2
    error = capsys.readouterr().err
    assert "--student bundled:demo/student: expected a vocabulary that the file declares for a student (s" in error
    assert Tokenizer.load(bundled_dir() / "demo" / "student").vocabulary_sha256() in error


def test_the_teachers_tokenizer_is_no_students(file: Path, capsys: pytest.CaptureFixture[str]):
    demo_rows(file)
    assert main(["check", str(file), "--student", "bundled:demo/teacher"]) == 2
    assert "declares for a student (demo); got another" in capsys.readouterr().err


def test_tokenizers_of_a_directory(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    demo_rows(file)
    (tmp_path / "models" / "demo").mkdir(parents=True)
    (tmp_path / "models" / "demo" / "tokenizer.json").symlink_to(bundled_dir() / "demo" / "student" / "tokenizer.json")
    monkeypatch.setenv("PROBE_TOKENIZERS", str(tmp_path / "models"))
    assert check(file, capsys) == (
        0,
        ["tokenizers checked: demo", "tokenizers not checked: demo-teacher", f"{file}: 2 rows, clean"],
    )
    # Another tokenizer under that name.
    (tmp_path / "models" / "demo" / "tokenizer.json").unlink()
    (tmp_path / "models" / "demo" / "tokenizer.json").symlink_to(bundled_dir() / "demo" / "teacher" / "tokenizer.json")
    code, lines = check(file, capsys)
    assert code == 1
    assert lines[0].startswith("mine.tsv, tokenizer demo: expected the declared vocabulary")
    monkeypatch.setenv("PROBE_TOKENIZERS", str(tmp_path / "nowhere"))
    assert main(["check", str(file)]) == 2
    assert "a directory of tokenizers" in capsys.readouterr().err
