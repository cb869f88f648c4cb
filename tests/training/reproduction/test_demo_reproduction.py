"""The shipped recipe, in small: two methods, one seed, twenty steps, from training to the table."""

import json
from pathlib import Path

import pytest
from places import GOLD

from probe.cli.reproduce import main


@pytest.mark.slow
def test_the_demo_goes_from_recipe_to_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "out"
    command = ["demo", "training.steps=20", "--methods", "cma", "uld", "--seeds", "10", "--pairs", str(GOLD)]
    assert main([*command, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Checkpoints, not methods" in printed
    assert all(len(line.rstrip()) <= 80 for line in printed.splitlines() if not line.startswith(str(tmp_path)))
    results = json.loads((out / "results.json").read_text())
    assert set(results["evaluation"]["systems"]) == {"raw student", "teacher (raw)", "cma", "uld"}
    assert set(results["probes"]) == {"cma"}
    held_out = {name: system["sets"]["held-out"] for name, system in results["evaluation"]["systems"].items()}
    # Twenty steps teach nothing, but the numbers are those of language models, and the teacher is the better one.
    assert held_out["teacher (raw)"]["bits_per_byte"]["mean"] < held_out["raw student"]["bits_per_byte"]["mean"]
    assert 5 < held_out["cma"]["rouge_l"]["mean"] < 30
    table = (out / "table.md").read_bytes()

    assert main([*command, "--out", str(out)]) == 0
    again = capsys.readouterr().out
    assert "made" not in again
    assert again.count("kept") == 2 * len(results["stages"])
    assert (out / "table.md").read_bytes() == table
