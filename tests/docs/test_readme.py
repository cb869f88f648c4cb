"""What README.md shows is what the commands print, to the rounding of another machine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+")
NEEDS_THE_REAL_PAIR = "smollm2-gemma3"


def console_blocks() -> list[tuple[str, str]]:
    """(command, printed) of every block that shows a command of this package."""
    blocks = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    found: list[tuple[str, str]] = []
    for block in blocks:
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


COMMANDS = [(c, p) for c, p in console_blocks() if c.startswith("probe-") and NEEDS_THE_REAL_PAIR not in c]


def test_there_is_something_to_run():
    assert {command.split()[0] for command, _ in COMMANDS} >= {"probe-align", "probe-heatmap"}


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=[command[:60] for command, _ in COMMANDS])
def test_command_prints_what_the_readme_says(command: str, printed: str, tmp_path: Path):
    shutil.copytree(ROOT / "alignments", tmp_path / "alignments")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours, shown = ([line.rstrip() for line in text.strip().splitlines()] for text in (done.stdout, printed))
    if "..." in shown:  # the README leaves the rest out
        shown = shown[: shown.index("...")]
        ours = ours[: len(shown)]
    assert [squeeze(line) for line in ours] == [squeeze(line) for line in shown]
    for got, expected in zip(NUMBER.findall("\n".join(ours)), NUMBER.findall("\n".join(shown)), strict=True):
        # The last digit printed may fall to the other side elsewhere.
        assert float(got) == pytest.approx(float(expected), abs=1.01 if "." not in expected else 0.21)


def squeeze(line: str) -> str:
    """The line without its numbers and the room they take."""
    return re.sub(r"[ ─]+", " ", NUMBER.sub("#", line)).strip()


def test_python_that_the_readme_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(block, {})
    assert (tmp_path / "map.svg").is_file()


def test_commands_named_in_the_documents_exist():
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    named = set(re.findall(r"\bprobe-[a-z]+\b", README))
    assert set(scripts) <= named
    assert named <= set(scripts)
