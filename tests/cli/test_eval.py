"""``probe-eval`` from the command line, on tiny models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainer_runs import content, save_pair, write_recipe
from transformers import AutoModelForCausalLM

from probe.cli.eval import main
from probe.errors import TrainingError
from probe.output.locks import LOCK
from probe.training.evaluation.rouge import score
from probe.training.evaluation.summary import OUT_OF_DOMAIN
from probe.training.recipe import read_recipe
from probe.training.trainer.run import train

ROOM = ("--max-prompt", "24", "--max-length", "40", "--seeds", "1", "2")
Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, two sets, and checkpoints of three runs: two training seeds on the same rows, one with other dev rows."""
    place = save_pair(tmp_path_factory.mktemp("pair"))
    write_set(place / "dolly" / "valid.jsonl", 5)
    write_set(place / "vicuna" / "test.jsonl", 3, output=["the file", "a path"])
    shutil.copytree(place / "data", place / "other-data")
    lines = (place / "other-data" / "dev.jsonl").read_text().splitlines(keepends=True)
    (place / "other-data" / "dev.jsonl").write_text("".join(lines[::-1]))
    for name, seed, data in (("one", 1, "data"), ("two", 2, "data"), ("other", 3, "other-data")):
        parts: dict[str, Any] = {"data": {"source": str(place / data)}, "objective": {"method": "sft"}}
        parts |= {"teacher": {"source": None}, "training": {"steps": 1}}
        recipe = read_recipe(str(write_recipe(place / f"{name}.toml", content(place, **parts))), [f"seed={seed}"])
        (place / name).mkdir()
        train(recipe, place / name, say=lambda _: None).rename(place / name / "last")
    return place


def write_set(file: Path, count: int, output: Any = "Read it.") -> None:
    file.parent.mkdir()
    rows = ({"prompt": f"{file.parent.name} {n}\n", "output": output} for n in range(count))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object, room: tuple[str, ...] = ROOM) -> tuple[int, str, str]:
        code = main([*map(str, arguments), *room])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def figures(place: Path, run: Run, *arguments: object) -> dict[str, Any]:
    code, _, err = run(*arguments, "--json", place / "figures.json")
    assert code == 0, err
    return json.loads((place / "figures.json").read_text())["systems"]


def sets_of(place: Path) -> tuple[str, str, str, str]:
    return "--set", str(place / "dolly"), "--set", f"ood={place / 'vicuna'}"


# What is shown and written


def test_labels_and_sets_are_those_named_the_first_in_domain(place: Path, tmp_path: Path, run: Run):
    models = [f"sft={place / 'one' / 'last'}", f"sft={place / 'two' / 'last'}", f"raw={place / 'student'}"]
    files = ["--json", tmp_path / "a.json", "--latex", tmp_path / "a.tex"]
    code, out, err = run(*models, *sets_of(place), *files)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    lines = [line.strip() for line in out.splitlines()]
    assert [line.split()[:2] for line in lines if line.startswith(("sft ", "raw "))] == [
        ["sft", "dolly"],
        ["sft", "ood"],
        ["sft", "out"],
        ["raw", "dolly"],
        ["raw", "ood"],
        ["raw", "out"],
    ]
    assert "Decoding: seeds 1, 2. Training seeds: sft 1, 2; raw –." in out
    read = json.loads((tmp_path / "a.json").read_text())["systems"]
    assert list(read) == ["sft", "raw"]
    assert (read["sft"]["training_seeds"], read["raw"]["training_seeds"]) == ([1, 2], [None])
    assert read["sft"]["decoding_seeds"] == [1, 2]
    assert list(read["sft"]["sets"]) == ["dolly", "ood", OUT_OF_DOMAIN]
    for name in ("dolly", "ood"):
        cell = read["raw"]["sets"][name]["rouge_l"]
        row = next(line for line in lines if line.split()[:2] == ["raw", name])
        assert f"{cell['mean']:.1f}" in row
        assert f"{read['raw']['sets'][name]['bits_per_byte']['mean']:.3f}" in row
        assert cell["over_training"] is None
        assert read["sft"]["sets"][name]["rouge_l"]["over_training"] is not None
    latex = (tmp_path / "a.tex").read_text().splitlines()
    assert latex[4] == r"Method & dolly & ood & OOD avg. \\"
    assert [line.split(" & ")[0] for line in latex[6:8]] == ["sft", "raw"]


def test_without_labels_a_model_is_called_by_the_end_of_its_path(place: Path, tmp_path: Path, run: Run):
    found = figures(tmp_path, run, place / "student", place / "sibling", "--set", place / "dolly")
    assert list(found) == [f"{place.name}/student", f"{place.name}/sibling"]


def test_a_path_with_an_equals_sign_is_a_path(place: Path, tmp_path: Path, run: Run):
    shutil.copytree(place / "student", tmp_path / "lr=1")
    shutil.copytree(place / "dolly", tmp_path / "set=1")
    found = figures(tmp_path, run, tmp_path / "lr=1", "--set", tmp_path / "set=1")
    assert list(found) == [f"{tmp_path.name}/lr=1"]
    found = figures(tmp_path, run, f"a={tmp_path / 'lr=1'}", "--set", f"b={tmp_path / 'set=1'}")
    assert list(found) == ["a"]
    assert list(found["a"]["sets"]) == ["b"]


def test_without_a_set_the_rows_that_the_run_held_out_are_asked(place: Path, tmp_path: Path, run: Run):
    models = [f"a={place / 'one' / 'last'}", f"b={place / 'two' / 'last'}"]
    held = figures(tmp_path, run, *models)
    assert list(held["a"]["sets"]) == ["held-out"]
    named = figures(tmp_path, run, *models, "--set", f"held-out={place / 'data' / 'dev.jsonl'}")
    assert held == named
    metrics = json.loads((place / "one" / "last" / "metrics.json").read_text())
    # The same rows with the same lengths have the bits per byte that training saw.
    wide = ("--max-prompt", "24", "--max-length", "60", "--seeds", "1")
    code, _, err = run(models[0], "--json", tmp_path / "wide.json", room=wide)
    assert code == 0, err
    found = json.loads((tmp_path / "wide.json").read_text())["systems"]["a"]["sets"]["held-out"]
    assert found["bits_per_byte"]["mean"] == pytest.approx(metrics["bits_per_byte"], rel=1e-6)


def test_rows_and_batches_can_be_few(place: Path, tmp_path: Path, run: Run):
    given = (f"a={place / 'student'}", *sets_of(place))
    whole = figures(tmp_path, run, *given)
    assert figures(tmp_path, run, *given, "--batch-size", 1) == whole
    code, _, err = run(*given, "--out", tmp_path / "out", "--max-rows", 2)
    assert code == 0, err
    found = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("evaluation.json")]
    assert sorted(one["set"] for one in found) == ["dolly", "ood"]
    assert [len(one["questions"]) for one in found] == [2, 2]


def test_temperature_0_is_greedy(place: Path, tmp_path: Path, run: Run):
    found = figures(tmp_path, run, f"a={place / 'student'}", "--set", place / "dolly", "--temperature", 0)
    assert found["a"]["decoding_seeds"] == []


# Nothing twice


def stamps(directory: Path) -> dict[str, tuple[int, int]]:
    found = (file for file in directory.rglob("*") if file.is_file() and file.name != LOCK)
    return {str(f.relative_to(directory)): (f.stat().st_mtime_ns, f.stat().st_ino) for f in found}


def test_with_out_nothing_is_sampled_twice(place: Path, tmp_path: Path, run: Run):
    out = tmp_path / "deep" / "out"
    given = (f"raw={place / 'student'}", "--set", place / "dolly", "--out", out)
    code, first, err = run(*given)
    assert code == 0, err
    before = stamps(out)
    assert len(before) == 2
    assert run(*given)[:2] == (0, first)
    assert run(*given, "--batch-size", 2)[:2] == (0, first)
    assert stamps(out) == before
    # One more set and one more model are added to what is there.
    more = (f"raw={place / 'student'}", f"sft={place / 'one' / 'last'}", *sets_of(place), "--out", out)
    assert run(*more)[0] == 0
    after = stamps(out)
    assert {name: after[name] for name in before} == before
    assert len(after) == 8
    # Another rule of decoding, or one more row, is another evaluation.
    assert run(*given, "--no-repeat-ngram", 0)[0] == 0
    assert len(stamps(out)) == 10
    assert run(*given, "--max-rows", 4)[0] == 0
    assert len(stamps(out)) == 12


def test_another_label_or_place_of_the_same_weights_samples_nothing_anew(place: Path, tmp_path: Path, run: Run):
    given = ("--set", place / "dolly", "--out", tmp_path / "out")
    assert run(f"a={place / 'student'}", *given)[0] == 0
    before = stamps(tmp_path / "out")
    shutil.copytree(place / "student", tmp_path / "moved")
    assert run(f"a={tmp_path / 'moved'}", *given)[0] == 0
    assert stamps(tmp_path / "out") == before
    assert run(f"b={place / 'student'}", *given)[0] == 0
    assert stamps(tmp_path / "out") == before


def test_other_weights_at_the_same_place_are_another_model(place: Path, tmp_path: Path, run: Run):
    shutil.copytree(place / "student", tmp_path / "model")
    given = (f"a={tmp_path / 'model'}", "--set", place / "dolly", "--out", tmp_path / "out")
    _, first, _ = run(*given)
    shutil.copy(place / "sibling" / "model.safetensors", tmp_path / "model")
    code, second, _ = run(*given)
    assert code == 0
    assert first != second
    assert len(stamps(tmp_path / "out")) == 4


def test_an_interrupted_evaluation_keeps_what_was_done(
    place: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
):
    given = (f"a={place / 'student'}", f"b={place / 'sibling'}", "--set", place / "dolly", "--out", tmp_path / "out")

    load = AutoModelForCausalLM.from_pretrained

    def interrupted(directory: Path, **options: Any) -> Any:
        if directory.name == "sibling":
            raise KeyboardInterrupt
        return load(directory, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AutoModelForCausalLM, "from_pretrained", interrupted)
        assert run(*given)[0] == 130
    before = stamps(tmp_path / "out")
    assert len(before) == 2
    assert run(*given)[0] == 0
    after = stamps(tmp_path / "out")
    assert {name: after[name] for name in before} == before


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/such/model", "--set", "dolly"], "/no/such/model: expected a model directory or a hub id; got neither"),
        (["no-such-model", "--set", "dolly"], "no-such-model: expected a model directory or a hub id; got neither"),
        (["student", "--set", "nowhere"], "nowhere: expected a jsonl file, or a directory with test.jsonl or"),
        (["student"], "evaluation: expected a set, or a run that held rows out; got neither, of student. Name a set"),
        (["=student", "--set", "dolly"], "=student: expected a name before the =; got none. Write NAME=PATH"),
        (
            ["student", "--set", "dolly", "--set", "other/dolly"],
            "expected a different name for each set; got dolly twice",
        ),
        (["a=student", "a=sibling", "--set", "dolly"], "label a: expected models of different training seeds; got two"),
        (["one/last", "other/last"], "expected the same held-out rows of all runs; got different ones. Name the sets"),
        (["student", "--set", "dolly", "--max-length", "24"], "max_length: expected more than max_prompt, 24; got 24"),
        (["student", "--set", "dolly", "--max-length", "65"], "--max-length: expected at most 64 tokens; got 65"),
        (["student", "--set", "dolly", "--batch-size", "0"], "batch_size: expected greater than 0; got 0"),
        (["student", "--set", "dolly", "--temperature", "nan"], "temperature: expected a finite number"),
        (["student", "--set", "dolly", "--seeds", "-1"], "seeds.0: expected greater than or equal to 0; got -1"),
        (["data", "--set", "dolly"], "data: expected a"),
        (["student", "--set", "dolly", "--json", "nowhere/a.json"], "nowhere/a.json: expected a place to write to"),
        (["student", "--set", "dolly", "--out", "one.toml"], "one.toml: expected a place to write to"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
):
    monkeypatch.chdir(place)
    if not Path("other/dolly").exists():
        shutil.copytree("dolly", "other/dolly")
    code, out, err = run(*arguments, room=without(arguments))
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("probe-eval: ")]
    assert message in line
    assert "Traceback" not in err
    assert out == ""


def without(arguments: list[str]) -> tuple[str, ...]:
    """The usual options but those that are given."""
    pairs = (("--max-prompt", "24"), ("--max-length", "40"), ("--seeds", "1"))
    return tuple(word for pair in pairs if pair[0] not in arguments for word in pair)


def test_a_sets_bad_rows_are_all_told(place: Path, tmp_path: Path, run: Run):
    (tmp_path / "a.jsonl").write_text('{"prompt": "a"}\n{"prompt": "a", "output": "b"}\nno json\n')
    code, _, err = run(place / "student", "--set", tmp_path / "a.jsonl")
    assert code == 2
    assert "a.jsonl:1: expected" in err
    assert "a.jsonl:3: expected" in err
    assert "a.jsonl:2" not in err


def test_predictions_and_references_of_different_number_are_an_error():
    for references in ([["a"]], [["a"], ["b"], ["c"]]):
        with pytest.raises(TrainingError, match=r"one list of references for each of 2 predictions; got \d lists"):
            score(["a", "b"], references)
