"""Every name that the package exports shows in an example what it does, and every example in the package runs."""

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

import probe

PROMPT = re.compile(r"^ +>>> ", re.MULTILINE)


@pytest.mark.parametrize("name", probe.__all__)
def test_every_exported_name_has_an_example(name: str):
    docstring = getattr(probe, name).__doc__ or ""
    assert doctest.DocTestParser().get_examples(docstring), f"probe.{name}: show in an Example what it does"


@pytest.mark.slow
def test_every_example_runs_and_leaves_no_file(tmp_path: Path):
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "probe").rglob("*.py")}
    modules = sorted(path for path, text in texts.items() if PROMPT.search(text))
    shutil.copytree(ROOT / "alignments", tmp_path / "alignments")  # examples run where a clone's files are
    shutil.copytree(ROOT / "figures" / "saved", tmp_path / "figures" / "saved")
    before = set(tmp_path.rglob("*"))
    # By itself, without the checks of shapes, which would take longer than all examples together.
    alone = ("-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist")
    command = [sys.executable, "-m", "pytest", "-q", "--doctest-modules", *alone, *map(str, modules)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) > len(probe.__all__), "one for each exported name, and that of the package itself"
    assert set(tmp_path.rglob("*")) == before
