"""The recipe of the paper: its plan without any network, and all of its systems in small, with the demo's models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from probe.cli.reproduce import main
from probe.training.data.docstrings import docstring_examples
from probe.training.recipe import read_recipe
from probe.training.reproduction.systems import compared

SETS = ("dolly", "self-inst", "vicuna", "sinst/11_", "uinst/11_")
SYSTEMS = {name for method in ("cma", "cla", "clp", "cma-ga", "cma-ct") for name in (method, f"{method}-released")}
SYSTEMS |= {"sft", "kd", "dskd"}
TEACHERS = ("teacher (sft, all)", "same-tokenizer teacher (sft, all)")
OFFLINE = """
import socket, sys
def refuse(*_, **__): raise SystemExit("network")
socket.socket.connect = socket.getaddrinfo = refuse
from probe.cli.reproduce import main
sys.exit(main(sys.argv[1:]))
"""
SMALL = [
    *("student.source=bundled:demo/student", "teacher.source=bundled:demo/teacher"),
    "reproduction.same_tokenizer_teacher=bundled:demo/student",
    *("data.max_prompt=24", "data.max_length=64", "objective.kq_hidden=16"),
    *("training.steps=2", "training.precision=float32", "reproduction.teacher_epochs=0.5"),
    "reproduction.teacher_learning_rate=1e-2",  # the student is its own teacher, and must differ from it
    *("evaluation.max_prompt=24", "evaluation.max_length=40"),
]


def write_data(place: Path) -> Path:
    """Docstrings in the published layout: one set is called test, the others valid."""
    lines = [json.dumps({"prompt": row.prompt, "output": row.output}) + "\n" for row in docstring_examples()[:46]]
    for name in SETS:
        directory = place / "data" / name
        directory.mkdir(parents=True)
        (directory / ("test.jsonl" if name == "dolly" else "valid.jsonl")).write_text("".join(lines[:2]))
    for name, rows in (("train", lines[6:]), ("dev", lines[2:6])):
        (place / "data" / "dolly" / f"{name}.jsonl").write_text("".join(rows))
    return place


def test_every_divergence_makes_a_system_of_each_method_that_has_one():
    settings = "reproduction.divergences=['forward_kl', 'adaptive_kl']"
    found = {one.name: one.objective for one in compared(read_recipe("paper", [settings]), None)}
    twice = {f"{name} {divergence}" for name in SYSTEMS - {"sft"} for divergence in ("forward_kl", "adaptive_kl")}
    assert found.keys() == twice | {"sft"}
    assert found["cma-ga-released adaptive_kl"].critic == "released"
    assert found["cma-ga-released adaptive_kl"].divergence == "adaptive_kl"
    alone = {one.name: one for one in compared(read_recipe("paper", [settings.replace("'forward_kl', ", "")]), None)}
    assert alone.keys() == SYSTEMS
    assert {one.objective.divergence for name, one in alone.items() if name != "sft"} == {"adaptive_kl"}


def test_a_plan_says_first_whether_it_can_run_then_all_that_is_missing_and_asks_no_network(tmp_path: Path):
    command = [sys.executable, "-c", OFFLINE, "paper", "--plan", "--flops", "1e14", "--seeds", "10", "20"]
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hub"), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("No, 9 things are missing. With them: 189 stages to run, about ")
    assert " of arithmetic." in lines[0]
    told = "\n".join(line for line in lines if line.startswith("- "))
    for model in ("openai-community/gpt2", "openai-community/gpt2-xl", "Qwen/Qwen1.5-1.8B"):
        assert f"- {model}: expected a model here; got none. Run: hf download {model}." in told
    assert all(f"data/{name}" in told for name in SETS)
    # 6 operations for each parameter and token: 20 epochs of 11,424 rows of at most 512 tokens at 1e14 a second.
    (sft,) = (line.split() for line in lines if line.startswith(" train sft 10 "))
    assert sft[-4:] == [f"{6 * 124439808 * 20 * 11424 * 512 / 1e14 / 60:.1f}", "min", "2.0", "GB"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_all_systems_go_from_recipe_to_table(
    tmp_path: Path, few_gold: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(write_data(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    command = ["paper", *SMALL, "--pairs", str(few_gold), "--out", "out"]
    assert main([*command, "--plan", "--flops", "1e10"]) == 0
    planned = capsys.readouterr().out
    assert planned.startswith("Yes: 103 stages to run, about ")
    assert planned.count(" to do ") == 103

    assert main(command) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    results = json.loads(Path("out/results.json").read_text())
    systems = results["evaluation"]["systems"]
    assert systems.keys() == SYSTEMS | {"raw student", *TEACHERS}
    sets = {"dolly", "self-inst", "vicuna", "s-ni", "un-ni"}
    assert all(one["sets"].keys() >= sets for one in systems.values())
    assert results["probes"].keys() == SYSTEMS - {"sft", "kd", "dskd", "clp", "clp-released"}
    bits = {name: one["sets"]["dolly"]["bits_per_byte"]["mean"] for name, one in systems.items()}
    # Two steps teach little, but each method something else.
    distinct = ("sft", "kd", "dskd", "cma", "cla", "clp", "cma-released")
    assert len({bits[name] for name in distinct}) == len(distinct), {name: bits[name] for name in distinct}
    table = Path("out/table.md").read_bytes()

    assert main([*command, "--plan"]) == 0
    assert capsys.readouterr().out.startswith("Yes: 0 stages to run, about 0 s")
    assert main(command) == 0
    again = capsys.readouterr().out
    assert "made" not in again
    assert again.count("kept") == 2 * len(results["stages"])
    assert Path("out/table.md").read_bytes() == table
