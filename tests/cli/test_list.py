"""``python -m probe`` names every command."""

import tomllib

import pytest
from places import ROOT

from probe.__main__ import COMMANDS, main


def test_every_command_has_a_line(capsys: pytest.CaptureFixture[str]):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(COMMANDS) == set(scripts)
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)
