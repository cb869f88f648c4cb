"""Two tiny language models, trained from scratch on the demo's rows: a GPT-2 as student, a Llama as teacher."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from probe.training.demo.tokenizers import STUDENT_PIECES, TEACHER_PIECES
from probe.training.examples import Encoded, batches

POSITIONS = 256
IGNORED = -100


def new_student(eos_id: int) -> Any:
    """An untrained GPT-2 of 0.7 M parameters; embedding and head are tied."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=STUDENT_PIECES,
        n_positions=POSITIONS,
        n_embd=96,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=eos_id,
        eos_token_id=eos_id,
    )
    return GPT2LMHeadModel(config)


def new_teacher(bos_id: int, eos_id: int) -> Any:
    """An untrained Llama of 1.3 M parameters; embedding and head are tied."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=TEACHER_PIECES,
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        bos_token_id=bos_id,
        eos_token_id=eos_id,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def train_language_model(
    model: Any, examples: Sequence[Encoded], *, epochs: int, batch_size: int, learning_rate: float, seed: int
) -> float:
    """Next-token training on prompt and response; returns the mean loss of the last epoch in nats per token."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    per_epoch = sum(1 for _ in range(0, len(examples), batch_size))
    total = epochs * per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=total, pct_start=0.05)
    losses: list[float] = []
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(type(model).__name__, total=total)
        for step, rows in batches([len(example.ids) for example in examples], batch_size, seed):
            if step == total:
                break
            ids, labels = _pad([examples[row] for row in rows])
            loss = model(input_ids=ids, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            progress.update(task, advance=1, description=f"{type(model).__name__}, loss {losses[-1]:.2f}")
    model.eval()
    return math.fsum(losses[-per_epoch:]) / per_epoch


def _pad(examples: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros((len(examples), longest), dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = labels[row, : len(example.ids)] = torch.from_numpy(example.ids)
    return ids, labels


def save_float16(model: Any, directory: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` in float16, beside the tokenizer that is there."""
    model.to(torch.float16).save_pretrained(directory)
    model.to(torch.float32)
    (directory / "generation_config.json").unlink(missing_ok=True)
