import json
import math
import os
import pickle
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import tokenizers
import torch
import transformers
from directories import (
    STUDENT_EOS,
    STUDENT_WIDTH,
    TEACHER_EOS,
    TEACHER_WIDTH,
    TEXTS,
    byte_level_bpe,
    dskd_run,
    dskd_state,
    evaluation_arguments,
    projector_config,
    save_model,
    save_teacher,
    save_tokenizer,
    training_arguments,
)
from safetensors.torch import save_file
from tokenizers import models
from torch import nn

from probe.checkpoints.adopt import read_projector_file
from probe.checkpoints.key_scale import Batches, simulated_key_scale
from probe.checkpoints.loading import load
from probe.errors import CheckpointError, MissingExtraError, ProbeError, ProjectorError, TableError
from probe.models.tokenizer import QWEN_EOS_ID, Tokenizer

S, T = STUDENT_WIDTH, TEACHER_WIDTH
TEACHER = "model_hub/qwen/Qwen1.5-1.8B"
KEY_SCALE = 0.7
LENGTH = 64
PUBLISHED = {
    "query": nn.Sequential(nn.Linear(2 * S, 2 * T)),
    "t2s": nn.Sequential(nn.Linear(T, S)),
    "s2t": nn.Sequential(nn.Linear(S, T)),
}


def message(path: Path, kind: type[ProbeError] = CheckpointError, key_scale: float = KEY_SCALE, **models: str) -> str:
    with pytest.raises(kind) as caught:
        load(str(path), **models, key_scale=key_scale, texts=TEXTS)
    return str(caught.value)


def adopt(path: Path, key_scale: float | None = KEY_SCALE, texts: tuple[str, ...] = TEXTS, **models: str) -> Any:
    return load(str(path), **models, key_scale=key_scale, texts=texts)


# The same attention by way of whole models


def padded(directory: Path, eos: str, texts: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids and labels as the released code batches them: prompt and padding are labelled -100."""
    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    eos_id = tokenizer.token_to_id(eos)
    prompt = tokenizer.encode("### Instruction:\nRead.\n\n### Response:\n", add_special_tokens=False).ids[-8:]
    inputs = torch.full((len(texts), LENGTH), eos_id)
    labels = torch.full((len(texts), LENGTH), -100)
    for row, text in enumerate(texts):
        ids = torch.tensor([*prompt, *tokenizer.encode(text, add_special_tokens=False).ids, eos_id])
        assert len(ids) < LENGTH
        inputs[row, : len(ids) - 1] = ids[:-1]
        labels[row, : len(ids) - 1] = ids[1:]
        labels[row, : len(prompt) - 1] = -100
    return inputs, labels


@torch.no_grad()
def released_attention(
    student: tuple[nn.Module, Path],
    teacher: tuple[nn.Module, Path],
    path: Path,
    key_scale: float | None,
    texts: tuple[str, ...] = TEXTS,
    projectors: Mapping[str, nn.Module] = PUBLISHED,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both softmaxes at the response positions of each text, computed on the padded batch in float32."""
    modules = nn.ModuleDict(projectors)
    modules.load_state_dict({key: value.float() for key, value in torch.load(path / "projector.pt").items()})
    embeds, masks = [], []
    for (model, directory), eos in ((student, STUDENT_EOS), (teacher, TEACHER_EOS)):
        inputs, labels = padded(directory, eos, texts)
        mask = labels.ne(-100)
        embed = model.get_input_embeddings()
        embeds.append(torch.cat([embed(torch.where(mask, ids, 0)) for ids in (inputs, labels)], -1))
        masks.append(mask)
    queries = modules["query"](embeds[0])
    keys = embeds[1] / (embeds[1].std() if key_scale is None else key_scale)
    align = queries.matmul(keys.transpose(-1, -2)) / math.sqrt(2 * T)
    align = align + (1.0 - masks[0].float().unsqueeze(-1) * masks[1].float().unsqueeze(1)) * -100000
    both = torch.softmax(align, -1), torch.softmax(align.transpose(-1, -2), -1).transpose(-1, -2)
    return [
        tuple(weights[row][masks[0][row]][:, masks[1][row]].numpy() for weights in both) for row in range(len(texts))
    ]


def transformers_model(directory: Path) -> tuple[nn.Module, Path]:
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32), directory


def assert_equal(found: Any, expected: list[tuple[np.ndarray, np.ndarray]], texts: tuple[str, ...] = TEXTS) -> None:
    for text, (over_teacher, over_student) in zip(texts, expected, strict=True):
        map_ = found.map(*found.tokenize(text))
        np.testing.assert_allclose(map_.weights, over_teacher, atol=1e-5)
        np.testing.assert_allclose(map_.over_student, over_student, atol=1e-5)
        assert over_teacher.max() > 3 / over_teacher.shape[1]  # far from uniform


@pytest.mark.parametrize("teacher", ["qwen2", "llama", "gemma3"])
def test_attention_is_that_of_the_whole_models(teacher: str, tmp_path: Path) -> None:
    save_teacher(tmp_path, teacher)
    path = dskd_run(tmp_path)
    assert_equal(
        adopt(path),
        released_attention(transformers_model(path), transformers_model(tmp_path / TEACHER), path, KEY_SCALE),
    )


def test_the_estimated_key_scale_is_the_runs_own_where_there_is_one_batch(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    arguments = training_arguments(tmp_path, "dual_space_kd_with_cma", batch_size=1, max_length=LENGTH)
    path = dskd_run(tmp_path, arguments=arguments)
    found = adopt(path, None, TEXTS[:1])
    assert_equal(
        found,
        released_attention(transformers_model(path), transformers_model(tmp_path / TEACHER), path, None, TEXTS[:1]),
        TEXTS[:1],
    )
    assert found.checkpoint.scales.key_is_estimate
    assert not adopt(path).checkpoint.scales.key_is_estimate


def test_unusual_structures(tmp_path: Path) -> None:
    structures = {"t2s": "t-2t-relu-s", "s2t": "s-relu-t", "query": "2s-t-relu-2t"}
    modules = {
        "t2s": nn.Sequential(nn.Linear(T, 2 * T), nn.ReLU(), nn.Linear(2 * T, S)),
        "s2t": nn.Sequential(nn.ReLU(), nn.Linear(S, T)),
        "query": nn.Sequential(nn.Linear(2 * S, T), nn.ReLU(), nn.Linear(T, 2 * T)),
    }
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, state=dskd_state(structures))
    (path / "projector_config.json").write_text(projector_config(structures))
    expected = released_attention(
        transformers_model(path), transformers_model(tmp_path / TEACHER), path, KEY_SCALE, projectors=modules
    )
    assert_equal(adopt(path), expected)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft calls it
@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_model.bin"])
def test_lora_student(file: str, tmp_path: Path) -> None:
    base = save_model("gpt2", tmp_path / "model_hub/gpt2/gpt2-base", seed=3)

    def save_adapter(directory: Path) -> None:
        config = peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
        model = peft.get_peft_model(transformers_model(base)[0], config)
        model.save_pretrained(directory, safe_serialization=file.endswith("safetensors"))
        save_tokenizer(byte_level_bpe(), STUDENT_EOS, directory)

    save_teacher(tmp_path)
    path = dskd_run(tmp_path, save_student=save_adapter)
    assert (path / file).exists()
    student = peft.PeftModel.from_pretrained(transformers_model(base)[0], path)
    assert_equal(
        adopt(path), released_attention((student, path), transformers_model(tmp_path / TEACHER), path, KEY_SCALE)
    )


def test_sharded_teacher_and_pickled_student(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path, max_shard_size="20KB")
    assert len(list(teacher.glob("model-*.safetensors"))) > 1

    def save_bin(directory: Path) -> None:
        save_model("gpt2", directory)
        state = transformers_model(directory)[0].to(torch.bfloat16).state_dict()
        torch.save(state, directory / "pytorch_model.bin")
        (directory / "model.safetensors").unlink()

    path = dskd_run(tmp_path, save_student=save_bin)
    assert_equal(
        adopt(path), released_attention(transformers_model(path), transformers_model(teacher), path, KEY_SCALE)
    )


def test_what_an_adopted_checkpoint_says_of_itself(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path, "gemma3")
    path = dskd_run(tmp_path)
    found = adopt(path).checkpoint
    assert (found.name, found.steps, found.criterion) == (path.name, 20, "dual_space_kd_with_cma")
    assert found.teacher.embedding_scale == pytest.approx(T**0.5)
    assert (found.teacher.eos_id, found.student.eos_id) == (2, 0)
    assert found.teacher.prompt_end_id == Tokenizer.load(teacher).encode("\n")[-1]
    assert (found.student.rows, found.student.width, found.teacher.rows, found.teacher.width) == (320, S, 384, T)
    assert set(found.projectors) == {"query", "t2s", "s2t"}


def test_eos_is_the_one_that_dskd_forces_for_qwen(tmp_path: Path) -> None:
    chat = tmp_path / "chat"
    vocabulary = {"a": 0, "<|endoftext|>": QWEN_EOS_ID, "<|im_end|>": QWEN_EOS_ID + 2}
    save_tokenizer(tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="a")), "<|im_end|>", chat)
    save_file({"model.embed_tokens.weight": torch.zeros(QWEN_EOS_ID + 3, T).bfloat16()}, chat / "model.safetensors")
    (chat / "config.json").write_text('{"model_type": "qwen2"}')
    found = adopt(dskd_run(tmp_path), teacher=str(chat))
    assert found.teacher.tokenizer.eos_id == QWEN_EOS_ID + 2
    assert found.teacher.eos_id == found.checkpoint.teacher.eos_id == QWEN_EOS_ID


# Key scale


def test_a_key_scale_is_a_positive_number(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    assert "key scale: expected a positive number; got 0.0" in message(dskd_run(tmp_path), key_scale=0.0)


def test_no_texts_to_estimate_the_key_scale_from(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    with pytest.raises(CheckpointError, match="key_scale="):
        adopt(dskd_run(tmp_path), None, ())


# Structures


@pytest.mark.parametrize("place", ["epoch", "run", "arguments", "nowhere"])
def test_structures_are_looked_up(place: str, tmp_path: Path) -> None:
    structures = {"t2s": "t-s", "query": "2s-t-relu-2t"}
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, state=dskd_state(structures))
    (tmp_path / "configs").mkdir()
    directories = {"epoch": path, "run": path.parent, "arguments": tmp_path / "configs"}
    if place in directories:
        (directories[place] / "projector_config.json").write_text(projector_config(structures))
        assert adopt(path).checkpoint.query.structure == "2s-t-relu-2t"
    else:
        text = message(path)
        assert "expected a projector_config.json for the tensors query.0.bias" in text
        assert str(path) in text


def test_published_structures_need_no_configuration(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, state=dskd_state({"query": "2s-2t"}))
    found = adopt(path).checkpoint.projectors
    assert {name: projector.structure for name, projector in found.items()} == {"query": "2s-2t"}


def test_disabled_projectors_are_none(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, state=dskd_state({"query": "2s-2t", "t2s": "t-s"}))
    config = json.loads(projector_config())
    config["s2t"]["enabled"] = False
    (path / "projector_config.json").write_text(json.dumps(config))
    assert set(adopt(path).checkpoint.projectors) == {"query", "t2s"}
    config["query"]["enabled"] = False
    (path / "projector_config.json").write_text(json.dumps(config))
    assert "got query.0.bias, query.0.weight" in message(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"query":', "expected JSON"),
        ("[]", "expected a JSON object"),
        ('{"query": "2s-2t"}', '"structure": "2s-2t"'),
        ('{"query": {"enabled": true}}', '"structure": "2s-2t"'),
    ],
)
def test_configurations_that_cannot_be_read(content: str, says: str, tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    (path / "projector_config.json").write_text(content)
    text = message(path, ProbeError)
    assert says in text
    assert str(path / "projector_config.json") in text


def test_a_configuration_of_another_run(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    (path / "projector_config.json").write_text(projector_config({"query": "2s-t-relu-2t", "t2s": "t-s", "s2t": "s-t"}))
    text = message(path, ProjectorError)
    assert "query.0.weight: expected shape (24, 32); got shape (48, 32)" in text
    assert "query.2.weight: expected shape (48, 24); got no tensor" in text


# Models


def test_a_teacher_of_another_machine_is_asked_for(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path / "here")
    path = dskd_run(tmp_path / "there")
    text = message(path)
    assert f"{tmp_path / 'there' / TEACHER}, which is not on this machine" in text
    assert "teacher=…" in text
    adopt(path, teacher=str(teacher))
    (path.parent / "args.json").unlink()
    assert "no args.json that names it. Name it with teacher=…" in message(path)
    adopt(path, teacher=str(teacher))


def test_a_teacher_of_another_width_is_refused(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    text = message(dskd_run(tmp_path), ProjectorError, teacher=str(save_model("wide", tmp_path / "wide")))
    assert "query.0.weight: expected shape (64, 32); got shape (48, 32)" in text
    assert "t2s.0.weight: expected shape (16, 32); got shape (16, 24)" in text


def test_projectors_trained_alone_have_no_student_beside_them(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    criterion = "dual_space_kd_with_cma"
    arguments = training_arguments(tmp_path, criterion, only_save_projector=True)
    path = dskd_run(tmp_path, arguments=arguments, save_student=lambda directory: None)
    text = message(path)
    assert "the directory of the student" in text
    assert "student=…" in text
    elsewhere = save_model("gpt2", tmp_path / "elsewhere", seed=5)
    expected = released_attention(
        transformers_model(elsewhere), transformers_model(tmp_path / TEACHER), path, KEY_SCALE
    )
    assert_equal(adopt(path, student=str(elsewhere)), expected)
    (tmp_path / "model_hub/gpt2").mkdir()
    elsewhere.rename(tmp_path / "model_hub/gpt2/gpt2-base")
    assert_equal(adopt(path), expected)
    # A trained student that went missing is not the one that training began with.
    (path.parent / "args.json").write_text(json.dumps(arguments | {"only_save_projector": False}))
    assert "student=…" in message(path)


def test_a_student_without_weights(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    (path / "model.safetensors").unlink()
    assert "expected weights" in message(path, TableError)


def test_a_run_is_told_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    (tmp_path / "best").symlink_to(path)
    for place, named in ((path, "."), (path.parent, path.name), (tmp_path, "best")):
        monkeypatch.chdir(place)
        found = adopt(Path(named)).checkpoint
        assert (found.name, found.steps, found.criterion) == (path.name, 20, "dual_space_kd_with_cma")
    (path.parent / "args.json").unlink()
    monkeypatch.chdir(path)
    assert adopt(Path("."), teacher=str(tmp_path / TEACHER)).checkpoint.criterion == "dual_space_kd_with_cma"


# Criteria

TRAINED = ["dual_space_kd_with_cma", "dual_space_kd_with_cla", "dual_space_kd_with_cma_plus_kq_matching"]
UNTRAINED = [
    *("dual_space_kd", "dual_space_kd_with_clp", "universal_logit_distillation"),
    *("min_edit_dis_kld", "various_divergence", "cross_entropy"),
]


@pytest.mark.parametrize("criterion", TRAINED)
def test_criteria_that_train_the_query(criterion: str, tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, criterion=criterion)
    assert adopt(path).checkpoint.criterion == criterion
    (path.parent / "args.json").unlink()
    assert adopt(path, teacher=str(tmp_path / TEACHER)).checkpoint.criterion == criterion


@pytest.mark.parametrize("criterion", UNTRAINED)
def test_criteria_that_leave_the_query_random(criterion: str, tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, criterion=criterion)
    text = message(path)
    assert f"got criterion {criterion}, which saves an untrained, random one" in text
    assert str(path) in text
    # Said by args.json alone, and by the directory's name alone.
    shutil.copytree(path.parent, tmp_path / "renamed")
    assert f"criterion {criterion}," in message(tmp_path / "renamed" / path.name)
    (path.parent / "args.json").unlink()
    assert f"criterion {criterion}," in message(path, teacher=str(tmp_path / TEACHER))


def test_an_evaluation_that_wrote_over_the_arguments(tmp_path: Path) -> None:
    """Released evaluation scripts write their own args.json, with the default criterion, over that of training."""
    teacher = save_teacher(tmp_path)
    path = dskd_run(tmp_path, arguments=evaluation_arguments())
    found = adopt(path, None, teacher=str(teacher))
    assert found.checkpoint.criterion == "dual_space_kd_with_cma"
    assert found.checkpoint.scales.key == simulated_key_scale(found.teacher, TEXTS, Batches(4, 512))
    assert "teacher=…" in message(path)
    # Where the analysis script was the last to write, the teacher is known.
    named = evaluation_arguments(teacher_model_path=str(teacher), criterion="dual_space_kd_with_cma")
    (path.parent / "args.json").write_text(json.dumps(named))
    adopt(path)
    # Without a telling name, evaluation's criterion says nothing of training: the weights must.
    shutil.copytree(path.parent, tmp_path / "renamed")
    assert adopt(tmp_path / "renamed" / path.name).checkpoint.criterion == "unknown"


def test_an_untrained_run_is_refused_after_its_evaluation_too(tmp_path: Path) -> None:
    path = dskd_run(tmp_path, criterion="dual_space_kd", arguments=evaluation_arguments())
    assert "criterion dual_space_kd," in message(path, teacher=str(save_teacher(tmp_path)))


def test_batch_size_and_length_are_the_runs(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    arguments = training_arguments(tmp_path, "dual_space_kd_with_cma", batch_size=2, max_length=100)
    found = adopt(dskd_run(tmp_path, arguments=arguments), None)
    assert found.checkpoint.scales.key == simulated_key_scale(found.teacher, TEXTS, Batches(2, 100))


def unnamed(tmp_path: Path, state: Mapping[str, torch.Tensor]) -> Path:
    """A directory that says nothing of its criterion."""
    path = dskd_run(tmp_path / "run", state=state)
    return Path(shutil.copytree(path, tmp_path / "copy"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("seed", range(3))
def test_weights_as_initialised_are_refused(seed: int, dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    fresh = nn.ModuleDict({"query": nn.Sequential(nn.Linear(2 * S, 2 * T))}).to(dtype)
    path = unnamed(tmp_path, fresh.state_dict())
    text = message(path, teacher=str(save_teacher(tmp_path)))
    assert "weights that are distributed as at initialisation" in text
    assert "that of initial weights is 1.8" in text


def test_weights_after_training_are_accepted(tmp_path: Path) -> None:
    teacher = str(save_teacher(tmp_path))
    assert adopt(unnamed(tmp_path / "a", dskd_state()), teacher=teacher).checkpoint.criterion == "unknown"
    torch.manual_seed(0)
    fresh = nn.ModuleDict({"query": nn.Sequential(nn.Linear(2 * S, 2 * T))})
    x, y = torch.randn(64, 2 * S), torch.randn(64, 2 * T)
    for _ in range(40):  # by hand, because importing torch's optimizers takes four seconds
        loss = nn.functional.cross_entropy(fresh["query"](x) @ y.T, torch.arange(64))
        with torch.no_grad():
            for parameter, gradient in zip(
                fresh.parameters(), torch.autograd.grad(loss, list(fresh.parameters())), strict=True
            ):
                parameter -= 0.05 * gradient
    adopt(unnamed(tmp_path / "b", fresh.bfloat16().state_dict()), teacher=teacher)


# projector.pt


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused(zipped: bool, tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path, canary = dskd_run(tmp_path), tmp_path / "canary"
    if zipped:
        torch.save({"query.0.weight": Canary(canary)}, path / "projector.pt")
    else:
        (path / "projector.pt").write_bytes(pickle.dumps({"query.0.weight": Canary(canary)}, protocol=2))
    text = message(path)
    assert "nothing was executed" in text
    assert str(path / "projector.pt") in text
    assert "\x1b" not in text
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))  # the pickle does what it is feared to do
    assert canary.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([torch.ones(2)], "a flat dict of tensors; got list"),
        (torch.ones(2), "a flat dict of tensors; got Tensor"),
        ({"state_dict": {"query.0.weight": torch.ones(2)}}, "a flat dict of tensors; got dict of dict"),
        ({"query.0.weight": torch.ones(2), "epoch": 3}, "a flat dict of tensors; got dict of Tensor, int"),
    ],
)
def test_other_contents(content: object, says: str, tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    torch.save(content, path / "projector.pt")
    text = message(path)
    assert says in text
    assert "torch.save(projectors.state_dict(), path)" in text


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_never_raise_anything_else(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "projector.pt"
    torch.save(dskd_state({"query": "2s-2t"}), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(0, len(whole))] if rng.random() < 0.3 else whole)
        for position in rng.integers(0, max(len(damaged), 1), 20 if damaged else 0):
            damaged[position] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_projector_file(path)
        except CheckpointError:
            refused += 1
    assert refused > 30


def test_parameters_are_read_as_tensors(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    before = adopt(path).checkpoint.query.tensors
    parameters = {key: nn.Parameter(value) for key, value in dskd_state().items()}
    torch.save(parameters, path / "projector.pt")
    after = adopt(path).checkpoint.query.tensors
    np.testing.assert_array_equal(after["0.weight"], before["0.weight"])


def test_zero3_leftovers_are_named_as_such(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, state={key: torch.zeros(0) for key in dskd_state()})
    text = message(path, ProjectorError)
    assert text.count("ZeRO-3") == len(dskd_state())
    assert "query.0.weight" in text


def test_no_query(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path, state=dskd_state({"t2s": "t-s", "s2t": "s-t"}))
    assert "expected a trained query projector; got only projectors s2t, t2s" in message(path)


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    text = message(path, MissingExtraError)
    assert "pip install 'cma-probe[train]'" in text
    assert str(path / "projector.pt") in text


def test_malformed_arguments(tmp_path: Path) -> None:
    path = dskd_run(tmp_path)
    (path.parent / "args.json").write_text("{'criterion': 'dual_space_kd_with_cma'}")
    assert str(path.parent / "args.json") in message(path, TableError)


def test_a_type_that_nobody_knows_needs_its_scale(tmp_path: Path) -> None:
    save_teacher(tmp_path)
    path = dskd_run(tmp_path)
    config = tmp_path / TEACHER / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "next-year"}))
    with pytest.raises(TableError, match="scale=1"):
        adopt(path)
    found = load(str(path), key_scale=KEY_SCALE, embedding_scales={"teacher": 2.0}, texts=TEXTS)
    assert (found.teacher.table.scale, found.student.table.scale) == (2.0, 1.0)
    with pytest.raises(CheckpointError, match="which stores 1 and 1"):
        load("demo", embedding_scales={"teacher": 2.0})
