"""Caches of what a teacher says: what was changed since, or cut, is seen and made again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from directories import TEXTS, save_model

from probe.models.tokenizer import Tokenizer
from probe.training.examples import Encoded, Example, tokenize
from probe.training.teacher.states import teacher_expectations, teacher_states


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model("llama", tmp_path_factory.mktemp("teacher") / "teacher")


@pytest.fixture
def encoded(place: Path) -> list[Encoded]:
    tokenizer = Tokenizer.load(place)
    return [tokenize(Example(f"{n}\n", text[:20]), tokenizer) for n, text in enumerate(TEXTS)]


def load(place: Path) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(place, dtype=torch.float32).eval()


def change(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x01\x02\x03\x3f")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_note(path: Path) -> None:
    path.with_suffix(".json").write_text('{"teacher": ')


@pytest.mark.parametrize("damage", [change, cut, empty, no_note])
def test_a_damaged_cache_is_seen_and_made_again(
    place: Path, encoded: list[Encoded], tmp_path: Path, damage: Any, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "states.npy"
    states = np.array(teacher_states(load(place), "tiny", encoded, path).states)
    damage(path)
    capsys.readouterr()
    np.testing.assert_array_equal(teacher_states(load(place), "tiny", encoded, path).states, states)
    assert f"{path}: not as it was written; made again" in capsys.readouterr().err
    again = teacher_states(None, "tiny", encoded, path)  # without a teacher, for the cache is whole
    np.testing.assert_array_equal(again.states, states)
    assert capsys.readouterr().err == ""


def test_damaged_expectations_are_made_again(place: Path, encoded: list[Encoded], tmp_path: Path):
    states = teacher_states(load(place), "tiny", encoded, tmp_path / "states.npy")
    head = torch.randn(50, states.states.shape[1], generator=torch.Generator().manual_seed(0))
    path = tmp_path / "expected.npy"
    whole = np.array(teacher_expectations(states, head, 2.0, "tiny", path).states)
    change(path)
    np.testing.assert_array_equal(teacher_expectations(states, head, 2.0, "tiny", path).states, whole)


def test_a_pass_that_was_stopped_does_not_go_on_in_a_cut_file(place: Path, encoded: list[Encoded], tmp_path: Path):
    """Mapped as if it were whole, it would be filled up with zeros."""
    path = tmp_path / "states.npy"
    states = np.array(teacher_states(load(place), "tiny", encoded, path).states)
    key = path.with_suffix(".json").read_text().replace("}", ', "done": 1}')
    partial = path.with_suffix(".partial.npy")
    path.rename(partial)
    partial.with_suffix(".json").write_text(key)
    cut(partial)
    np.testing.assert_array_equal(teacher_states(load(place), "tiny", encoded, path).states, states)
