"""Directories of other tools: what is read of them, and what the message says where nothing is."""

import json
import shutil
from pathlib import Path

import pytest

import probe
from probe.checkpoints.doctor.diagnosis import diagnose
from probe.models.sources import bundled_dir
from probe.models.tokenizer import Tokenizer

TEACHER = "bundled:demo/teacher"


@pytest.fixture
def kdflow(tmp_path: Path) -> Path:
    """What KDFlow leaves of a student: what `save_pretrained` writes."""
    return shutil.copytree(bundled_dir() / "demo" / "student", tmp_path / "student", copy_function=shutil.copyfile)


@pytest.fixture
def dskdv2(tmp_path: Path) -> Path:
    """An epoch of DSKDv2: a student, and the arguments above it."""
    run = tmp_path / "criterion=dual_space_kd_v2_with_eta__forward_kl-bf16"
    run.mkdir()
    arguments = {"criterion": "dual_space_kd_v2_with_eta", "do_train": True, "teacher_model_path": "models/teacher"}
    (run / "args.json").write_text(json.dumps(arguments))
    return shutil.copytree(bundled_dir() / "demo" / "student", run / "epoch2_step40", copy_function=shutil.copyfile)


@pytest.mark.parametrize("kind", ["kdflow", "dskdv2"])
def test_a_student_without_projectors_is_told_what_can_still_be_asked(kind: str, request: pytest.FixtureRequest):
    place: Path = request.getfixturevalue(kind)
    with pytest.raises(probe.ProbeError) as refused:
        probe.load(place)
    said = str(refused.value)
    assert "a model without projectors; DSKDv2, KDFlow and TRL save none" in said
    assert f"probe-aligners --student {place} --teacher MODEL" in said
    found = diagnose(str(place))
    assert "projectors" in found.problems
    (finding,) = [one for one in found.findings if one.topic == "projectors"]
    assert f"probe-aligners --student {place}" in finding.remedy


def test_what_the_message_names_works(kdflow: Path):
    assert probe.rank_aligners(texts=["Return the maximum of the list."], student=str(kdflow), teacher=TEACHER)
    assert probe.alignment_health(["Return the maximum."], str(kdflow), TEACHER).coverage == 1
    assert probe.open_table(kdflow).rows == 2048


def test_the_directory_of_tokenkit_is_named(kdflow: Path):
    (kdflow / "model.safetensors").unlink()
    (kdflow / "params.msgpack").write_bytes(b"\x80")
    (kdflow / "args.yaml").write_text("steps: 1\n")
    for read in (probe.load, probe.open_table, lambda place: probe.load("demo", student=str(place))):
        with pytest.raises(probe.ProbeError, match=r"params\.msgpack.*scripts/export_checkpoint\.py --with_pt"):
            read(kdflow)
    assert probe.alignment_health(["Return the maximum."], str(kdflow), TEACHER).coverage == 1  # its tokenizer is read


@pytest.mark.parametrize("name", ["qwen.tiktoken", "tokenizer.model"])
def test_ranks_of_tiktoken_are_named(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"IQ== 0\nIg== 1\n")
    with pytest.raises(probe.ProbeError, match=rf"ranks of tiktoken in {name}.*TikTokenConverter"):
        Tokenizer.load(tmp_path)
    with pytest.raises(probe.ProbeError, match=r"probe\.align_tokens takes the encoding itself"):
        probe.align_tokens("a", str(tmp_path), TEACHER)


def test_a_model_of_sentencepiece_is_not_taken_for_tiktoken(tmp_path: Path):
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02\n\x0c")
    with pytest.raises(probe.ProbeError, match="Save the fast tokenizer there"):
        Tokenizer.load(tmp_path)
