import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tokenizers
from directories import STUDENT_EOS, TEACHER_EOS, TEXTS, byte_level_bpe, save_tokenizer, sentencepiece_bpe
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models

from probe.errors import CheckpointError, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training import vocabulary_map as module
from probe.training.vocabulary_map import Vocabulary, exact_map, main, read_vocabulary_map, vocabulary_map

SPECIALS = ("<unk>", "<s>", "</s>")


@cache
def distance(a: bytes, b: bytes) -> int:
    """Levenshtein's, by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))


def save(
    directory: Path,
    pieces: Sequence[str],
    *,
    special: Sequence[str] = SPECIALS,
    added: Sequence[str] = (),
    tokenizer_config: Mapping[str, object] | None = None,
    config: Mapping[str, object] | None = None,
    model: type = models.BPE,
) -> Path:
    """A model directory with special tokens first, then these pieces, then added ones that are not special."""
    vocabulary = {piece: id_ for id_, piece in enumerate([*special, *pieces])}
    arguments = {"merges": []} if model is models.BPE else {"unk_token": "<unk>"}
    tokenizer = tokenizers.Tokenizer(model(vocab=vocabulary, **arguments))
    tokenizer.add_special_tokens(list(special))
    tokenizer.add_tokens(list(added))
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>"} if tokenizer_config is None else tokenizer_config
    (directory / "tokenizer_config.json").write_text(json.dumps(named))
    (directory / "config.json").write_text(json.dumps(config or {}))
    return directory


def read(directory: Path) -> Vocabulary:
    return Vocabulary.of(Tokenizer.load(directory))


def mapped(student: Path, teacher: Path) -> dict[str, str]:
    """The map from spelling to spelling."""
    names = [
        {id_: piece for piece, id_ in file.get_vocab().items()}
        for file in (tokenizers.Tokenizer.from_file(str(path / "tokenizer.json")) for path in (teacher, student))
    ]
    map_ = vocabulary_map(read(student), read(teacher))
    return {names[0][teacher_id]: names[1][student_id] for teacher_id, student_id in map_.student_ids.items()}


# The nearest token


def vocabulary_of(surfaces: Sequence[bytes]) -> Vocabulary:
    """Ordinary tokens, after EOS."""
    ordinary = dict(enumerate(surfaces, start=1))
    pieces = {id_: surface.decode("latin-1") for id_, surface in ordinary.items()}
    return Vocabulary(pieces, ordinary, frozenset({0}), eos_id=0, bos_id=None)


SURFACES = st.lists(st.sampled_from(b"ab \xc3\xa9"), max_size=7).map(bytes)
VOCABULARIES = st.lists(SURFACES, min_size=1, max_size=12, unique=True)


@given(VOCABULARIES, VOCABULARIES, st.integers(1, 4))
def test_it_is_the_nearest_of_all_and_of_equals_the_one_with_the_lowest_id(
    student: list[bytes], teacher: list[bytes], rows: int
):
    with mock.patch.object(module, "ROWS", rows):
        map_ = vocabulary_map(vocabulary_of(student), vocabulary_of(teacher))
    for id_, surface in enumerate(teacher, start=1):
        nearest = min((distance(surface, other), n) for n, other in enumerate(student, start=1))
        assert (map_.distances[id_], map_.student_ids[id_]) == nearest


def test_distances_that_no_byte_can_hold_are_told_apart():
    student = ["z" * 343 + "x" * 257, "z" * 350 + "x" * 250]
    map_ = vocabulary_map(vocabulary_of([text.encode() for text in student]), vocabulary_of([b"z" * 600]))
    assert (map_.student_ids[1], map_.distances[1]) == (2, 250)


# Alphabets


def test_two_alphabets_are_compared_by_what_they_stand_for(tmp_path: Path):
    teacher = save(tmp_path / "teacher", ["Ġ", "ĠnaÃ¯ve", "Ã©", "æ", "Ã¦", "Ċ", "<0xE6>", "A", "!"])
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    student = save(tmp_path / "student", [*pieces, "▁", "▁naïve", "▁naive", "é", "æ", "A", "!!", "▁<0xE6>"])
    assert mapped(student, teacher) == {
        "<s>": "<s>",
        "</s>": "</s>",
        "Ġ": "▁",
        "ĠnaÃ¯ve": "▁naïve",
        "Ã©": "é",
        "æ": "<0xE6>",  # the byte, which as Latin-1 would be the letter
        "Ã¦": "æ",
        "Ċ": "<0x0A>",
        "<0xE6>": "▁<0xE6>",  # six letters in a byte-level vocabulary
        "A": "A",  # never <0x41>, though its id is lower
        "!": "<0x21>",
    }


def test_a_byte_piece_is_mapped_to_the_same_byte_piece(tmp_path: Path):
    both = ["<0x41>", "▁", "A"]
    first, second = save(tmp_path / "first", both), save(tmp_path / "second", both[::-1])
    assert mapped(first, second).items() >= {"<0x41>": "<0x41>", "▁": "▁", "A": "A"}.items()
    byte_level = save(tmp_path / "byte-level", ["Ġ", "A"])
    assert mapped(byte_level, first).items() >= {"<0x41>": "A", "▁": "Ġ", "A": "A"}.items()


def spelled(text: str) -> str:
    """A text in the alphabet of byte-level vocabularies, by the tokenizers library."""
    ((piece, _),) = byte_level_bpe().pre_tokenizer.pre_tokenize_str(text)
    return piece


def test_a_character_that_the_student_lacks_is_mapped_to_the_bytes_it_begins_with(tmp_path: Path):
    """In characters, every other single one would be as near."""
    begin = spelled("咖")[:2]
    student = save(tmp_path / "student", ["!", "Ġ", spelled("中"), begin])
    for name, piece, pieces in (("spelled", spelled("咖"), ["Ġ"]), ("plain", "咖", ["▁"])):
        teacher = save(tmp_path / name, [piece, *pieces])
        assert mapped(student, teacher)[piece] == begin
        assert vocabulary_map(read(student), read(teacher)).distances[3] == 1


def test_added_tokens_that_are_not_special_stand_for_themselves(tmp_path: Path):
    teacher = save(tmp_path / "teacher", ["Ġ", "ĠĠĠ"], added=["  ", "é"])
    student = save(tmp_path / "student", ["▁", "▁▁", "▁▁▁", "é"])
    assert mapped(student, teacher).items() >= {"  ": "▁▁", "ĠĠĠ": "▁▁▁", "é": "é"}.items()


def test_added_tokens_of_sentencepiece_are_spelled_like_its_own(tmp_path: Path):
    teacher = save(tmp_path / "teacher", ["▁"], added=["▁▁", "<0x0A>"])
    student = save(tmp_path / "student", ["Ġ", "ĠĠ", "Ċ"])
    assert mapped(student, teacher).items() >= {"▁▁": "ĠĠ", "<0x0A>": "Ċ"}.items()


def test_real_tokenizers_of_both_kinds_agree_on_the_words_they_share(tmp_path: Path):
    save_tokenizer(byte_level_bpe(), STUDENT_EOS, tmp_path / "student")
    save_tokenizer(sentencepiece_bpe(), TEACHER_EOS, tmp_path / "teacher")
    student, teacher = Tokenizer.load(tmp_path / "student"), Tokenizer.load(tmp_path / "teacher")
    found = mapped(tmp_path / "student", tmp_path / "teacher")
    for text in TEXTS:
        own, other = student.tokenize(text), teacher.tokenize(text)
        surfaces = {own.surface(i): piece for i, piece in enumerate(own.pieces)}
        shared = [(i, piece) for i, piece in enumerate(other.pieces[1:], start=1) if other.surface(i) in surfaces]
        assert shared
        for i, piece in shared:
            assert found[piece] == surfaces[other.surface(i)]


@pytest.mark.parametrize(
    ("model", "pieces"),
    [
        (models.WordPiece, ["a", "##b"]),
        (models.WordPiece, ["a", "▁"]),
        (models.WordPiece, ["a", "Ġ"]),
        (models.BPE, ["a", "b</w>"]),
        (models.BPE, ["Ġ", "a", "京"]),
    ],
)
def test_a_vocabulary_of_another_kind_is_refused(model: type, pieces: list[str], tmp_path: Path):
    with pytest.raises(TrainingError, match=f"{model.__name__} vocabulary that is neither"):
        read(save(tmp_path / "model", pieces, model=model))


# Special tokens


def test_special_tokens_are_mapped_by_role_and_never_by_spelling(tmp_path: Path):
    """The teacher's BOS is spelled like the student's EOS, and its chat marker like an ordinary word."""
    teacher = save(
        tmp_path / "teacher",
        ["▁", "▁end", "<end>"],
        special=["<unk>", "<end", "<stop>", "end>"],
        tokenizer_config={"bos_token": {"content": "<end"}, "eos_token": "<stop>"},
    )
    student = save(
        tmp_path / "student",
        ["Ġ", "end>", "<unk>"],
        special=["<begin>", "<end>"],
        tokenizer_config={"bos_token": "<begin>", "eos_token": "<end>"},
    )
    assert mapped(student, teacher) == {
        "<end": "<begin>",
        "<stop>": "<end>",
        "▁": "Ġ",
        "▁end": "end>",
        "<end>": "end>",
    }
    map_ = vocabulary_map(read(student), read(teacher))
    assert map_.left_out == {0, 3}
    assert str(map_) == "1 exact, 1 at distance 1, 1 at 2, 0 at more, 2 special by role, 2 special left out"


@pytest.mark.parametrize(
    ("tokenizer_config", "config", "expected"),
    [
        ({"eos_token": "</s>"}, {"bos_token_id": 1}, {1: 1, 2: 2}),
        ({"eos_token": "</s>", "bos_token": None}, {"bos_token_id": 1}, {2: 2}),
        ({"eos_token": "</s>"}, {"bos_token_id": 99}, {2: 2}),
        ({"eos_token": "</s>"}, {}, {2: 2}),
        ({}, {"bos_token_id": 2, "eos_token_id": 2}, {2: 2}),
    ],
)
def test_bos_is_mapped_where_both_have_one(
    tokenizer_config: dict[str, object], config: dict[str, object], expected: dict[int, int], tmp_path: Path
):
    teacher = save(tmp_path / "teacher", ["▁"], tokenizer_config=tokenizer_config, config=config)
    student = save(tmp_path / "student", ["▁"])
    ids = vocabulary_map(read(student), read(teacher)).student_ids
    assert ids == expected | {3: 3}


def test_roles_make_tokens_special_even_where_the_file_does_not(tmp_path: Path):
    roles = {"bos_token": "<begin>", "eos_token": "<end>"}
    student = save(tmp_path / "student", ["<begin>", "<end>", "Ġ"], special=[], tokenizer_config=roles)
    teacher = save(tmp_path / "teacher", ["▁", "<begin>", "<end>"])
    assert mapped(student, teacher) == {"<s>": "<begin>", "</s>": "<end>", "▁": "Ġ", "<begin>": "Ġ", "<end>": "Ġ"}
    map_ = vocabulary_map(read(teacher), read(student))
    assert map_.student_ids == {0: 1, 1: 2, 2: 3}
    assert set(map_.distances) == {2}


def test_a_student_whose_bos_is_its_eos_takes_both(tmp_path: Path):
    student = save(tmp_path / "student", ["Ġ"], tokenizer_config={"bos_token": "</s>", "eos_token": "</s>"})
    teacher = save(tmp_path / "teacher", ["▁"])
    assert mapped(student, teacher) == {"<s>": "</s>", "</s>": "</s>", "▁": "Ġ"}


def test_an_eos_that_is_not_in_the_vocabulary_is_refused(tmp_path: Path):
    with pytest.raises(TrainingError, match="EOS 50"):
        read(save(tmp_path / "model", ["▁"], tokenizer_config={}, config={"eos_token_id": 50}))
    with pytest.raises(CheckpointError, match="end-of-sequence"):
        read(save(tmp_path / "none", ["▁"], tokenizer_config={}))


# The command


@pytest.fixture
def place(tmp_path: Path) -> Path:
    save(tmp_path / "student", ["Ġ", "Ġcat", "Ġcats", "dog"])
    save(tmp_path / "teacher", ["▁", "▁cat", "▁cast", "dogs", "▁hippopotamus"])
    return tmp_path


def test_the_file_is_one_that_can_be_read_and_the_last_line_counts(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    arguments = [str(place / "student"), str(place / "teacher"), "--workers", "1", "--out"]
    assert main([*arguments, str(place / "map.json")]) == 0
    out, err = capsys.readouterr()
    counts = "2 exact, 2 at distance 1, 0 at 2, 1 at more, 2 special by role, 1 special left out; "
    assert out.startswith(counts)
    assert err == ""
    written = json.loads((place / "map.json").read_text())
    assert written == {"1": 1, "2": 2, "3": 3, "4": 4, "5": 4, "6": 6, "7": 5}
    assert list(written) == sorted(written, key=int)
    ids = read_vocabulary_map(place / "map.json", teacher_rows=10, student_rows=7)
    np.testing.assert_array_equal(ids, [-1, 1, 2, 3, 4, 4, 6, 5, -1, -1])
    assert main([*arguments, str(place / "again.json")]) == 0
    assert (place / "again.json").read_bytes() == (place / "map.json").read_bytes()
    capsys.readouterr()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert main([*arguments, str(place / "map.json")]) == 0
    out, err = capsys.readouterr()
    assert "Vocabulary map" in err
    assert out.startswith(counts)


def test_bad_input_is_one_message_and_no_file(place: Path, capsys: pytest.CaptureFixture[str]):
    (place / "empty").mkdir()
    save(place / "damaged", ["▁"])
    (place / "damaged" / "tokenizer.json").write_text("{")
    save(place / "wordpiece", ["a"], model=models.WordPiece)
    before = sorted(place.rglob("*"))
    for student, out, parts in (
        ("empty", "map.json", ["empty", "a tokenizer.json", "none"]),
        ("damaged", "map.json", ["damaged", "tokenizers library"]),
        ("wordpiece", "map.json", ["wordpiece", "byte-level", "SentencePiece"]),
        ("student", "no/map.json", ["no/map.json", "a place to write to"]),
    ):
        assert main([str(place / student), str(place / "teacher"), "--out", str(place / out)]) == 2
        printed, err = capsys.readouterr()
        assert printed == ""
        assert err.count("\n") == 1
        for part in ("python -m probe.training.vocabulary_map: ", "expected", "; got ", *parts):
            assert part in err
    assert sorted(place.rglob("*")) == before


def test_a_failed_search_leaves_no_file(place: Path):
    with mock.patch.object(module, "_nearest", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        main([str(place / "student"), str(place / "teacher"), "--out", str(place / "map.json")])
    assert sorted(path.name for path in place.iterdir()) == ["student", "teacher"]


def test_help_needs_none_of_the_packages_of_training():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('torch', 'transformers', 'rapidfuzz')); sys.argv = ['x', '--help']"
    )
    code += "; from runpy import run_module; run_module('probe.training.vocabulary_map', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--workers" in done.stdout


# Reading


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("", "Expecting value"),
        ("[1, 2]", "a list"),
        ('"text"', "a str"),
        ('{"5": 0}', "'5': 0"),
        ('{"-1": 0}', "'-1': 0"),
        ('{"one": 0}', "'one': 0"),
        ('{"01": 0}', "'01': 0"),
        ('{"٣": 0}', "'٣': 0"),
        (f'{{"{"9" * 5000}": 0}}', "'999"),
        ('{"0": 7}', "'0': 7"),
        ('{"0": -1}', "'0': -1"),
        ('{"0": 1.0}', "'0': 1.0"),
        ('{"0": true}', "'0': True"),
        ('{"0": null}', "'0': None"),
        ('{"0": {"1": 2}}', "'0': "),
        ('{"0": 1, "0": 2}', "'0': 2, a second time"),
        ('{"0": 1, "1": 7, "9": 1, "2": "x"}', "'1': 7 and 2 more such entries"),
    ],
)
def test_a_file_that_is_no_map_of_these_models_is_refused(content: str, got: str, tmp_path: Path):
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(TrainingError) as caught:
        read_vocabulary_map(tmp_path / "map.json", teacher_rows=5, student_rows=7)
    (problem,) = caught.value.problems
    assert problem.got.startswith(got)
    assert "teacher ids below 5 and student ids below 7" in problem.expected


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(TrainingError, match="no such file"):
        read_vocabulary_map(tmp_path / "none.json", teacher_rows=5, student_rows=7)


def test_exact_tokens_alone_and_roles_make_the_exact_map(tmp_path: Path):
    student = read(save(tmp_path / "student", ["▁", "a", "cat", "▁cat", "<0x41>"]))
    teacher = read(save(tmp_path / "teacher", ["Ġcat", "cats", "a", "A", "Ġ"], special=("</s>", "<pad>")))
    names = {id_: piece for piece, id_ in [*((p, i) for i, p in teacher.pieces.items()), ("</s>", 0), ("<pad>", 1)]}
    map_ = exact_map(student, teacher, teacher_rows=10)
    found = {names[id_]: int(map_[id_]) for id_ in range(7)}
    assert found == {"</s>": 2, "<pad>": -1, "Ġcat": 6, "cats": -1, "a": 4, "A": 7, "Ġ": 3}
    assert list(map_[7:]) == [-1, -1, -1]
