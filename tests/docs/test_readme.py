"""What README.md and the pages of docs/ show is what the commands print, to the rounding of another machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from directories import dskd_run, trained_tensors
from places import ROOT

from probe.checkpoints.checkpoint import load_checkpoint
from probe.models.sources import bundled_dir
from probe.projectors import STRUCTURES

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+")
NEEDS_THE_REAL_PAIR = "smollm2-gemma3"
NEEDS_MORE = (
    *("probe.annotate(", "probe.explore(", "probe.train(", "probe.pretrain(", "from trl", "distiller."),
    "TikTokenConverter(",
)
"""What tells examples that need a notebook, a run that trains, or a file. tests/watch runs those of other trainers."""


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
    if page != "docs/in-other-training.md"  # tests/watch runs all of its examples
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


def _leave_a_run_of_dskd(place: Path) -> None:
    """A run and its teacher where the documents have them, of the demo's models: many small tokens would take long."""
    student, teacher = (bundled_dir() / "demo" / role for role in ("student", "teacher"))
    records = load_checkpoint(bundled_dir() / "demo")
    widths = {"student": records.student.width, "teacher": records.teacher.width}
    state = {
        f"{name}.{key}": torch.from_numpy(value)
        for name, structure in STRUCTURES.items()
        for key, value in trained_tensors(structure, widths=widths).items()
    }
    run = dskd_run(place, state=state, save_student=lambda epoch: shutil.copytree(student, epoch, dirs_exist_ok=True))
    (place / "outputs/RUN").mkdir()
    run.rename(place / "outputs/RUN/epoch20_step7140")
    shutil.copytree(teacher, place / "models/Qwen1.5-1.8B")


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=[page for page, _ in EXAMPLES])
def test_python_that_the_documents_show_runs(page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(ROOT / "alignments", tmp_path / "alignments")
    monkeypatch.chdir(tmp_path)
    if "outputs/RUN" in block:
        _leave_a_run_of_dskd(tmp_path)
    exec(block, {})
    for name in ("map.pdf", "links.pdf", "report.json"):
        assert (tmp_path / name).is_file() == (f'"{name}"' in block)


JOURNEYS = {
    "an own sentence as a PDF": ("README.md", "map.pdf"),
    "an own run of DSKD as a report": ("docs/your-checkpoint.md", "report.json"),
    "two own tokenizers as a heatmap": ("docs/any-pair.md", "links.pdf"),
}


@pytest.mark.parametrize("journey", JOURNEYS)
def test_a_journey_takes_five_lines_that_are_run(journey: str):
    page, name = JOURNEYS[journey]
    (block,) = (one for where, one in EXAMPLES if where == page and name in one)
    assert len([line for line in block.splitlines() if line]) <= 5


BELOW = re.compile(r"\b(?:from|import) probe\.")


def test_documents_and_notebooks_import_nothing_below_the_package():
    shown = {page: "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)) for page, text in PAGES.items()}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        shown[path.name] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert BELOW.search("from probe.report import x")
    assert [page for page, text in shown.items() if BELOW.search(text)] == []


def test_the_readme_names_every_command_and_no_other():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(re.findall(r"\bprobe-[a-z]+\b", README)) == set(scripts)


def test_the_readme_is_read_in_three_minutes():
    assert len(README.splitlines()) <= 176
