"""``probe-pairs new``: sentences in, rows out that the format accepts and the guidelines' checks find nothing in."""

import io
import os
import sys
from pathlib import Path

import pytest
from places import GOLD
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers

from probe.cli.pairs import main
from probe.errors import PairsError
from probe.gold.declared import normal_forms
from probe.gold.drafts import declarations, draft_row, pair_name, read_sentences
from probe.gold.half_rule import half_rule_links
from probe.gold.pairs import declared_vocabularies, read_pairs
from probe.models.sources import bundled_dir
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText

MODELS = "--student", "bundled:demo/student", "--teacher", "bundled:demo/teacher"


def new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stdin: bytes, *options: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii"))
    code = main(["new", *MODELS, *options])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


SENTENCES = "Return the file's path.\n\nThe café, the  CAFÉ:\\n\\tdone \\\\ 人\n".encode()


def test_sentences_become_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, out, err = new(monkeypatch, capsys, SENTENCES, "--pair", "demo~demo-teacher", "--prefix", "x-")
    assert (code, err) == (0, "")
    (tmp_path / "draft.tsv").write_text(out, encoding="utf-8", newline="\n")
    gold = read_pairs(tmp_path / "draft.tsv")
    first, second = gold.rows
    assert (first.id, second.id, first.pair) == ("x-001", "x-002", "demo~demo-teacher")
    assert (first.text, second.text) == ("Return the file's path.", "The café, the  CAFÉ:\n\tdone \\ 人")
    tokenizers = [Tokenizer.load(bundled_dir() / "demo" / role) for role in ("student", "teacher")]
    for row in gold.rows:
        assert (row.student.pieces, row.teacher.pieces) == tuple(one.pieces([row.text])[0] for one in tokenizers)
        assert row.links == half_rule_links(row.student, row.teacher)
    assert "contraction" in first.phenomena
    assert {"accent", "casing", "cjk", "whitespace", "repeat-new-context"} <= set(second.phenomena)
    assert first.note == ""
    # The same words as in the gold file, whose declarations they are.
    assert declared_vocabularies(gold) == {
        name: sha for name, sha in declared_vocabularies(read_pairs(GOLD)).items() if name.startswith("demo")
    }


def test_a_draft_passes_the_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    file = tmp_path / "draft.tsv"
    texts = [row.text for row in read_pairs(GOLD).rows if row.pair == "demo~demo-teacher"]
    stdin = "\n".join(text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") for text in texts).encode()
    said = f"{file}: {len(texts)} rows. Correct the proposed links, then run: probe-pairs check {file}\n"
    assert new(monkeypatch, capsys, stdin, "--pair", "demo~demo-teacher", "--out", str(file)) == (0, said, "")
    assert [row.text for row in read_pairs(file).rows] == texts
    assert main(["check", str(file), *MODELS]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.endswith(f"{len(texts)} rows, clean\n")
    # The annotator's file has the same links but for endings, which no machine tells from stems.
    for row, draft in zip(read_pairs(GOLD).rows, read_pairs(file).rows, strict=False):
        changed = {link for link in row.links.either if row.links.kind(link) != draft.links.kind(link)}
        assert changed <= row.possible & draft.sure


def test_links_on_white_space_are_named_in_the_note():
    text = "a \n b"
    both = (
        TokenizedText.from_pieces(text, ["a", "Ġ", "Ċ", "Ġb"]),
        TokenizedText.from_pieces(text, ["a", "ĠĊ", "Ġ", "b"]),
    )
    row = draft_row("r", "s~t", *both)
    assert row.sure == {(0, 0), (1, 1), (2, 1), (3, 3)}
    assert row.possible == {(3, 2)}
    assert row.note == "Sure on white space, which is all that these pieces carry: 1-1 2-1."


def test_names_come_from_the_sources(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    code, out, _ = new(monkeypatch, capsys, b"A cat.")
    assert code == 0
    assert "\nrow-001\tstudent~teacher\tA cat.\t" in out
    assert "# tokenizer student: vocabulary sha256 " in out
    assert ", bundled:demo/student\n" in out


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ("models/gpt2/", "Qwen/Qwen1.5-1.8B@main", "gpt2~Qwen1.5-1.8B"),
        ("bundled:demo/student", "cache:gemma3", "student~gemma3"),
        ("my models/a~b c", "t", "a-b-c~t"),
    ],
)
def test_pair_name(student: str, teacher: str, expected: str):
    assert pair_name(student, teacher) == expected


def test_one_name_for_two_tokenizers_is_refused():
    with pytest.raises(PairsError, match="--pair NAME~NAME"):
        pair_name("runs/a/model", "runs/b/model")


@pytest.mark.parametrize(
    ("stdin", "wheres", "got"),
    [
        (b"", ["stdin"], "none"),
        (b"\n\n", ["stdin"], "none"),
        (b"a\nb\\q\nc\n", ["stdin:2"], "another backslash"),
        (b"a\r\nb\r\n", ["stdin:1", "stdin:2"], "carriage return"),
        (b"a\nb\na\n", ["stdin:3"], "the sentence of line 1"),
        (b"a\n\xff\nb\\\n", ["stdin:2", "stdin:3"], "byte 0xFF at column 1"),
    ],
)
def test_bad_sentences(stdin: bytes, wheres: list[str], got: str):
    with pytest.raises(PairsError) as caught:
        read_sentences(stdin, "stdin")
    assert [problem.where for problem in caught.value.problems] == wheres
    assert got in caught.value.problems[0].got


@pytest.mark.parametrize("options", [("--pair", "one"), ("--pair", "a b~c"), ("--prefix", "#")])
def test_names_that_would_not_be_read_back(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    code, out, err = new(monkeypatch, capsys, b"A cat.", *options, "--out", str(tmp_path / "draft.tsv"))
    assert (code, out) == (2, "")
    assert err.startswith("probe-pairs: ")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_a_sentence_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    code, out, err = new(monkeypatch, capsys, b"A cat.\nA \\cat.", "--out", str(tmp_path / "draft.tsv"))
    assert (code, out, list(tmp_path.iterdir())) == (2, "", [])
    assert "stdin:2" in err


def test_a_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"A cat.")))
    assert main(["new", "--student", "./nowhere", "--teacher", "bundled:demo/teacher"]) == 2
    assert "a tokenizer.json" in capsys.readouterr().err


def test_a_tokenizer_that_changes_the_text_is_told_with_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    import tokenizers
    from tokenizers import models, pre_tokenizers

    backend = tokenizers.Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    (tmp_path / "words").mkdir()
    backend.save(str(tmp_path / "words" / "tokenizer.json"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"aa\nab\naaa\n")))
    assert main(["new", "--student", str(tmp_path / "words"), "--teacher", "bundled:demo/teacher"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("probe-pairs: stdin:2: expected tokens that spell the sentence; got a ?.")
    assert captured.err.count("\n") == 1


def test_a_file_gives_the_rows_that_standard_input_gives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    code, piped, _ = new(monkeypatch, capsys, SENTENCES)
    assert code == 0
    file = tmp_path / "sentences.txt"
    file.write_bytes(SENTENCES)
    for options in ((str(file), *MODELS), (*MODELS, str(file))):
        monkeypatch.setattr(sys, "stdin", None)  # it is not asked for
        assert main(["new", *options]) == 0
        assert capsys.readouterr().out == piped


@pytest.mark.parametrize(
    ("held", "where", "got"),
    [
        (None, "{file}", "No such file or directory"),
        (b"a\n\xff\n", "{file}:2", "byte 0xFF at column 1"),
        (b"", "{file}", "none"),
    ],
)
def test_a_file_without_sentences_is_one_message(
    held: bytes | None, where: str, got: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    file, out = tmp_path / "sentences.txt", tmp_path / "draft.tsv"
    if held is not None:
        file.write_bytes(held)
    assert main(["new", str(file), *MODELS, "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"probe-pairs: {where.format(file=file)}: expected ")
    assert f"; got {got}. " in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_a_terminal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    ours, theirs = os.openpty()
    os.write(ours, b"A cat.\n\x04")  # so that a command that does wait comes to an end
    try:
        with open(theirs) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            assert main(["new", *MODELS]) == 2
    finally:
        os.close(ours)
    assert "got a terminal. Name a file of sentences" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("normalizer", "form"),
    [(None, None), (normalizers.NFC(), "NFC"), (normalizers.NFKC(), "NFKC"), (normalizers.Lowercase(), None)],
)
def test_a_draft_declares_the_normal_form_of_a_tokenizer(
    normalizer: normalizers.Normalizer | None, form: str | None, tmp_path: Path
):
    backend = Backend(models.WordLevel({"a": 0}, unk_token="a"))
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.save(str(tmp_path / "tokenizer.json"))
    one = Tokenizer(tmp_path / "tokenizer.json"), "here"
    assert normal_forms(declarations("a~b", one, one)) == ({} if form is None else {"a": form, "b": form})
