"""What a tokenizer.json carries beside its vocabulary: state of past calls, dropout, special tokens around a text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from directories import byte_level_bpe, save_tokenizer
from places import ROOT
from tokenizers.processors import TemplateProcessing

from probe.errors import CheckpointError
from probe.models.tokenizer import Tokenizer

TEXT = "Return the path of the file."
EOS = "<|endoftext|>"


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Callable[[tokenizers.Tokenizer], Any]], Tokenizer]:
    """A tokenizer that was changed, saved, and opened through the one door."""

    def save(change: Callable[[tokenizers.Tokenizer], Any]) -> Tokenizer:
        backend = byte_level_bpe()
        change(backend)
        save_tokenizer(backend, EOS, tmp_path)
        return Tokenizer.load(tmp_path)

    return save


def plain(_: tokenizers.Tokenizer) -> None:
    pass


def state(tokenizer: Tokenizer) -> dict[str, Any]:
    return json.loads(tokenizer.path.read_text(encoding="utf-8"))


def test_padding_and_truncation_of_a_past_call_are_ignored(saved: Any):
    expected = saved(plain).encode(TEXT)

    def call(backend: tokenizers.Tokenizer) -> None:
        backend.enable_padding(length=129)
        backend.enable_truncation(max_length=3)

    tokenizer = saved(call)
    assert state(tokenizer)["padding"]
    assert state(tokenizer)["truncation"]
    assert tokenizer.encode(TEXT) == expected
    assert tokenizer.encode_prompt(TEXT) == expected
    assert len(tokenizer.pieces([TEXT])[0]) == len(expected)


def test_dropout_is_off(saved: Any):
    expected = saved(plain).encode(TEXT)

    def drop(backend: tokenizers.Tokenizer) -> None:
        backend.model.dropout = 0.9

    tokenizer = saved(drop)
    assert state(tokenizer)["model"]["dropout"] == pytest.approx(0.9)
    assert [tokenizer.encode(TEXT) for _ in range(20)] == [expected] * 20


@pytest.mark.parametrize(
    ("template", "in_front"),
    [(f"$A {EOS}", 0), (f"{EOS} $A", 1), (f"{EOS} $A {EOS}", 1), (f"{EOS} {EOS} $A", 2)],
)
@pytest.mark.parametrize("text", [TEXT, "", f"{EOS} twice"])
def test_special_tokens_of_a_prompt_stand_in_front_alone(saved: Any, template: str, in_front: int, text: str):
    def wrap(backend: tokenizers.Tokenizer) -> None:
        backend.post_processor = TemplateProcessing(single=template, special_tokens=[(EOS, backend.token_to_id(EOS))])

    tokenizer = saved(wrap)
    assert tokenizer.encode_prompt(text) == [tokenizer.eos_id] * in_front + tokenizer.encode(text)


def test_special_tokens_inside_of_a_text_are_refused(saved: Any, monkeypatch: pytest.MonkeyPatch):
    tokenizer = saved(plain)
    monkeypatch.setattr("probe.models.tokenizer.WORD", "path of")
    backend = tokenizer.backend

    class Interleaving:
        def encode(self, text: str, *, add_special_tokens: bool) -> Any:
            found = backend.encode(text, add_special_tokens=False)
            ids = [part for id_ in found.ids for part in (id_, 0)] if add_special_tokens else found.ids
            return type("Encoding", (), {"ids": ids})

    tokenizer.__dict__["backend"] = Interleaving()
    with pytest.raises(CheckpointError, match="before or behind a text"):
        tokenizer.encode_prompt(TEXT)


def test_a_file_at_which_the_library_panics_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    class PanicException(BaseException):
        pass

    def panic(path: str) -> None:
        raise PanicException("range end index out of range")

    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("tokenizers.Tokenizer.from_file", panic)
    with pytest.raises(CheckpointError, match="range end index"):
        Tokenizer.load(tmp_path).encode("a")


def test_there_is_one_door_to_the_library():
    """What a file may carry of past calls is switched off in one place."""
    package = ROOT / "probe"
    opening = [path for path in package.rglob("*.py") if "Tokenizer.from_file(" in path.read_text(encoding="utf-8")]
    assert opening == [package / "models" / "tokenizer.py"]
