"""Whitened embeddings, and the projector that takes them as they are."""

import numpy as np
import pytest

from probe.attention import attention_logits
from probe.projectors import Projector, initial_tensors, parse_structure
from probe.training.attention.whitening import LEAST, folded, none, whitening

S, T = 3, 2


def rows(width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(200, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width) * 3


def test_whitened_rows_have_no_mean_and_one_variance_in_every_direction():
    embeddings = rows(4, 1)
    found = whitening(embeddings)
    white = (embeddings - found.mean) @ found.matrix
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(4), atol=1e-4)
    np.testing.assert_array_equal(found.matrix, found.matrix.T)


def test_a_direction_without_variance_is_not_blown_up():
    embeddings = rows(3, 1)
    embeddings[:, 2] = embeddings[:, 0]
    found = whitening(embeddings)
    assert np.isfinite(found.matrix).all()
    largest = np.linalg.eigvalsh(np.cov(embeddings.T, bias=True)).max()
    assert np.linalg.eigvalsh(found.matrix).max() == pytest.approx((largest * LEAST) ** -0.5, rel=1e-3)


@pytest.mark.parametrize("structure", ["2s-2t", "2s-3t-relu-2t", "2s-relu-2t"])
def test_folded_logits_are_those_of_whitened_embeddings(structure: str):
    students, teachers = rows(S, 1), rows(T, 2)
    begins_with_relu = structure.startswith("2s-relu")
    student = none(S) if begins_with_relu else whitening(students)
    teacher = whitening(teachers)._replace(mean=np.zeros(T, np.float32))
    layers = parse_structure(structure, student=S, teacher=T)
    tensors = {
        key: value.astype(np.float64) for key, value in initial_tensors(layers, np.random.default_rng(3)).items()
    }
    query = Projector(structure, layers, tensors)
    ids, others = np.arange(6), np.arange(5)

    def pairs(table: np.ndarray, n: np.ndarray) -> np.ndarray:
        return np.concatenate([table[n], table[n + 1]], axis=1)

    white = (students - student.mean) @ student.matrix, (teachers - teacher.mean) @ teacher.matrix
    expected = attention_logits(query, pairs(white[0], ids), pairs(white[1], others), key_scale=1.0)
    plain = folded(query, student, teacher, 1.7)
    found = attention_logits(plain, pairs(students, ids), pairs(teachers, others), key_scale=1.7)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
