"""The card of a checkpoint: what the hub's own library reads in it, and the checkpoint read back from a hub's cache."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError

import probe
from probe.checkpoints.checkpoint import STUDENT
from probe.cli import models
from probe.models.sources import bundled_dir
from probe.output.provenance import file_sha256
from probe.sharing.card import hub_id

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a student of its own, as a run saves it, and its card."""
    place = shutil.copytree(
        bundled_dir() / "demo", tmp_path_factory.mktemp("card") / "demo", copy_function=shutil.copyfile
    )
    shutil.rmtree(place / "teacher")
    manifest = json.loads((place / "probe.json").read_text())
    manifest["student"]["sources"][0]["source"] = STUDENT
    (place / "probe.json").write_text(json.dumps(manifest))
    named = [
        "--licence",
        "apache-2.0",
        "--base-model",
        "me/student",
        "--base-model",
        "you/teacher",
        "--dataset",
        "me/data",
    ]
    assert models.main(["card", str(place), "--repo", "me/mine", *named]) == 0
    return place


def test_the_library_of_the_hub_reads_the_card(directory: Path):
    card = ModelCard.load(directory / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == ["me/student", "you/teacher"]
    assert card.data.datasets == ["me/data"]
    assert card.data.library_name == "cma-probe"
    assert card.data.model_name == "demo"
    report = probe.align("demo", methods=[])
    found = {one.metric_name: one for one in card.data.eval_results}
    assert set(found) == {"top-1", "MRR", "F1"}
    top_1 = report["cma"].top1
    assert found["top-1"].metric_value == round(float(top_1), 4)
    assert found["top-1"].metric_args == {"ci95": [round(float(end or 0), 4) for end in (top_1.low, top_1.high)]}
    assert found["top-1"].dataset_args["sentences"] == len(report.sentences)


def test_the_text_has_intervals_a_picture_and_how_to_load_it(directory: Path):
    text = ModelCard.load(directory / "README.md").text
    assert "| cma | 43.3 [36.8, 50.4] |" in text
    assert "| the attention, with order | 87.8 [84.9, 90.7] |" in text
    assert "probe-align --checkpoint me/mine@REVISION" in text
    assert file_sha256(directory / "projectors.safetensors") in text
    assert "![Attention for one sentence](alignment.png)" in text
    assert (directory / "alignment.png").read_bytes().startswith(b"\x89PNG")
    assert "NOTICE states terms" in text


@pytest.mark.parametrize("name", ["README.md", "alignment.png"])
def test_nobodys_file_is_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    place = shutil.copytree(bundled_dir() / "demo", tmp_path / "demo", copy_function=shutil.copyfile)
    (place / name).write_text("mine")
    assert models.main(["card", str(place)]) == 2
    assert "nobody's card is overwritten" in capsys.readouterr().err
    assert (place / name).read_text() == "mine"
    assert sorted({"README.md", "alignment.png"} & {path.name for path in place.iterdir()}) == [name]


def test_what_is_no_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert models.main(["card", str(tmp_path / "nowhere")]) == 2
    assert "a checkpoint directory" in capsys.readouterr().err


def in_cache_of_the_hub(directory: Path, home: Path) -> None:
    """Lay a directory out as ``hf download me/mine`` does: blobs by hash, and links to them by revision."""
    repository = home / "hub" / "models--me--mine"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    for file in directory.rglob("*"):
        if file.is_file():
            blob = repository / "blobs" / file_sha256(file)
            shutil.copyfile(file, blob)
            link = repository / "snapshots" / REVISION / file.relative_to(directory)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))


def test_it_is_read_back_from_the_cache_of_the_hub_with_equal_hashes(directory: Path, tmp_path: Path):
    in_cache_of_the_hub(directory, tmp_path)
    code = f"""
import json, probe
for revision in ("", "@main", "@{REVISION}"):
    opened = probe.load("me/mine" + revision)
    few = probe.GoldFile(probe.read_pairs().rows[:12], probe.read_pairs().comments)
    found = probe.align(opened, few, methods=[])
    print(json.dumps([found.origin.files, found.origin.tables[0][1], float(found["cma"].top1)]))
"""
    # The library reads where its cache is when it is imported.
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    gold = probe.read_pairs()
    here = probe.align(directory, probe.GoldFile(gold.rows[:12], gold.comments), methods=[])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 3
    for files, student_table, top_1 in found:
        assert dict(files) == {name: file_sha256(directory / name) for name in ("probe.json", "projectors.safetensors")}
        assert student_table == here.origin.tables[0][1]
        assert top_1 == float(here["cma"].top1)


def test_hub_ids_of_the_models_are_the_base_models(tmp_path: Path):
    record = probe.load("demo").checkpoint.student
    assert hub_id(record, tmp_path) is None  # bundled:demo/student is none
    there = replace(record.sources[0], source="owner/name@abc")
    assert hub_id(replace(record, sources=(*record.sources, there)), tmp_path) == "owner/name"


def test_of_the_hub_only_what_is_probed_is_downloaded(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def download(repo: str, name: str, *, revision: str | None) -> str:
        asked.append(name)
        if not (directory / name).is_file():
            raise EntryNotFoundError(name)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        return shutil.copyfile(directory / name, tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    opened = probe.load("me/mine@main")
    assert opened.student.source == STUDENT
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    model = {f"{STUDENT}/{name}" for name in ("config.json", "tokenizer.json", "tokenizer_config.json")}
    assert there == {"probe.json", "projectors.safetensors", *model, f"{STUDENT}/model.safetensors"}
    assert "README.md" not in asked
