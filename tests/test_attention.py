import math
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from directories import projector

from probe.attention import CrossModelAttention, attention_logits, bigrams, cross_model_attention, softmax
from probe.projectors import Projector

# Student and teacher positions, widths, batch.
SHAPES = [(1, 1, 2, 3, ()), (4, 7, 3, 2, ()), (9, 5, 4, 6, ()), (6, 3, 2, 5, (3,)), (2, 8, 3, 3, (2, 2))]


def random_case(
    student: int, teacher: int, student_width: int, teacher_width: int, batch: tuple[int, ...], seed: int = 0
) -> tuple[Projector, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    widths = {"student": student_width, "teacher": teacher_width}
    tensors = {
        "0.weight": rng.standard_normal((2 * teacher_width, 2 * student_width)),
        "0.bias": rng.standard_normal(2 * teacher_width),
    }
    states = (
        rng.standard_normal((*batch, positions, 2 * width))
        for positions, width in ((student, student_width), (teacher, teacher_width))
    )
    return projector("2s-2t", tensors, widths), *states


def attend(query: Projector, student: Any, teacher: Any, *, key_scale: float, **masks: Any) -> CrossModelAttention:
    return cross_model_attention(attention_logits(query, student, teacher, key_scale=key_scale), **masks)


def random_mask(shape: Iterable[int], seed: int) -> np.ndarray:
    """Padding at the end of each row, as a batch has it; the first position always exists."""
    *batch, positions = shape
    lengths = np.random.default_rng(seed).integers(1, positions + 1, batch)
    return np.arange(positions) < lengths[..., None]


def slow(
    query: Projector, student: np.ndarray, teacher: np.ndarray, scale: float, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both softmaxes of one text, number by number."""
    weight, bias = query.tensors["0.weight"], query.tensors["0.bias"]
    n, m, width = len(student), len(teacher), teacher.shape[1]
    logits = [[0.0] * m for _ in range(n)]
    for i in range(n):
        q = [bias[a] + sum(weight[a, b] * student[i, b] for b in range(student.shape[1])) for a in range(width)]
        for j in range(m):
            logits[i][j] = sum(q[a] * teacher[j, a] / scale for a in range(width)) / math.sqrt(width)
    over_teacher, over_student = np.zeros((n, m)), np.zeros((n, m))
    for i in range(n):
        total = sum(math.exp(logits[i][j]) for j in range(m) if columns[j])
        for j in range(m):
            over_teacher[i, j] = math.exp(logits[i][j]) / total if columns[j] else 0
    for j in range(m):
        total = sum(math.exp(logits[i][j]) for i in range(n) if rows[i])
        for i in range(n):
            over_student[i, j] = math.exp(logits[i][j]) / total if rows[i] else 0
    return over_teacher, over_student


# The equation


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_loop_version(shape: tuple[int, int, int, int, tuple[int, ...]], masked: bool) -> None:
    query, student, teacher = random_case(*shape)
    rows, columns = random_mask(student.shape[:-1], 1), random_mask(teacher.shape[:-1], 2)
    masks = {"student_mask": rows, "teacher_mask": columns} if masked else {}
    found = attend(query, student, teacher, key_scale=0.7, **masks)
    for index in np.ndindex(student.shape[:-2]):
        present = (rows[index], columns[index]) if masked else (rows[index] | True, columns[index] | True)
        expected = slow(query, student[index], teacher[index], 0.7, *present)
        np.testing.assert_allclose(found.over_teacher[index], expected[0], rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(found.over_student[index], expected[1], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_masked_weights(shape: tuple[int, int, int, int, tuple[int, ...]]) -> None:
    query, student, teacher = random_case(*shape)
    rows, columns = random_mask(student.shape[:-1], 3), random_mask(teacher.shape[:-1], 4)
    found = attend(query, student, teacher, key_scale=0.7, student_mask=rows, teacher_mask=columns)
    np.testing.assert_allclose(found.over_teacher.sum(-1), 1)
    np.testing.assert_allclose(found.over_student.sum(-2), 1)
    by_column = np.moveaxis(found.over_teacher, -1, -2)
    by_row = found.over_student
    assert (by_column[~columns] == 0).all()
    assert (by_row[~rows] == 0).all()
    assert (by_column[columns] > 0).all()
    assert (by_row[rows] > 0).all()


def test_a_text_in_a_padded_batch_attends_as_it_does_alone() -> None:
    query, student, teacher = random_case(6, 5, 3, 4, (2,))
    rows, columns = np.array([[True] * 6, [True] * 4 + [False] * 2]), np.array([[True] * 2 + [False] * 3, [True] * 5])
    batch = attend(query, student, teacher, key_scale=0.7, student_mask=rows, teacher_mask=columns)
    for number, (n, m) in enumerate([(6, 2), (4, 5)]):
        alone = attend(query, student[number, :n], teacher[number, :m], key_scale=0.7)
        np.testing.assert_allclose(batch.over_teacher[number, :n, :m], alone.over_teacher)
        np.testing.assert_allclose(batch.over_student[number, :n, :m], alone.over_student)


def test_key_scale_is_a_temperature() -> None:
    query, student, teacher = random_case(9, 5, 4, 6, ())
    sharp, flat = (attend(query, student, teacher, key_scale=scale) for scale in (0.5, 2.0))
    np.testing.assert_array_equal(sharp.over_teacher.argmax(-1), flat.over_teacher.argmax(-1))
    np.testing.assert_allclose(sharp.logits, flat.logits * 4)
    np.testing.assert_allclose(softmax(flat.logits * 4, axis=-1), sharp.over_teacher)
    assert (sharp.over_teacher.max(-1) > flat.over_teacher.max(-1)).all()


def test_identical_key_bigrams_get_identical_weight() -> None:
    query, student, teacher = random_case(9, 6, 4, 6, ())
    teacher[[1, 4]] = teacher[2]
    weights = attend(query, student, teacher, key_scale=0.7).over_teacher
    np.testing.assert_allclose(weights[:, [1, 4]], weights[:, [2, 2]], rtol=1e-12)
    assert np.abs(weights[:, 0] - weights[:, 2]).min() > 1e-6


def test_bigrams_put_the_input_before_the_target() -> None:
    inputs, targets = np.zeros((2, 3)), np.ones((2, 3))
    np.testing.assert_array_equal(bigrams(inputs, targets), [[0, 0, 0, 1, 1, 1]] * 2)


def test_softmax_of_large_logits_does_not_overflow() -> None:
    np.testing.assert_array_equal(softmax(np.array([[1e4, 1e4, -1e4]]), axis=-1), [[0.5, 0.5, 0]])


# Two libraries


@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_and_torch_agree(shape: tuple[int, int, int, int, tuple[int, ...]]) -> None:
    query, student, teacher = random_case(*shape)
    rows, columns = random_mask(student.shape[:-1], 1), random_mask(teacher.shape[:-1], 2)
    single = {name: tensor.astype(np.float32) for name, tensor in query.tensors.items()}
    student, teacher = student.astype(np.float32), teacher.astype(np.float32)
    in_numpy = attend(
        Projector(query.structure, query.layers, single),
        student,
        teacher,
        key_scale=0.7,
        student_mask=rows,
        teacher_mask=columns,
    )
    in_torch = attend(
        Projector(query.structure, query.layers, {name: torch.from_numpy(value) for name, value in single.items()}),
        torch.from_numpy(student),
        torch.from_numpy(teacher),
        key_scale=0.7,
        student_mask=torch.from_numpy(rows),
        teacher_mask=torch.from_numpy(columns),
    )
    for ours, theirs in zip(in_numpy, in_torch, strict=True):
        assert ours.dtype == np.float32
        assert theirs.dtype == torch.float32
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_torchs_own_softmax() -> None:
    query, student, teacher = random_case(6, 5, 3, 4, (2,))
    weight = torch.from_numpy(query.tensors["0.weight"]).requires_grad_()
    bias = torch.from_numpy(query.tensors["0.bias"]).requires_grad_()
    states, keys = torch.from_numpy(student), torch.from_numpy(teacher)
    columns = torch.from_numpy(random_mask((2, 5), 2))
    values = torch.randn(2, 5, 4, dtype=torch.float64)
    own = Projector(query.structure, query.layers, {"0.weight": weight, "0.bias": bias})
    ours = attend(own, states, keys, key_scale=0.7, teacher_mask=columns).over_teacher @ values
    logits = (states @ weight.T + bias) @ (keys / 0.7).transpose(-1, -2) / math.sqrt(8)
    theirs = torch.softmax(logits.masked_fill(~columns[:, None], -torch.inf), -1) @ values
    for found, expected in zip(
        torch.autograd.grad(ours.square().sum(), [weight, bias]),
        torch.autograd.grad(theirs.square().sum(), [weight, bias]),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
        assert expected.abs().max() > 0


def test_the_numpy_path_does_not_load_torch() -> None:
    code = """
import sys
import numpy as np
from probe.attention import attention_logits, cross_model_attention
from probe.projectors import Projector
tensors = {"0.weight": np.ones((6, 4)), "0.bias": np.ones(6)}
query = Projector.load("2s-2t", tensors, student=2, teacher=3, where="")
mask = np.array([True, False])
cross_model_attention(attention_logits(query, np.ones((2, 4)), np.ones((2, 6)), key_scale=1.0), teacher_mask=mask)
print({"torch", "transformers"} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# Shapes


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("student_bigrams", lambda array: array[0, 0]),
        ("teacher_bigrams", lambda array: array[:1]),
        ("teacher_mask", lambda array: array[:, :-1]),
        ("student_mask", lambda array: array.astype(np.int64)),
    ],
)
def test_wrong_shapes_and_types_are_caught(name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    query, student, teacher = random_case(6, 5, 3, 4, (2,))
    states = {"student_bigrams": student, "teacher_bigrams": teacher}
    masks = {"student_mask": random_mask((2, 6), 1), "teacher_mask": random_mask((2, 5), 2)}
    logits = attention_logits(query, **states, key_scale=0.7)
    cross_model_attention(logits, **masks)
    function = partial(attention_logits, query, key_scale=0.7) if name in states else cross_model_attention
    arguments = states if name in states else {"logits": logits, **masks}
    with pytest.raises(jaxtyping.TypeCheckError, match=name):
        function(**arguments | {name: change(arguments[name])})


def test_wrong_shapes_are_caught_in_torch_too() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="targets"):
        bigrams(torch.zeros(2, 3), torch.zeros(3, 3))
