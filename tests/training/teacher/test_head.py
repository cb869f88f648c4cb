"""The precision of the teacher's head: who chooses it, and that a run keeps it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from trainer_runs import recipe_of, save_pair

from probe.checkpoints.checkpoint import load_checkpoint
from probe.training.recipe import Recipe
from probe.training.teacher import head
from probe.training.teacher.head import bfloat16_speed, settle_head
from probe.training.trainer.run import train
from probe.training.trainer.setup import prepare


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("pair"))


def machine(patch: pytest.MonkeyPatch, speed: float, large: int = 1) -> None:
    """Pretend a machine on which bfloat16 is so many times as fast, and what it calls a large head."""
    patch.setattr(head, "bfloat16_speed", lambda device: speed)
    patch.setattr(head, "LARGE", large)


def recipe(place: Path, scratch: Path, **parts: Any) -> Recipe:
    return recipe_of(place, scratch / "tiny.toml", **parts)


@pytest.mark.parametrize(("speed", "chosen"), [(2.0, "bfloat16"), (1.0, "float32"), (0.0, "float32")])
def test_a_large_head_follows_the_machine(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speed: float, chosen: str
):
    machine(monkeypatch, speed)
    settled, note = settle_head(recipe(place, tmp_path), None)
    assert settled.teacher.head == chosen
    assert note is not None
    assert f"in {chosen}: bfloat16 is {speed:.1f} times" in note


def test_where_nothing_is_to_be_chosen_weights_stay_as_they_are(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A small head, one that is multiplied for no s2t term, reference mode, and one in bfloat16 already."""
    machine(monkeypatch, 9.0, large=1 << 24)
    unchanged = [recipe(place, tmp_path)]
    assert settle_head(unchanged[0], None) == (unchanged[0], None)
    machine(monkeypatch, 9.0)
    unchanged = [
        recipe(place, tmp_path, objective={"method": "uld"}),
        recipe(place, tmp_path, objective={"only_projectors": True}),
        recipe(place, tmp_path, objective={"reference": True}),
        recipe(place, tmp_path, teacher={"precision": "bfloat16"}),
        recipe(place, tmp_path, training={"precision": "bfloat16"}),
        recipe(place, tmp_path, teacher={"head": "float32"}),
    ]
    for each in unchanged:
        assert settle_head(each, None) == (each, None)


def test_the_demo_keeps_its_head(monkeypatch: pytest.MonkeyPatch):
    from probe.training.recipe import read_recipe

    monkeypatch.setattr(head, "bfloat16_speed", lambda device: 9.0)
    demo = read_recipe("demo")
    assert settle_head(demo, None) == (demo, None)


def test_a_run_keeps_on_another_machine_what_it_began_with(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """To the last bit, and every checkpoint says what it is."""
    tiny = recipe(place, tmp_path, training={"steps": 2, "save_every": 1, "keep_last": 2})
    machine(monkeypatch, 2.0)
    said: list[str] = []
    whole = train(tiny, tmp_path / "run", said.append)
    assert any("head is multiplied in bfloat16" in line for line in said)
    expected = load_file(whole / "projectors.safetensors")
    assert load_checkpoint(whole).recipe["teacher"]["head"] == "bfloat16"
    assert json.loads((whole / "recipe.json").read_text())["teacher"]["head"] == "bfloat16"
    shutil.rmtree(whole)
    machine(monkeypatch, 0.1)
    again = train(tiny, tmp_path / "run", said.append)
    for name, tensor in load_file(again / "projectors.safetensors").items():
        np.testing.assert_array_equal(tensor, expected[name])
    machine(monkeypatch, 0.1)
    plain = load_file(train(tiny, tmp_path / "plain", said.append) / "projectors.safetensors")
    assert any((plain[name] != expected[name]).any() for name in expected)


@pytest.mark.parametrize("teacher", [{"cached": True, "expectations": True}, {"cached": False}], ids=str)
def test_a_rounded_head_is_what_a_batch_sees(place: Path, tmp_path: Path, teacher: dict[str, Any]):
    from probe.training.trainer.batches import Collate

    for precision in ("float32", "bfloat16"):
        prepared = prepare(recipe(place, tmp_path, teacher={**teacher, "head": precision}))
        _, side = prepared.distiller.sides(Collate(prepared.train)([0, 1]))
        assert side is not None
        assert side.view.head.dtype == getattr(torch, precision)
        assert side.view.states.dtype == torch.float32


def test_expectations_of_a_rounded_head_are_others(place: Path, tmp_path: Path):
    found = []
    for precision in ("float32", "bfloat16"):
        part = {"expectations": True, "head": precision}
        expected = prepare(recipe(place, tmp_path, teacher=part)).train.expected
        assert expected is not None
        found.append(np.array(expected.states))
    assert (found[0] != found[1]).any()
    np.testing.assert_allclose(found[0], found[1], rtol=0.02, atol=0.02)


def test_speed_is_measured():
    assert bfloat16_speed(torch.device("cpu")) > 0
