import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from directories import (
    PROMPT,
    STUDENT_EOS,
    STUDENT_WIDTH,
    TEACHER_EOS,
    TEACHER_WIDTH,
    TEXTS,
    byte_level_bpe,
    checkpoint,
    dskd_run,
    dskd_state,
    evaluation_arguments,
    projector_config,
    save_model,
    save_teacher,
    save_tokenizer,
    training_arguments,
)
from places import ROOT
from safetensors.torch import load_file, save_file

from probe.checkpoints.adopt import adopt
from probe.checkpoints.checkpoint import save_checkpoint
from probe.checkpoints.doctor.diagnosis import Diagnosis, diagnose
from probe.checkpoints.doctor.directory import find_epochs
from probe.checkpoints.doctor.findings import Verdict
from probe.checkpoints.key_scale import Batches, simulated_key_scale
from probe.checkpoints.open_model import open_model
from probe.cli.models import main
from probe.errors import CheckpointError, MapError
from probe.exchange.align_jsonl import read_alignments
from probe.models.embeddings import open_table

S, T = STUDENT_WIDTH, TEACHER_WIDTH
TEACHER = "model_hub/qwen/Qwen1.5-1.8B"
OK, UNVERIFIED, PROBLEM = Verdict
KEY_SCALE = 0.7


def verdicts(found: Diagnosis) -> dict[str, Verdict]:
    """The worst verdict of each topic."""
    order = list(Verdict)
    worst: dict[str, Verdict] = {}
    for finding in found.findings:
        worst[finding.topic] = max(worst.get(finding.topic, OK), finding.verdict, key=order.index)
    return worst


def says(found: Diagnosis, topic: str) -> str:
    return "\n".join(line for f in found.findings if f.topic == topic for line in (*f.facts, f.remedy))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An epoch and its teacher."""
    save_teacher(tmp_path)
    return dskd_run(tmp_path)


# What is in order


def test_an_epoch_in_order(run: Path, tmp_path: Path) -> None:
    found = diagnose(str(run))
    topics = ["directory", "arguments", "criterion", "student", "teacher", "projectors", "query", "batches", "EOS"]
    assert verdicts(found) == dict.fromkeys(topics, OK) | {"key scale": UNVERIFIED}
    assert not found.problems
    assert found.kind == "an epoch of DSKD: projectors and a student"
    assert "projector.pt" in says(found, "directory")
    assert "dual_space_kd_with_cma, according to args.json: it trains the query" in says(found, "criterion")
    assert "gpt2: 320 rows × 16, float32; tokenizer with a vocabulary of 320" in says(found, "student")
    assert "qwen2: 384 rows × 24, float32; tokenizer with a vocabulary of 320" in says(found, "teacher")
    assert str(tmp_path / TEACHER) in says(found, "teacher")
    assert "query: 2s-2t, 48 × 32" in says(found, "projectors")
    assert "stored as bfloat16" in says(found, "projectors")
    assert "batch size 4, from args.json\nmax_length 512, from args.json" in says(found, "batches")
    assert "student: id 0\nteacher: id 2" in says(found, "EOS")


def test_the_ratio_is_that_of_the_query(run: Path) -> None:
    weight = dskd_state()["query.0.weight"].double().numpy()
    ratio = np.mean(weight**4) / np.mean(weight**2) ** 2
    assert f"is {ratio:.2f} (1.8 before training, above 2.1 after it)" in says(diagnose(str(run)), "query")


def test_the_key_scale_is_the_one_that_probing_would_simulate(run: Path, tmp_path: Path) -> None:
    adopted = adopt(run, student=None, teacher=None, key_scale=None, texts=TEXTS)
    found = diagnose(str(run), texts=TEXTS)
    assert f"{adopted.scales.key:.4g}, from simulated batches of 5 sentences" in says(found, "key scale")
    assert "none is stored" in says(found, "key scale")
    assert "one sentence of the prompt" in says(diagnose(str(run)), "key scale")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_types_are_read_from_the_headers(dtype: torch.dtype, run: Path) -> None:
    file = run / "model.safetensors"
    save_file({key: value.to(dtype) for key, value in load_file(file).items()}, file)
    assert f"320 rows × 16, {str(dtype).removeprefix('torch.')};" in says(diagnose(str(run)), "student")


def test_sharded_and_pickled_models(tmp_path: Path) -> None:
    save_teacher(tmp_path, max_shard_size="20KB")
    run = dskd_run(tmp_path)
    state = load_file(run / "model.safetensors")
    torch.save({key: value.bfloat16() for key, value in state.items()}, run / "pytorch_model.bin")
    (run / "model.safetensors").unlink()
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    found = diagnose(str(run))
    assert not found.problems
    assert "320 rows × 16, bfloat16 by config.json" in says(found, "student")
    assert "384 rows × 24, float32" in says(found, "teacher")


# Runs of several epochs


def epochs(run: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(run, run.parent / name)
    shutil.rmtree(run)
    return run.parent


def test_the_best_epoch_is_explained(run: Path) -> None:
    parent = epochs(
        run,
        "epoch10_step200_loss3.1000_rougel25.1000",
        "epoch9_step180_loss3.3000_rougel26.7000",
        "epoch2_step40_loss2.9000_rougel20.0000",
    )
    found = diagnose(str(parent))
    assert [epoch.step for epoch in found.epochs] == [40, 180, 200]
    assert [(epoch.number, epoch.loss, epoch.rougel) for epoch in found.epochs][1] == (9, 3.3, 26.7)
    assert (found.directory.name, found.choice) == (
        "epoch9_step180_loss3.3000_rougel26.7000",
        "the best by ROUGE-L",
    )
    assert not found.problems


def test_the_latest_epoch_is_explained_where_none_has_a_score(run: Path) -> None:
    parent = epochs(run, "epoch9_step180_lossnan", "epoch10_step200_loss3.1000", "epoch2_step40")
    found = diagnose(str(parent))
    assert (found.directory.name, found.choice) == ("epoch10_step200_loss3.1000", "the latest")
    assert math.isnan(found.epochs[1].loss or 0)
    assert found.epochs[0].loss is None


def test_an_epoch_that_was_renamed_is_one(run: Path) -> None:
    parent = epochs(run, "mine", "epoch1_step20")
    (parent / "logs").mkdir()
    assert [epoch.path.name for epoch in find_epochs(parent)] == ["mine", "epoch1_step20"]


def test_a_run_without_epochs(run: Path) -> None:
    shutil.rmtree(run)
    found = diagnose(str(run.parent))
    assert (found.kind, found.problems) == ("a run without epochs", ("directory",))


# Arguments and criterion


def test_an_evaluation_that_wrote_over_the_arguments(tmp_path: Path) -> None:
    run = dskd_run(tmp_path, arguments=evaluation_arguments())
    found = diagnose(str(run), teacher=str(save_teacher(tmp_path)))
    assert verdicts(found)["arguments"] == UNVERIFIED
    assert "an evaluation has overwritten" in says(found, "arguments")
    assert "dual_space_kd_with_cma, according to the path" in says(found, "criterion")
    assert "batch size 4, from the path\nmax_length 512, assumed" in says(found, "batches")


def test_a_criterion_that_never_trains_the_query(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    found = diagnose(str(dskd_run(tmp_path, criterion="dual_space_kd")))
    assert found.problems == ("criterion", "query")
    assert "dual_space_kd, according to args.json: it does not train" in says(found, "criterion")


def fresh() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    initial = torch.nn.Linear(2 * S, 2 * T)
    return dskd_state() | {"query.0.weight": initial.weight.detach(), "query.0.bias": initial.bias.detach()}


@pytest.mark.parametrize(
    ("is_named", "is_trained", "verdict"),
    [(True, True, OK), (True, False, UNVERIFIED), (False, True, UNVERIFIED), (False, False, PROBLEM)],
)
def test_whether_the_query_was_trained(is_named: bool, is_trained: bool, verdict: Verdict, tmp_path: Path) -> None:
    save_teacher(tmp_path)
    run = dskd_run(tmp_path, state=dskd_state() if is_trained else fresh())
    if not is_named:
        run = Path(shutil.copytree(run, tmp_path / "copy"))
    found = diagnose(str(run), teacher=str(tmp_path / TEACHER))
    assert verdicts(found)["query"] == verdict
    assert verdicts(found)["criterion"] == (OK if is_named else UNVERIFIED)


# Teachers of another machine


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """An epoch whose teacher is not where ``args.json`` says."""
    return dskd_run(tmp_path / "there")


def test_a_teacher_that_is_not_here(moved: Path, tmp_path: Path) -> None:
    found = diagnose(str(moved))
    assert found.problems == ("teacher",)
    text = says(found, "teacher")
    assert f"{tmp_path / 'there' / TEACHER}, of type qwen; it is not on this machine" in text
    assert "need width 24; no model in the cache or the package fits" in text
    assert "--teacher" in text
    (moved.parent / "args.json").unlink()
    assert "no args.json names it" in says(diagnose(str(moved)), "teacher")


def test_teachers_in_the_cache_are_suggested_by_width(moved: Path, own_cache: Path) -> None:
    save_model("wide", own_cache / "wide/teacher")
    save_model("llama", own_cache / "mine/teacher")
    (own_cache / "broken/teacher").mkdir(parents=True)
    (own_cache / "broken/teacher/config.json").write_text("{")
    found = diagnose(str(moved))
    assert verdicts(found)["teacher"] == UNVERIFIED
    text = says(found, "teacher")
    assert "cache:mine/teacher: llama: 384 rows × 24, float32" in text
    assert "its width 24 fits, but its weights may be others" in text
    assert "--teacher cache:mine/teacher" in text
    assert "wide" not in text
    assert not diagnose(str(moved), teacher="cache:mine/teacher").problems


def test_suggestions_speak_the_alignments_tokens(moved: Path, own_cache: Path, tmp_path: Path) -> None:
    save_model("llama", own_cache / "mine/teacher")
    export(tmp_path / "align.jsonl", moved, own_cache / "mine/teacher")
    assert verdicts(diagnose(str(moved), align=tmp_path / "align.jsonl"))["teacher"] == UNVERIFIED
    text = (tmp_path / "align.jsonl").read_text().replace('"teacher": ["', '"teacher": ["<|other|>')
    (tmp_path / "align.jsonl").write_text(text)
    assert diagnose(str(moved), align=tmp_path / "align.jsonl").problems == ("teacher",)


def test_a_teacher_that_the_user_names_is_not_verified(moved: Path, tmp_path: Path) -> None:
    found = diagnose(str(moved), teacher=str(save_model("llama", tmp_path / "mine")))
    assert verdicts(found)["teacher"] == UNVERIFIED
    assert "its weights may be others" in says(found, "teacher")
    assert not found.problems


def test_a_teacher_of_another_width(moved: Path, tmp_path: Path) -> None:
    found = diagnose(str(moved), teacher=str(save_model("wide", tmp_path / "wide")))
    assert found.problems == ("teacher", "projectors")
    assert "its width is 32; the projectors were made for 24" in says(found, "teacher")


def test_qwens_forced_end_is_told(moved: Path, tmp_path: Path) -> None:
    chat = tmp_path / "chat"
    vocabulary = {"a": 0, "<|endoftext|>": 151643, "<|im_end|>": 151645}
    save_tokenizer(tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="a")), "<|im_end|>", chat)
    save_file({"model.embed_tokens.weight": torch.zeros(151646, T).bfloat16()}, chat / "model.safetensors")
    (chat / "config.json").write_text('{"model_type": "qwen2"}')
    found = diagnose(str(moved), teacher=str(chat))
    assert "teacher: id 151643, which DSKD uses for all Qwen models; its tokenizer names 151645" in says(found, "EOS")


# Students


def adapter(base: str, **changes: Any) -> Callable[[Path], None]:
    def save(directory: Path) -> None:
        config = {"peft_type": "LORA", "r": 2, "target_modules": ["c_attn"], "base_model_name_or_path": base} | changes
        (directory / "adapter_config.json").write_text(json.dumps(config))
        name = "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"
        save_file({name: torch.zeros(2, S)}, directory / "adapter_model.safetensors")
        save_tokenizer(byte_level_bpe(), STUDENT_EOS, directory)

    return save


@pytest.mark.parametrize(
    ("base", "verdict", "text"),
    [
        ("here", OK, "gpt2: 320 rows × 16, float32; tokenizer with a vocabulary of 320"),
        ("/nowhere/gpt2", PROBLEM, "the base is not on this machine"),
        ("owner/.name", PROBLEM, "the base is not on this machine"),
        ("owner/name..git", PROBLEM, "the base is not on this machine"),
        ("openai-community/gpt2", UNVERIFIED, "not in the cache of the hub; probing would download it"),
    ],
)
def test_lora_students(base: str, verdict: Verdict, text: str, tmp_path: Path) -> None:
    save_teacher(tmp_path)
    here = save_model("gpt2", tmp_path / "base")
    base = str(here) if base == "here" else base
    run = dskd_run(tmp_path, save_student=adapter(base))
    found = diagnose(str(run))
    assert found.kind == "an epoch of DSKD: projectors and a LoRA student"
    assert verdicts(found)["student"] == verdict
    assert f"LoRA adapter of rank 2 on {base}" in says(found, "student")
    assert text in says(found, "student")
    if verdict is not OK:
        assert "student=" in says(found, "student")
        named = diagnose(str(run), student=str(here))
        assert verdicts(named)["student"] == UNVERIFIED


def test_an_adapter_that_changes_the_table(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    base = save_model("gpt2", tmp_path / "base")
    run = dskd_run(tmp_path, save_student=adapter(str(base), modules_to_save=["wte"]))
    found = diagnose(str(run))
    assert found.problems == ("student",)
    assert "Merge it first" in says(found, "student")


def test_projectors_trained_alone(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    arguments = training_arguments(tmp_path, "dual_space_kd_with_cma", only_save_projector=True)
    run = dskd_run(tmp_path, arguments=arguments, save_student=lambda directory: None)
    found = diagnose(str(run))
    assert (found.kind, found.problems) == ("an epoch of DSKD: projectors and no student", ("student",))
    assert "student=" in says(found, "student")
    assert verdicts(found)["projectors"] == OK  # the widths are those of the shapes
    save_model("gpt2", tmp_path / "model_hub/gpt2/gpt2-base")
    assert verdicts(diagnose(str(run)))["student"] == OK


def test_a_tokenizer_larger_than_the_table(run: Path) -> None:
    table = load_file(run / "model.safetensors")["transformer.wte.weight"]
    save_file({"transformer.wte.weight": table[:300].clone()}, run / "model.safetensors")
    found = diagnose(str(run))
    assert found.problems == ("student",)
    assert "got a vocabulary of 320 for 300 rows" in says(found, "student")


# Projectors


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    state = dskd_state()
    state["t2s.0.weight"][0, 0] = math.nan
    state["query.0.bias"][1] = math.inf
    found = diagnose(str(dskd_run(tmp_path, state=state)))
    assert found.problems == ("projectors",)
    for name in ("query.0.bias", "t2s.0.weight"):
        assert f"{name}: expected finite values" in says(found, "projectors")
    assert "Training diverged" in says(found, "projectors")


@pytest.mark.parametrize("empty", [("query.0.weight",), tuple(dskd_state())])
@pytest.mark.parametrize("has_teacher", [True, False])
def test_zero3_leftovers(empty: tuple[str, ...], has_teacher: bool, tmp_path: Path) -> None:
    if has_teacher:
        save_teacher(tmp_path)
    state = {key: torch.zeros(0) if key in empty else value for key, value in dskd_state().items()}
    found = diagnose(str(dskd_run(tmp_path, state=state)))
    assert "projectors" in found.problems
    assert "ZeRO-3" in says(found, "projectors")
    assert all(key in says(found, "projectors") for key in empty)


def test_a_query_of_zeros_is_not_trained(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    state = dskd_state() | {"query.0.weight": torch.zeros(2 * T, 2 * S)}
    assert verdicts(diagnose(str(dskd_run(tmp_path, state=state))))["query"] == UNVERIFIED


def test_no_query(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    found = diagnose(str(dskd_run(tmp_path, state=dskd_state({"t2s": "t-s", "s2t": "s-t"}))))
    assert found.problems == ("query",)
    assert "only projectors s2t, t2s" in says(found, "query")


def test_widths_are_told_by_unusual_structures_too(tmp_path: Path) -> None:
    structures = {"t2s": "t-2t-relu-s", "s2t": "s-relu-t", "query": "2s-t-relu-2t"}
    run = dskd_run(tmp_path, state=dskd_state(structures))
    assert "projector_config.json" in says(diagnose(str(run)), "projectors")
    (run / "projector_config.json").write_text(projector_config(structures))
    found = diagnose(str(run))
    assert found.problems == ("teacher",)
    assert "the projectors need width 24" in says(found, "teacher")
    assert "query: 2s-t-relu-2t, 24 × 32, 48 × 24" in says(found, "projectors")


def test_shapes_that_contradict_each_other(tmp_path: Path) -> None:
    state = dskd_state() | {"t2s.0.weight": torch.zeros(S, T + 1)}
    found = diagnose(str(dskd_run(tmp_path, state=state)))
    assert "the widths of both models do not follow" in says(found, "projectors")


def test_without_torch_the_extra_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = diagnose(str(run))
    assert found.problems == ("projectors",)
    assert "pip install 'cma-probe[train]'" in says(found, "projectors")
    assert "gpt2: 320 rows" in says(found, "student")


# Checkpoints of ours


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    save_checkpoint(checkpoint(tmp_path), tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_checkpoint_of_ours(ours: Path) -> None:
    found = diagnose(str(ours))
    assert found.kind == "a checkpoint in this project's format"
    assert set(verdicts(found).values()) == {OK}
    assert "0.5, stored by training" in says(found, "key scale")
    assert "all 384 rows and every id of the vocabulary are those of training" in says(found, "teacher")
    assert "llama: 384 rows × 24, float32" in says(found, "teacher")
    assert "query: 2s-2t, 48 × 32" in says(found, "projectors")


def test_what_is_wrong_with_a_checkpoint_of_ours(ours: Path, tmp_path: Path) -> None:
    other = str(save_model("llama", tmp_path / "other", seed=9))
    assert diagnose(str(ours), teacher=other).problems == ("teacher",)
    save_tokenizer(byte_level_bpe(), TEACHER_EOS, tmp_path / "teacher")
    assert "Put the tokenizer with which the projectors were trained beside" in says(diagnose(str(ours)), "teacher")
    shutil.rmtree(tmp_path / "student")
    assert diagnose(str(ours)).problems == ("student", "teacher")
    (ours / "projectors.safetensors").write_bytes(b"12345678{")
    assert diagnose(str(ours)).problems == ("projectors",)


def test_ours_with_an_estimated_scale_and_bad_values(tmp_path: Path) -> None:
    made = checkpoint(tmp_path)
    save_checkpoint(replace(made, scales=replace(made.scales, key_is_estimate=True)), tmp_path / "a")
    assert verdicts(diagnose(str(tmp_path / "a")))["key scale"] == UNVERIFIED
    made.query.tensors["0.bias"][0] = np.nan
    save_checkpoint(made, tmp_path / "b")
    assert diagnose(str(tmp_path / "b")).problems == ("projectors",)


def test_bundled_names_need_no_torch() -> None:
    imported = "import sys; from probe.checkpoints.doctor.diagnosis import diagnose"
    script = f"{imported}; print(diagnose('demo').problems, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "() False\n"


# What is broken


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such directory"):
        diagnose(str(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="got a file"):
        diagnose(str(tmp_path / "file"))


def test_an_empty_directory(tmp_path: Path) -> None:
    found = diagnose(str(tmp_path))
    assert (found.kind, found.problems) == ("no checkpoint", ("directory",))
    assert "the directory is empty" in says(found, "directory")
    assert "projector.pt or probe.json" in says(found, "directory")


def test_a_model_without_projectors(run: Path) -> None:
    (run / "projector.pt").unlink()
    found = diagnose(str(run))
    assert (found.kind, found.problems) == ("a model without projectors", ("projectors",))
    assert "no projector.pt" in says(found, "projectors")
    assert verdicts(found)["student"] == OK


@pytest.mark.parametrize(
    ("file", "content", "topic", "text"),
    [
        ("projector.pt", b"", "projectors", "expected a file written by torch.save"),
        ("projector.pt", b"PK\x03\x04 cut off", "projectors", "expected a file"),
        ("model.safetensors", b"", "student", "safetensors header"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "student", "git-lfs"),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0[]", "student", "safetensors header"),
        (
            "model.safetensors",
            b'\x1d\0\0\0\0\0\0\0{"transformer.wte.weight":{}}',
            "student",
            "tensor transformer.wte.weight with {}",
        ),
        ("config.json", b"not JSON", "student", "config.json: expected JSON"),
        ("config.json", b"[]", "student", "config.json: expected a JSON object"),
        ("tokenizer.json", b"{", "student", "tokenizer.json: expected JSON"),
        ("tokenizer.json", b"{}", "student", "a tokenizer with a vocabulary; got no key 'model'"),
        ("tokenizer.json", b'{"model": {"vocab": {"a": 0}}}', "student", "tokenizers library can read"),
        ("tokenizer_config.json", b"{", "student", "tokenizer_config.json: expected JSON"),
        ("../args.json", b"criterion: dual_space_kd", "arguments", "../args.json: expected JSON"),
        ("../args.json", b"[1]", "arguments", "../args.json: expected a JSON object"),
        ("../args.json", b'{"criterion": ["a"], "batch_size": "4"}', "arguments", "not of type int"),
        ("projector_config.json", b"{", "projectors", "projector_config.json: expected JSON"),
        ("projector_config.json", b'{"query": 1}', "projectors", '"structure": "2s-2t"'),
        ("projector_config.json", b'{"query": {"enabled": true, "structure": "0.5s-t"}}', "projectors", "'0.5s-t'"),
    ],
)
def test_broken_files(file: str, content: bytes, topic: str, text: str, run: Path) -> None:
    (run / file).write_bytes(content)
    found = diagnose(str(run))
    assert topic in found.problems
    assert text in says(found, topic)


@pytest.mark.parametrize(
    "content",
    [[torch.ones(2)], {"state_dict": {"a": torch.ones(2)}}, {"query.0.weight": torch.ones(2), "epoch": 3}],
)
def test_a_projector_file_that_is_no_state_dict(content: object, run: Path) -> None:
    torch.save(content, run / "projector.pt")
    assert "expected a flat dict of tensors" in says(diagnose(str(run)), "projectors")


@pytest.mark.parametrize(
    "file",
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "projector.pt", "../args.json"],
)
def test_missing_files(file: str, run: Path) -> None:
    (run / file).unlink()
    found = diagnose(str(run))
    assert found.findings  # whatever is missing
    expected: dict[str, tuple[str, ...]] = {
        "config.json": ("student",),
        "model.safetensors": ("student",),
        "tokenizer.json": ("student",),
        "tokenizer_config.json": (),  # config.json names the end, too
        "projector.pt": ("projectors",),
        "../args.json": ("teacher",),
    }
    assert found.problems == expected[file]


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "../args.json", "projector.pt"])
def test_damaged_files_never_raise(file: str, run: Path) -> None:
    path = run / file
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(15):
        damaged = bytearray(whole)
        # Where the headers are: what lies behind is numbers, any of which are good.
        for position in rng.integers(0, min(len(damaged), 900), 3):
            damaged[position] = rng.integers(32, 127)
        path.write_bytes(damaged)
        assert diagnose(str(run)).findings


# Exported alignments


@torch.no_grad()
def export(
    file: Path,
    run: Path,
    teacher: Path,
    *,
    key_scale: float = KEY_SCALE,
    change: Callable[[torch.Tensor], torch.Tensor] = lambda weights: weights,
    dtype: torch.dtype = torch.float32,
    query_factor: float = 1.0,
) -> Path:
    """What the released analysis writes, by way of whole models: tokens are inputs, from the prompt's last one on."""
    state = torch.load(run / "projector.pt")
    weight, bias = (query_factor * state[f"query.0.{name}"].to(dtype) for name in ("weight", "bias"))
    loaded = {
        role: (
            tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json")),
            transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).get_input_embeddings(),
            eos,
        )
        for role, directory, eos in (("student", run, STUDENT_EOS), ("teacher", teacher, TEACHER_EOS))
    }
    with file.open("w") as lines:
        for text in TEXTS:
            tokens, bigrams = {}, {}
            for role, (tokenizer, embed, eos) in loaded.items():
                prompt, answer = (tokenizer.encode(part, add_special_tokens=False) for part in (PROMPT, text))
                rows = embed(torch.tensor([prompt.ids[-1], *answer.ids, tokenizer.token_to_id(eos)]))
                tokens[role] = [prompt.tokens[-1], *answer.tokens]
                bigrams[role] = torch.cat([rows[:-1], rows[1:]], dim=-1)
            queries = torch.nn.functional.linear(bigrams["student"], weight, bias)
            weights = torch.softmax(queries @ (bigrams["teacher"] / key_scale).T / math.sqrt(2 * T), dim=-1)
            lines.write(json.dumps(tokens | {"alignment": change(weights).float().tolist()}) + "\n")
    return file


@pytest.mark.parametrize("key_scale", [0.1, 0.7, 3.0])
def test_the_key_scale_is_measured(key_scale: float, run: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "align.jsonl", run, tmp_path / TEACHER, key_scale=key_scale)
    found = diagnose(str(run), align=align)
    assert found.fit is not None
    assert found.fit.key_scale == pytest.approx(key_scale, rel=1e-2)
    assert found.fit.slope == pytest.approx(1 / key_scale, rel=1e-2)
    assert found.fit.r_squared > 0.999
    assert found.fit.lines == len(TEXTS)
    assert verdicts(found)["alignment"] == OK
    assert f"Probe with --key-scale {found.fit.key_scale:.4g}" in says(found, "alignment")
    assert "every teacher token" in says(found, "teacher")


def test_an_export_beside_the_run_is_pointed_to(run: Path, tmp_path: Path) -> None:
    assert "Use --align FILE here to measure it" in says(diagnose(str(run)), "key scale")
    align = export(run.parent / "align.jsonl", run, tmp_path / TEACHER)
    assert f"Use --align {align} here to measure it" in says(diagnose(str(run)), "key scale")
    assert "--align" not in says(diagnose(str(run), align=align), "key scale")


def test_pairs_are_the_independent_ones(run: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "align.jsonl", run, tmp_path / TEACHER, key_scale=3.0)
    lines = read_alignments(align)
    fit = diagnose(str(run), align=align).fit
    assert fit is not None
    assert fit.pairs == sum(len(line.student) * (len(line.teacher) - 1) for line in lines)
    assert len(read_alignments(align, most=2)) == 2


def test_the_key_scale_of_ours_is_measured_too(ours: Path, tmp_path: Path) -> None:
    torch.save(load_file(ours / "projectors.safetensors"), tmp_path / "student/projector.pt")
    align = export(tmp_path / "align.jsonl", tmp_path / "student", tmp_path / "teacher", key_scale=0.5)
    found = diagnose(str(ours), align=align)
    fit = found.fit
    assert fit is not None
    assert fit.is_good
    assert fit.key_scale == pytest.approx(0.5, rel=1e-3)
    assert verdicts(found)["alignment"] == OK
    assert "--key-scale" not in says(found, "alignment")  # a stored one cannot be overridden
    align = export(tmp_path / "align.jsonl", tmp_path / "student", tmp_path / "teacher", key_scale=0.6)
    found = diagnose(str(ours), align=align)
    assert verdicts(found)["alignment"] == UNVERIFIED
    assert "the checkpoint stores the key scale 0.5" in says(found, "alignment")


def bfloat16(weights: torch.Tensor) -> torch.Tensor:
    return weights.bfloat16()


def float16(weights: torch.Tensor) -> torch.Tensor:
    return weights.half()


def chunks(weights: torch.Tensor) -> torch.Tensor:
    """Attention masked to blocks along the diagonal, and renormalised."""
    rows, columns = (torch.arange(size) * 4 // size for size in weights.shape)
    masked = weights * (rows[:, None] == columns[None, :])
    return masked / masked.sum(dim=-1, keepdim=True)


@pytest.mark.parametrize("change", [bfloat16, float16, chunks])
def test_what_storage_and_masks_do_to_weights_does_not_mislead(
    change: Callable[[torch.Tensor], torch.Tensor], run: Path, tmp_path: Path
) -> None:
    fit = diagnose(str(run), align=export(tmp_path / "a", run, tmp_path / TEACHER, change=change)).fit
    assert fit is not None
    assert fit.r_squared > 0.999
    assert fit.key_scale == pytest.approx(KEY_SCALE, rel=1e-2)
    assert (fit.zeros > 0.5) == (change is chunks)


def test_weights_in_the_noise_are_left_out(run: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "a", run, tmp_path / TEACHER, key_scale=0.1, change=lambda w: w.clamp(min=1e-8))
    fit = diagnose(str(run), align=align).fit
    assert fit is not None
    assert fit.key_scale == pytest.approx(0.1, rel=1e-3)


def test_a_run_in_bfloat16_throughout(run: Path, tmp_path: Path) -> None:
    fit = diagnose(str(run), align=export(tmp_path / "a", run, tmp_path / TEACHER, dtype=torch.bfloat16)).fit
    assert fit is not None
    assert fit.r_squared > 0.995
    assert fit.key_scale == pytest.approx(KEY_SCALE, rel=1e-2)


def test_another_teacher_is_a_poor_fit(run: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "align.jsonl", run, tmp_path / TEACHER)
    found = diagnose(str(run), teacher=str(save_model("qwen2", tmp_path / "other", seed=8)), align=align)
    assert found.fit is not None
    assert found.fit.r_squared < 0.5
    assert found.problems == ("alignment",)
    assert "a poor fit" in says(found, "alignment")


def test_another_epoch_is_a_poor_fit(run: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "align.jsonl", run, tmp_path / TEACHER)
    state = {key: value if key != "query.0.weight" else value.flip(0) for key, value in dskd_state().items()}
    torch.save(state, run / "projector.pt")
    assert diagnose(str(run), align=align).problems == ("alignment",)


def test_rows_are_read_as_inputs(run: Path, tmp_path: Path) -> None:
    """A matrix of the same numbers under target tokens is off by one, and does not fit."""
    align = export(tmp_path / "align.jsonl", run, tmp_path / TEACHER)
    shifted = []
    for line in align.read_text().splitlines():
        read = json.loads(line)
        for role in ("student", "teacher"):
            read[role] = [*read[role][1:], read[role][0]]
        shifted.append(json.dumps(read))
    align.write_text("\n".join(shifted))
    assert diagnose(str(run), align=align).problems == ("alignment",)


def test_logits_of_the_wrong_sign_are_no_key_scale(run: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "align.jsonl", run, tmp_path / TEACHER, query_factor=-1.0)
    found = diagnose(str(run), align=align)
    assert found.fit is not None
    assert found.fit.key_scale is None
    assert found.problems == ("alignment",)


def test_uniform_weights_tell_nothing(run: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "a", run, tmp_path / TEACHER, change=lambda w: torch.full_like(w, 1 / w.shape[1]))
    found = diagnose(str(run), align=align)
    assert verdicts(found)["alignment"] == UNVERIFIED
    assert "hardly differ" in says(found, "alignment")
    align = export(tmp_path / "b", run, tmp_path / TEACHER, change=lambda w: (w == w.amax(1, keepdim=True)) * 1.0)
    found = diagnose(str(run), align=align)
    assert found.problems == ("alignment",)
    assert "two weights above 1e-06" in says(found, "alignment")


def test_an_alignment_without_its_teacher(moved: Path, tmp_path: Path) -> None:
    align = export(tmp_path / "align.jsonl", moved, save_model("qwen2", tmp_path / "mine", seed=1))
    found = diagnose(str(moved), align=align)
    assert found.fit is None
    assert "not compared, because teacher is missing" in says(found, "alignment")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "an empty file"),
        ("[[1]]", "a:1: expected"),
        ("not JSON", "a:1: expected"),
        ('{"student": ["a"], "teacher": ["b"]}', "no key 'alignment'"),
        ('{"student": ["a"], "teacher": ["b", "c"], "alignment": [[1]]}', "1 and 2 tokens, weights of shape (1, 1)"),
        ('{"student": ["a"], "teacher": ["b"], "alignment": [[1], [2, 3]]}', "a:1: expected"),
        ('{"student": "a", "teacher": ["b"], "alignment": [[1]]}', "not lists of strings"),
        ('{"student": [1], "teacher": ["b"], "alignment": [[1]]}', "not lists of strings"),
        ('\n{"student": ["never"], "teacher": ["never"], "alignment": [[1]]}', "got 'never'"),
    ],
)
def test_alignments_that_cannot_be_read(content: str, text: str, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(content)
    found = diagnose(str(run), align=tmp_path / "a")
    assert found.problems == ("alignment",)
    assert text in says(found, "alignment")


def test_no_alignment_file(run: Path, tmp_path: Path) -> None:
    assert diagnose(str(run), align=tmp_path / "nowhere").problems == ("alignment",)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(MapError, match="one JSON object on each line"):
        read_alignments(tmp_path / "binary")


# Hashes


def test_hashes_are_of_the_whole_table_in_any_type(tmp_path: Path) -> None:
    rows = torch.randn(20_000, 2).bfloat16()
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    expected = hashlib.sha256(rows.float().numpy().tobytes()).hexdigest()
    for table in (rows, rows.float()):
        save_file({"wte.weight": table}, tmp_path / "model.safetensors")
        assert open_table(tmp_path).identity().sha256 == expected


def test_hashes_are_asked_for(run: Path, ours: Path) -> None:
    assert diagnose(str(run)).table_hashes == {}
    for directory in (run, ours):
        hashes = diagnose(str(directory), hash_tables=True).table_hashes
        assert set(hashes) == {"student", "teacher"}
    assert hashes["student"] == open_table(ours.parent / "student").identity().sha256


# The command


def output(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main(["doctor", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_the_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copytree(run, run.parent / "epoch2_step40_loss7.0000_rougel20.1000")
    align = export(tmp_path / "align.jsonl", run, tmp_path / TEACHER)
    capsys.readouterr()
    code, out, err = output(capsys, run.parent, "--align", align, "--hash")
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines() if str(run.parent) not in line)
    assert "The checkpoint explained below: the best by ROUGE-L." in out
    assert " →     1   20 7.2313 26.5932" in out
    assert f"\n{run}\n" in out  # paths are not broken
    assert f"\nteacher  {open_table(tmp_path / TEACHER).identity().sha256}\n" in out
    assert "so key scale 0.7" in out
    assert "\x1b" not in out


def test_problems_are_exit_code_2(moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = output(capsys, moved)
    assert code == 2
    assert "problem" in out
    assert "got problems with teacher" in err
    code, out, err = output(capsys, moved / "nowhere")
    assert (code, out) == (2, "")
    assert "expected a directory; got no such directory" in err


def test_texts_come_from_gold_pairs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = ROOT / "alignments/gold.tsv"
    code, out, _ = output(capsys, run, "--pairs", gold)
    assert code == 0
    assert "from simulated batches of" in out
    assert "of the prompt" not in out


def test_simulated_scales_use_the_runs_batches(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    arguments = training_arguments(tmp_path, "dual_space_kd_with_cma", batch_size=2, max_length=40)
    run = dskd_run(tmp_path, arguments=arguments)
    teacher = adopt(run, student=None, teacher=None, key_scale=1.0, texts=()).teacher
    opened = open_model(teacher, "teacher", directory=run)
    expected = simulated_key_scale(opened, TEXTS, Batches(2, 40))
    assert f"{expected:.4g}, from simulated" in says(diagnose(str(run), texts=TEXTS), "key scale")
