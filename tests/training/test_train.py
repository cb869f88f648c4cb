"""A recipe from Python: what a run hands back, where its gradient goes, and what is said of wrong arguments."""

from pathlib import Path
from typing import Any

import pytest
from trainer_runs import recipe_of, save_pair

from probe.checkpoints.checkpoint import load_checkpoint
from probe.errors import ArgumentError, TrainingError
from probe.training.train import gradient_reach, train


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a recipe."""
    place = save_pair(tmp_path_factory.mktemp("pair"))
    recipe_of(place, place / "tiny.toml")
    return str(place / "tiny.toml")


def test_a_run_has_its_checkpoints_by_step_and_its_log(tiny: str, tmp_path: Path):
    said: list[str] = []
    kept = "training.steps=4", "training.save_projectors_every=2", "training.log_every=2", "training.save_every=4"
    run = train(tiny, *kept, out=tmp_path / "run", progress=said.append)
    assert {step: str(path.relative_to(tmp_path / "run")) for step, path in run.checkpoints.items()} == {
        0: "projectors/step-0",
        2: "projectors/step-2",
        4: "checkpoint-4",
    }
    assert {step: load_checkpoint(path).steps for step, path in run.checkpoints.items()} == {0: 0, 2: 2, 4: 4}
    frame: Any = run.frame()
    assert frame.index.tolist() == [2, 4]
    assert (frame["loss"] > 0).all()
    assert any(line.startswith("step 4/4") for line in said)
    assert train(tiny, *kept, out=str(tmp_path / "run")) == run


def test_it_says_nothing_unless_asked(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train(tiny, "training.steps=1", out=tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("critic", ["released", "trained"])
def test_the_gradient_of_the_term_comes_to_query_and_critic_alone(tiny: str, critic: str):
    frame: Any = gradient_reach(tiny, "objective.method=cma-ga", f"objective.critic={critic}", rows=4)
    assert set(frame.index[frame["key-query term"].notna()]) == {"query", "critic"}
    assert (frame["whole loss"] > 0).all()
    assert frame.loc["critic", "stepped"] == (critic == "trained")


def test_wrong_arguments_are_named(tiny: str, tmp_path: Path):
    wrong_train, wrong_reach = (getattr(one, "__wrapped__", one) for one in (train, gradient_reach))
    cases: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
        (wrong_train, (3,), {}, "recipe: expected the name of a recipe, or its file; got int 3"),
        (wrong_train, (tiny, {"training.steps": 4}), {}, 'overrides: expected "key.of.part=value"; got dict'),
        (wrong_train, (tiny,), {"out": 3}, "out: expected a directory"),
        (wrong_train, (tiny, "seeds=[1, 2]"), {"out": tmp_path}, "recipe: expected one run; got tiny, which has 2"),
        (wrong_reach, (tiny, "objective.method=cma-ga"), {"rows": 0}, "rows: expected between 1 and"),
    ]
    for call, given, named, said in cases:
        with pytest.raises(ArgumentError, match=said):
            call(*given, **named)
    with pytest.raises(TrainingError, match="key-query term"):
        gradient_reach(tiny, "objective.method=cma")
