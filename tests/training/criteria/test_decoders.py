"""Decoders of attention against what the toolkit computes of one map after training, and against finite differences."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from probe.aligners.grid import SETTINGS, cell_scores, grid, path_posterior
from probe.attention import CrossModelAttention, cross_model_attention
from probe.errors import TrainingError
from probe.maps import AttentionMap
from probe.tokens import TokenizedText
from probe.training.criteria.decoders import distances, over_paths
from probe.training.criteria.settings import METHODS, DecoderName, Method, Objective

SIZES = [(5, 7), (4, 3), (6, 4), (2, 2)]


def of_batch(scale: float = 2.0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of texts of several sizes, with large ones in the padding, and the sizes."""
    rng = torch.Generator().manual_seed(3)
    students, teachers = (torch.tensor([size[side] for size in SIZES]) for side in (0, 1))
    logits = scale * torch.randn((len(SIZES), 8, 9), generator=rng, dtype=torch.float64)
    inside = mask(students, 8)[:, :, None] & mask(teachers, 9)[:, None, :]
    return torch.where(inside, logits, 50.0).to(dtype), students, teachers


def mask(sizes: Tensor, longest: int) -> Tensor:
    return torch.arange(longest) < sizes[:, None]


def plain(logits: Tensor, students: Tensor, teachers: Tensor) -> CrossModelAttention:
    masks = mask(students, logits.shape[1]), mask(teachers, logits.shape[2])
    return cross_model_attention(logits, student_mask=masks[0], teacher_mask=masks[1])


def by_grid(logits: Tensor, students: Tensor, teachers: Tensor, ended: bool = True) -> CrossModelAttention:
    attention = plain(logits, students, teachers)
    return over_paths(attention, students, teachers, torch.full((len(logits),), ended))


# The grid


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_it_is_the_grid_of_each_map_alone(dtype: torch.dtype, tolerance: float):
    logits, students, teachers = of_batch(dtype=dtype)
    found = by_grid(logits, students, teachers)
    for number, (n, m) in enumerate(SIZES):
        alone = cross_model_attention(logits[number, :n, :m].double().numpy())
        text = "abcdefghi"
        sides = [TokenizedText.from_pieces(text, [*text[: size - 2], text[size - 2 :]]) for size in (n, m)]
        expected = grid(AttentionMap("cma", *sides, alone.over_teacher, alone.over_student))
        np.testing.assert_allclose(found.over_teacher[number, :n, :m].numpy(), expected.weights, atol=tolerance)
        np.testing.assert_allclose(found.over_student[number, :n, :m].numpy(), expected.over_student, atol=tolerance)


@pytest.mark.parametrize("ended", [True, False])
def test_rows_and_columns_of_the_texts_sum_to_one_and_the_padding_has_no_weight(ended: bool):
    logits, students, teachers = of_batch()
    found = by_grid(logits, students, teachers, ended)
    for number, (n, m) in enumerate(SIZES):
        forward, backward = found.over_teacher[number], found.over_student[number]
        np.testing.assert_allclose(forward.sum(1).numpy(), [1.0] * n + [0.0] * (8 - n), atol=1e-12)
        np.testing.assert_allclose(backward.sum(0).numpy(), [1.0] * m + [0.0] * (9 - m), atol=1e-12)
        assert not forward[:, m:].any()
        assert not backward[n:].any()
        if ended:
            assert forward[n - 1, m - 1] == backward[n - 1, m - 1] == 1
            assert not forward[: n - 1, m - 1].any()


def test_where_a_side_was_cut_off_the_last_positions_are_tokens_as_others():
    logits, students, teachers = of_batch()
    found = by_grid(logits, students, teachers, ended=False)
    for number, (n, m) in enumerate(SIZES):
        alone = cross_model_attention(logits[number, :n, :m].numpy())
        scores = cell_scores(alone.over_teacher, alone.over_student, SETTINGS["cma"])
        paths = path_posterior(scores[None])[0]
        expected = paths / paths.sum(1, keepdims=True)
        np.testing.assert_allclose(found.over_teacher[number, :n, :m].numpy(), expected, atol=1e-12)
        assert 0 < expected[n - 2, m - 1] < 1


def test_texts_of_one_position_are_decoded_too():
    logits = torch.zeros((2, 3, 3), dtype=torch.float64)
    students, teachers = torch.tensor([1, 3]), torch.tensor([3, 1])
    found = by_grid(logits, students, teachers)
    np.testing.assert_allclose(found.over_teacher[0, 0].numpy(), [1 / 3] * 3)
    np.testing.assert_allclose(found.over_student[0, 0].numpy(), [1.0] * 3)
    np.testing.assert_allclose(found.over_teacher[1, :, 0].numpy(), [1.0] * 3)


def test_gradients_of_the_grid_are_those_of_finite_differences():
    logits, students, teachers = of_batch(scale=0.7)
    keep = torch.tensor([1, 3])  # the smallest
    logits, students, teachers = logits[keep, :5, :4].clone(), students[keep], teachers[keep]
    assert plain(logits, students, teachers).over_teacher[0, :4, :3].min() > 0.02

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        found = by_grid(x, students, teachers)
        return found.over_teacher, found.over_student

    found = by_grid(logits.requires_grad_(), students, teachers)
    weights = torch.randn(found.over_teacher.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((found.over_teacher * weights).sum(), logits)
    assert gradient[0, :4, :3].abs().max() > 1e-3
    assert torch.autograd.gradcheck(both, (logits,))


# The diagonal


def test_distances_are_in_teacher_tokens_of_each_texts_own_length():
    students, teachers = torch.tensor([3, 5, 1, 2]), torch.tensor([5, 3, 4, 1])
    found = distances(students, teachers, torch.zeros((4, 5, 6), dtype=torch.float64))
    np.testing.assert_allclose(found[0, :3, :5], [[0, 1, 2, 3, 4], [2, 1, 0, 1, 2], [4, 3, 2, 1, 0]])
    np.testing.assert_allclose(found[1, :5, :3], [[0, 1, 2], [0.5, 0.5, 1.5], [1, 0, 1], [1.5, 0.5, 0.5], [2, 1, 0]])
    assert not found[2].any()
    assert not found[3, :2, 0].any()


# What has no decoder


@pytest.mark.parametrize("decoder", ["grid", "diagonal"])
@pytest.mark.parametrize("method", METHODS)
def test_only_attention_over_all_positions_has_a_decoder(method: Method, decoder: DecoderName):
    options: dict[str, Any] = {"method": method, "decoder": decoder}
    if method in ("cma", "cma-ga", "cma-ct"):
        assert Objective(**options).decoder == decoder
        options["reference"] = True
    with pytest.raises(TrainingError, match=r"attention over all positions \(cma, cma-ga, cma-ct\)"):
        Objective(**options)
    assert Objective(method, decoder="none", reference=True)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_rate_is_a_finite_number_from_0_on(rate: float):
    with pytest.raises(TrainingError, match="not negative"):
        Objective("cma", decoder="diagonal", decoder_rate=rate)
