"""The posterior of monotone paths against sums over every path, for numpy and torch."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import demo_gold, map_of, row_of

from probe.aligners.grid import LARGE, SETTINGS, grid, path_posterior
from probe.aligners.long_grid import long_posterior
from probe.checkpoints.loading import load
from probe.cli.heatmap import main as heatmap_main
from probe.errors import MapError

Cell = tuple[int, int]
STEPS = ((1, 0), (0, 1), (1, 1))


def paths(last: Cell, here: Cell = (0, 0)) -> Iterator[list[Cell]]:
    """Every path from a cell to the last one."""
    if here == last:
        yield [here]
    for step in STEPS:
        there = here[0] + step[0], here[1] + step[1]
        if there[0] <= last[0] and there[1] <= last[1]:
            yield from ([here, *path] for path in paths(last, there))


def by_every_path(scores: np.ndarray) -> np.ndarray:
    """The share of paths, by their weights, that pass each cell."""
    rows, columns = scores.shape
    total, through = 0.0, np.zeros(scores.shape)
    for path in paths((rows - 1, columns - 1)):
        weight = np.exp(sum(scores[cell] for cell in path))
        total += weight
        for cell in path:
            through[cell] += weight
    return through / total


def test_there_are_as_many_paths_as_delannoy_counted():
    assert [sum(1 for _ in paths((n, n))) for n in range(5)] == [1, 3, 13, 63, 321]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (3, 3), (4, 5), (5, 2)])
def test_it_is_the_sum_over_every_path(shape: Cell):
    scores = np.random.default_rng(shape).normal(size=shape)
    np.testing.assert_allclose(path_posterior(scores[None])[0], by_every_path(scores), rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (3, 3), (4, 5), (5, 2)])
def test_so_it_is_of_a_long_text(shape: Cell):
    scores = np.random.default_rng(shape).normal(size=shape)
    np.testing.assert_allclose(long_posterior(scores), by_every_path(scores), rtol=1e-12)
    assert (long_posterior(scores.T) == long_posterior(np.ascontiguousarray(scores.T))).all()


def test_a_long_text_takes_one_grid_beside_its_scores():
    shape = 1100, 1000
    assert shape[0] * shape[1] > LARGE
    scores = np.random.default_rng(0).normal(size=(1, *shape))
    tracemalloc.start()
    path_posterior(scores)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * scores.nbytes


def test_texts_of_other_sizes_share_a_batch_and_padding_is_not_read():
    rng = np.random.default_rng(0)
    sizes = [(2, 5), (4, 3), (1, 1), (4, 5)]
    scores = rng.normal(size=(4, 4, 5))
    for number, (n, m) in enumerate(sizes):
        scores[number, n:] = np.nan
        scores[number, :, m:] = np.nan
    found = path_posterior(scores, np.array([n for n, _ in sizes]), np.array([m for _, m in sizes]))
    for number, (n, m) in enumerate(sizes):
        np.testing.assert_allclose(found[number, :n, :m], by_every_path(scores[number, :n, :m]), rtol=1e-12)
        assert found[number].sum() == pytest.approx(found[number, :n, :m].sum())


def test_torch_gives_the_same_and_its_gradient_is_that_of_finite_differences():
    scores = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    students, teachers = torch.tensor([4, 2]), torch.tensor([2, 3])
    found = path_posterior(scores, students, teachers)
    expected = path_posterior(scores.numpy(), students.numpy(), teachers.numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(lambda s: path_posterior(s, students, teachers), (scores.requires_grad_(),))


def test_a_path_visits_every_row_and_column():
    posterior = path_posterior(np.random.default_rng(0).normal(size=(1, 6, 9)))[0]
    assert (posterior.sum(axis=0) >= 1 - 1e-12).all()
    assert (posterior.sum(axis=1) >= 1 - 1e-12).all()
    assert posterior[0, 0] == pytest.approx(1)
    assert posterior[-1, -1] == pytest.approx(1)


def test_long_texts_stay_finite():
    scores = np.full((1, 300, 280), SETTINGS["cma"].scale * np.log(1e-30))
    posterior = path_posterior(scores)[0]
    assert np.isfinite(posterior).all()
    assert posterior[0, 0] == pytest.approx(1)


def test_order_tells_repeated_tokens_apart():
    row = row_of("a b a b", "a Ġb Ġa Ġb", "a Ġb Ġa Ġb")
    # By spelling alone the second pair cannot be told from the first.
    twins = np.array([[0.9, 0, 0.1, 0], [0, 0.5, 0, 0.5], [0.1, 0, 0.9, 0], [0, 0.5, 0, 0.5]])
    weights = np.pad(twins, ((0, 1), (0, 1)))
    weights[-1, -1] = 1
    found = grid(map_of(row, weights, weights))
    assert found.method == "planted-grid"
    assert found.weights[:-1, :-1].argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert found.weights[-1].tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(found.over_student.sum(axis=0), 1)


def test_it_mends_the_attention_of_the_demo():
    opened, gold = load("demo"), demo_gold(20)

    def hits(decoded: bool) -> float:
        found: list[bool] = []
        for row in gold:
            map_ = opened.map(row)
            weights = (grid(map_) if decoded else map_).weights
            found += [(i, int(weights[i].argmax())) in row.sure for i in {i for i, _ in row.sure}]
        return float(np.mean(found))

    assert hits(decoded=True) > hits(decoded=False) + 0.2


def test_without_the_backward_attention_it_is_refused():
    row = row_of("a b", "a Ġb", "a Ġb")
    with pytest.raises(MapError, match="backward"):
        grid(map_of(row, np.eye(3)))


def test_the_command_draws_the_decoded_map(tmp_path: Path):
    text = "Return the path of the file; if the file is missing, raise an error."
    assert heatmap_main([text, "--decode", "grid", "--out", str(tmp_path / "decoded.svg")]) == 0
    assert "demo-grid" in (tmp_path / "decoded.svg").read_text(encoding="utf-8")
    assert heatmap_main([text, "--out", str(tmp_path / "plain.svg")]) == 0
    assert "demo-grid" not in (tmp_path / "plain.svg").read_text(encoding="utf-8")
