"""Values of wrong types and ranges: one message that names the file and the value, whatever they stand in."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from directories import TEXTS, checkpoint, dskd_run, save_teacher

from probe.checkpoints.adopt import read_projector_file
from probe.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from probe.checkpoints.loading import load
from probe.cli import align, heatmap
from probe.cli import eval as evaluate
from probe.errors import CheckpointError, ProbeError, ReportError, TrainingError
from probe.report.document import load_reports
from probe.training.recipe import read_recipe

GOLD = "alignments/second.tsv"


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.to(torch.complex64),
        lambda tensor: tensor.long(),
        lambda tensor: tensor.bool(),
        lambda tensor: tensor.to("meta"),
    ],
)
def test_tensors_that_hold_no_plain_numbers(change: Callable[[Any], Any], tmp_path: Path):
    file = tmp_path / "projector.pt"
    torch.save({"query.0.weight": change(torch.eye(3))}, file)
    with pytest.raises(CheckpointError, match=r"projector.pt: query.0.weight: expected a dense tensor"):
        read_projector_file(file)


@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_weights_that_are_not_finite_or_make_no_finite_attention(value: float, tmp_path: Path):
    ours = checkpoint(tmp_path)
    query = ours.query
    tensors = {**query.tensors, "0.weight": np.full_like(query.tensors["0.weight"], value)}
    changed = replace(ours, projectors={**ours.projectors, "query": replace(query, tensors=tensors)})
    save_checkpoint(changed, tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=r"checkpoint.*query"):
        _attend(tmp_path / "checkpoint")


def _attend(directory: Path) -> None:
    opened = load(str(directory))
    opened.map(*opened.tokenize(TEXTS[0]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("criterion", {"a": 1}),
        ("teacher_model_path", 3),
        ("batch_size", "4"),
        ("max_length", 10**30),
        ("do_train", [1]),
    ],
)
def test_arguments_of_wrong_types(key: str, value: Any, tmp_path: Path):
    save_teacher(tmp_path)
    epoch = dskd_run(tmp_path)
    file = epoch.parent / "args.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(ProbeError, match=key):
        load(str(epoch), key_scale=0.5, texts=[TEXTS[0]])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("name",), 3),
        (("steps",), "many"),
        (("student",), []),
        (("student", "name"), None),
        (("student", "sources"), [{"source": 1, "sha256": "a"}]),
        (("student", "sources"), 4),
        (("projectors", "query"), 4),
        (("scales", "key"), "a"),
        (("scales", "key_is_estimate"), "no"),
        (("recipe",), [1]),
        (("prompt",), None),
    ],
)
def test_manifests_of_wrong_types(place: tuple[str, ...], value: Any, tmp_path: Path):
    save_checkpoint(checkpoint(tmp_path), tmp_path / "checkpoint")
    file = tmp_path / "checkpoint/probe.json"
    manifest = inside = json.loads(file.read_text())
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    file.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"probe\.json"):
        load_checkpoint(tmp_path / "checkpoint")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("saved") / "report.json"
    assert align.main(["--pairs", GOLD, "--methods", "uniform", "--json", str(file)]) == 0
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    ("change"),
    [
        {"methods": ["cma", 3]},
        {"methods": ["cma", "cma"]},
        {"checkpoint": None},
        {"other_sentences": "a"},
        {"origin": {"steps": "a"}},
        {"origin": {"checkpoint": 4}},
        {"origin": {"random_seeds": [1.5]}},
        {"by_sentence": {"counts": {"at": [-1], "value": [1]}}},
        {"by_sentence": {"counts": {"at": [0, 1], "value": [1]}}},
        {"by_sentence": {"length": "3"}},
        {"by_sentence": {"id": None}},
    ],
)
def test_reports_of_wrong_types(change: dict[str, Any], saved: dict[str, Any], tmp_path: Path):
    document = json.loads(json.dumps(saved))
    for key, value in change.items():
        inside = document[key]
        if key == "by_sentence":
            inside[0] |= value
        elif isinstance(value, dict):
            inside |= value
        else:
            document[key] = value
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(ReportError, match=r"report\.json"):
        load_reports(tmp_path / "report.json")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("teacher.device_map=gpu", "teacher.device_map"),
        ('training.report_to=["wandbb"]', "training.report_to.0: expected 'tensorboard'"),
        ("seed=99999999999", "seed: expected less than 4294967296"),
        ("data.held_out_seed=99999999999", "data.held_out_seed"),
        ("evaluation.seeds=[99999999999]", "evaluation.seeds.0"),
    ],
)
def test_recipes_with_values_that_nothing_takes(setting: str, told: str):
    with pytest.raises(TrainingError) as caught:
        read_recipe("demo", [setting])
    assert told in str(caught.value)


def test_the_defaults_of_eval_name_options_and_end_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "set.jsonl").write_text('{"prompt": "a", "output": "b"}\n')
    assert evaluate.main(["demo=bundled:demo/student", "--set", str(tmp_path / "set.jsonl")]) == 2
    err = capsys.readouterr().err
    assert "--max-length: expected at most 256 tokens; got 512. Lower it to 256, and --max-prompt to 128." in err
    assert ".." not in err


@pytest.mark.parametrize("name", ["a.pdf", "a.png", "a.svg", "a.html"])
def test_a_heatmap_on_a_full_disk(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert heatmap.main(["a file", "--out", str(tmp_path / name)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
