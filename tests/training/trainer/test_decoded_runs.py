"""Runs whose attention is brought into order: the same map as after training, and the same bits after a resume."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trainer_runs import assert_same_bits, recipe_of, save_pair, save_start, started

from probe.aligners.grid import grid
from probe.checkpoints.checkpoint import load_checkpoint
from probe.checkpoints.loading import load
from probe.errors import TrainingError
from probe.training.criteria.cma import cma
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.step import Terms
from probe.training.examples import read_examples
from probe.training.recipe import read_recipe
from probe.training.reproduction.systems import compared
from probe.training.trainer.batches import Collate
from probe.training.trainer.run import train
from probe.training.trainer.setup import Prepared, prepare

TRAINING = {"steps": 4, "save_every": 1, "keep_last": 4, "micro_batch_size": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = save_pair(tmp_path_factory.mktemp("pair"))
    save_start(place, place / "query", ("query",))
    return place


def prepared(place: Path, scratch: Path, **objective: Any) -> Prepared:
    return prepare(started(place, scratch, place / "query", objective=objective))


def terms(run: Prepared, rows: int = 6, done: float = 0.0) -> Terms:
    distiller = run.distiller.eval()
    return distiller.criterion(*distiller.sides(Collate(run.train)(range(rows))), done=done)


def silent(line: str) -> None:
    pass


def test_the_attention_of_a_step_is_the_grid_of_the_map_that_is_probed(place: Path, tmp_path: Path):
    run = prepared(place, tmp_path, decoder="grid")
    attention = terms(run, rows=10).attention
    assert attention is not None
    opened, seen = load(str(place / "query")), []
    for number, example in enumerate(read_examples(place / "data" / "train.jsonl")[:10]):
        map_ = opened.map(*opened.tokenize(example.output))
        n, m = map_.weights.shape
        assert run.train.teacher is not None
        assert (n, m) == tuple(len(side[number].targets) for side in (run.train.student, run.train.teacher))
        expected = grid(map_)
        for found, wanted in (
            (attention.over_teacher, expected.weights),
            (attention.over_student, expected.over_student),
        ):
            np.testing.assert_allclose(found[number, :n, :m].detach().numpy(), wanted, atol=1e-5)
        seen.append(float(np.abs(expected.weights - map_.weights).max()))
    assert max(seen) > 0.1


def test_a_row_that_was_cut_off_has_no_end_to_set_apart(place: Path, tmp_path: Path):
    parts = {"data": {"source": str(place / "data"), "max_length": 24}}
    run = prepare(started(place, tmp_path, place / "query", objective={"decoder": "grid"}, **parts))
    attention = terms(run, rows=24).attention
    assert attention is not None
    assert run.train.teacher is not None
    cut = []
    for number, sides in enumerate(zip(run.train.student, run.train.teacher, strict=True)):
        n, m = (len(side.targets) for side in sides)
        ends = [int(side.targets[-1]) == id_ for side, id_ in zip(sides, (0, 2), strict=True)]
        cut.append(not all(ends))
        alone = attention.over_teacher[number, n - 2, m - 1].item()
        assert (alone > 0) == cut[-1], number
    assert {True, False} <= set(cut)


def test_the_query_learns_through_the_grid(place: Path, tmp_path: Path):
    run = prepared(place, tmp_path, decoder="grid")
    terms(run).loss.backward()
    gradient = run.distiller.criterion.projectors["query"].tensors["0.weight"].grad
    assert gradient.isfinite().all()
    assert gradient.norm() > 1e-6


def test_the_diagonal_decays_to_nothing(place: Path, tmp_path: Path):
    run, plain = (prepared(place, tmp_path, decoder=name) for name in ("diagonal", "none"))
    usual = terms(plain).attention
    found = [terms(run, done=done).attention for done in (0.0, 0.5, 1.0)]
    assert usual is not None
    assert torch.equal(found[2].over_teacher, usual.over_teacher)
    assert torch.equal(found[2].over_student, usual.over_student)
    inside = usual.over_teacher > 0
    first, half = ((each.logits - usual.logits)[inside] for each in found[:2])
    torch.testing.assert_close(first, 2 * half, atol=1e-5, rtol=1e-5)
    assert first.min() < -3
    twice = terms(prepared(place, tmp_path, decoder="diagonal", decoder_rate=2.0)).attention
    torch.testing.assert_close((twice.logits - usual.logits)[inside], 2 * first, atol=1e-5, rtol=1e-5)


def test_all_parts_of_a_batch_know_the_share_of_the_run_and_a_resume_goes_on_with_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shares: list[float] = []
    forward = Criterion.forward

    def noted(self: Criterion, *sides: Any) -> Terms:
        shares.append(sides[3])
        return forward(self, *sides)

    monkeypatch.setattr(Criterion, "forward", noted)
    recipe = recipe_of(place, tmp_path / "a.toml", objective={"decoder": "diagonal"}, training=TRAINING)
    whole = train(recipe, tmp_path / "whole", say=silent)
    assert shares == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    shares.clear()
    shutil.copytree(whole.parent, tmp_path / "run")
    for step in (3, 4):
        shutil.rmtree(tmp_path / "run" / f"checkpoint-{step}")
    resumed = train(recipe, tmp_path / "run", say=silent)
    assert shares == [0.5, 0.5, 0.75, 0.75]
    assert_same_bits(whole, resumed)


@pytest.mark.parametrize(
    ("method", "decoder", "expected"),
    [
        ("cma", "grid", "forward_kl, grid decoder"),
        ("cma-ga", "grid", "forward_kl, trained, rate 1, grid decoder"),
        ("cma-ct", "diagonal", "forward_kl, trained, rate 1, diagonal decoder, rate 0.5 to 0"),
    ],
)
def test_methods_train_under_a_decoder_and_their_checkpoints_say_so(
    place: Path, tmp_path: Path, method: str, decoder: str, expected: str
):
    objective = {"method": method, "decoder": decoder, "decoder_rate": 0.5}
    last = train(recipe_of(place, tmp_path / "a.toml", objective=objective), tmp_path / "run", say=silent)
    checkpoint = load_checkpoint(last)
    assert checkpoint.criterion == expected
    assert (checkpoint.recipe["objective"]["decoder"], checkpoint.recipe["objective"]["decoder_rate"]) == (decoder, 0.5)
    plain = train(
        recipe_of(place, tmp_path / "b.toml", objective=objective | {"decoder": "none"}), tmp_path / "plain", say=silent
    )
    ours, theirs = (load_checkpoint(each).projectors["query"].tensors["0.weight"] for each in (last, plain))
    assert np.isfinite(ours).all()
    assert (ours != theirs).any()


# Refusals


@pytest.mark.parametrize("method", ["cla", "clp", "uld", "sft"])
def test_other_methods_are_refused_when_the_recipe_is_read(place: Path, tmp_path: Path, method: str):
    with pytest.raises(TrainingError, match=r"objective\.decoder: expected none, or a method with attention over all"):
        recipe_of(place, tmp_path / "a.toml", objective={"method": method, "decoder": "grid"})


def test_reference_mode_and_methods_of_a_list_are_refused(place: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match=r"objective\.decoder: .* not in reference mode"):
        recipe_of(place, tmp_path / "a.toml", objective={"reference": True, "decoder": "diagonal"})
    recipe_of(place, tmp_path / "a.toml", objective={"decoder": "grid"})
    with pytest.raises(TrainingError, match="method cla: decoder: expected none"):
        list(read_recipe(str(tmp_path / "a.toml"), ["methods=['cma', 'cla']"]).runs())
    recipe = read_recipe(str(tmp_path / "a.toml"), ["reproduction.variants.cla={kd_rate=0.1}"])
    with pytest.raises(TrainingError, match="variant cla: decoder: expected none"):
        compared(recipe, ["cla"])


def test_a_grid_must_know_the_ends_of_sequence_and_positions_from_the_first_on(place: Path, tmp_path: Path):
    run = prepared(place, tmp_path, decoder="grid")
    criterion = run.distiller.criterion
    step = criterion.step(*run.distiller.eval().sides(Collate(run.train)(range(6))))
    criterion.ends = None
    with pytest.raises(TrainingError, match="ids of the end of sequence"):
        terms(run)
    tokens = step.student.tokens
    shifted = step.student._replace(tokens=tokens._replace(mask=tokens.mask.roll(1, dims=1)))
    with pytest.raises(TrainingError, match="targets from the first position on"):
        cma(replace(step, student=shifted))
