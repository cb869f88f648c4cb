"""What a command prints where standard output cannot show, hold or take it; in processes, as users meet it."""

import io
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from probe.checkpoints.loading import load
from probe.cli import models
from probe.cli.heatmap import main as heatmap_main
from probe.cli.run import run
from probe.errors import CheckpointError, option

LIST = "import sys; from probe.cli.models import main; sys.exit(main(['list']))"


def ended(code: str, encoding: str = "utf-8", **options: object) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    return subprocess.run([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, check=False, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_our_characters_are_written_as_ascii(encoding: str):
    found = ended(LIST, encoding, stdout=subprocess.PIPE)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"student <- teacher" in found.stdout


def test_what_is_not_ours_is_shown_as_an_escape():
    code = "import sys; from probe.cli.streams import show_everywhere as s; s(); print('w⁴ ─┼ 模 \\udce9')"
    found = ended(code, "ascii", stdout=subprocess.PIPE)
    assert found.stdout.strip() == rb"w^4 -+ \u6a21 \udce9"


def test_a_full_standard_output_is_a_message():
    with Path("/dev/full").open("wb") as full:
        found = ended(LIST, stdout=full)
    assert found.returncode == 2
    assert found.stderr.count(b"\n") == 1
    assert b"standard output: expected a place to write to; got No space left on device" in found.stderr


def test_a_closed_standard_output_is_a_message():
    found = ended(LIST, preexec_fn=lambda: os.close(1))
    assert found.returncode == 2
    assert b"standard output" in found.stderr
    assert found.stderr.count(b"\n") == 1


def test_a_pipe_that_ends_is_quiet():
    code = "import sys, time; from probe.cli.models import main; time.sleep(1); sys.exit(main(['list']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "probe.json"), NotADirectoryError(20, "Not a directory", "a/b")]
)
def test_what_the_system_refuses_is_a_message(error: OSError, capsys: pytest.CaptureFixture[str]):
    def body(_: object) -> None:
        raise error

    assert run(models.parser(), body, []) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"probe-models: {error.filename}: expected")
    assert "Traceback" not in err


def test_warnings_of_libraries_do_not_stand_in_front_of_a_message(capsys: pytest.CaptureFixture[str]):
    import warnings

    def body(asked: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("about something inside", UserWarning, stacklevel=1)
        if getattr(asked, "command", None) is None:
            raise CheckpointError()

    assert run(models.parser(), body, []) == 2
    assert "inside" not in capsys.readouterr().err
    assert run(models.parser(), body, ["list"]) == 0
    assert capsys.readouterr().err == "UserWarning: about something inside\n"


def test_messages_name_what_is_at_hand(tmp_path: Path):
    (tmp_path / "projector.pt").touch()
    with pytest.raises(CheckpointError, match="Name it with teacher=…") as caught:
        load(str(tmp_path))
    assert "--" not in str(caught.value).replace(str(tmp_path), "")
    told: list[str] = []

    def body(_: SimpleNamespace) -> None:
        told.extend((option("--student"), option("--base", "1", command="probe-pairs convert")))

    run(models.parser(), body, ["doctor", "a"])  # type: ignore[arg-type]
    assert told == ["--student", "--base 1 of probe-pairs convert"]
    assert option("--base", "1") == "base=1"


def test_a_sentence_is_read_from_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def drawn(text: bytes, name: str) -> int:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        return heatmap_main(["-", "--out", str(tmp_path / name)])

    assert drawn("Ein Café.\n".encode(), "stdin.svg") == 0
    assert heatmap_main(["Ein Café.", "--out", str(tmp_path / "argument.svg")]) == 0
    assert (tmp_path / "stdin.svg").read_bytes() == (tmp_path / "argument.svg").read_bytes()
    assert drawn(b"\xff", "bad.svg") == 2
    assert "a sentence in UTF-8; got byte 0xFF" in capsys.readouterr().err
    assert drawn(b"\n", "empty.svg") == 2
    assert "a sentence" in capsys.readouterr().err


def test_ctrl_c_says_that_the_command_can_start_again(capsys: pytest.CaptureFixture[str]):
    def stopped(arguments: Namespace) -> None:
        raise KeyboardInterrupt

    assert run(ArgumentParser("probe-align"), stopped, []) == 130
    assert "probe-align: stopped. Files are written whole or not at all, so the same command" in capsys.readouterr().err
