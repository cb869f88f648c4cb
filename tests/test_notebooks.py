"""Every notebook runs from top to bottom on the bundled demo, and is committed with what it printed."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
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


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_puts_out_what_is_committed(path: Path, tmp_path: Path):
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
