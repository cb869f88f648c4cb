"""What ships inside the package."""

import hashlib
import json
import re

import pytest
from places import GOLD
from safetensors import safe_open

from probe.alignment.align import align
from probe.checkpoints.checkpoint import TENSORS, load_checkpoint
from probe.checkpoints.loading import load
from probe.checkpoints.manifest import MANIFEST
from probe.checkpoints.open_model import open_model
from probe.gold.pairs import declared_vocabularies, read_pairs
from probe.models.sources import BUNDLED, CACHE, bundled_dir, bundled_names
from probe.scoring.scores import METRICS

PAIR = "smollm2-gemma3"
PRETRAINED = {"demo": 6.0, "smollm2-gemma3-projectors": 4.5}
"""Megabytes that each may take."""
ALONE = {"demo-attention": 0.2, "smollm2-gemma3-attention": 4.5}
"""Attentions alone, with the megabytes that each may take."""
SERIES = {f"demo-cma-step-{step}": step for step in (25, 50, 100, 200)}
DISTILLED = {
    "demo-cma": ("cma", 400),
    "demo-cla": ("cla", 400),
    "demo-cma-ga": ("cma-ga", 400),
    "demo-cma-ga-released": ("cma-ga", 400),
    **{name: ("cma", step) for name, step in SERIES.items()},
}
"""Method and steps of those that were trained with the full objective."""
REAL = "smollm2-gemma3-cma"
"""Distilled from pre-trained projectors, the student's embedding table frozen."""
MEGABYTES = PRETRAINED | ALONE | dict.fromkeys(DISTILLED, 0.8) | {REAL: 4.5}
PAIRS = {name: ("smollm2", "gemma3") if "gemma3" in name else ("demo", "demo-teacher") for name in MEGABYTES}


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

    def test_has_a_notice(self, name: str):
        assert (bundled_dir() / name / "NOTICE").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_a_pretrained_one_says_so_and_keeps_the_log_of_its_run(name: str):
    checkpoint = load_checkpoint(bundled_dir() / name)
    assert set(checkpoint.projectors) == {"query", "t2s"}
    assert checkpoint.steps is not None
    assert checkpoint.steps >= 2000
    header, *rows = (bundled_dir() / name / "training_log.csv").read_text().splitlines()
    assert header == "steps,t2s_ce,t2s_accuracy,targets"
    assert rows[-1].split(",")[0].endswith(f"-{checkpoint.steps}")
    assert float(rows[-1].split(",")[1]) < float(rows[0].split(",")[1]) / 4


@pytest.mark.parametrize("name", sorted(ALONE))
def test_an_attention_alone_has_a_query_and_says_what_it_learnt_from(name: str):
    checkpoint = load_checkpoint(bundled_dir() / name)
    assert set(checkpoint.projectors) == {"query"}
    assert (checkpoint.criterion, checkpoint.steps) == ("attention alone, overlap", 600)
    assert (checkpoint.scales.hidden, checkpoint.scales.target) == (None, None)
    gold = "\0".join(sorted({row.text for row in read_pairs(GOLD)}))
    assert checkpoint.recipe["gold_texts_sha256"] == hashlib.sha256(gold.encode()).hexdigest()
    header, *rows = (bundled_dir() / name / "training_log.csv").read_text().splitlines()
    assert header == "steps,loss,targets"
    assert float(rows[-1].split(",")[1]) < float(rows[0].split(",")[1]) / 2


def test_the_demos_attention_alone_aligns_better_than_the_demo():
    gold = read_pairs(GOLD)
    alone, demo = (align(load(name), gold, methods=["cma-grid"]) for name in ("demo-attention", "demo"))
    assert alone["cma"].top1.value > demo["cma"].top1.value + 0.1
    assert alone["cma-grid"].top1.value > demo["cma-grid"].top1.value
    assert alone["cma"].eos_top1.value == 1.0


@pytest.mark.parametrize("name", sorted(DISTILLED))
def test_a_distilled_one_has_all_projectors_and_its_whole_recipe(name: str):
    checkpoint = load_checkpoint(bundled_dir() / name)
    assert (checkpoint.method, checkpoint.steps) == DISTILLED[name]
    assert set(checkpoint.projectors) == {"query", "t2s", "s2t"}
    recipe = checkpoint.recipe
    assert recipe is not None
    assert (recipe["seed"], recipe["objective"]["start"], recipe["student"]["train"]) == (10, "random", "all")
    assert recipe["objective"]["critic"] == ("released" if name.endswith("released") else "trained")


def test_the_real_one_went_on_from_pretrained_projectors_and_reads_the_base_table():
    checkpoint, begun = load_checkpoint(bundled_dir() / REAL), load_checkpoint(bundled_dir() / f"{PAIR}-projectors")
    assert (checkpoint.method, checkpoint.steps) == ("cma", 300)
    assert set(checkpoint.projectors) == {"query", "t2s", "s2t"}
    assert checkpoint.recipe is not None
    assert checkpoint.recipe["objective"]["start"] == begun.name
    assert checkpoint.recipe["student"]["train"] == "body"
    assert checkpoint.student.sources == begun.student.sources
    assert checkpoint.scales == begun.scales


def test_no_checkpoint_names_a_directory_of_the_machine_it_was_made_on():
    for name in bundled_names():
        assert not re.search(r'"/[a-z]', (bundled_dir() / name / MANIFEST).read_text()), name


@pytest.mark.slow
def test_attention_of_the_series_gets_better():
    gold = read_pairs(GOLD)
    top_1 = []
    for name in (*SERIES, "demo-cma"):
        report = align(load(name), gold, methods=[])
        top_1.append(report.intervals.value[0, METRICS.index("top-1")])
    assert top_1 == sorted(top_1)
    assert top_1[-1] > 2 * top_1[0]


@pytest.mark.parametrize("name", [f"{PAIR}-projectors", f"{PAIR}-attention", REAL])
def test_projectors_trained_against_gemma_lie_apart_under_its_terms(name: str):
    notice = " ".join((bundled_dir() / name / "NOTICE").read_text(encoding="utf-8").split())
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
