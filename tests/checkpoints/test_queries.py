"""Queries that are made of each token once are those of the pairs of tokens."""

from dataclasses import replace

import numpy as np
import pytest

import probe
from probe.attention import bigrams
from probe.checkpoints import queries as module
from probe.checkpoints.queries import MEAN, Queries
from probe.errors import CheckpointError
from probe.projectors import Projector, initial_tensors, parse_structure, project

DEMO = probe.load("demo")
STUDENT = DEMO.student
TEXTS = [STUDENT.tokenizer.tokenize(text) for text in ("Return the maximum of the values.", "The values of a file.")]
PAIRS = np.concatenate([STUDENT.pairs(text)[1] for text in TEXTS])


def projector(structure: str) -> Projector:
    layers = parse_structure(structure, student=STUDENT.table.width, teacher=DEMO.teacher.table.width)
    return Projector(structure, layers, initial_tensors(layers, np.random.default_rng(0)))


def expected(query: Projector) -> np.ndarray:
    return project(query, bigrams(*(STUDENT.table.take(half) for half in PAIRS.T)))


@pytest.mark.parametrize("structure", ["2s-2t", "2s-t-relu-2t", "2s-relu-2t"])
def test_they_are_the_projected_pairs(structure: str):
    query = projector(structure)
    np.testing.assert_allclose(Queries.of(STUDENT, query, TEXTS)(PAIRS), expected(query), rtol=1e-4, atol=1e-5)


def test_tokens_of_other_texts_and_of_too_many_texts_are_projected_anew(monkeypatch: pytest.MonkeyPatch):
    query = projector("2s-2t")
    np.testing.assert_allclose(Queries.of(STUDENT, query, TEXTS[:1])(PAIRS), expected(query), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(module, "KEPT", 1000)
    few = Queries.of(STUDENT, query, TEXTS)
    assert few.ids.tolist() == [MEAN]
    np.testing.assert_allclose(few(PAIRS), expected(query), rtol=1e-4, atol=1e-5)


def test_no_more_than_the_distinct_tokens_is_kept():
    found = Queries.of(STUDENT, projector("2s-2t"), TEXTS)
    assert found.ids.tolist() == [MEAN, *np.unique(PAIRS).tolist()]
    assert found.inputs.shape == found.targets.shape == (len(found.ids), 2 * DEMO.teacher.table.width)


def test_equal_halves_have_equal_logits_to_the_bit():
    # A matrix product may round equal rows apart, and a tie of the backward attention would go to one of them.
    text = "the file of the file of the file of a value of the file"
    student, teacher = DEMO.tokenize(text)
    sentence, mean = DEMO.sentence(student, teacher), DEMO.mean_state([student])
    found = Queries.of(STUDENT, DEMO.checkpoint.query, [student], mean)
    ids = STUDENT.ids(student)
    for half, seen in zip(sentence.halves, (ids[:-1], ids[1:]), strict=True):
        logits = DEMO.logits_of(half, found(half.pairs))
        assert len(np.unique(logits, axis=0)) == len(np.unique(seen)) < len(seen)
    whole = np.stack([ids[:-1], np.full(len(ids) - 1, MEAN)], axis=1)
    width = STUDENT.table.width
    inputs = np.concatenate([STUDENT.table.take(ids[:-1]), np.tile(mean[width:], (len(ids) - 1, 1))], axis=1)
    np.testing.assert_allclose(found(whole), project(DEMO.checkpoint.query, inputs), rtol=1e-4, atol=1e-5)


def test_a_token_without_finite_embedding_is_refused():
    query = projector("2s-2t")
    table = STUDENT.table

    def gather(ids: np.ndarray) -> np.ndarray:
        return np.full((len(ids), table.width), np.nan, np.float32)

    stored = replace(table.stored, gather=gather)
    broken = replace(STUDENT, table=replace(table, stored=stored))
    with pytest.raises(CheckpointError, match="finite embeddings"):
        Queries.of(broken, query, TEXTS)
