"""What a recipe freezes stays as it starts, to the bit; what cannot be frozen is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from trainer_runs import assert_same_bits, recipe_of, save_pair, save_start, started

from probe.checkpoints.checkpoint import load_checkpoint
from probe.checkpoints.loading import load
from probe.errors import TrainingError
from probe.training.criteria.settings import METHODS
from probe.training.recipe import Recipe, read_recipe
from probe.training.reproduction.systems import compared
from probe.training.trainer.run import train
from probe.training.trainer.setup import prepare
from probe.training.trainer.trainer import parameter_groups

TRAINING = {"steps": 4, "save_every": 1, "keep_last": 4, "projector_learning_rate": 0.1, "weight_decay": 0.1}
BOTH = ["query", "student_embeddings"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = save_pair(tmp_path_factory.mktemp("pair"))
    save_start(place, place / "query", ("query",))
    return place


def frozen(place: Path, scratch: Path, freeze: list[str], **parts: dict[str, Any]) -> Recipe:
    objective = {"freeze": freeze, **parts.pop("objective", {})}
    return started(place, scratch, place / "query", objective=objective, training=TRAINING, **parts)


def tensors(checkpoint: Path, name: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in load_file(checkpoint / "projectors.safetensors").items() if name in key}


def silent(line: str) -> None:
    pass


def attention(checkpoint: Path) -> np.ndarray:
    opened = load(str(checkpoint))
    return opened.map(*opened.tokenize("the path of the file")).weights


def test_a_frozen_query_is_the_same_bits_after_a_run_and_after_one_that_was_resumed(place: Path, tmp_path: Path):
    recipe = frozen(place, tmp_path, ["query"])
    whole = train(recipe, tmp_path / "whole", say=silent)
    before = tensors(place / "query", "query")
    for key, value in tensors(whole, "query").items():
        np.testing.assert_array_equal(value, before[key], strict=True)
    assert (
        tensors(whole, "t2s")["t2s.0.weight"] != tensors(whole.parent / "checkpoint-1", "t2s")["t2s.0.weight"]
    ).any()
    shutil.copytree(whole.parent, tmp_path / "run")
    for step in (3, 4):
        shutil.rmtree(tmp_path / "run" / f"checkpoint-{step}")
    resumed = train(recipe, tmp_path / "run", say=silent)
    assert_same_bits(whole, resumed)


def test_no_optimizer_holds_what_is_frozen(place: Path, tmp_path: Path):
    recipe = frozen(place, tmp_path, BOTH)
    distiller = prepare(recipe).distiller
    held = {id(each) for group in parameter_groups(distiller, recipe.training) for each in group["params"]}
    named = dict(distiller.named_parameters())
    out = {name for name, each in named.items() if id(each) not in held}
    assert out == {
        "criterion.projectors.query_0_weight",
        "criterion.projectors.query_0_bias",
        "student.transformer.wte.weight",
    }


def test_frozen_embeddings_stay_while_the_body_trains_and_checkpoints_name_the_table_of_the_base(
    place: Path, tmp_path: Path
):
    recipe = frozen(place, tmp_path, ["student_embeddings"])
    recipe = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"save_projectors_every": 2, "keep_last": 4})}
    )
    last = train(recipe, tmp_path / "run", say=silent)
    before, after = (load_file(where / "model.safetensors") for where in (place / "student", last / "student"))
    same = {key for key in before if (before[key] == after[key]).all()}
    assert same == {"transformer.wte.weight"}
    for checkpoint in (last, tmp_path / "run" / "projectors" / "step-2"):
        (source,) = load_checkpoint(checkpoint).student.sources
        assert source.source == str(place / "student")
        assert attention(checkpoint).shape[0] > 1
    assert not (tmp_path / "run" / "projectors" / "step-2" / "student").exists()
    assert (tensors(last, "query")["query.0.weight"] != tensors(place / "query", "query")["query.0.weight"]).any()


def test_with_both_frozen_the_alignment_along_the_run_is_that_of_the_start(place: Path, tmp_path: Path):
    last = train(frozen(place, tmp_path, BOTH), tmp_path / "run", say=silent)
    np.testing.assert_array_equal(attention(last), attention(place / "query"))
    assert load_checkpoint(last).criterion == "forward_kl, frozen query, frozen student embeddings"


MOVES = "the query is frozen, but the student's embeddings train, so the attention moves"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # of transformers
@pytest.mark.parametrize(
    ("freeze", "trains", "moves"),
    [
        (["query"], "all", True),
        (["query"], "body", False),
        (["query"], "lora", False),
        (["query"], "nothing", False),
        (BOTH, "all", False),
        (["student_embeddings"], "all", False),
        ([], "all", False),
    ],
)
def test_a_run_says_that_the_attention_moves_only_where_a_frozen_query_meets_a_table_that_trains(
    place: Path, tmp_path: Path, freeze: list[str], trains: str, moves: bool
):
    notes = prepare(frozen(place, tmp_path, freeze, student={"train": trains})).notes
    assert any(note.startswith(MOVES) for note in notes) == moves
    assert len(notes) == 1 + moves


# What cannot be frozen


@pytest.mark.parametrize("method", METHODS)
def test_a_query_can_be_frozen_where_there_is_one_that_nothing_else_must_move(place: Path, tmp_path: Path, method: str):
    objective: dict[str, Any] = {"method": method, "freeze": ["query"]}
    if method in ("cma", "cla"):
        assert recipe_of(place, tmp_path / "a.toml", objective=objective).objective.freeze == ["query"]
        return
    with pytest.raises(TrainingError, match=r"objective\.freeze: expected no query, or a method .*\(cma, cla\)"):
        recipe_of(place, tmp_path / "a.toml", objective=objective)
    assert recipe_of(place, tmp_path / "a.toml", objective=objective | {"freeze": ["student_embeddings"]})


def test_methods_of_one_recipe_are_checked_one_by_one(place: Path, tmp_path: Path):
    recipe_of(place, tmp_path / "a.toml", objective={"freeze": ["query"]})
    recipe = read_recipe(str(tmp_path / "a.toml"), ["methods=['cma', 'sft']"])
    with pytest.raises(TrainingError, match="method sft: freeze: expected no query"):
        list(recipe.runs())
    with pytest.raises(TrainingError, match="method clp: freeze: expected no query"):
        compared(recipe, ["clp"])
    recipe = read_recipe(str(tmp_path / "a.toml"), ["reproduction.variants.x={kd_rate=0.1}"])
    assert [one.objective.freeze for one in compared(recipe, ["x", "cla"])] == [["query"], ["query"]]
    recipe = read_recipe(str(tmp_path / "a.toml"), ["reproduction.variants.x={critic='released', method='cma-ga'}"])
    with pytest.raises(TrainingError, match="variant x: freeze: expected no query"):
        compared(recipe, ["x"])


def test_an_unknown_part_cannot_be_frozen(place: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match="'query' or 'student_embeddings'"):
        recipe_of(place, tmp_path / "a.toml", objective={"freeze": ["t2s"]})
