"""What ships inside the package."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from probe.align import declared_vocabularies
from probe.checkpoint import MANIFEST, TENSORS, load_checkpoint
from probe.models import open_model
from probe.pairs import read_pairs
from probe.sources import BUNDLED, CACHE, bundled_dir, bundled_names

GOLD = Path(__file__).parent.parent / "alignments" / "gold.tsv"
MEGABYTES = {"demo": 6.0, "smollm2-gemma3-projectors": 4.5}
PAIRS = {"demo": ("demo", "demo-teacher"), "smollm2-gemma3-projectors": ("smollm2", "gemma3")}


def test_every_bundled_checkpoint_is_known_here():
    assert set(bundled_names()) == set(MEGABYTES)


@pytest.mark.parametrize("name", sorted(MEGABYTES))
class TestBundled:
    def test_is_small(self, name: str):
        size = sum(path.stat().st_size for path in (bundled_dir() / name).rglob("*") if path.is_file())
        assert size / 1e6 <= MEGABYTES[name]

    def test_loads_strictly_and_is_stored_in_float16(self, name: str):
        checkpoint = load_checkpoint(bundled_dir() / name)
        assert checkpoint.name == name
        assert set(checkpoint.projectors) == {"query", "t2s"}
        assert checkpoint.steps is not None
        assert checkpoint.steps >= 2000
        assert not checkpoint.scales.key_is_estimate
        with safe_open(bundled_dir() / name / TENSORS, "numpy") as file:
            assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118

    def test_names_its_models_by_source_and_not_by_path(self, name: str):
        manifest = json.loads((bundled_dir() / name / MANIFEST).read_text())
        for side in ("student", "teacher"):
            for source in manifest[side]["sources"]:
                assert source["source"].startswith((BUNDLED, CACHE))
            assert not manifest[side]["name"].startswith("/")

    def test_belongs_to_the_vocabularies_that_gold_declares(self, name: str):
        checkpoint, declared = load_checkpoint(bundled_dir() / name), declared_vocabularies(read_pairs(GOLD))
        own = checkpoint.student.vocabulary_sha256, checkpoint.teacher.vocabulary_sha256
        assert own == tuple(declared[tokenizer] for tokenizer in PAIRS[name])

    def test_keeps_the_log_of_its_run(self, name: str):
        header, *rows = (bundled_dir() / name / "training_log.csv").read_text().splitlines()
        assert header == "steps,t2s_ce,t2s_accuracy,targets"
        assert rows[-1].split(",")[0].endswith(f"-{load_checkpoint(bundled_dir() / name).steps}")
        assert float(rows[-1].split(",")[1]) < float(rows[0].split(",")[1]) / 4

    def test_has_a_notice(self, name: str):
        assert (bundled_dir() / name / "NOTICE").read_text(encoding="utf-8").strip()


def test_projectors_trained_against_gemma_lie_apart_under_its_terms():
    notice = " ".join((bundled_dir() / "smollm2-gemma3-projectors" / "NOTICE").read_text(encoding="utf-8").split())
    for words in ("Gemma Terms of Use", "prohibited_use_policy", "Modified files", "Model Derivative"):
        assert words in notice


def test_the_demos_tokenizers_are_those_it_was_trained_with():
    checkpoint = load_checkpoint(bundled_dir() / "demo")
    for role in ("student", "teacher"):
        record = getattr(checkpoint, role)
        model = open_model(record, role, directory=checkpoint.path)
        assert model.tokenizer.vocabulary_sha256() == record.vocabulary_sha256
        assert model.tokenizer.encode(checkpoint.prompt)[-1] == record.prompt_end_id
        assert model.tokenizer.eos_id == record.eos_id
