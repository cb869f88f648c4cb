"""A start that aligns: a query trained alone first, and a random one that is made as sharp."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainer_runs import recipe_of, save_pair

from probe.attention import softmax
from probe.checkpoints.checkpoint import load_checkpoint
from probe.checkpoints.opened import open_checkpoint
from probe.errors import TrainingError
from probe.projectors import Projector
from probe.scoring.sharpness import entropy
from probe.training.data.rows import read_rows
from probe.training.recipe import Recipe
from probe.training.trainer.setup import Prepared, prepare


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all tests here, so that the attention alone is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def prepared(place: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Prepared]:
    monkeypatch.setenv("PROBE_CACHE", str(cache))
    # Runs have names of their own, and share the attention alone.
    objectives: dict[str, Any] = {
        "random": {"start": "random"},
        "attention": {"start": "attention"},
        "random-sharp": {"as_sharp_as": "attention"},
    }
    return {
        name: prepare(recipe_of(place, tmp_path / f"{name}.toml", objective=one).model_copy(update={"name": name}))
        for name, one in objectives.items()
    }


def query(prepared: Prepared) -> Projector:
    return prepared.distiller.criterion.projectors.to_numpy()["query"]


def mean_entropy(place: Path, cache: Path, recipe: Recipe, one: Projector, key_scale: float) -> float:
    """Of a query's attention over the training responses, at the key scale of its run."""
    (alone,) = cache.glob("attention/*/checkpoint")
    opened = open_checkpoint(load_checkpoint(alone))
    found = []
    for row in read_rows(recipe.data, recipe.seed).train[:200]:
        logits = opened.logits(*opened.tokenize(row.output), one) * opened.checkpoint.scales.key / key_scale
        found.append(entropy(softmax(logits, axis=1)))
    return float(np.concatenate(found).mean())


@pytest.mark.slow
def test_the_query_is_the_one_that_was_trained_alone_and_the_rest_is_as_ever(
    place: Path, cache: Path, prepared: dict[str, Prepared]
):
    (alone,) = cache.glob("attention/*/checkpoint")
    stored = load_checkpoint(alone)
    for key, value in stored.query.tensors.items():
        np.testing.assert_array_equal(query(prepared["attention"]).tensors[key], value)
    assert prepared["attention"].scales is not None
    assert prepared["attention"].scales.key == stored.scales.key
    projectors = [one.distiller.criterion.projectors.to_numpy() for one in prepared.values()]
    for name in ("t2s", "s2t"):
        for key, value in projectors[0][name].tensors.items():
            for other in projectors[1:]:
                np.testing.assert_array_equal(other[name].tensors[key], value)
    assert prepared["attention"].notes[0].startswith("starts from attention: query; at random: t2s, s2t")


@pytest.mark.slow
def test_a_random_query_is_made_as_sharp_and_stays_what_it_is(place: Path, cache: Path, prepared: dict[str, Prepared]):
    drawn, sharp, trained = (query(prepared[start]) for start in ("random", "random-sharp", "attention"))
    (factor,) = {round(float(f), 3) for f in (sharp.tensors["0.weight"] / drawn.tensors["0.weight"]).ravel()[:9]}
    np.testing.assert_allclose(sharp.tensors["0.weight"], factor * drawn.tensors["0.weight"], rtol=1e-3)
    np.testing.assert_allclose(sharp.tensors["0.bias"], factor * drawn.tensors["0.bias"], rtol=1e-3)
    scales = {start: prepared[start].scales for start in prepared}
    assert scales["random-sharp"] == scales["random"]
    recipe = prepared["random"].recipe
    keys = {start: one.key for start, one in scales.items() if one is not None}
    found = [
        mean_entropy(place, cache, recipe, one, keys[start])
        for one, start in ((drawn, "random"), (sharp, "random-sharp"), (trained, "attention"))
    ]
    assert found[1] == pytest.approx(found[2], abs=2e-3)
    assert abs(found[0] - found[2]) > 0.02
    assert prepared["random-sharp"].notes == (
        f"the query is multiplied by {factor:.3g}, to be as sharp as one that is trained alone",
    )


@pytest.mark.slow
@pytest.mark.parametrize("key", ["start", "as_sharp_as"])
def test_one_that_is_kept_serves_the_same_models_wherever_they_lie(
    place: Path, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    shutil.copytree(place, here)
    first = prepare(recipe_of(here, tmp_path / "a.toml", objective={key: "attention"}))
    here.rename(elsewhere)
    assert prepare(recipe_of(elsewhere, tmp_path / "a.toml", objective={key: "attention"})).notes == first.notes
    assert len(list((tmp_path / "cache" / "attention").iterdir())) == 1


@pytest.mark.parametrize("key", ["start", "as_sharp_as"])
def test_a_method_without_a_query_cannot_start_so(place: Path, tmp_path: Path, key: str):
    with pytest.raises(TrainingError, match=rf"objective\.{key}: expected a method with a query; got clp"):
        prepare(recipe_of(place, tmp_path / "a.toml", objective={"method": "clp", key: "attention"}))


def test_all_methods_of_a_seed_begin_with_the_same_t2s_and_s2t(place: Path, tmp_path: Path):
    found = []
    for method in ("cma", "cla", "clp", "uniform", "eta", "cma-ga"):
        recipe = recipe_of(place, tmp_path / f"{method}.toml", objective={"method": method})
        found.append(prepare(recipe).distiller.criterion.projectors.to_numpy())
    for name in ("t2s", "s2t"):
        for key, value in found[0][name].tensors.items():
            for other in found[1:]:
                np.testing.assert_array_equal(other[name].tensors[key], value)
