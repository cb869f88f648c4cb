"""Runs of an attention alone: what they leave, going on after a kill, and what they refuse."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from directories import TEXTS

from probe.alignment.align import align
from probe.checkpoints.checkpoint import load_checkpoint
from probe.checkpoints.loading import load
from probe.cli.train import main
from probe.errors import ArgumentError, PairsError, TrainingError
from probe.models.sources import bundled_dir
from probe.training.attention.run import train_attention
from probe.training.attention_recipe import AttentionRecipe
from probe.training.recipe import read_any_recipe, read_recipe
from probe.training.train import gradient_reach, train

SMALL = "training.steps=6", "texts.sampled=40", "training.batch_size=8", "training.threads=1"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join(text.replace("\n", " ") for text in TEXTS))
    return file


def recipe_of(texts: Path, *more: str) -> AttentionRecipe:
    recipe = read_any_recipe("attention", [f"texts.source={texts}", *SMALL, *more])
    assert isinstance(recipe, AttentionRecipe)
    return recipe


def query(place: Path) -> np.ndarray:
    return load_checkpoint(place).query.tensors["0.weight"]


def quiet(line: str) -> None:
    """Take a line for nobody."""


@pytest.mark.parametrize("objective", ["overlap", "forward-sum"])
def test_an_attention_learns_to_align(texts: Path, tmp_path: Path, objective: str):
    more = f"attention.objective={objective}", "training.steps=40", "training.learning_rate=1e-2"
    said: list[str] = []
    place = train_attention(recipe_of(texts, *more, "texts.sampled=100"), tmp_path / "run", said.append)
    checkpoint = load_checkpoint(place)
    assert (checkpoint.method, checkpoint.criterion) == ("cma", f"attention alone, {objective}")
    assert list(checkpoint.projectors) == ["query"]
    assert checkpoint.scales.hidden is None
    own, sampled = checkpoint.recipe["rows"]
    assert said == [f"learns from {own} texts of {texts} and {sampled} texts sampled from both vocabularies"]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert np.mean([row["loss"] for row in log[-6:]]) < 0.8 * np.mean([row["loss"] for row in log[:6]])
    report = align(place, texts=["Return the maximum of two numbers."], methods=["random"])
    assert report["cma"].top1.value > report["random"].top1.value


def test_a_run_that_was_stopped_goes_on_to_the_same_query(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = train_attention(recipe_of(texts), tmp_path / "whole", quiet)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    cut = tmp_path / "cut"
    with monkeypatch.context() as patched:
        patched.setattr("probe.training.attention.run._save", stop)
        with pytest.raises(KeyboardInterrupt):
            train_attention(recipe_of(texts, "training.save_every=2", "training.save_projectors_every=4"), cut, quiet)
    assert not (cut / "checkpoint").exists()
    parted = train_attention(recipe_of(texts, "training.save_every=2", "training.save_projectors_every=4"), cut, quiet)
    np.testing.assert_array_equal(query(parted), query(whole))
    assert parted == train_attention(
        recipe_of(texts, "training.save_every=2", "training.save_projectors_every=4"), cut, quiet
    )


def test_another_recipe_in_the_same_directory_is_refused_by_its_key(texts: Path, tmp_path: Path):
    train_attention(recipe_of(texts), tmp_path, quiet)
    with pytest.raises(TrainingError, match=r"other attention\.objective"):
        train_attention(recipe_of(texts, "attention.objective=forward-sum"), tmp_path, quiet)


def test_a_run_that_ended_is_not_trained_again_and_one_of_other_texts_is_refused(texts: Path, tmp_path: Path):
    own = tmp_path / "own.txt"
    own.write_text(texts.read_text())
    said: list[str] = []
    for _ in range(2):
        train_attention(recipe_of(own), tmp_path / "run", said.append)
    assert len(said) == 1
    own.write_text("Other words.")
    with pytest.raises(TrainingError, match=r"other texts\.source"):
        train_attention(recipe_of(own), tmp_path / "run", quiet)


def test_a_run_is_the_same_where_models_and_texts_lie_elsewhere(texts: Path, tmp_path: Path):
    said: list[str] = []
    train_attention(recipe_of(texts), tmp_path / "run", said.append)
    moved = tmp_path / "moved.txt"
    moved.write_text(texts.read_text())
    for role in ("student", "teacher"):
        shutil.copytree(bundled_dir() / "demo" / role, tmp_path / role)
    elsewhere = [f"{role}.source={tmp_path / role}" for role in ("student", "teacher")]
    train_attention(recipe_of(moved, *elsewhere), tmp_path / "run", said.append)
    assert len(said) == 1


def test_a_mistyped_file_can_be_corrected_in_the_same_directory(texts: Path, tmp_path: Path):
    with pytest.raises(PairsError, match="nowhere"):
        train_attention(recipe_of(tmp_path / "nowhere.txt"), tmp_path / "run", quiet)
    assert train_attention(recipe_of(texts), tmp_path / "run", quiet).is_dir()


def test_models_of_one_tokenizer_are_refused(texts: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match="another tokenizer than the teacher's; got the same"):
        train_attention(recipe_of(texts, "teacher.source=bundled:demo/student"), tmp_path, quiet)


def test_a_deeper_query_and_one_without_whitening_are_saved_as_what_they_are(texts: Path, tmp_path: Path):
    deep = train_attention(recipe_of(texts, "attention.structure=2s-2s-relu-2t"), tmp_path / "deep", quiet)
    assert load_checkpoint(deep).query.structure == "2s-2s-relu-2t"
    assert load(deep).map("Return the path.").weights.shape[0] > 3
    plain = train_attention(recipe_of(texts, "attention.whiten=false"), tmp_path / "plain", quiet)
    # From ±1/sqrt(width) at first, six steps of 1e-3 at the most lead no further.
    assert np.abs(query(plain)).max() < (2 * 96) ** -0.5 + 6e-3


def test_python_trains_it_too_and_keeps_every_second_step(texts: Path, tmp_path: Path):
    run = train("attention", f"texts.source={texts}", *SMALL, "training.save_projectors_every=2", out=tmp_path / "mine")
    assert repr(run) == "<TrainedRun mine: 6 steps, checkpoints of steps 0, 2, 4, 6>"
    assert load_checkpoint(run.checkpoints[2]).steps == 2
    assert run.frame()["loss"].notna().all()
    with pytest.raises(ArgumentError, match="one that trains a student"):
        gradient_reach("attention")


def test_recipes_are_told_apart():
    with pytest.raises(TrainingError, match="one of an attention alone"):
        read_recipe("attention")
    with pytest.raises(TrainingError, match=r"attention\.objectiv.*Did you mean objective"):
        read_any_recipe("attention", ["attention.objectiv=overlap"])
    for structure, expected in (
        ("s-t", "from 2s to 2t"),
        ("2s-3x-2t", "items such as"),
        ("2s-relu-relu-2t", "a width"),
    ):
        with pytest.raises(TrainingError, match=rf"attention\.structure: expected .*{expected}"):
            read_any_recipe("attention", [f"attention.structure={structure}"])
    recipe = read_any_recipe("attention", ["seeds=[1,2]", 'objectives=["overlap","forward-sum"]'])
    assert [run.name for run in recipe.runs()] == [
        f"attention/{objective}-seed{seed}" for objective in ("overlap", "forward-sum") for seed in (1, 2)
    ]


def test_the_command_trains_without_transformers(texts: Path, tmp_path: Path):
    command = [sys.executable, "-c", _COMMAND, "attention", f"texts.source={texts}", *SMALL, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == [str(tmp_path / "checkpoint"), "transformers False"]


_COMMAND = """
import sys
from probe.cli.train import main
main(sys.argv[1:])
print("transformers", "transformers" in sys.modules)
"""


def test_an_attention_has_no_layout_of_dskd(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["attention", f"texts.source={texts}", *SMALL, "--out", str(tmp_path / "a"), "--export", "dskd"]) == 2
    assert "--export: expected a recipe that trains a student; got an attention alone" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
