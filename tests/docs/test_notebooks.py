"""Every notebook runs from top to bottom on the bundled demo, and is committed with what it printed."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from places import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDGET, WIDGET_STATE = (f"application/vnd.jupyter.widget-{kind}+json" for kind in ("view", "state"))
FROM_REPORTS = ("06_paper_figures", "09_does_alignment_matter")
"""They open no checkpoint."""
LARGEST = 1_000_000
"""Bytes that a code host shows without being asked twice."""


def test_there_are_notebooks_and_the_readme_names_each():
    readme = (ROOT / "README.md").read_text()
    assert NOTEBOOKS
    assert [path.name for path in NOTEBOOKS if path.name not in readme] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_with_its_outputs(path: Path):
    assert path.stat().st_size <= LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    printed = json.dumps([cell.outputs for cell in code])
    assert "image/png" in printed
    assert "Traceback" not in printed
    for place in (str(Path.home()), str(ROOT), "/tmp/"):
        assert place not in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_begins_with_the_demo_and_holds_nothing_that_changes_from_run_to_run(path: Path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    variable = "REPORTS = " if path.stem in FROM_REPORTS else 'CHECKPOINT = "demo"'
    assert variable in code[0].source
    printed = json.dumps([cell.outputs for cell in code])
    # An address, the random name that pandas gives to a styled table, and one of a widget.
    assert re.findall(r"0x[0-9a-f]{6,}|\bT_[0-9a-f]{5}\b|\b[0-9a-f]{32}\b", printed) == []
    assert [cell.metadata.get("execution") for cell in code] == [None] * len(code)  # clock times


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_widget_has_a_picture_beside_it_and_its_state_in_the_notebook(path: Path):
    notebook = nbformat.read(path, as_version=4)
    shown = [each for cell in notebook.cells for each in cell.get("outputs", []) if WIDGET in each.get("data", {})]
    if path.stem == "07_your_own_pair":
        assert shown
    stored = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for each in shown:
        assert "image/png" in each.data
        assert each.data[WIDGET]["model_id"] in stored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_opens_with_a_finding_and_a_picture(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.cell_type for cell in cells[:2]] == ["markdown", "code"]
    assert cells[1].outputs == []
    # Where something is trained first, the finding stands below its picture.
    picture, finding = sorted(cells[2:4], key=lambda cell: cell.cell_type)
    assert re.match(r"\*\*[^*]+\.\*\*(\n\n|$)", finding.source)
    assert "image/png" in json.dumps(picture.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_holds_no_code_for_pictures_and_reports(path: Path):
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    for inner in ("matplotlib.", "METRICS", ".intervals", "figure.add", "[:, 0]"):
        assert inner not in code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_decimal_in_its_prose_is_printed_by_a_cell(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown").replace("2603.22056", "")
    known = printed_numbers([cell for cell in cells if cell.cell_type == "code"])
    stated = re.findall(r"(?<![\w.])\d+\.(?:\d+)(?![\w.]*\d)", prose)
    unknown = [one for one in stated if not any(says(value, one) for value in known)]
    assert unknown == []


def printed_numbers(code: list[nbformat.NotebookNode]) -> list[float]:
    """Numbers in what cells have printed, tables included and pictures not."""
    texts: list[str] = []
    for output in (output for cell in code for output in cell.outputs):
        shown = output.get("data", {"text/plain": output.get("text", "")})
        html = re.sub(r"<img[^>]*>", "", shown.get("text/html", ""))
        texts += [shown.get("text/plain", ""), re.sub(r"<[^>]+>", " ", html)]
    return [float(one) for one in re.findall(r"\d+\.\d+", "\n".join(texts))]


def says(printed: float, stated: str) -> bool:
    """Whether it is the stated number, to its digits, as it is or in percent."""
    digits = len(stated.partition(".")[2])
    return any(round(scale * printed, digits) == float(stated) for scale in (1, 100))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_puts_out_what_is_committed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # for probe-pairs
    shutil.copytree(ROOT / "alignments", tmp_path / "alignments")
    shutil.copytree(ROOT / "figures" / "saved", tmp_path / "figures" / "saved")
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(path, as_version=4)
    before = printed(notebook)
    place = {"metadata": {"path": str(tmp_path / "notebooks")}}
    # On a busy machine outputs come late, and a client that waits for four seconds goes on without them.
    NotebookClient(notebook, timeout=600, iopub_timeout=120, kernel_name="python3", resources=place).execute()
    after = printed(notebook)
    assert after == before


def printed(notebook: nbformat.NotebookNode) -> list[set[str]]:
    """What kinds of output each cell has put out; digits and line ends of tables may differ elsewhere."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    # A library may warn on one machine and not on another, as matplotlib does when it first looks for fonts.
    shown = [[output for output in cell.outputs if output.get("name") != "stderr"] for cell in code]
    return [{kind for one in of_cell for kind in (one.output_type, *one.get("data", {}))} for of_cell in shown]
