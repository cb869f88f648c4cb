import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from probe.errors import CheckpointError
from probe.models import encodings
from probe.models.tokenizer import Tokenizer

TEXTS = ["a cat", "京 \u2028 a", ""]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A byte-level tokenizer with the alphabet and one merge."""
    vocabulary = {piece: id_ for id_, piece in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġa"])}
    backend = Backend(models.BPE(vocabulary, [("Ġ", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    (tmp_path / "model").mkdir()
    backend.save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, which holds even small tokenizers."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(encodings, "SMALLEST", 1)
    return tmp_path / "cache" / "encodings"


def was_read(tokenizer: Tokenizer) -> bool:
    return "backend" in tokenizer.__dict__


def pieces(directory: Path, texts: Sequence[str] = TEXTS) -> tuple[list[tuple[str, ...]], bool]:
    """Pieces by a tokenizer of its own, and whether it had to read the vocabulary for them."""
    tokenizer = Tokenizer.load(directory)
    return tokenizer.pieces(texts), was_read(tokenizer)


def test_a_second_tokenizer_does_not_read_the_vocabulary(directory: Path) -> None:
    first, second = Tokenizer.load(directory), Tokenizer.load(directory)
    cut = first.pieces(TEXTS)
    assert cut[0] == ("a", "Ġ", "c", "a", "t")
    assert was_read(first)
    assert second.pieces(TEXTS) == cut
    assert second.ids(cut[1]) == first.ids(cut[1])  # the ids are remembered with the pieces
    assert [text.pieces for text in map(first.tokenize, TEXTS)] == cut
    assert not was_read(second)
    assert second.ids(["z"]) == first.ids(["z"])  # no piece of the texts
    assert was_read(second)


@pytest.mark.parametrize("texts", [TEXTS[:2], TEXTS[::-1], [*TEXTS, ""], ["a", " cat", *TEXTS[1:]]])
def test_other_texts_are_another_key(texts: list[str], directory: Path) -> None:
    pieces(directory)
    cut, read = pieces(directory, texts)
    assert read
    assert ["".join(of_text) for of_text in cut] == ["".join(p) for p in pieces(directory, texts)[0]]


def test_a_changed_file_is_another_key(directory: Path, cache: Path) -> None:
    pieces(directory)
    file = directory / "tokenizer.json"
    changed = json.loads(file.read_text())
    changed["model"]["merges"] = []
    file.write_text(json.dumps(changed))
    cut, read = pieces(directory, [" a"])
    assert (cut, read) == ([("Ġ", "a")], True)
    assert pieces(directory)[1]
    assert len(list(cache.iterdir())) == 3


def test_a_copy_of_the_file_is_the_same_key(directory: Path, tmp_path: Path) -> None:
    pieces(directory)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "tokenizer.json").write_bytes((directory / "tokenizer.json").read_bytes())
    assert not pieces(tmp_path / "copy")[1]


def test_another_version_of_the_library_is_another_key(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces(directory)
    monkeypatch.setattr("importlib.metadata.version", lambda package: f"0 of {package}")
    assert pieces(directory)[1]


def test_small_files_and_long_lists_are_not_remembered(
    directory: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings, "MOST_TEXTS", len(TEXTS) - 1)
    assert pieces(directory) == pieces(directory)
    monkeypatch.undo()  # the constants as they are: this file is far below a megabyte
    monkeypatch.setenv("PROBE_CACHE", str(cache.parent))
    assert [pieces(directory)[1] for _ in range(2)] == [True, True]
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_to_costs_nothing_but_time(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a regular file")
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        cut, read = pieces(directory)
        assert (cut[0], read) == (("a", "Ġ", "c", "a", "t"), True)
    assert (tmp_path / "file").read_text() == "a regular file"


@pytest.mark.parametrize("damage", [b"", b'[[["a"', b"\xff"])
def test_a_damaged_memory_is_forgotten(damage: bytes, directory: Path, cache: Path) -> None:
    cut, _ = pieces(directory)
    (file,) = cache.iterdir()
    file.write_bytes(damage)
    assert pieces(directory) == (cut, True)
    assert pieces(directory) == (cut, False)


def test_a_directory_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json; got none.*save_pretrained"):
        Tokenizer.load(tmp_path)


def test_what_was_changed_in_the_cache_is_not_believed(directory: Path, cache: Path) -> None:
    cut, _ = pieces(directory)
    (file,) = cache.iterdir()
    for wrong in (file.read_text().replace('"c"', '"d"'), "[[1]]", "{}"):
        file.write_text(wrong)
        assert pieces(directory) == (cut, True)
        assert pieces(directory) == (cut, False)  # written again
