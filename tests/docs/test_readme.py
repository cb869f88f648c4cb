"""What README.md and the pages of docs/ show is what the commands print, to the rounding of another machine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+")
NEEDS_THE_REAL_PAIR = "smollm2-gemma3"
NEEDS_MORE = ("probe.annotate(", "probe.explore(", "trainer")
"""What tells examples in Python that need a notebook, or a run that trains."""


def console_blocks(text: str) -> list[tuple[str, str]]:
    """(command, printed) of every block that shows a command."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


COMMANDS = sorted(
    {
        (command, printed)
        for text in PAGES.values()
        for command, printed in console_blocks(text)
        if command.startswith("probe-") and NEEDS_THE_REAL_PAIR not in command
    }
)
EXAMPLES = [
    (page, block)
    for page, text in sorted(PAGES.items())
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    if not any(sign in block for sign in NEEDS_MORE)
]


def test_there_is_something_to_run():
    assert {command.split()[0] for command, _ in COMMANDS} >= {"probe-align", "probe-heatmap"}
    assert {page for page, _ in EXAMPLES} >= {"README.md", "docs/getting-started.md"}
    whole = [command for command, printed in COMMANDS if "..." not in printed.splitlines()]
    assert "probe-align --pairs alignments/gold.tsv" in whole


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=[command[:60] for command, _ in COMMANDS])
def test_command_prints_what_the_documents_say(command: str, printed: str, tmp_path: Path):
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
    if "..." in shown:  # the document leaves the rest out
        shown = shown[: shown.index("...")]
        ours = ours[: len(shown)]
    assert [squeeze(line) for line in ours] == [squeeze(line) for line in shown]
    for got, expected in zip(NUMBER.findall("\n".join(ours)), NUMBER.findall("\n".join(shown)), strict=True):
        # The last digit printed may fall to the other side elsewhere.
        assert float(got) == pytest.approx(float(expected), abs=1.01 if "." not in expected else 0.21)


def squeeze(line: str) -> str:
    """The line without its numbers and the room they take."""
    return re.sub(r"[ ─]+", " ", NUMBER.sub("#", line)).strip()


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=[page for page, _ in EXAMPLES])
def test_python_that_the_documents_show_runs(page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(ROOT / "alignments", tmp_path / "alignments")
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert (tmp_path / "map.svg").is_file() == ("map.svg" in block)


def test_the_readme_names_every_command_and_no_other():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(re.findall(r"\bprobe-[a-z]+\b", README)) == set(scripts)


def test_the_readme_is_read_in_three_minutes():
    assert len(README.splitlines()) <= 170
