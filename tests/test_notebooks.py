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
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path):
    shutil.copytree(ROOT / "alignments", tmp_path / "alignments")
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path / "notebooks")}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
