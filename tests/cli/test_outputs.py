"""What a command is to write: nobody's work is overwritten, and places are tried before work begins."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from places import ROOT

from probe.cli import eval, heatmap, keyquery, pairs, reproduce, train
from probe.cli.align import main as align

GOLD = str(ROOT / "alignments" / "gold.tsv")
SENTENCES = "The cat sat.\nRead the file.\n"
MODELS = ["--student", "bundled:demo/student", "--teacher", "bundled:demo/teacher"]
Main = Callable[[Sequence[str]], int]


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    (tmp_path / "sentences.txt").write_text(SENTENCES)
    return tmp_path / "sentences.txt"


def test_a_draft_that_was_edited_is_not_overwritten_without_force(
    sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "edited.tsv"
    argv = ["new", str(sentences), *MODELS, "--out", str(out)]
    assert pairs.main(argv) == 0
    said = capsys.readouterr().out
    assert said == f"{out}: 2 rows. Correct the proposed links, then run: probe-pairs check {out}\n"
    out.write_text("what was corrected by hand")
    assert pairs.main(argv) == 2
    error = capsys.readouterr().err
    assert f"{out}: expected a free name; got a file" in error
    assert "--force" in error
    assert out.read_text() == "what was corrected by hand"
    assert pairs.main([*argv, "--force"]) == 0
    assert out.read_text() != "what was corrected by hand"


def test_a_conversion_does_not_overwrite_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "gold.pharaoh"
    argv = ["convert", GOLD, "--to", "pharaoh", "--out", str(out)]
    (tmp_path / "gold.pharaoh.student").write_text("mine")
    assert pairs.main(argv) == 2
    assert "gold.pharaoh.student: expected a free name; got a file" in capsys.readouterr().err
    assert not out.exists()
    assert pairs.main([*argv, "--force"]) == 0
    assert (tmp_path / "gold.pharaoh.student").read_text() != "mine"


ALIGN = ["--pairs", GOLD]
TRIED: dict[str, tuple[Main, list[str]]] = {
    "align --heatmaps": (align, [*ALIGN, "--heatmaps"]),
    "align --save-maps": (align, [*ALIGN, "--save-maps"]),
    "align --functional": (align, [*ALIGN, "--functional"]),
    "align --json": (align, [*ALIGN, "--json"]),
    "align --html": (align, [*ALIGN, "--html"]),
    "keyquery --json": (keyquery.main, [*ALIGN, "--json"]),
    "heatmap --out": (heatmap.main, ["A cat.", "--out"]),
    "pairs new --out": (pairs.main, ["new", "{sentences}", *MODELS, "--out"]),
    "pairs convert --out": (pairs.main, ["convert", GOLD, "--to", "pharaoh", "--out"]),
    "eval --json": (eval.main, ["bundled:demo/student", "--json"]),
    "eval --out": (eval.main, ["bundled:demo/student", "--out"]),
    "train --out": (train.main, ["demo", "--out"]),
    "reproduce --out": (reproduce.main, ["demo", "--pairs", GOLD, "--out"]),
}


def never(*_: object, **__: object) -> None:
    raise AssertionError("work began")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever opens models or reads rows fails.

    Modules that hold one of these names come first: imported under the patch, they would keep it for later tests.
    """
    for name in (
        "probe.alignment.align.load",
        "probe.alignment.align.read_pairs",
        "probe.alignment.ranking.load",
        "probe.keyquery.analyse.load",
        "probe.training.reproduction.plan.read_pairs",
        "probe.checkpoints.loading.load",
        "probe.alignment.fitting.maps_of_text",
        "probe.gold.pairs.read_pairs",
        "probe.gold.drafts.draft_rows",
        "probe.training.evaluation.run.evaluate_models",
        "probe.training.trainer.run.prepare",
        "probe.training.reproduction.inputs.read_rows",
    ):
        monkeypatch.setattr(name, never)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("place", ["file/out", "/proc/out", "/sys/out"])
@pytest.mark.parametrize("name", TRIED)
def test_a_place_that_cannot_be_written_to_is_told_before_work_begins(
    name: str, place: str, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main, argv = TRIED[name]
    (tmp_path / "file").touch()
    out = str(tmp_path / place) + (".pdf" if name == "heatmap --out" else "")
    try:
        code = main([*(word.format(sentences=sentences) for word in argv), out])
    except SystemExit as error:  # argparse
        code = error.code
    assert code == 2
    error = capsys.readouterr().err
    assert error.count(": expected ") == 1
    assert out.removesuffix(".pdf") in error
    assert "Traceback" not in error


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", [name for name in TRIED if "--json" in name or "--html" in name])
def test_a_device_is_told_before_work_begins(name: str, capsys: pytest.CaptureFixture[str]):
    main, argv = TRIED[name]
    assert main([*argv, "/dev/full"]) == 2
    assert "/dev/full: expected a place to write to; got neither a file nor a free name" in capsys.readouterr().err


@pytest.mark.usefixtures("idle")
def test_a_directory_that_is_there_but_not_to_be_written_to_is_told(capsys: pytest.CaptureFixture[str]):
    """As /proc is for everybody, which can be named and not be written to."""
    for option in ("--heatmaps", "--save-maps"):
        assert align([*ALIGN, option, "/proc"]) == 2
        assert "/proc: expected a place to write to; got " in capsys.readouterr().err
