import json
import math
import re
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from directories import TEXTS, checkpoint, projector, record, save_model, trained_tensors, with_source
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

from probe.checkpoints.checkpoint import TENSORS, Checkpoint, Scales, load_checkpoint, save_checkpoint
from probe.checkpoints.doctor.diagnosis import diagnose
from probe.checkpoints.loading import load
from probe.checkpoints.manifest import MANIFEST
from probe.checkpoints.opened import OpenCheckpoint, open_checkpoint
from probe.errors import CheckpointError, OutputError, ProbeError, ProjectorError
from probe.maps import AttentionMap
from probe.models.tokenizer import Tokenizer
from probe.training.trainer.start import named_directory

TEXT = TEXTS[1]


def saved(place: Path, **changes: Any) -> Path:
    built = replace(checkpoint(place), **changes)
    save_checkpoint(built, built.path)
    return built.path


def attention(opened: OpenCheckpoint, text: str = TEXT) -> AttentionMap:
    return opened.map(*opened.tokenize(text))


def opened(path: Path, **models: str) -> OpenCheckpoint:
    return load(str(path), **models)


def message(path: Path | str, kind: type[ProbeError] = CheckpointError, **models: Any) -> str:
    with pytest.raises(kind) as caught:
        load(str(path), **models)
    return str(caught.value)


def edit_manifest(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    edit(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))


def edit_tensors(path: Path, **changes: np.ndarray | None) -> None:
    tensors = {**load_file(path / TENSORS), **{key.replace("_", "."): value for key, value in changes.items()}}
    save_file({key: value for key, value in tensors.items() if value is not None}, path / TENSORS)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# What comes back


def test_a_loaded_checkpoint_attends_as_the_saved_one_to_the_bit(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    save_checkpoint(built, built.path)
    loaded = load_checkpoint(built.path)
    assert replace(loaded, projectors={}) == replace(built, projectors={})
    before, after = attention(open_checkpoint(built)), attention(open_checkpoint(loaded))
    np.testing.assert_array_equal(before.weights, after.weights)
    np.testing.assert_array_equal(before.over_student, after.over_student)
    assert after.weights.shape == (len(after.student.tokens) + 1, len(after.teacher.tokens) + 1)
    assert after.weights.max() > 4 / after.weights.shape[1]  # far from uniform, so that equality says something


def test_all_projectors_come_back_with_their_structures(tmp_path: Path) -> None:
    loaded = load_checkpoint(saved(tmp_path))
    assert {name: projector.structure for name, projector in loaded.projectors.items()} == {
        "query": "2s-2t",
        "t2s": "t-s",
    }
    for own in loaded.projectors.values():
        for name, tensor in trained_tensors(own.structure).items():
            np.testing.assert_array_equal(own.tensors[name], tensor)


def test_unknown_scales_stay_unknown(tmp_path: Path) -> None:
    scales = Scales(key=0.1 + 0.2, key_is_estimate=True)
    assert load_checkpoint(saved(tmp_path, scales=scales)).scales == scales


def test_half_precision(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    save_checkpoint(built, tmp_path / "half", dtype=np.float16)
    save_checkpoint(built, tmp_path / "single")
    assert {tensor.dtype for tensor in load_file(tmp_path / "half" / TENSORS).values()} == {np.dtype(np.float16)}
    assert (tmp_path / "half" / TENSORS).stat().st_size < 0.6 * (tmp_path / "single" / TENSORS).stat().st_size
    loaded = load_checkpoint(tmp_path / "half")
    for name, tensor in built.query.tensors.items():
        assert loaded.query.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(loaded.query.tensors[name], tensor.astype(np.float16))
    half, single = attention(opened(tmp_path / "half")), attention(opened(tmp_path / "single"))
    np.testing.assert_allclose(half.weights, single.weights, atol=5e-3)
    np.testing.assert_array_equal(half.weights.argmax(1), single.weights.argmax(1))


def test_torch_tensors_can_be_saved(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    in_torch = {name: torch.from_numpy(tensor) for name, tensor in built.query.tensors.items()}
    save_checkpoint(replace(built, projectors={"query": replace(built.query, tensors=in_torch)}), built.path)
    np.testing.assert_array_equal(attention(opened(built.path)).weights, attention(open_checkpoint(built)).weights)


def test_the_manifest_says_what_made_it(tmp_path: Path) -> None:
    manifest = json.loads((saved(tmp_path) / MANIFEST).read_text())
    assert {"python", "numpy", "safetensors", "torch"} <= manifest["versions"].keys()
    other = json.loads((saved(tmp_path, recipe={"steps": 21}) / MANIFEST).read_text())
    assert manifest["recipe_sha256"] != other["recipe_sha256"]


def test_equal_bigrams_tie_to_the_last_bit() -> None:
    # At the demo's widths a plain matrix product gives equal columns values that differ by 2e-6.
    map_ = attention(load("demo"), " ".join(["the path of the file is returned"] * 5))
    for tokens, weights in ((map_.teacher, map_.weights.T), (map_.student, map_.over_student)):
        bigrams = list(pairwise(["", *tokens.pieces, ""]))
        for bigram in set(bigrams):
            same = weights[[number for number, other in enumerate(bigrams) if other == bigram]]
            np.testing.assert_array_equal(same, same[[0] * len(same)])
        assert len(set(bigrams)) < len(bigrams) / 2


def test_a_checkpoint_without_attention_has_no_query(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    save_checkpoint(replace(built, projectors={"t2s": built.projectors["t2s"]}), built.path)
    with pytest.raises(CheckpointError, match=r"\(2s to 2t\); got projectors t2s"):
        _ = load_checkpoint(built.path).query


# The manifest


def test_no_manifest(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (path / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match=f"{path}.*{MANIFEST}"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"format": 2', "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        (b"", "expected JSON"),
        (b'{"format": 1}', "expected format 2; got format 1"),
        (b"{}", "expected format 2; got format None"),
        (b"[]", "expected format 2"),
    ],
)
def test_manifests_that_cannot_be_read(content: bytes, says: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    (path / MANIFEST).write_bytes(content)
    text = message(path)
    assert says in text
    assert str(path / MANIFEST) in text


@pytest.mark.parametrize(
    "key",
    [
        *("name", "method", "criterion", "steps", "prompt", "student", "teacher", "projectors", "scales", "recipe"),
        *("student.width", "teacher.eos_id", "teacher.sources", "scales.key"),
    ],
)
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    *parents, last = key.split(".")

    def drop(manifest: dict[str, Any]) -> None:
        for parent in parents:
            manifest = manifest[parent]
        del manifest[last]

    edit_manifest(path, drop)
    text = message(path)
    assert str(path / MANIFEST) in text
    assert f"'{last}'" in text


def test_an_unknown_key_of_a_model_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path)
    edit_manifest(path, lambda manifest: manifest["teacher"].update(hidden_size=7))
    assert "hidden_size" in message(path)


@pytest.mark.parametrize(("name", "value"), [("key", 0.0), ("key", -1.5), ("key", float("nan")), ("target", 0.0)])
def test_scales_are_positive(name: str, value: float, tmp_path: Path) -> None:
    path = saved(tmp_path)
    edit_manifest(path, lambda manifest: manifest["scales"].update({name: value}))
    assert f"{name} scale: expected a positive number; got {value}" in message(path)


# The tensors


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("eos_id", value) for value in (-5, 10**9, 1.5, "2", None, True)),
        *(("prompt_end_id", value) for value in (-1, 10**6)),
        *(("rows", value) for value in (0, -3, "320")),
        ("width", 0),
        *(("embedding_scale", value) for value in (1e30, -5, 0, math.nan, math.inf, "1", True)),
    ],
)
def test_sizes_ids_and_scales_that_no_model_has_are_refused(role: str, key: str, value: Any, tmp_path: Path) -> None:
    path = saved(tmp_path)
    manifest = json.loads((path / MANIFEST).read_text())
    manifest[role][key] = value
    (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=f"{key} of .*got {re.escape(repr(value))}\\."):
        load_checkpoint(path)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.uint8])
def test_tensors_that_are_no_weights_are_refused(dtype: type, tmp_path: Path) -> None:
    path = saved(tmp_path)
    tensors = load_file(path / TENSORS)
    tensors["query.0.weight"] = tensors["query.0.weight"].astype(dtype)
    save_file(tensors, path / TENSORS)
    with pytest.raises(CheckpointError, match=rf"query\.0\.weight.*got {np.dtype(dtype)}"):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_counted(value: float, tmp_path: Path) -> None:
    path = saved(tmp_path)
    tensors = load_file(path / TENSORS)
    tensors["query.0.weight"][0, :3] = value
    save_file(tensors, path / TENSORS)
    with pytest.raises(CheckpointError, match=r"query\.0\.weight.*got 3 of \d+ that are not finite"):
        load_checkpoint(path)


def test_no_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (path / TENSORS).unlink()
    assert str(path / TENSORS) in message(path)


def test_damaged_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (path / TENSORS).write_bytes((path / TENSORS).read_bytes()[:-1])
    assert "a safetensors file" in message(path)


def test_tensors_that_numpy_cannot_hold(tmp_path: Path) -> None:
    path = saved(tmp_path)
    save_torch({key: value.bfloat16() for key, value in load_torch(path / TENSORS).items()}, path / TENSORS)
    text = message(path)
    assert "float32 or float16" in text
    assert "bfloat16" in text


def test_wrong_tensors_are_listed_with_both_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path)
    edit_tensors(path, query_0_bias=None, query_0_weight=np.zeros((48, 30), np.float32), query_1_bias=np.zeros(3))
    text = message(path, ProjectorError)
    assert "query.0.bias: expected shape (48,); got no tensor" in text
    assert "query.0.weight: expected shape (48, 32); got shape (48, 30)" in text
    assert "query.1.bias: expected no such tensor in a 2s-2t projector; got shape (3,)" in text
    assert text.count(str(path / TENSORS)) == 3


@pytest.mark.parametrize("key", ["s2t_0_weight", "query", "key_0_weight"])
def test_tensors_of_no_projector(key: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    edit_tensors(path, **{key: np.zeros((2, 2), np.float32)})
    text = message(path)
    assert f"got {key.replace('_', '.')}." in text
    assert "query, t2s" in text


def test_a_projector_without_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path)
    edit_manifest(path, lambda manifest: manifest["projectors"].update(s2t="s-t"))
    assert "s2t.0.weight: expected shape (24, 16); got no tensor" in message(path, ProjectorError)


# The models it belongs to


def change_table(directory: Path, row: int) -> None:
    tensors = load_torch(directory / "model.safetensors")
    name = next(name for name in tensors if "embed" in name or "wte" in name)
    tensors[name][row, 3] += 1e-3
    save_torch(tensors, directory / "model.safetensors")


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_another_table_is_refused_with_both_hashes(role: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    sources = getattr(load_checkpoint(path), role).sources
    change_table(tmp_path / role, 5)
    found = record("", tmp_path / role).sources[0].sha256
    text = message(path)
    assert f"{role} {tmp_path / role}" in text
    assert sources[0].sha256[:12] in text
    assert found[:12] in text
    assert f"Use the {role} with which the projectors were trained" in text


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_another_vocabulary_is_refused_with_both_hashes(role: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    own = getattr(load_checkpoint(path), role).vocabulary_sha256
    file = tmp_path / role / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(content), encoding="utf-8")
    text = message(path)
    assert f"{role} {file}" in text
    assert f"sha256 {own[:12]}" in text
    assert f"sha256 {Tokenizer.load(file.parent).vocabulary_sha256()[:12]}" in text
    assert f"Put the tokenizer with which the projectors were trained beside the {role}" in text


def test_another_width_is_refused_with_both_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path)
    save_model("wide", tmp_path / "wide")
    text = message(path, teacher=str(tmp_path / "wide"))
    assert "384 × 24" in text
    assert "384 × 32" in text


def test_the_same_bytes_in_another_shape_are_another_table(tmp_path: Path) -> None:
    path = saved(tmp_path)
    weights = tmp_path / "teacher" / "model.safetensors"
    table = load_torch(weights)["model.embed_tokens.weight"]
    save_torch({"model.embed_tokens.weight": table.reshape(192, 48)}, weights)
    sha = load_checkpoint(path).teacher.sources[0].sha256[:12]
    text = message(path)
    assert f"384 × 24, sha256 {sha}" in text
    assert f"192 × 48, sha256 {sha}" in text


def test_moved_models_are_found_where_the_user_says(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = attention(opened(path))
    for role in ("student", "teacher"):
        (tmp_path / role).rename(tmp_path / f"moved-{role}")
    text = message(path)
    assert str(tmp_path / "student") in text
    assert "student=…" in text
    assert "teacher=…" in message(path, student=str(tmp_path / "moved-student"))
    moved = {role: str(tmp_path / f"moved-{role}") for role in ("student", "teacher")}
    np.testing.assert_array_equal(attention(opened(path, **moved)).weights, before.weights)


def test_an_override_must_be_the_same_model(tmp_path: Path) -> None:
    path = saved(tmp_path)
    other = save_model("llama", tmp_path / "other", seed=7)
    assert "the embedding table of teacher: 384 × 24" in message(path, teacher=str(other))
    # The same values in another format are the same model.
    (tmp_path / "bin").mkdir()
    for file in (tmp_path / "teacher").iterdir():
        if file.suffix == ".json":
            shutil.copy(file, tmp_path / "bin")
    torch.save(load_torch(tmp_path / "teacher" / "model.safetensors"), tmp_path / "bin" / "pytorch_model.bin")
    same = opened(path, teacher=str(tmp_path / "bin"))
    np.testing.assert_array_equal(attention(same).weights, attention(opened(path)).weights)


def test_an_override_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a")
    (tmp_path / "a" / "teacher").rename(tmp_path / "teacher")
    save_model("llama", path / "teacher", seed=7)  # beside the checkpoint lies another one
    monkeypatch.chdir(tmp_path)
    assert opened(path, teacher="teacher").teacher.source == "teacher"


def test_relative_sources_lie_beside_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = checkpoint(tmp_path / "a")
    sides = {"student": with_source(built.student, "../student"), "teacher": with_source(built.teacher, "../teacher")}
    save_checkpoint(replace(built, **sides), built.path)
    before = attention(opened(built.path))
    (tmp_path / "a").rename(tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    np.testing.assert_array_equal(attention(opened(Path("checkpoint"))).weights, before.weights)


def test_the_first_source_that_is_there_is_taken(tmp_path: Path, own_cache: Path) -> None:
    built = checkpoint(tmp_path)
    teacher = with_source(built.teacher, str(tmp_path / "gone"), "cache:tiny/teacher", str(tmp_path / "teacher"))
    save_checkpoint(replace(built, teacher=teacher), built.path)
    assert opened(built.path).teacher.source == str(tmp_path / "teacher")
    shutil.copytree(tmp_path / "teacher", own_cache / "tiny" / "teacher")
    assert opened(built.path).teacher.source == "cache:tiny/teacher"


def test_no_source_says_how_to_fetch(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    teacher = with_source(built.teacher, "/nowhere/teacher", "cache:smollm2-gemma3/teacher")
    save_checkpoint(replace(built, teacher=teacher), built.path)
    text = message(built.path)
    assert "the model in /nowhere/teacher or cache:smollm2-gemma3/teacher; got no such model" in text
    assert "probe-models fetch smollm2-gemma3" in text
    assert "teacher=…" in text


def test_one_of_several_verified_tables_is_enough(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    other = replace(built.teacher.sources[0], source="/nowhere", sha256="0" * 64)
    save_checkpoint(replace(built, teacher=replace(built.teacher, sources=(other, *built.teacher.sources))), built.path)
    opened(built.path)
    change_table(tmp_path / "teacher", 0)
    assert f"{'0' * 12} or {built.teacher.sources[0].sha256[:12]}" in message(built.path)


def test_the_recorded_embedding_scale_counts_whatever_a_copy_says(tmp_path: Path) -> None:
    built = checkpoint(tmp_path, teacher="gemma3")
    save_checkpoint(built, built.path)
    assert built.teacher.embedding_scale == pytest.approx(24**0.5)
    before = attention(opened(built.path))
    config = tmp_path / "teacher" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "llama"}))
    np.testing.assert_array_equal(attention(opened(built.path)).weights, before.weights)


def test_a_model_without_its_tokenizer(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "teacher" / "tokenizer.json").unlink()
    assert "expected a tokenizer.json" in message(path)


# Writing


@contextmanager
def full_disk() -> Any:
    """Files may grow to 1,000 bytes and no further."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("there_is_an_older_one", [True, False])
def test_a_full_disk_leaves_everything_as_it_was(there_is_an_older_one: bool, tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    if there_is_an_older_one:
        save_checkpoint(built, built.path)
    before = contents(tmp_path)
    with full_disk(), pytest.raises(OutputError, match=f"{built.path}.*File too large"):
        save_checkpoint(replace(built, name="new"), built.path)
    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} - {"checkpoint"} == {"student", "teacher"}


def test_a_failure_after_the_tensors_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    save_checkpoint(built, built.path)
    before = contents(tmp_path)
    with pytest.raises(UnicodeEncodeError):
        save_checkpoint(replace(built, prompt="\ud800", projectors={"query": built.query}), built.path)
    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "student", "teacher"}


def test_saving_replaces_the_whole_directory(tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    save_checkpoint(built, built.path)
    (built.path / "left-over.txt").touch()
    save_checkpoint(replace(built, name="new"), built.path)
    assert load_checkpoint(built.path).name == "new"
    assert {path.name for path in built.path.iterdir()} == {MANIFEST, TENSORS}


@pytest.mark.parametrize("place", ["missing/checkpoint", "student/config.json"])
def test_places_that_cannot_be_written_to(place: str, tmp_path: Path) -> None:
    built = checkpoint(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=place):
        save_checkpoint(built, tmp_path / place)
    assert contents(tmp_path) == before
    assert {path.name for path in (tmp_path / "student").iterdir()} == {
        name.split("/")[1] for name in before if name.startswith("student/")
    }


# From a name to a checkpoint


def test_the_bundled_demo_opens_by_name() -> None:
    demo = load("demo")
    assert isinstance(demo.checkpoint, Checkpoint)
    assert attention(demo).weights.max() > 0.3


@pytest.mark.parametrize("inside", [".", "checkpoint-400"])
def test_a_name_that_is_bundled_and_a_checkpoint_here_is_not_guessed(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(load("demo-cla").checkpoint.path, tmp_path / "demo-cma" / inside)
    with pytest.raises(CheckpointError, match=r"bundled:demo-cma, or \./demo-cma"):
        load("demo-cma")
    for door in (diagnose, partial(named_directory, "start")):
        with pytest.raises(CheckpointError, match=r"bundled:demo-cma, or \./demo-cma"):
            door("demo-cma")
    assert diagnose("bundled:demo-cma").directory == named_directory("start", "bundled:demo-cma")
    assert load("bundled:demo-cma").checkpoint.name == "demo-cma"
    assert load(f"./demo-cma/{inside}").checkpoint.name == "demo-cla"


def test_a_directory_without_checkpoint_does_not_hide_a_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo" / "notes").mkdir(parents=True)
    assert load("demo").checkpoint.name == "demo"


def test_a_misspelt_name_is_guessed() -> None:
    text = message("dmeo")
    assert "Did you mean demo?" in text
    assert "dmeo: expected a checkpoint; got no such name or directory" in text


def test_a_name_that_resembles_nothing() -> None:
    text = message("xyzzy")
    assert "Did you mean" not in text
    assert "probe-models" in text


@pytest.mark.parametrize("name", ["./gone", "a/b/c", "/nowhere", "owner/"])
def test_paths_that_are_not_there_never_mean_the_hub(name: str) -> None:
    assert f"{name}: expected a checkpoint" in message(name)


def test_the_directory_of_a_run_names_its_last_checkpoint(tmp_path: Path) -> None:
    for name in ("checkpoint-90", "checkpoint-100"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "probe.json").write_text("{}")
    (tmp_path / "logs").mkdir()
    text = message(tmp_path)
    assert "expected one checkpoint; got a directory with 2 checkpoints" in text
    assert f"Did you mean {tmp_path}/checkpoint-100?" in text


def test_a_directory_that_is_neither(tmp_path: Path) -> None:
    text = message(tmp_path)
    assert "neither probe.json nor projector.pt" in text
    assert str(tmp_path) in text


def test_a_stored_key_scale_cannot_be_overridden(tmp_path: Path) -> None:
    for name in (str(saved(tmp_path)), "demo"):
        text = message(name, key_scale=0.25)
        assert "key_scale=0.25" in text
        assert f"{name}, which stores " in text


def test_a_directory_goes_before_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "owner")
    monkeypatch.chdir(tmp_path)
    assert load("owner/checkpoint").checkpoint.name == "tiny"


def test_a_query_of_other_ends_is_named(tmp_path: Path) -> None:
    tiny = replace(checkpoint(tmp_path), projectors={"query": projector("s-2t")})
    with pytest.raises(CheckpointError, match=r"\(2s to 2t\); got s-2t"):
        _ = tiny.query
