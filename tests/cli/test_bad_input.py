"""What a user sees of bad input: exit code 2, one message that says where, what and how to mend it, and no output."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from directories import checkpoint

from probe.checkpoints.checkpoint import save_checkpoint
from probe.chunks import content_mask
from probe.cli import align, heatmap, models
from probe.gold.pairs import write_pairs
from probe.gold.rows import COLUMNS, GoldRow, format_row
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText

HEADER = "\t".join(COLUMNS)
TEXTS = ("Return the path of the file.", "Read a café menu twice.")
Main = Callable[[Sequence[str]], int]
Refused = Callable[..., str]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny models and a checkpoint of theirs, in ``student``, ``teacher`` and ``checkpoint``."""
    place = tmp_path_factory.mktemp("tiny")
    save_checkpoint(checkpoint(place), place / "checkpoint")
    return place


@pytest.fixture(scope="session")
def rows(place: Path) -> list[GoldRow]:
    return [row_of(text, f"r{n}", place) for n, text in enumerate(TEXTS)]


def row_of(text: str, id_: str, place: Path) -> GoldRow:
    student, teacher = (Tokenizer.load(place / role).tokenize(text) for role in ("student", "teacher"))
    sure = zip(*(axis.tolist() for axis in content_mask(student, teacher).nonzero()), strict=True)
    return GoldRow(id_, "tiny~tiny-teacher", student, teacher, frozenset(sure), frozenset(), (), "")


@pytest.fixture
def gold(tmp_path: Path, rows: list[GoldRow], place: Path) -> Path:
    """A gold file for the checkpoint, with both vocabularies declared."""
    write_pairs(tmp_path / "gold.tsv", rows, declared(place))
    return tmp_path / "gold.tsv"


def declared(place: Path) -> list[str]:
    names = {"tiny": "student", "tiny-teacher": "teacher"}
    return [
        f"tokenizer {name}: vocabulary sha256 {Tokenizer.load(place / role).vocabulary_sha256()}, made for a test"
        for name, role in names.items()
    ]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail without a trace, and return its message."""

    def run(main: Main, *arguments: str | Path) -> str:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert re.match(r"probe-(align|heatmap|models): ", err)
        assert "Traceback" not in err
        for part in ("expected", "; got "):
            assert part in err
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        return err

    return run


# The commands work where the input is good, so what is refused below is refused for its fault alone.


# Of two sentences, a resample may leave a figure without a value.
def test_good_input(place: Path, gold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, figure = tmp_path / "report.json", tmp_path / "figure.png"
    options = ["--checkpoint", str(place / "checkpoint"), "--pairs", str(gold)]
    assert align.main([*options, "--json", str(report)]) == 0
    assert heatmap.main([*options, "--row", "r0", "--out", str(figure), "--dpi", "30"]) == 0
    assert capsys.readouterr().err == ""
    assert report.stat().st_size
    assert figure.stat().st_size


def test_one_row_is_enough(place: Path, rows: list[GoldRow], tmp_path: Path) -> None:
    write_pairs(tmp_path / "gold.tsv", rows[:1])
    assert align.main(["--checkpoint", str(place / "checkpoint"), "--pairs", str(tmp_path / "gold.tsv")]) == 0


# probe-align: the gold file


def test_missing_file(place: Path, tmp_path: Path, refused: Refused) -> None:
    for name in ("missing.tsv", "."):
        err = refused(align.main, "--pairs", tmp_path / name, "--checkpoint", place / "checkpoint")
        assert str(tmp_path / name) in err
        assert "Correct the path." in err


CAT = "a\ta~b\ta cat\ta Ġcat\t▁a ▁cat\t0-0 1-1\t\t"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param("", ["gold.tsv", "a header and rows", "id pair text"], id="empty"),
        pytest.param("# a comment\n", ["gold.tsv", "a header and rows"], id="comments alone"),
        pytest.param("id\ttext\n", ["gold.tsv:1", "student_tokens", r"'id\ttext'", "this order"], id="header"),
        pytest.param(f"{HEADER}\r\n{CAT}\r\n", ["gold.tsv:1", "LF", "carriage return", "Unix"], id="Windows"),
        pytest.param(f"\ufeff{HEADER}\n{CAT}\n", ["gold.tsv:1", "byte order mark"], id="byte order mark"),
        pytest.param(f"{HEADER}\n{CAT}\xe9\n".encode("latin-1", "ignore"), ["gold.tsv:2", "0xE9"], id="Latin-1"),
        pytest.param(f"{HEADER}\na\ta~b\n", ["gold.tsv:2", "8 columns", "got 2", "note"], id="columns"),
        pytest.param(f"{HEADER}\n{CAT}\n{CAT}\n", ["gold.tsv:3", "'a'", "line 2", "Rename"], id="id twice"),
        pytest.param(f"{HEADER}\n{CAT[1:]}\n", ["gold.tsv:2", "an id"], id="no id"),
        pytest.param(f"{HEADER}\n{CAT}\\q\n", ["gold.tsv:2", r"\uXXXX", "column note"], id="escape"),
        pytest.param(f"{HEADER}\n{CAT.replace('~b', '')}\n", ["gold.tsv:2", "'a'", "both tokenizers"], id="pair"),
        pytest.param(f"{HEADER}\n{CAT.replace('1-1', '1-2')}\n", ["gold.tsv:2", "0 to 1", "1-2", "zero"], id="range"),
        pytest.param(f"{HEADER}\n{CAT.replace('1-1', '1:1')}\n", ["gold.tsv:2", "i-j", "'1:1'"], id="link"),
        pytest.param(f"{HEADER}\n{CAT.replace('1-1', '0p0')}\n", ["gold.tsv:2", "each link once", "0p0"], id="twice"),
        pytest.param(
            f"{HEADER}\n{CAT.replace('1-1', '1-0')}\n", ["gold.tsv:2", "white space", "1-0", "note"], id="sure"
        ),
        pytest.param(f"{HEADER}\n{CAT.replace('1-1', '1p0')}\n", ["gold.tsv:2", "a chunk", "1p0"], id="possible"),
        pytest.param(
            f"{HEADER}\n{CAT[:-1]}splt\t\n", ["gold.tsv:2", "phenomena of the list", "'splt'", "split"], id="tag"
        ),
        pytest.param(
            f"{HEADER}\n{CAT.replace('Ġcat', 'Ġdog')}\n",
            ["gold.tsv:2, student_tokens", "a Ġdog", "exactly"],
            id="pieces",
        ),
    ],
)
def test_gold_file(content: str | bytes, parts: list[str], place: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "gold.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
    err = refused(align.main, "--pairs", tmp_path / "gold.tsv", "--checkpoint", place / "checkpoint")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_every_bad_row_is_named(place: Path, gold: Path, rows: list[GoldRow], refused: Refused) -> None:
    good = format_row(replace(rows[0], id="good"))
    gold.write_text("\n".join([HEADER, "one", good, CAT.replace("1-1", "7-7"), "\t" * 7, good, ""]))
    err = refused(align.main, "--pairs", gold, "--checkpoint", place / "checkpoint")
    assert [line for line in range(1, 8) if f"gold.tsv:{line}" in err] == [2, 4, 5, 6]


# probe-align: a gold file and a checkpoint


def test_tokens_that_the_tokenizer_does_not_produce(
    place: Path, gold: Path, rows: list[GoldRow], refused: Refused
) -> None:
    pieces = rows[0].student.pieces
    cut = next(n for n, piece in enumerate(pieces) if len(piece) > 2)
    edited = (*pieces[:cut], pieces[cut][:2], pieces[cut][2:], *pieces[cut + 1 :])
    bad = replace(rows[0], student=TokenizedText.from_pieces(rows[0].text, edited), sure=frozenset())
    write_pairs(gold, [bad, rows[1]], declared(place))
    err = refused(align.main, "--pairs", gold, "--checkpoint", place / "checkpoint")
    assert "gold.tsv:4, row r0, student_tokens" in err
    assert f"tokens {' '.join(pieces)}; got {' '.join(edited)}" in err
    assert "teacher_tokens" not in err
    assert "correct the links" in err


def test_texts_without_a_row_for_these_tokenizers_are_linked_by_rule(
    place: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gold.tsv").write_text(f"{HEADER}\n{CAT}\n{CAT.replace('a~b', 'c~d').replace('a', 'b', 1)}\n")
    assert align.main(["--pairs", str(tmp_path / "gold.tsv"), "--checkpoint", str(place / "checkpoint")]) == 0
    assert "gold.tsv, linked by rule: 1 sentence" in capsys.readouterr().out
    (tmp_path / "gold.tsv").write_text(HEADER)
    err = refused(align.main, "--pairs", tmp_path / "gold.tsv", "--checkpoint", place / "checkpoint")
    assert "Name other texts" in err


def test_unknown_checkpoint(gold: Path, refused: Refused) -> None:
    assert "Did you mean demo?" in refused(align.main, "--pairs", gold, "--checkpoint", "dem0")
    err = refused(align.main, "--pairs", gold, "--checkpoint", "nothing-like-it")
    assert "nothing-like-it" in err
    assert "demo" in err.split("; got")[0]
    assert "probe-models" in err


def test_a_directory_that_is_no_checkpoint(gold: Path, place: Path, refused: Refused) -> None:
    err = refused(align.main, "--pairs", gold, "--checkpoint", place / "student")
    for part in (str(place / "student"), "probe.json", "projector.pt"):
        assert part in err


def test_another_model_than_the_projectors_were_trained_with(gold: Path, place: Path, refused: Refused) -> None:
    options = ["--pairs", gold, "--checkpoint", place / "checkpoint"]
    err = refused(align.main, *options, "--teacher", place / "student")
    assert "sha256" in err
    assert str(place / "student") in err


def test_a_key_scale_where_the_checkpoint_stores_one(gold: Path, place: Path, refused: Refused) -> None:
    err = refused(align.main, "--pairs", gold, "--checkpoint", place / "checkpoint", "--key-scale", "2")
    assert "--key-scale" in err
    assert "stores 0.5" in err


@pytest.mark.parametrize("where", ["no/such/report.json", "gold.tsv/report.json", "."])
def test_a_report_that_cannot_be_written(where: str, gold: Path, place: Path, tmp_path: Path, refused: Refused) -> None:
    options = ["--pairs", gold, "--checkpoint", place / "checkpoint"]
    err = refused(align.main, *options, "--json", tmp_path / where)
    assert str(tmp_path / where) in err
    assert "a place to write to" in err
    assert "another path" in err


def test_one_checkpoint_twice(gold: Path, place: Path, tmp_path: Path, refused: Refused) -> None:
    twice = ["--checkpoint", place / "checkpoint"] * 2
    err = refused(align.main, "--pairs", gold, *twice, "--json", tmp_path / "report.json")
    assert "--checkpoint" in err
    assert "Name each once" in err
    assert not (tmp_path / "report.json").exists()


# probe-heatmap


def test_a_figure_of_unknown_kind(place: Path, tmp_path: Path, refused: Refused) -> None:
    for name in ("figure.gif", "figure"):
        err = refused(heatmap.main, TEXTS[0], "--checkpoint", place / "checkpoint", "--out", tmp_path / name)
        assert str(tmp_path / name) in err
        assert ".pdf, .svg, .png" in err


def test_a_figure_that_cannot_be_written(place: Path, tmp_path: Path, refused: Refused) -> None:
    out = tmp_path / "no" / "figure.png"
    err = refused(heatmap.main, TEXTS[0], "--checkpoint", place / "checkpoint", "--out", out)
    assert str(out) in err
    assert f"no folder {tmp_path / 'no'}. Create it" in err


def test_an_unknown_row(place: Path, gold: Path, tmp_path: Path, refused: Refused) -> None:
    options = ["--checkpoint", place / "checkpoint", "--out", tmp_path / "figure.png"]
    err = refused(heatmap.main, *options, "--pairs", gold, "--row", "r9")
    for part in (str(gold), "r9", "no such id", "--row"):
        assert part in err
    assert "--pairs" in refused(heatmap.main, *options, "--row", "r0")


def test_a_row_of_another_pair(place: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "gold.tsv").write_text(f"{HEADER}\n{CAT}\n")
    options = ["--checkpoint", place / "checkpoint", "--out", tmp_path / "figure.png"]
    err = refused(heatmap.main, *options, "--pairs", tmp_path / "gold.tsv", "--row", "a")
    for part in ("row a", "got a~b", "checkpoint of the row's pair"):
        assert part in err


def test_no_text(place: Path, gold: Path, tmp_path: Path, refused: Refused) -> None:
    options = ["--checkpoint", place / "checkpoint", "--out", tmp_path / "figure.png"]
    assert "--pairs with --row" in refused(heatmap.main, *options, "--pairs", gold)


# probe-models


def test_models_that_cannot_be_fetched(refused: Refused) -> None:
    err = refused(models.main, "fetch", "nonsense")
    assert "nonsense" in err
    assert "smollm2-gemma3" in err


# Usage


@pytest.mark.parametrize(
    ("main", "arguments", "part"),
    [
        (align.main, ["--pairs", "a", "--texts", "b"], "not allowed with"),
        (align.main, ["--pairs"], "--pairs"),
        (align.main, ["--pairs", "gold.tsv", "--nonsense"], "--nonsense"),
        (align.main, ["--pairs", "gold.tsv", "--key-scale", "large"], "'large'"),
        (heatmap.main, ["a text"], "--out"),
        (heatmap.main, ["a text", "--out", "a.png", "--nonsense"], "--nonsense"),
        (heatmap.main, ["a text", "--out", "a.png", "--dpi", "fine"], "'fine'"),
        (models.main, ["nonsense"], "'nonsense'"),
        (models.main, ["fetch"], "name"),
    ],
)
def test_usage(main: Main, arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: probe-")
    assert part in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        pytest.param([""], ["a sentence", "an empty one"], id="empty"),
        pytest.param([" \u3000\n"], ["a sentence", "only white space"], id="white space"),
        pytest.param(["The", "old", "file"], ["got 3", 'Quote the sentence: "The old file".'], id="no quotes"),
        pytest.param([], ["a sentence, or --pairs with --row", "neither"], id="nothing"),
    ],
)
def test_what_is_no_sentence(words: list[str], parts: list[str], tmp_path: Path, refused: Refused) -> None:
    for arguments in ([*words, "--out", tmp_path / "a.png"], ["--out", tmp_path / "a.png", *words]):
        err = refused(heatmap.main, *arguments)
        for part in parts:
            assert part in err
