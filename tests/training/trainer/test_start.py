"""Runs that start from a checkpoint: what they take from it, what they make themselves, and which are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from trainer_runs import PROMPT, recipe_of, save_pair, save_start, started

from probe.checkpoints.checkpoint import Scales, load_checkpoint
from probe.errors import TrainingError
from probe.models.sources import bundled_dir
from probe.models.tokenizer import Tokenizer
from probe.training.criteria.projectors import Projectors
from probe.training.model_files import record_of
from probe.training.trainer.run import train
from probe.training.trainer.setup import prepare
from probe.training.trainer.start import named_directory


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def query_alone(place: Path) -> Path:
    """A checkpoint whose query was trained from the two tables: no other projector, and no other scale."""
    return save_start(place, place / "query", ("query",))


# What is taken, and what is not


def test_projectors_that_the_start_lacks_begin_at_random_and_scales_that_it_lacks_are_estimated(
    place: Path, query_alone: Path, tmp_path: Path
):
    prepared = prepare(started(place, tmp_path, query_alone))
    usual = prepare(recipe_of(place, tmp_path / "usual.toml"))
    ours, theirs = (each.distiller.criterion.projectors.to_numpy() for each in (prepared, usual))
    stored = load_checkpoint(query_alone).query
    for key, value in stored.tensors.items():
        np.testing.assert_array_equal(ours["query"].tensors[key], value)
    for name in ("t2s", "s2t"):
        for key, value in theirs[name].tensors.items():
            np.testing.assert_array_equal(ours[name].tensors[key], value)
    assert usual.scales is not None
    assert prepared.scales == replace(usual.scales, key=load_checkpoint(query_alone).scales.key)
    assert prepared.distiller.criterion.scales == prepared.scales


def test_a_run_says_once_what_it_starts_from(place: Path, query_alone: Path, tmp_path: Path):
    recipe = started(place, tmp_path, query_alone, training={"steps": 2, "save_every": 1, "keep_last": 2})
    lines: list[str] = []
    train(recipe, tmp_path / "run", say=lines.append)
    expected = (
        f"starts from {query_alone}: query; at random: t2s, s2t; from the training rows: hidden and target scales"
    )
    assert [line for line in lines if line.startswith("starts from")] == [expected]
    assert lines[0] == expected
    lines.clear()
    (tmp_path / "run" / "checkpoint-2").rename(tmp_path / "elsewhere")
    train(recipe, tmp_path / "run", say=lines.append)
    assert lines[0] == "going on from checkpoint-1"
    assert not [line for line in lines if line.startswith("starts from")]


def test_a_run_at_random_says_nothing_of_its_start(place: Path, tmp_path: Path):
    assert prepare(recipe_of(place, tmp_path / "a.toml")).notes == ()


def test_scales_that_the_start_has_are_not_estimated(place: Path, tmp_path: Path):
    scales = Scales(key=0.5, hidden=1.5)
    start = save_start(place, tmp_path / "start", ("query", "t2s", "s2t"), scales=scales)
    prepared = prepare(started(place, tmp_path, start))
    assert prepared.scales is not None
    assert (prepared.scales.key, prepared.scales.hidden) == (0.5, 1.5)
    assert prepared.scales.target not in (None, 1.5)
    assert prepared.notes == (f"starts from {start}: query, t2s, s2t; from the training rows: target scale",)
    whole = save_start(place, tmp_path / "whole", ("query", "t2s", "s2t"), scales=replace(scales, target=0.25))
    prepared = prepare(started(place, tmp_path, whole))
    assert prepared.scales == replace(scales, target=0.25)
    assert prepared.notes == (f"starts from {whole}: query, t2s, s2t",)


def test_a_trained_run_goes_on_in_another_one_with_its_own_student(place: Path, tmp_path: Path):
    first = train(recipe_of(place, tmp_path / "a.toml"), tmp_path / "first", say=lambda _: None)
    student = {"source": str(first / "student")}
    second = train(started(place, tmp_path, first, student=student), tmp_path / "second", say=lambda _: None)
    assert load_checkpoint(second).scales == load_checkpoint(first).scales
    with pytest.raises(TrainingError, match=r"objective\.start, student: expected the embedding table") as caught:
        prepare(started(place, tmp_path, first))
    (problem,) = caught.value.problems
    assert f"Set student.source to {first / 'student'}" in problem.remedy


def test_the_bundled_demo_starts_runs_of_its_own_models(place: Path, tmp_path: Path):
    parts = {side: {"source": f"bundled:demo/{side}"} for side in ("student", "teacher")}
    prepared = prepare(started(place, tmp_path, "demo", **parts))
    assert prepared.notes == ("starts from demo: query, t2s; at random: s2t",)
    assert prepared.scales == load_checkpoint(bundled_dir() / "demo").scales


# As sharp as another


def test_a_query_is_made_as_sharp_as_that_of_a_checkpoint_and_the_rest_is_as_without(
    place: Path, query_alone: Path, tmp_path: Path
):
    """Of itself three times as large it becomes three times as large, at whatever scale of keys that one has."""
    loud = save_start(place, tmp_path / "loud", ("query",), scales=Scales(key=0.375 / 3))
    usual = prepare(started(place, tmp_path, query_alone))
    sharp = prepare(started(place, tmp_path, query_alone, objective={"as_sharp_as": str(loud)}))
    assert sharp.notes == (
        *usual.notes,
        f"the query is multiplied by 3, to be as sharp as {loud}",
    )
    assert sharp.scales == usual.scales
    ours, theirs = (each.distiller.criterion.projectors.to_numpy() for each in (sharp, usual))
    for name, times in (("query", 3), ("t2s", 1), ("s2t", 1)):
        for key, value in theirs[name].tensors.items():
            np.testing.assert_allclose(ours[name].tensors[key], times * value, rtol=5e-3)


@pytest.mark.parametrize("named", ["random", "atention"])
def test_only_an_attention_or_a_checkpoint_can_say_how_sharp(place: Path, tmp_path: Path, named: str):
    expected = rf"objective\.as_sharp_as: expected attention, or a checkpoint's name or directory; got {named}"
    with pytest.raises(TrainingError, match=expected):
        prepare(recipe_of(place, tmp_path / "a.toml", objective={"as_sharp_as": named}))


def test_a_checkpoint_of_other_models_or_without_a_query_cannot_say_how_sharp(place: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match=r"objective\.as_sharp_as, student: expected the embedding table"):
        prepare(recipe_of(place, tmp_path / "a.toml", objective={"as_sharp_as": "demo"}))
    start = save_start(place, tmp_path / "start", ("t2s",))
    with pytest.raises(TrainingError, match=r"objective\.as_sharp_as, .+: expected a projector of cma: query; got t2s"):
        prepare(recipe_of(place, tmp_path / "b.toml", objective={"as_sharp_as": str(start)}))


def test_a_method_without_projectors_does_not_look_at_sharpness(place: Path, tmp_path: Path):
    assert (
        prepare(recipe_of(place, tmp_path / "a.toml", objective={"method": "uld", "as_sharp_as": "demo"})).notes == ()
    )


# What is refused


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_other_tables_of_equal_width_are_refused(place: Path, query_alone: Path, tmp_path: Path, side: str):
    """Rows in another order: every shape fits, and every token has the embedding of another one."""
    other = tmp_path / "permuted"
    other.mkdir()
    for file in (place / side).iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    stored = load_file(other / "model.safetensors")
    (table,) = [key for key in stored if key.endswith(("wte.weight", "embed_tokens.weight"))]
    save_file(stored | {table: stored[table][::-1].copy()}, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError) as caught:
        prepare(started(place, tmp_path, query_alone, **{side: {"source": str(other)}}))
    (problem,) = caught.value.problems
    assert problem.where == f"objective.start, {side}"
    assert str(query_alone) in problem.expected
    assert "embedding table" in problem.expected
    assert str(other) in problem.got
    assert str(place / side) in problem.remedy


def test_another_vocabulary_over_the_same_table_is_refused(place: Path, tmp_path: Path):
    record = record_of(str(place / "student"), Tokenizer.load(place / "student"), PROMPT)
    record = replace(record, vocabulary_sha256="0" * 64)
    start = save_start(place, tmp_path / "start", ("query",), student=record)
    with pytest.raises(TrainingError, match=r"objective\.start, student: expected the vocabulary, sha256 0{12}…"):
        prepare(started(place, tmp_path, start))


def test_a_misspelt_start_is_told_what_there_is():
    with pytest.raises(TrainingError, match=r"objective\.start: expected random, .+; got atention"):
        named_directory("start", "atention")


def test_a_start_without_a_projector_of_the_method_is_refused(place: Path, query_alone: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match="expected a projector of clp: t2s, s2t; got query"):
        prepare(started(place, tmp_path, query_alone, objective={"method": "clp"}))


def test_a_method_without_projectors_does_not_look_at_the_start(place: Path, query_alone: Path, tmp_path: Path):
    """Methods of one reproduction share the recipe's start."""
    assert prepare(started(place, tmp_path, query_alone, objective={"method": "uld"})).notes == ()


def test_a_projector_of_another_structure_is_refused(place: Path, tmp_path: Path):
    deep = Projectors({"query": "2s-2t", "t2s": "t-2t-relu-s"}, student=16, teacher=24, seed=1).to_numpy()
    start = save_start(place, tmp_path / "start", (), projectors=deep)
    with pytest.raises(TrainingError, match=r"t2s: expected t-s; got t-2t-relu-s"):
        prepare(started(place, tmp_path, start))
