"""All rules of the guidelines: they make every link of the gold file, and rows for tokenizers that it has none for."""

from pathlib import Path

import pytest
from directories import dskd_run, save_teacher
from places import GOLD, ROOT
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers

from probe.cli.align import main
from probe.errors import PairsError
from probe.gold.by_rule import read_texts, rows_by_rule
from probe.gold.pairs import read_pairs, write_pairs
from probe.gold.rows import Links
from probe.gold.rules import rule_links
from probe.models.sources import bundled_dir, bundled_gold
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText

TEXTS = {"a": "Return the path of the file.", "b": "The file is closed.", "c": "Serves\n\tall."}


def sides(student: str, teacher: str) -> tuple[TokenizedText, TokenizedText]:
    cuts = student.split("|"), teacher.split("|")
    return TokenizedText.from_pieces("".join(cuts[0]), cuts[0]), TokenizedText.from_pieces("".join(cuts[0]), cuts[1])


def test_the_rules_make_every_link_of_the_gold_file():
    links = 0
    for row in read_pairs(GOLD).rows:
        assert rule_links(row.student, row.teacher) == row.links, row.id
        links += len(row.links.either)
    assert links == 11_597


def test_an_ending_is_no_part_of_the_stem():
    links = rule_links(*sides("ser|v|es", "serve|s"))
    assert links == Links(frozenset({(0, 0), (1, 0), (2, 1)}), frozenset({(2, 0)}))
    assert (2, 0) in rule_links(*sides("ser|v|et", "serve|t")).sure  # no ending
    assert (2, 0) in rule_links(*sides("ser|v|es|t", "serve|st")).sure  # not the end of the word
    assert (1, 2) in rule_links(*sides("serve|s", "ser|v|es")).sure  # and the other way round
    assert (0, 2) in rule_links(*sides("serve|s", "ser|v|es")).possible


def test_a_line_break_inside_of_a_token_is_content():
    assert rule_links(*sides(":|\n", ":\n")).sure == {(0, 0), (1, 0)}
    assert rule_links(*sides(":| ", ": ")).sure == {(0, 0)}


def test_a_normalised_character_is_linked_to_all_its_bytes():
    text = "mun\u0303eca"
    plain = TokenizedText.from_pieces(text, ["mun", "\u0303", "eca"])
    composed = TokenizedText.from_pieces(text, ["mu", "ñ", "eca"])
    assert {(0, 1), (1, 1)} <= rule_links(plain, composed).sure
    assert {(1, 0), (1, 1)} <= rule_links(composed, plain).sure


def test_rows_by_rule_are_those_of_the_gold_file():
    gold = [row for row in read_pairs(GOLD).rows if row.pair.startswith("demo~")]
    student, teacher = (Tokenizer.load(bundled_dir() / "demo" / role) for role in ("student", "teacher"))
    found = rows_by_rule({row.id: row.text for row in gold}, student, teacher, "demo~demo-teacher")
    assert found.left_out == 0
    for ours, theirs in zip(found.rows, gold, strict=True):
        assert (ours.id, ours.links, ours.student, ours.teacher) == (
            theirs.id,
            theirs.links,
            theirs.student,
            theirs.teacher,
        )


def test_a_tokenizer_that_changes_texts_is_refused_with_the_reason(tmp_path: Path):
    backend = Backend(models.WordPiece({"[UNK]": 0, "the": 1, "file": 2, "return": 3}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    teacher = Tokenizer.load(bundled_dir() / "demo" / "teacher")
    with pytest.raises(PairsError, match="It changes texts"):
        rows_by_rule(TEXTS, Tokenizer(tmp_path / "tokenizer.json"), teacher, "wordpiece~demo")


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.txt", "one\n\ntwo\r\none\n", ["one", "two", "one"]),
        ("a.jsonl", '{"output": "one"}\n{"output": "two\\nlines"}\n', ["one", "two\nlines"]),
    ],
)
def test_texts_are_lines_or_outputs(name: str, content: str, texts: list[str], tmp_path: Path):
    (tmp_path / name).write_bytes(content.encode())
    assert list(read_texts(tmp_path / name).by_id.values()) == texts


@pytest.mark.parametrize(("name", "content"), [("a.txt", "\n"), ("a.jsonl", '{"text": "one"}\n'), ("a.jsonl", "[1]\n")])
def test_files_without_texts_are_refused(name: str, content: str, tmp_path: Path):
    (tmp_path / name).write_text(content)
    with pytest.raises(PairsError, match=name):
        read_texts(tmp_path / name)


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\n".encode())
    assert list(read_texts(tmp_path / "a.txt").by_id.values()) == ["one"]


# The command


def test_the_bundled_gold_is_that_of_the_repository():
    for name in ("gold.tsv", "tokenizers.tsv"):
        assert (bundled_gold().parent / name).read_bytes() == (ROOT / "alignments" / name).read_bytes()


def test_without_pairs_the_bundled_gold_is_taken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    assert main(["--methods", "lexical"]) == 0
    assert "bundled gold.tsv: 43 sentences" in capsys.readouterr().out


def test_other_tokenizers_are_probed_by_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_teacher(tmp_path)
    run = str(dskd_run(tmp_path))
    gold = read_pairs(GOLD)
    write_pairs(tmp_path / "few.tsv", gold.rows[::40], gold.comments)
    options = ["--pairs", str(tmp_path / "few.tsv"), "--methods", "lexical,diagonal", "--key-scale", "0.1"]
    assert main(["--checkpoint", run, *options]) == 0
    out = capsys.readouterr().out
    assert "few.tsv, linked by rule: 10 sentences" in out
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS.values(), TEXTS["a"]]), encoding="utf-8")
    page = tmp_path / "page.html"
    options = ["--texts", str(tmp_path / "texts.txt"), "--key-scale", "0.1", "--html", str(page)]
    assert main(["--checkpoint", run, *options, "--methods", "lexical"]) == 0
    assert "texts.txt, linked by rule: 4 sentences" in capsys.readouterr().out
    assert "linked by rule" in page.read_text(encoding="utf-8")


def test_maps_need_gold(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "texts.txt").write_text("one\n")
    assert main(["--texts", str(tmp_path / "texts.txt"), "--maps", "a.npz"]) == 2
    assert "Name a gold file with --pairs" in capsys.readouterr().err
