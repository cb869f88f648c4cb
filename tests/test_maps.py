import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import pairs_of_sides

from probe.errors import MapError, OutputError
from probe.maps import AttentionMap
from probe.tokens import TokenizedText

STUDENT = TokenizedText.from_pieces("a cat", ["a", "Ġ", "cat"])
TEACHER = TokenizedText.from_pieces("a cat", ["▁a", "▁cat"])
WEIGHTS = np.array([[0.5, 0.25, 0.25], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)


def attention(weights: np.ndarray = WEIGHTS, over_student: np.ndarray | None = None) -> AttentionMap:
    return AttentionMap("cma", STUDENT, TEACHER, weights, over_student)


def changed(row: int, column: int, value: float) -> np.ndarray:
    weights = WEIGHTS.copy()
    weights[row, column] = value
    return weights


# Validation


def test_labels_end_with_end_of_sequence() -> None:
    assert attention().student_labels == ("a", "␣", "cat", "⟨eos⟩")
    assert attention().teacher_labels == ("a", "␣cat", "⟨eos⟩")


def test_a_map_of_no_text() -> None:
    empty = TokenizedText.from_pieces("", [])
    map_ = AttentionMap("cma", empty, empty, np.ones((1, 1)))
    assert map_.student_labels == map_.teacher_labels == ("⟨eos⟩",)


@pytest.mark.parametrize(
    ("weights", "expected", "got"),
    [
        pytest.param(WEIGHTS[:-1], "shape (4, 3)", "(3, 3)", id="no row for end of sequence"),
        pytest.param(WEIGHTS[:, :-1], "shape (4, 3)", "(4, 2)", id="no column for end of sequence"),
        pytest.param(WEIGHTS.T, "shape (4, 3)", "(3, 4)", id="transposed"),
        pytest.param(changed(0, 0, 0.6), "sum to one", "differs by 0.1", id="a sum above one"),
        pytest.param(changed(1, 0, 0.0), "sum to one", "differs by 1", id="an empty row"),
        pytest.param(changed(0, 0, 0.502), "sum to one", "differs by 0.002", id="just beyond the tolerance"),
        pytest.param(WEIGHTS * 2, "sum to one", "differs by 1", id="not normalised"),
        pytest.param(changed(1, 1, float("nan")), "finite weights of at least 0", "others", id="not a number"),
        pytest.param(changed(1, 0, float("inf")), "finite weights of at least 0", "others", id="infinite"),
        pytest.param(
            np.array([[1.5, -0.5, 0], *WEIGHTS[1:]]), "finite weights of at least 0", "others", id="a negative weight"
        ),
    ],
)
def test_weights_that_are_refused(weights: np.ndarray, expected: str, got: str) -> None:
    with pytest.raises(MapError) as caught:
        attention(weights)
    (problem,) = caught.value.problems
    assert problem.where == "map of cma for 'a cat'"
    assert expected in problem.expected
    assert got in problem.got
    assert "a row and a column for each token" in problem.remedy


def test_float16_sums_are_close_enough() -> None:
    text = "x" * 511
    side = TokenizedText.from_pieces(text, list(text))
    weights = np.random.default_rng(0).dirichlet(np.full(512, 0.1), size=512)
    stored = weights.astype(np.float16)
    assert np.abs(stored.astype(np.float64).sum(1) - 1).max() > 0  # rounded, and accepted all the same
    AttentionMap("cma", side, side, stored.astype(np.float32))


def test_the_other_softmax_sums_over_columns() -> None:
    columns = WEIGHTS / WEIGHTS.sum(axis=0)
    assert attention(over_student=columns).over_student is columns
    with pytest.raises(MapError, match="over_student that sum to one"):
        attention(over_student=WEIGHTS)


# Files


@given(st.data(), pairs_of_sides(), st.sampled_from([np.float16, np.float32, np.float64]))
@settings(deadline=None, max_examples=40)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    both: tuple[TokenizedText, TokenizedText],
    kind: type[np.floating[Any]],
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    raw = rng.random((len(both[0].tokens) + 1, len(both[1].tokens) + 1))
    over_student = (raw / raw.sum(axis=0)).astype(kind) if data.draw(st.booleans()) else None
    map_ = AttentionMap("a method", *both, (raw / raw.sum(axis=1, keepdims=True)).astype(kind), over_student)
    path = tmp_path_factory.mktemp("maps") / "map.npz"
    map_.save(path)
    found = AttentionMap.load(path)
    assert (found.method, found.student, found.teacher) == ("a method", *both)
    for name in ("weights", "over_student"):
        before, after = getattr(map_, name), getattr(found, name)
        assert (before is None) == (after is None)
        if before is not None:
            assert after.dtype == kind
            np.testing.assert_array_equal(after, before)


def test_a_map_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    attention().save(path)
    replace(attention(), method="another").save(path)
    assert AttentionMap.load(path).method == "another"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="a place to write to"):
        attention().save(path / "below.npz")


META = '{"method": "cma", "text": "a", "student": ["a"], "teacher": ["a"]}'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"some text", id="text"),
        pytest.param(b"PK\x03\x04 and no zip file", id="damaged"),
        pytest.param(np.eye(3), id="a bare array"),
        pytest.param({"weights": np.eye(2)}, id="no tokens"),
        pytest.param({"meta": np.array(META)}, id="no weights"),
        pytest.param({"meta": np.array("{"), "weights": np.eye(2)}, id="no JSON"),
        pytest.param({"meta": np.array("[1]"), "weights": np.eye(2)}, id="other JSON"),
        pytest.param({"meta": np.array(META.replace('["a"]', '["b"]')), "weights": np.eye(2)}, id="other pieces"),
    ],
)
def test_a_file_that_is_no_map(content: bytes | np.ndarray | dict[str, np.ndarray] | None, tmp_path: Path) -> None:
    path = tmp_path / "map.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        with path.open("wb") as file:
            np.save(file, content)
    with pytest.raises(MapError) as caught:
        AttentionMap.load(path)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    assert "AttentionMap.save" in problem.expected
    assert problem.got
    assert "again" in problem.remedy


def test_a_truncated_map(tmp_path: Path) -> None:
    attention().save(tmp_path / "map.npz")
    whole = (tmp_path / "map.npz").read_bytes()
    for size in range(0, len(whole), 37):
        (tmp_path / "map.npz").write_bytes(whole[:size])
        with pytest.raises(MapError):
            AttentionMap.load(tmp_path / "map.npz")


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "map.npz", meta=np.array(META), weights=np.array([object()], dtype=object))
    with pytest.raises(MapError, match="allow_pickle"):
        AttentionMap.load(tmp_path / "map.npz")


def test_a_saved_map_holds_plain_arrays(tmp_path: Path) -> None:
    attention().save(tmp_path / "map.npz")
    with zipfile.ZipFile(tmp_path / "map.npz") as archive:
        assert sorted(archive.namelist()) == ["meta.npy", "weights.npy"]
