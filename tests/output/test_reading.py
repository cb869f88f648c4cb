"""Every kind of damage to a JSON or text file, at every reader of one: one error of the reader's own."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from probe.checkpoints.dskd import run_arguments
from probe.checkpoints.manifest import read_manifest
from probe.errors import CheckpointError, ProbeError
from probe.exchange.align_jsonl import read_alignments
from probe.exchange.conversion import Naming, read_alone
from probe.figures.reproduction import read_evaluation
from probe.gold.pairs import read_pairs
from probe.keyquery.report import load_report as load_keyquery
from probe.maps import AttentionMap
from probe.models import encodings
from probe.models.table_files import read_header
from probe.models.table_sources import read_json
from probe.models.tokenizer import Tokenizer
from probe.output.documents import read_document
from probe.output.reading import Wanted, parse_json, read_bytes, read_object, read_text
from probe.report.document import load_report
from probe.tokens import TokenizedText
from probe.training.examples import read_examples
from probe.training.recipe import read_recipe, read_recipe_of_run
from probe.training.trainer.saving import is_done
from probe.training.vocabulary_map import read_vocabulary_map

WANTED = Wanted("a file", "Mend it.", CheckpointError)
DAMAGE = {
    "integer": b'{"a": ' + b"9" * 6000 + b"}",
    "brackets": b"[" * 60000,
    "closed brackets": b"[" * 900 + b"]" * 900,
    "bytes": b'{"a": "\xe9"}',
    "half": rb'{"a": "\ud800"}',
    "pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "list": b"[1, 2]",
    "cut off": b'{"format": 1, "name"',
    "nothing": b"",
}


def _manifest(file: Path) -> None:
    read_manifest(file.rename(file.with_name("probe.json")).parent)


def _arguments(file: Path) -> None:
    run_arguments(file.rename(file.with_name("args.json")).parent)


def _header(file: Path) -> None:
    raw = file.read_bytes()
    file.write_bytes(len(raw).to_bytes(8, "little") + raw)
    read_header(file)


def _map(file: Path) -> None:
    arrays = {"meta": np.array(file.read_bytes().decode("latin-1")), "weights": np.ones((1, 1))}
    np.savez(file.with_suffix(".npz"), **arrays)
    AttentionMap.load(file.with_suffix(".npz"))


def _eos(file: Path) -> None:
    file.rename(file.with_name("tokenizer_config.json"))
    (file.parent / "tokenizer.json").write_text("{}")
    _ = Tokenizer(file.with_name("tokenizer.json")).eos_id


def _done(file: Path) -> None:
    file.rename(file.with_name("trainer_state.json"))
    is_done(file.parent)


READERS: dict[str, Callable[[Path], object]] = {
    "manifest": _manifest,
    "args.json": _arguments,
    "any JSON of a model": read_json,
    "header": _header,
    "align.jsonl": read_alignments,
    "rows": read_examples,
    "map": _map,
    "tokenizer_config.json": _eos,
    "report": load_report,
    "report of keyquery": load_keyquery,
    "evaluation": lambda file: read_evaluation(read_document(file, "it"), str(file)),
    "recipe of a run": read_recipe_of_run,
    "recipe": lambda file: read_recipe(str(file)),
    "vocabulary map": lambda file: read_vocabulary_map(file, teacher_rows=3, student_rows=3),
    "steps of a run": _done,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_one_error_whatever_is_wrong(reader: str, damage: str, tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_bytes(DAMAGE[damage])
    if (reader, damage) in {("map", "bytes"), ("rows", "nothing")}:  # a map's text is no bytes; a file may have no rows
        return
    with pytest.raises(ProbeError) as caught:
        READERS[reader](file)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (b'{\n "a": ' + b"7" * 5000 + b"}", "an integer of 5000 digits at line 2, column 7"),
        (b"\n" + b"[" * 100 + b"]" * 100, "brackets nested more than 64 deep at line 2, column 65"),
        (b'{\n"a": "\xe9"}', "byte 0xE9 at line 2, column 7, which is not UTF-8"),
        (rb'{"a": "\uD83D"}', "half of a surrogate pair, \\uD83D, at line 1, column 8"),
        (b'{"a": 1,}', "line 1 column 9"),
    ],
)
def test_the_place_is_named(raw: bytes, got: str, tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_bytes(raw)
    with pytest.raises(CheckpointError) as caught:
        read_object(file, WANTED)
    assert str(file) in str(caught.value)
    assert got in str(caught.value)


def test_whole_characters_and_marks_are_read(tmp_path: Path):
    file = tmp_path / "file.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00", "b": NaN}')
    found = read_object(file, WANTED)
    assert found["a"] == "😀"
    with pytest.raises(CheckpointError, match="NaN"):
        parse_json('{"b": NaN}', "a", WANTED, constants=False)


@pytest.mark.parametrize("read", [read_bytes, read_text])
def test_devices_and_names_that_no_file_has_are_refused(read: Callable[..., object]):
    for path in (Path("/dev/zero"), Path("/dev/full"), Path("a\0b"), Path("\ud800"), Path("/proc/self")):
        with pytest.raises(CheckpointError):
            read(path, WANTED)


def test_a_packed_file_is_not_unpacked_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("probe.output.reading.MOST_BYTES", 1 << 21)
    file = tmp_path / "a.json.gz"
    file.write_bytes(gzip.compress(b" " * (8 << 20)))
    with pytest.raises(ProbeError, match="more than"):
        read_document(file, "a report")


def test_links_of_thousands_of_digits(tmp_path: Path):
    for name, text in (("a.pharaoh", f"0-{'9' * 6000}\n"), ("a.naacl", f"{'9' * 6000} 1 1\n")):
        file = tmp_path / name
        file.write_text(text)
        for side in ("student", "teacher"):
            (tmp_path / f"{name}.{side}").write_text("a\n")
        with pytest.raises(ProbeError):
            read_alone(file, name[2:], Naming("a~b", ""), None)
    columns = "id pair text student_tokens teacher_tokens links phenomena note".replace(" ", "\t")
    gold = tmp_path / "gold.tsv"
    gold.write_text(f"{columns}\na\ta~b\ta\ta\ta\t0-{'9' * 6000}\t\t\n")
    with pytest.raises(ProbeError):
        read_pairs(gold)


def test_a_recipe_in_another_encoding_and_values_that_are_too_long(tmp_path: Path):
    file = tmp_path / "recipe.toml"
    file.write_bytes('name = "é"\n'.encode("latin-1"))
    with pytest.raises(ProbeError, match="TOML in UTF-8; got byte 0xE9 at line 1, column 9"):
        read_recipe(str(file))
    for value in ("9" * 6000, "[" * 60000):
        with pytest.raises(ProbeError):
            read_recipe("demo", [f"seed={value}"])


def test_remembered_encodings_that_are_damaged_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encodings, "SMALLEST", 0)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    encodings.write(tokenizer, ["a"], [encodings.Encoding(("a",), (1,))])
    assert encodings.read(tokenizer, ["a"])
    for raw in (*DAMAGE.values(), b"3", b"[[1]]"):
        encodings._path(tokenizer, ["a"]).write_bytes(raw)
        assert encodings.read(tokenizer, ["a"]) is None


def test_a_map_says_what_is_wrong_with_it(tmp_path: Path):
    text = TokenizedText.from_pieces("a", ["a"])
    file = tmp_path / "a.npz"
    AttentionMap("cma", text, text, np.full((2, 2), 0.5)).save(file)
    good = dict(np.load(file))
    for name, value in (("weights", np.array("a")), ("weights", np.ones(3)), ("meta", np.array(json.dumps([])))):
        np.savez(file, **(good | {name: value}))
        with pytest.raises(ProbeError):
            AttentionMap.load(file)
