"""The two objectives, held to their formulas, to padding, and to finite differences."""

import numpy as np
import pytest
import torch
from torch import Tensor

from probe.aligners.grid import path_posterior
from probe.attention import cross_model_attention
from probe.training.attention.objectives import forward_sum, overlap

SIZES = [(4, 3), (2, 5), (1, 1)]


def batch(seed: int = 0, longest: tuple[int, int] = (4, 5)) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    logits = np.zeros((len(SIZES), *longest))
    inside, links = np.zeros(logits.shape, dtype=bool), np.zeros(logits.shape, dtype=bool)
    for n, (rows, columns) in enumerate(SIZES):
        values = np.random.default_rng((seed, n))
        logits[n, :rows, :columns] = values.normal(size=(rows, columns)) * 2
        inside[n, :rows, :columns] = True
        links[n, :rows, :columns] = values.random((rows, columns)) < 0.4
        links[n, rows - 1, columns - 1] = True
    logits[~inside] = rng.normal(size=(~inside).sum()) * 5  # what lies in the padding must not matter
    return torch.from_numpy(logits), torch.from_numpy(inside), torch.from_numpy(links)


def plain(logits: Tensor, links: Tensor) -> float:
    of_student, of_teacher = [], []
    for n, (rows, columns) in enumerate(SIZES):
        one, on = logits[n, :rows, :columns].numpy(), links[n, :rows, :columns].numpy()
        maps = cross_model_attention(one)
        forward, backward = (maps.over_teacher * on).sum(axis=1), (maps.over_student * on).sum(axis=0)
        of_student += (-np.log(forward[on.any(axis=1)])).tolist()
        of_teacher += (-np.log(backward[on.any(axis=0)])).tolist()
    return 0.5 * float(np.mean(of_student) + np.mean(of_teacher))


def test_overlap_is_minus_the_log_of_the_mass_on_links_in_both_directions():
    logits, inside, links = batch()
    assert float(overlap(logits, inside, links)) == pytest.approx(plain(logits, links), rel=1e-9)


def test_forward_sum_is_the_cross_entropy_to_the_maps_own_paths():
    logits, inside, _ = batch()
    of_student, of_teacher = [], []
    for n, (rows, columns) in enumerate(SIZES):
        maps = cross_model_attention(logits[n, :rows, :columns].numpy())
        forward, backward = np.log(maps.over_teacher), np.log(maps.over_student)
        paths = path_posterior((0.7 * 0.5 * (forward + backward))[None])[0]
        of_student += (-(paths / paths.sum(axis=1, keepdims=True) * forward).sum(axis=1)).tolist()
        of_teacher += (-(paths / paths.sum(axis=0, keepdims=True) * backward).sum(axis=0)).tolist()
    expected = 0.5 * float(np.mean(of_student) + np.mean(of_teacher))
    assert float(forward_sum(logits, inside, scale=0.7, prior=0.0)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("objective", ["overlap", "forward-sum"])
def test_padding_does_not_matter(objective: str):
    def loss(longest: tuple[int, int]) -> tuple[float, Tensor]:
        logits, inside, links = batch(longest=longest)
        logits.requires_grad_()
        value = (
            overlap(logits, inside, links)
            if objective == "overlap"
            else forward_sum(logits, inside, scale=0.5, prior=0.3)
        )
        value.backward()
        assert logits.grad is not None
        assert (logits.grad[~inside] == 0).all()
        return value.item(), logits.grad[inside]

    narrow, wide = loss((4, 5)), loss((7, 9))
    assert narrow[0] == pytest.approx(wide[0], rel=1e-12)
    torch.testing.assert_close(narrow[1], wide[1])


def test_the_gradient_of_overlap_is_that_of_finite_differences():
    logits, inside, links = batch()
    assert torch.autograd.gradcheck(lambda one: overlap(one, inside, links), logits.requires_grad_())


def test_the_targets_of_forward_sum_are_held_fixed():
    # With its targets fixed, a softmax's gradient is the difference of the two distributions, and sums to 0 in a row.
    logits, inside, _ = batch()
    logits.requires_grad_()
    forward_sum(logits, inside, scale=0.5, prior=0.0).backward()
    assert logits.grad is not None
    total = logits.grad.sum()
    assert abs(float(total)) < 1e-12
    assert float(logits.grad.abs().max()) > 1e-3


def test_a_prior_draws_the_targets_to_the_diagonal():
    logits, inside, _ = batch()
    flat = torch.zeros_like(logits).requires_grad_()
    forward_sum(flat, inside, scale=0.5, prior=5.0).backward()
    assert flat.grad is not None
    off, on = flat.grad[0, 0, 2], flat.grad[0, 0, 0]  # of 4 × 3 positions
    assert float(on) < 0 < float(off)
    free = torch.zeros_like(logits).requires_grad_()
    forward_sum(free, inside, scale=0.5, prior=0.0).backward()
    assert free.grad is not None
    assert float(on) < float(free.grad[0, 0, 0])
