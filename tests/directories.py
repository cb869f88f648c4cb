"""Tiny model directories, checkpoints and DSKD runs, from real configuration classes; nothing is downloaded."""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from probe.checkpoints.checkpoint import Checkpoint, ModelRecord, Scales, VerifiedSource
from probe.models.embeddings import open_table
from probe.models.tokenizer import Tokenizer
from probe.projectors import STRUCTURES, Projector, parse_structure, tensor_shapes

# Two threads that share a tiny product wait for each other: on a busy machine a hundred times slower than one.
torch.set_num_threads(1)

TEXTS = (
    "Return the path of the file.",
    "The file is closed, and the path of the file is returned.",
    "Read a naïve café menu; read it twice.",
    "Below is an instruction that describes a task.",
    "Write a response that appropriately completes the request.",
)
STUDENT_WIDTH, TEACHER_WIDTH = 16, 24
WIDTHS = {"student": STUDENT_WIDTH, "teacher": TEACHER_WIDTH}
STUDENT_EOS, TEACHER_EOS = "<|endoftext|>", "</s>"
PROMPT = "### Response:\n"

SETTING = (
    "criterion={criterion}__forward_kl-bf16__teacher=Qwen1.5-1.8B__kd^rate=0.5__kd^temp=2.0__epoch=20"
    "__bsz=4x2x1=8__lr=0.0005__proj^lr=0.001"
)


# Tokenizers


def byte_level_bpe() -> tokenizers.Tokenizer:
    """Of GPT-2's kind."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=[STUDENT_EOS], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def sentencepiece_bpe() -> tokenizers.Tokenizer:
    """Of Llama's kind: a dummy space in front, and bytes as ``<0x0A>`` for what has no piece."""
    specials = ["<unk>", "<s>", TEACHER_EOS]
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=[*specials, *byte_pieces], show_progress=False)
    tokenizer.train_from_iterator([text.replace("ï", "").replace("é", "") for text in TEXTS], trainer)
    file = json.loads(tokenizer.to_str())
    # The trainer knows pieces of no other kind that come before all merges, but bytes are not special.
    file["added_tokens"] = [token for token in file["added_tokens"] if token["content"] in specials]
    return tokenizers.Tokenizer.from_str(json.dumps(file))


def save_tokenizer(tokenizer: tokenizers.Tokenizer, eos: str, directory: Path) -> None:
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos).save_pretrained(directory)


# Models


def _llama_like(**more: int) -> dict[str, int]:
    return {
        "vocab_size": 384,
        "hidden_size": TEACHER_WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **more,
    }


CONFIGS = {
    "gpt2": transformers.GPT2Config(
        vocab_size=320, n_embd=STUDENT_WIDTH, n_layer=1, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    ),
    "llama": transformers.LlamaConfig(**_llama_like()),
    "qwen2": transformers.Qwen2Config(**_llama_like()),
    "gemma3": transformers.Gemma3TextConfig(**_llama_like(head_dim=16)),
    "wide": transformers.LlamaConfig(**_llama_like(hidden_size=TEACHER_WIDTH + 8)),
}


def save_model(name: str, directory: Path, *, seed: int = 0, **options: Any) -> Path:
    """A model with embeddings large enough for attention to be far from uniform, and its tokenizer."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(deepcopy(CONFIGS[name]))
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(std=0.7)
    model.save_pretrained(directory, **options)
    save_tokenizer(
        *((byte_level_bpe(), STUDENT_EOS) if name == "gpt2" else (sentencepiece_bpe(), TEACHER_EOS)), directory
    )
    return directory


# Projectors


def trained_tensors(structure: str, seed: int = 0, widths: Mapping[str, int] = WIDTHS) -> dict[str, np.ndarray]:
    """Weights with the heavier tails that training leaves."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in tensor_shapes(parse_structure(structure, **widths)).items():
        values = rng.standard_t(5, shape) / shape[-1] ** 0.5 if len(shape) == 2 else rng.normal(0, 0.1, shape)
        tensors[name] = values.astype(np.float32)
    return tensors


def projector(
    structure: str, tensors: Mapping[str, Any] | None = None, widths: Mapping[str, int] = WIDTHS
) -> Projector:
    return Projector.load(structure, tensors or trained_tensors(structure, widths=widths), **widths, where="test")


# A checkpoint of ours


def record(source: str, directory: Path) -> ModelRecord:
    table, tokenizer = open_table(directory), Tokenizer.load(directory)
    return ModelRecord(
        name=directory.name,
        revision=None,
        rows=table.rows,
        width=table.width,
        embedding_scale=table.scale,
        eos_id=tokenizer.eos_id,
        prompt_end_id=tokenizer.encode(PROMPT)[-1],
        vocabulary_sha256=tokenizer.vocabulary_sha256(),
        sources=(VerifiedSource(source, table.identity().sha256),),
    )


def checkpoint(place: Path, *, teacher: str = "llama") -> Checkpoint:
    """A checkpoint whose models lie in ``place/student`` and ``place/teacher``; not yet saved."""
    return Checkpoint(
        name="tiny",
        path=place / "checkpoint",
        method="cma",
        criterion="t2s pre-training",
        steps=20,
        student=record(str(place / "student"), save_model("gpt2", place / "student")),
        teacher=record(str(place / "teacher"), save_model(teacher, place / "teacher", seed=1)),
        scales=Scales(key=0.5, hidden=1.5, target=0.25),
        prompt=PROMPT,
        projectors={name: projector(STRUCTURES[name]) for name in ("query", "t2s")},
        recipe={"steps": 20, "learning_rate": 1e-3},
    )


def with_source(model: ModelRecord, *sources: str) -> ModelRecord:
    """The same model, said to lie elsewhere."""
    return replace(model, sources=tuple(VerifiedSource(source, model.sources[0].sha256) for source in sources))


# A run of DSKD's


def dskd_state(structures: Mapping[str, str] = STRUCTURES) -> dict[str, torch.Tensor]:
    """What ``projectors.state_dict()`` holds after training in bfloat16."""
    return {
        f"{name}.{key}": torch.from_numpy(value).bfloat16()
        for name, structure in structures.items()
        for key, value in trained_tensors(structure).items()
    }


def training_arguments(base: Path, criterion: str, **changes: Any) -> dict[str, Any]:
    """The arguments that matter of the hundred that a training run writes to ``args.json``."""
    return {
        "model_path": str(base / "model_hub/gpt2/gpt2-base"),
        "model_type": "gpt2",
        "teacher_model_type": "qwen",
        "teacher_model_path": str(base / "model_hub/qwen/Qwen1.5-1.8B"),
        "task": criterion,
        "do_train": True,
        "criterion": criterion,
        "only_save_projector": False,
        "batch_size": 4,
        "eval_batch_size": 32,
        "max_length": 512,
        "max_prompt_length": 256,
        "projector_config_path": str(base / "configs/projector_config.json"),
        "peft": None,
    } | changes


def evaluation_arguments(**changes: Any) -> dict[str, Any]:
    """What an evaluation writes over them: defaults, but for what its script names."""
    return {
        "teacher_model_type": None,
        "teacher_model_path": None,
        "task": "eval_main",
        "do_train": False,
        "do_eval": True,
        "criterion": "cross_entropy",
        "only_save_projector": False,
        "batch_size": 32,
        "max_length": 512,
        "projector_config_path": None,
    } | changes


def projector_config(structures: Mapping[str, str] = STRUCTURES) -> str:
    return json.dumps({name: {"enabled": True, "structure": value} for name, value in structures.items()})


def save_teacher(base: Path, name: str = "qwen2", **options: Any) -> Path:
    return save_model(name, base / "model_hub/qwen/Qwen1.5-1.8B", seed=1, **options)


def dskd_run(
    base: Path,
    *,
    criterion: str = "dual_space_kd_with_cma",
    arguments: Mapping[str, Any] | None = None,
    state: Mapping[str, torch.Tensor] | None = None,
    save_student: Callable[[Path], object] = lambda directory: save_model("gpt2", directory),
) -> Path:
    """The directory of one epoch, laid out as the released code does it: ``args.json`` is in its parent's."""
    run = base / "outputs/gpt2/gpt2-base" / criterion / SETTING.format(criterion=criterion)
    epoch = run / "epoch1_step20_loss7.2313_rougel26.5932"
    epoch.mkdir(parents=True)
    arguments = training_arguments(base, criterion) if arguments is None else arguments
    (run / "args.json").write_text(json.dumps(arguments))
    save_student(epoch)
    torch.save(dskd_state() if state is None else dict(state), epoch / "projector.pt")
    return epoch
