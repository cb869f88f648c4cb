"""Who is reached by the gradient of key-query matching."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from trainer_runs import recipe_of, save_pair

from probe.errors import TrainingError
from probe.training.criteria.views import Counts
from probe.training.trainer.batches import Collate
from probe.training.trainer.setup import Prepared, prepare
from probe.training.trainer.watching import gradient_reach


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("pair"))


def prepared(place: Path, scratch: Path, method: str = "cma-ga", steps: int = 2, **objective: Any) -> Prepared:
    parts = {"objective": {"method": method, **objective}, "training": {"steps": steps}}
    return prepare(recipe_of(place, scratch / "tiny.toml", **parts))


def batch_of(run: Prepared) -> dict[str, Tensor]:
    return Collate(run.train)(range(6))


@pytest.mark.parametrize("critic", ["released", "trained"])
@pytest.mark.parametrize("method", ["cma-ga", "cma-ct"])
def test_matching_reaches_query_and_critic_and_an_optimizer_holds_the_trained_one(
    place: Path, tmp_path: Path, method: str, critic: str
):
    if (method, critic) == ("cma-ct", "released"):
        pytest.skip("needs two sides of one padded length")
    run = prepared(place, tmp_path, method, critic=critic)
    reach = {each.part: each for each in gradient_reach(run.distiller, batch_of(run))}
    assert list(reach) == ["student", "query", "t2s", "s2t", "critic"]
    assert {part for part, each in reach.items() if each.matching is not None} == {"query", "critic"}
    assert all(each.loss > 0 for each in reach.values())
    assert reach["critic"].loss == pytest.approx(reach["critic"].matching)
    assert {part: each.is_stepped for part, each in reach.items()} == dict.fromkeys(reach, True) | {
        "critic": critic == "trained"
    }
    assert run.distiller.training


def test_reach_is_the_norm_of_the_gradient_that_a_step_would_have(place: Path, tmp_path: Path):
    run = prepared(place, tmp_path, kq_rate=1.0)
    batch, distiller = batch_of(run), run.distiller.eval()
    counts = Counts(int(batch["student_mask"].sum()), int(batch["teacher_mask"].sum()))
    distiller(batch, counts)["loss"].backward()
    query = distiller.criterion.projectors["query"].tensors.values()
    found = {each.part: each for each in gradient_reach(distiller, batch)}
    assert not distiller.training
    gradient = torch.cat([each.grad.flatten() for each in query if isinstance(each, Tensor) and each.grad is not None])
    assert found["query"].loss == pytest.approx(gradient.norm().item(), rel=1e-5)


def test_the_term_is_counted_at_its_rate(place: Path, tmp_path: Path):
    norms = []
    for rate in (0.0, 0.5, 1.0):
        run = prepared(place, tmp_path, kq_rate=rate)
        found = {each.part: each.matching for each in gradient_reach(run.distiller, batch_of(run))}
        norms.append(found["query"])
    assert norms[0] == 0.0
    assert 2 * norms[1] == pytest.approx(norms[2])


def test_a_method_without_the_term_cannot_be_asked(place: Path, tmp_path: Path):
    run = prepared(place, tmp_path, "cma")
    with pytest.raises(TrainingError, match="key-query term"):
        gradient_reach(run.distiller, batch_of(run))
