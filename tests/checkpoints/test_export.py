import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from directories import (
    PROMPT,
    STUDENT_EOS,
    TEXTS,
    byte_level_bpe,
    checkpoint,
    projector,
    record,
    save_model,
    save_tokenizer,
    with_source,
)
from safetensors.numpy import load_file, save_file
from torch import nn

from probe.checkpoints.checkpoint import Checkpoint, ModelRecord, load_checkpoint, save_checkpoint
from probe.checkpoints.export.__main__ import main
from probe.checkpoints.export.writer import RunInfo, epoch_directory, export_dskd
from probe.checkpoints.loading import load
from probe.errors import CheckpointError, MissingExtraError, OutputError, ProbeError, TrainingError
from probe.projectors import STRUCTURES
from probe.training.examples import read_examples
from probe.training.parts import DataPart, ObjectivePart, StudentPart, TrainingPart
from probe.training.pretraining.run import PretrainRun, run_pretraining
from probe.training.projector_loop import LoopSettings
from probe.training.recipe import Recipe

RUN = RunInfo(epoch=3, loss=2.5)
RECIPE = Recipe(
    name="tiny",
    student=StudentPart(source="/begun/student"),
    data=DataPart(source="/data", max_prompt=100, max_length=300),
    objective=ObjectivePart(method="cma-ga", divergence="reverse_kl", kq_rate=0.25, kq_hidden=8),
    training=TrainingPart(steps=20, batch_size=8, micro_batch_size=4, learning_rate=5e-4),
).model_dump(mode="json")
# For a student of width 16 and a teacher of width 24.
KEYS = {
    "query.0.weight": (48, 32),
    "query.0.bias": (48,),
    "t2s.0.weight": (16, 24),
    "t2s.0.bias": (16,),
    "s2t.0.weight": (24, 16),
    "s2t.0.bias": (24,),
}
WEIGHTS = ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run of projector pre-training, which has no student of its own."""
    place = tmp_path_factory.mktemp("pretrained")
    save_model("gpt2", place / "student")
    save_model("llama", place / "teacher", seed=1)
    rows = [{"prompt": f"{n}\n{PROMPT}", "output": TEXTS[n % len(TEXTS)][: 24 + n]} for n in range(12)]
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = LoopSettings(steps=60, batch_size=4, learning_rate=1e-2, warmup_steps=2)
    sources = str(place / "student"), str(place / "teacher")
    return run_pretraining(
        PretrainRun("tiny", *sources, read_examples(place / "train.jsonl"), PROMPT, settings), place / "run"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the full method: three projectors and the student that was trained with them."""
    place = tmp_path_factory.mktemp("trained")
    begun = checkpoint(place)
    projectors = {name: projector(structure) for name, structure in STRUCTURES.items()}
    save_model("gpt2", place / "new", seed=5)
    whole = replace(
        begun,
        method="cma-ga",
        criterion="cma-ga",
        student=with_source(record("student", place / "new"), "student"),
        projectors=projectors,
        recipe=RECIPE,
    )
    save_checkpoint(whole, whole.path)
    (place / "new").rename(whole.path / "student")
    return whole.path


def variant(path: Path, place: Path, change: Callable[[Checkpoint], Checkpoint]) -> Path:
    """A copy of a checkpoint, its manifest and tensors changed."""
    changed = change(load_checkpoint(path))
    save_checkpoint(changed, place / "variant")
    if (path / "student").is_dir():
        shutil.copytree(path / "student", place / "variant/student")
    return place / "variant"


def exported(path: Path, out: Path, **options: Any) -> Path:
    """The directory of the epoch."""
    run = options.pop("run", RUN)
    export_dskd(path, out, **({"teacher_path": None} | options), run=run)
    return epoch_directory(load_checkpoint(path), out, dtype=options.get("dtype", "bfloat16"), run=run)


def message(path: Path, out: Path, kind: type[ProbeError] = CheckpointError, **options: Any) -> str:
    """What an export says that fails, which leaves nothing behind."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(kind) as caught:
        export_dskd(path, out, **({"teacher_path": None, "run": RUN} | options))
    assert sorted(out.parent.rglob("*")) == before
    return str(caught.value)


def names(directory: Path) -> set[str]:
    return set(os.listdir(directory))


def arguments(epoch: Path) -> dict[str, Any]:
    return json.loads((epoch.parent / "args.json").read_text())


def notes(epoch: Path) -> str:
    return (epoch.parent / "NOTES.txt").read_text()


# Files


@pytest.mark.parametrize(("dtype", "of_torch"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_projectors_have_the_keys_shapes_and_dtype_of_a_run(
    dtype: str, of_torch: torch.dtype, trained: Path, tmp_path: Path
) -> None:
    state = torch.load(exported(trained, tmp_path / "out", dtype=dtype) / "projector.pt", weights_only=True)
    assert {key: tuple(value.shape) for key, value in state.items()} == KEYS
    assert {value.dtype for value in state.values()} == {of_torch}
    # As its code builds and loads them.
    linear = {"query": nn.Linear(32, 48), "t2s": nn.Linear(24, 16), "s2t": nn.Linear(16, 24)}
    modules = nn.ModuleDict({name: nn.Sequential(layer) for name, layer in linear.items()})
    modules.load_state_dict(state, strict=True)
    query = load_checkpoint(trained).query
    np.testing.assert_allclose(linear["query"].weight.detach(), query.tensors["0.weight"], rtol=2**-8)


def test_the_layout_is_that_of_a_run(trained: Path, tmp_path: Path) -> None:
    epoch = exported(trained, tmp_path / "out")
    setting = (
        "criterion=dual_space_kd_with_cma_plus_kq_matching__gan-reverse_kl-bf16__teacher=teacher"
        "__kd^rate=0.5__kd^temp=2.0__epoch=3__bsz=4x2x1=8__lr=0.0005__proj^lr=0.001"
    )
    assert epoch == tmp_path / "out" / setting / "epoch3_step20_loss2.5000"
    assert names(tmp_path) == {"out"}
    assert names(tmp_path / "out") == {setting}
    assert names(epoch.parent) == {"args.json", "projector_config.json", "NOTES.txt", "epoch3_step20_loss2.5000"}
    assert names(epoch) == {"projector.pt", "projector_config.json", *WEIGHTS}
    student = trained / "student"
    for name in WEIGHTS[:-1]:
        assert (epoch / name).read_bytes() == (student / name).read_bytes(), name
    config = {
        "query": {"enabled": True, "structure": "2s-2t"},
        "t2s": {"enabled": True, "structure": "t-s"},
        "s2t": {"enabled": True, "structure": "s-t"},
    }
    for place in (epoch, epoch.parent):
        assert json.loads((place / "projector_config.json").read_text()) == config


def test_arguments_are_those_of_the_recipe(trained: Path, tmp_path: Path) -> None:
    epoch = exported(trained, tmp_path / "out")
    criterion = "dual_space_kd_with_cma_plus_kq_matching"
    assert arguments(epoch) == {
        "task": criterion,
        "criterion": criterion,
        "do_train": True,
        "model_type": "gpt2",
        "model_path": None,
        "teacher_model_type": "llama",
        "teacher_model_path": str(trained.parent / "teacher"),
        "projector_config_path": str(epoch.parent / "projector_config.json"),
        "only_save_projector": False,
        "teacher_peft_path": None,
        "peft": None,
        "max_length": 300,
        "max_prompt_length": 100,
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "total_iters": 20,
        "lr": 5e-4,
        "projector_lr": 1e-3,
        "lr_decay_style": "cosine",
        "warmup_iters": 0,
        "weight_decay": 0.01,
        "clip_grad": 1.0,
        "seed": 10,
        "teacher_temperature": 1.0,
        "skew_lambda": 0.1,
        "adaptive_kl_alpha": 0.5,
        "kq_hidden_size": 8,
        "kd_rate": 0.5,
        "kd_temperature": 2.0,
        "kd_objective": "reverse_kl",
        "kq_rate": 0.25,
        "kq_adver_type": "gan",
    }


def test_arguments_of_pre_training(pretrained: Path, tmp_path: Path) -> None:
    epoch = exported(pretrained, tmp_path / "out", run=RunInfo())
    setting = "criterion=dual_space_kd_with_cma__bf16__teacher=teacher__epoch=1__bsz=4x1x1=4__proj^lr=0.01"
    assert epoch == tmp_path / "out" / setting / "epoch1_step60"
    known = arguments(epoch)
    assert known["only_save_projector"] is True
    assert known["model_path"] == str(pretrained.parent.parent / "student")
    assert (known["criterion"], known["projector_lr"], known["batch_size"]) == ("dual_space_kd_with_cma", 0.01, 4)
    assert (known["total_iters"], known["warmup_iters"], known["clip_grad"]) == (60, 2, 1.0)
    assert "lr" not in known
    assert names(epoch) == {"projector.pt", "projector_config.json", *WEIGHTS}
    assert set(torch.load(epoch / "projector.pt", weights_only=True)) == {key for key in KEYS if key[0] != "s"}


def test_an_empty_recipe_invents_no_argument(trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: replace(c, method="cma", criterion="cma", recipe={}, steps=None))
    epoch = exported(path, tmp_path / "out", run=RunInfo(loss=1.0))
    assert epoch.name == "epoch1_loss1.0000"
    invented = {"batch_size", "max_length", "max_prompt_length", "kd_rate", "kd_objective"} & arguments(epoch).keys()
    assert not invented
    assert (
        "args.json lacks arguments that the recipe does not have: batch_size, gradient_accumulation_steps, max_length, "
        "max_prompt_length, kd_rate, kd_temperature, kd_objective.\n"
    ) in notes(epoch)


@pytest.mark.parametrize(
    ("method", "criterion", "adversary"),
    [
        ("cma", "dual_space_kd_with_cma", None),
        ("cla", "dual_space_kd_with_cla", None),
        ("clp", "dual_space_kd_with_clp", None),
        ("dskd", "dual_space_kd", None),
        ("cma-ga", "dual_space_kd_with_cma_plus_kq_matching", "gan"),
        ("cma-ct", "dual_space_kd_with_cma_plus_kq_matching", "ct"),
    ],
)
def test_criteria_are_spelt_as_published(
    method: str, criterion: str, adversary: str | None, trained: Path, tmp_path: Path
) -> None:
    path = variant(trained, tmp_path, lambda c: replace(c, method=method, criterion=method))
    epoch = exported(path, tmp_path / "out")
    assert (arguments(epoch)["criterion"], arguments(epoch).get("kq_adver_type")) == (criterion, adversary)
    assert epoch.parent.name.startswith(f"criterion={criterion}__{adversary or 'reverse_kl'}-")


def test_what_lies_beside_a_student_is_not_taken_for_the_runs(trained: Path, tmp_path: Path) -> None:
    """A student may come from another run, whose projectors and arguments are none of this one's."""
    path = variant(trained, tmp_path, lambda c: c)
    strays = [
        "projector.pt",
        "projector_config.json",
        "args.json",
        "probe.json",
        "optimizer.pt",
        "rng_state.pth",
        ".git",
    ]
    for name in strays:
        (path / "student" / name).write_text("{}")
    (path / "student" / "onnx").mkdir()
    (path / "student" / "LICENSE").write_text("the student's")
    (path / "NOTICE").write_text("the projectors'")
    epoch = exported(path, tmp_path / "out")
    assert names(epoch) == {"projector.pt", "projector_config.json", "LICENSE", *WEIGHTS}
    assert set(torch.load(epoch / "projector.pt", weights_only=True)) == set(KEYS)
    assert json.loads((epoch / "projector_config.json").read_text()).keys() == STRUCTURES.keys()
    assert (epoch.parent / "NOTICE").read_text() == "the projectors'"


@pytest.mark.parametrize("written", ["TokenizersBackend", "GPT2Tokenizer"])
def test_a_tokenizer_class_that_older_releases_lack_is_renamed(written: str, trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: c)
    file = path / "student/tokenizer_config.json"
    before = json.loads(file.read_text()) | {"tokenizer_class": written}
    file.write_text(json.dumps(before))
    epoch = exported(path, tmp_path / "out")
    is_new = written == "TokenizersBackend"
    expected = before | ({"tokenizer_class": "PreTrainedTokenizerFast"} if is_new else {})
    assert json.loads((epoch / "tokenizer_config.json").read_text()) == expected
    assert ("PreTrainedTokenizerFast" in notes(epoch)) == is_new


# And back


def assert_same_attention(path: Path, epoch: Path, *, atol: float) -> None:
    ours = load(str(path))
    theirs = load(str(epoch), key_scale=ours.checkpoint.scales.key)
    for text in TEXTS:
        expected, map_ = (found.map(*found.tokenize(text)) for found in (ours, theirs))
        np.testing.assert_allclose(map_.weights, expected.weights, rtol=0, atol=atol)
        np.testing.assert_allclose(map_.over_student, expected.over_student, rtol=0, atol=atol)
        assert expected.weights.max() > 3 / expected.weights.shape[1]  # far from uniform


def assert_same_projectors(path: Path, epoch: Path, rounded: Callable[[np.ndarray], np.ndarray]) -> None:
    ours = load_checkpoint(path)
    theirs = load(str(epoch), key_scale=1.0).checkpoint
    assert theirs.projectors.keys() == ours.projectors.keys()
    for name, own in ours.projectors.items():
        assert theirs.projectors[name].structure == own.structure
        for key, value in own.tensors.items():
            np.testing.assert_array_equal(theirs.projectors[name].tensors[key], rounded(value))


def to_bfloat16(value: np.ndarray) -> np.ndarray:
    """Nearest, ties to even, by hand: the upper half of the bits."""
    bits = value.view(np.uint32).astype(np.uint64)
    return (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("which", ["pretrained", "trained"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adopted_export_is_the_checkpoint(
    which: str, dtype: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path: Path = request.getfixturevalue(which)
    epoch = exported(path, tmp_path / "out", dtype=dtype)
    exact = dtype == "float32"
    assert_same_projectors(path, epoch, (lambda value: value) if exact else to_bfloat16)
    assert_same_attention(path, epoch, atol=0 if exact else 0.02)
    ours = load_checkpoint(path)
    theirs = load(str(epoch), key_scale=ours.scales.key).checkpoint
    assert (theirs.method, theirs.steps, theirs.scales.key) == (ours.method, ours.steps, ours.scales.key)
    for side in ("student", "teacher"):
        own, other = getattr(ours, side), getattr(theirs, side)
        assert (own.rows, own.width, own.vocabulary_sha256) == (other.rows, other.width, other.vocabulary_sha256)
        assert [verified.sha256 for verified in own.sources] == [verified.sha256 for verified in other.sources]


@pytest.mark.parametrize("method", ["cma", "cla"])
def test_method_and_criterion_come_back(method: str, trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: replace(c, method=method, criterion=method))
    epoch = exported(path, tmp_path / "out")
    found = load(str(epoch), key_scale=0.5).checkpoint
    assert (found.method, found.criterion) == (method, f"dual_space_kd_with_{method}")
    # The directory's name says it where the arguments are lost.
    teacher = str(trained.parent / "teacher")
    (epoch.parent / "args.json").unlink()
    assert load(str(epoch), teacher=teacher, key_scale=0.5).checkpoint.method == method


def test_other_structures_come_back(trained: Path, tmp_path: Path) -> None:
    structures = {"query": "2s-t-relu-2t", "t2s": "t-2t-relu-s"}
    projectors = {name: projector(structure) for name, structure in structures.items()}
    path = variant(trained, tmp_path, lambda c: replace(c, method="cma", projectors=projectors))
    epoch = exported(path, tmp_path / "out", dtype="float32")
    assert_same_projectors(path, epoch, lambda value: value)
    assert_same_attention(path, epoch, atol=0)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft calls it
def test_a_student_trained_by_lora(trained: Path, tmp_path: Path) -> None:
    base = trained.parent / "student"
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    save_tokenizer(byte_level_bpe(), STUDENT_EOS, tmp_path / "adapter")
    adapted = with_source(record("student", tmp_path / "adapter"), "student")
    student = StudentPart(source=str(base), train="lora").model_dump(mode="json")
    recipe = {**RECIPE, "student": student, "teacher": {"adapter": "/adapters/teacher"}}
    path = variant(trained, tmp_path, lambda c: replace(c, student=adapted, recipe=recipe))
    shutil.rmtree(path / "student")
    (tmp_path / "adapter").rename(path / "student")
    epoch = exported(path, tmp_path / "out", dtype="float32")
    known = arguments(epoch)
    assert (known["peft"], known["teacher_peft_path"]) == ("lora", "/adapters/teacher")
    assert (known["peft_lora_r"], known["peft_lora_alpha"], known["peft_lora_dropout"]) == (256, 8, 0.1)
    assert {"adapter_config.json", "adapter_model.safetensors"} < names(epoch)
    assert_same_attention(path, epoch, atol=0)


def test_a_run_is_adopted_wherever_it_is_moved_to(trained: Path, tmp_path: Path) -> None:
    epoch = exported(trained, tmp_path / "out", dtype="float32")
    moved = (tmp_path / "out").rename(tmp_path / "moved") / epoch.relative_to(tmp_path / "out")
    assert_same_attention(trained, moved, atol=0)


def test_an_adopted_checkpoint_keeps_the_criterion_it_came_with(trained: Path, tmp_path: Path) -> None:
    epoch = exported(trained, tmp_path / "out", dtype="float32")
    adopted = load(str(epoch), key_scale=0.5).checkpoint
    save_checkpoint(adopted, tmp_path / "ours")
    again = exported(tmp_path / "ours", tmp_path / "again", dtype="float32")
    assert arguments(again)["criterion"] == "dual_space_kd_with_cma_plus_kq_matching"
    assert_same_attention(trained, again, atol=0)


@pytest.mark.parametrize("method", ["clp", "dskd"])
def test_runs_without_a_query_are_written_and_not_adopted(method: str, trained: Path, tmp_path: Path) -> None:
    def without_query(c: Checkpoint) -> Checkpoint:
        return replace(c, method=method, criterion=method, projectors={n: c.projectors[n] for n in ("t2s", "s2t")})

    epoch = exported(variant(trained, tmp_path, without_query), tmp_path / "out")
    assert set(torch.load(epoch / "projector.pt", weights_only=True)) == {k for k in KEYS if not k.startswith("query")}
    assert "There is no query projector" in notes(epoch)
    assert "key_scale" not in notes(epoch)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="expected a trained query projector"):
            load(str(epoch), teacher=str(trained.parent / "teacher"), key_scale=0.5)
        (epoch.parent / "args.json").unlink(missing_ok=True)  # then the name says so


# Notes


def test_what_is_lost_is_said_and_returned(trained: Path, tmp_path: Path) -> None:
    returned = export_dskd(trained, tmp_path / "out", teacher_path=None, run=RUN)
    assert returned == [
        "key_scale 0.5: lost, because DSKD divides keys by the standard deviation of each batch. "
        "To probe the exported checkpoint, use --key-scale 0.5.",
        "hidden_scale 1.5: lost, because DSKD divides by the standard deviation of each batch.",
        "target_scale 0.25: lost, because DSKD divides by the standard deviation of each batch.",
        "Projectors are rounded to bfloat16; with --dtype float32 they stay exact.",
        "The networks for key-query matching are not part of a checkpoint, neither here nor in DSKD.",
        returned[5],
        "tokenizer_config.json: the class TokenizersBackend is now PreTrainedTokenizerFast, its name before "
        "transformers 5.",
    ]
    lead, _, rest = returned[5].partition(": ")
    assert lead == "DSKD has no argument for these parts of the recipe"
    others = json.loads(rest.removesuffix("."))
    assert (others["critic"], others["student"]["train"], others["start"]) == ("trained", "all", "random")
    assert others.keys().isdisjoint({"kd_rate", "batch_size", "micro_batch_size", "max_rows", "method"})
    (file,) = (tmp_path / "out").rglob("NOTES.txt")
    assert file.read_text() == "".join(f"- {note}\n" for note in returned)


def test_notes_of_pre_training(pretrained: Path, tmp_path: Path) -> None:
    text = notes(exported(pretrained, tmp_path / "out", dtype="float32"))
    key_scale = load_checkpoint(pretrained).scales.key
    assert f"key_scale {key_scale!r}: lost" in text
    assert f"--key-scale {key_scale!r}." in text
    assert "There is no s2t projector" in text
    assert "bfloat16" not in text
    assert "lacks arguments" not in text


def test_an_estimated_scale_is_called_one(trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: replace(c, scales=replace(c.scales, key_is_estimate=True, hidden=None)))
    text = notes(exported(path, tmp_path / "out"))
    assert "key_scale 0.5, an estimate: lost" in text
    assert "hidden_scale" not in text


def test_prompts_and_texts_that_end_otherwise_are_told(trained: Path, tmp_path: Path) -> None:
    """A reader takes the published template and its end of sequence, whatever the checkpoint says."""
    ends = load_checkpoint(trained)
    path = variant(
        trained,
        tmp_path,
        lambda c: replace(c, student=replace(c.student, prompt_end_id=7), teacher=replace(c.teacher, eos_id=9)),
    )
    text = notes(exported(path, tmp_path / "out"))
    assert f"student: prompts end in token 7, but the template of DSKD ends in {ends.student.prompt_end_id}." in text
    assert f"teacher: responses end in token 9, but in DSKD they end in {ends.teacher.eos_id}." in text
    assert "student: texts" not in text


# Models


def test_a_teacher_of_another_machine_is_named_unseen(trained: Path, tmp_path: Path) -> None:
    epoch = exported(trained, tmp_path / "out", teacher_path="/cluster/models/llama")
    assert arguments(epoch)["teacher_model_path"] == "/cluster/models/llama"
    assert "/cluster/models/llama is not on this machine" in notes(epoch)


def test_a_teacher_that_is_here_is_named_by_its_full_path(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    epoch = exported(trained, tmp_path / "out", teacher_path="teacher")
    assert arguments(epoch)["teacher_model_path"] == str(trained.parent / "teacher")


def test_another_teacher_is_refused(trained: Path, tmp_path: Path) -> None:
    other = save_model("llama", tmp_path / "other", seed=9)
    assert "expected the embedding table of teacher" in message(trained, tmp_path / "out", teacher_path=str(other))
    file = str(other / "model.safetensors")
    assert "a model directory; got a file" in message(trained, tmp_path / "out", teacher_path=file)


@pytest.mark.parametrize(("source", "named"), [("owner/teacher@main", "owner/teacher"), ("/gone/teacher", None)])
def test_a_teacher_that_is_not_here(source: str, named: str | None, trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: replace(c, teacher=with_source(c.teacher, source)))
    epoch = exported(path, tmp_path / "out")
    assert arguments(epoch)["teacher_model_path"] == named
    assert "not on this machine" in notes(epoch)
    assert (f"belong to {source}." in notes(epoch)) == (named is not None)
    assert load(epoch, teacher=str(trained.parent / "teacher"), key_scale=0.5).checkpoint.steps == 20


def gone(model: ModelRecord) -> ModelRecord:
    return with_source(model, "/gone/student", "owner/student")


def test_a_student_that_is_not_here_is_refused(pretrained: Path, tmp_path: Path) -> None:
    path = variant(pretrained, tmp_path, lambda c: replace(c, student=gone(c.student)))
    text = message(path, tmp_path / "out")
    assert "got /gone/student, owner/student, which is not a directory on this machine." in text
    assert f"put its files into {path / 'student'}" in text
    # Put where the message says, it is found.
    shutil.copytree(pretrained.parent.parent / "student", path / "student")
    assert_same_attention(pretrained, exported(path, tmp_path / "out", dtype="float32"), atol=0)


def test_projectors_saved_without_their_student_are_refused(trained: Path, tmp_path: Path) -> None:
    """Between checkpoints a run saves projectors with the embedding table alone, which is no student to go on with."""
    path = variant(trained, tmp_path, lambda c: c)
    weights = path / "student/model.safetensors"
    save_file({"transformer.wte.weight": load_file(weights)["transformer.wte.weight"]}, weights)
    assert "expected the trained student; got only its embedding table" in message(path, tmp_path / "out")
    shutil.rmtree(path / "student")
    assert "expected the trained student; got only projectors" in message(path, tmp_path / "out")


def test_another_student_is_refused(trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: c)
    save_model("gpt2", path / "student", seed=6)
    assert "expected the embedding table of new" in message(path, tmp_path / "out")


def test_a_file_of_the_student_that_is_gone_from_the_cache(trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: c)
    (path / "student/vocab.json").symlink_to(tmp_path / "blobs/1234")
    assert "vocab.json: expected a file to copy; got a link to a missing file" in message(path, tmp_path / "out")


# Refused


@pytest.mark.parametrize("method", ["eta", "sft", "kd", "uld", "mined"])
def test_methods_that_dskd_does_not_know(method: str, trained: Path, tmp_path: Path) -> None:
    path = variant(trained, tmp_path, lambda c: replace(c, method=method, criterion=method))
    text = message(path, tmp_path / "out")
    assert "expected a method of DSKD (dskd, cma, cla, clp, cma-ga, cma-ct)" in text
    assert f"got method {method} with projectors query, t2s, s2t." in text
    assert text.count("\n") == 0


@pytest.mark.parametrize(
    ("projectors", "says"), [({"key": "2t-2t", "t2s": "t-s"}, "projectors key, t2s."), ({}, "projectors none.")]
)
def test_projectors_that_dskd_does_not_know(
    projectors: dict[str, str], says: str, trained: Path, tmp_path: Path
) -> None:
    others = {name: projector(structure) for name, structure in projectors.items()}
    path = variant(trained, tmp_path, lambda c: replace(c, projectors=others))
    assert says in message(path, tmp_path / "out")


def test_a_target_that_is_there_is_left_alone(trained: Path, tmp_path: Path) -> None:
    epoch = exported(trained, tmp_path / "out")
    (epoch / "mine").write_text("untouched")
    assert f"{epoch.parent}: expected a new directory" in message(trained, tmp_path / "out", OutputError)
    assert (epoch / "mine").read_text() == "untouched"
    # Another setting goes beside it.
    other = exported(trained, tmp_path / "out", run=RunInfo(setting="other"))
    assert (epoch / "mine").exists()
    assert other == tmp_path / "out/other/epoch1_step20"
    assert names(tmp_path / "out") == {epoch.parent.name, "other"}


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(
    error: BaseException, is_there: bool, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Path] = []

    def copyfile(source: Path, target: Path) -> None:
        if len(copied) == 2:
            raise error
        target.write_bytes(source.read_bytes())
        copied.append(target)

    if is_there:
        (tmp_path / "out").mkdir()
    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        export_dskd(trained, tmp_path / "out", teacher_path=None, run=RUN)
    assert len(copied) == 2
    assert [path.name for path in tmp_path.rglob("*")] == (["out"] if is_there else [])


def test_places_that_cannot_be_written_to(trained: Path, tmp_path: Path) -> None:
    assert "no folder" in message(trained, tmp_path / "no/folder", OutputError)
    assert "name too long" in message(trained, tmp_path / "out", OutputError, run=RunInfo(setting="a" * 300))
    (tmp_path / "file").write_text("mine")
    message(trained, tmp_path / "file", OutputError)
    assert (tmp_path / "file").read_text() == "mine"


def test_without_torch_the_extra_is_named(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'cma-probe[train]'" in message(trained, tmp_path / "out", MissingExtraError)


@pytest.mark.parametrize("wrong", [{"setting": "a/b"}, {"setting": ".."}, {"setting": ""}, {"epoch": 0}])
def test_names_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="expected"):
        RunInfo(**wrong)


# Command


def command(monkeypatch: pytest.MonkeyPatch, *given: object) -> int:
    monkeypatch.setattr(sys, "argv", ["export", *map(str, given)])
    return main()


def test_the_command_prints_where_and_what_is_lost(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--to", "dskd", "--out", tmp_path / "out", "--dtype", "float32", "--loss", "1.25")
    assert command(monkeypatch, pretrained, *options) == 0
    first, *others = capsys.readouterr().out.splitlines()
    epoch = Path(first)
    assert epoch.name == "epoch20_step60_loss1.2500"  # 60 batches of 4 of 12 rows
    assert epoch.parent.name.split("__")[1] == "fp32"
    assert others == notes(epoch).splitlines()
    assert_same_attention(pretrained, epoch, atol=0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--to", "dskd"], "probe.json"),
        (["--to", "dskd", "--setting", "a/b"], "the name of a directory"),
        (["--to", "dskd", "--teacher", "none"], "a new directory"),
    ],
)
def test_bad_input_is_one_message(
    options: list[str],
    says: str,
    pretrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path if says == "probe.json" else pretrained
    out = tmp_path / "out"
    if says == "a new directory":
        command(monkeypatch, pretrained, "--to", "dskd", "--out", out)
        capsys.readouterr()
    assert command(monkeypatch, path, "--out", out, *options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("python -m probe.checkpoints.export: ")
    assert says in printed.err
    assert printed.err.count("\n") == 1


def test_another_layout_or_dtype_is_no_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for options in (["--to", "other"], ["--to", "dskd", "--dtype", "float16"]):
        with pytest.raises(SystemExit) as caught:
            command(monkeypatch, tmp_path, "--out", tmp_path, *options)
        assert caught.value.code == 2


def test_help_needs_no_torch() -> None:
    code = "import sys; sys.modules |= dict.fromkeys(('torch', 'transformers')); from runpy import run_module\n"
    code += "sys.argv = ['x', '--help']; run_module('probe.checkpoints.export', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--dtype" in done.stdout
