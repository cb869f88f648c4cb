"""Language models that this project trains from random weights: next tokens of prompts and responses, nothing else."""

import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from probe.models.tokenizer import Tokenizer
from probe.training.examples import Encoded, Example, batches, tokenize
from probe.training.model_files import TOKENIZER_FILES, directory_of, running_device

IGNORED = -100
LOSSES = "losses.json"


def from_random_weights(
    source: str,
    train: Sequence[Example],
    place: Path,
    *,
    epochs: int,
    stop_after: int | None,
    learning_rate: float,
    seed: int,
) -> None:
    """Train a model of the shape and with the tokenizer of another one, and write it in float16.

    Args:
        source: the other model, of which no weight is read.
        train: rows.
        place: directory of the new model.
        epochs: see `train_language_model`, as of the others.
        stop_after: see there.
        learning_rate: see there.
        seed: of the weights and of the order of rows.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    directory = directory_of(source)
    tokenizer = Tokenizer.load(directory)
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False).to(running_device())
    encoded = [tokenize(example, tokenizer) for example in train]
    loss = train_language_model(
        model,
        encoded,
        epochs=epochs,
        batch_size=16,
        learning_rate=learning_rate,
        seed=seed,
        stop_after=stop_after,
    )
    for name in TOKENIZER_FILES:
        if (directory / name).is_file():
            shutil.copyfile(directory / name, place / name)
    save_float16(model, place)
    (place / LOSSES).write_text(json.dumps({"last_epoch_loss": loss}) + "\n", encoding="utf-8")


def train_language_model(
    model: Any,
    examples: Sequence[Encoded],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    stop_after: int | None = None,
) -> float:
    """Next-token training on prompt and response; returns the mean loss of the last epoch in nats per token.

    Args:
        model: is changed.
        examples: what it learns from.
        epochs: over which the learning rate rises and falls.
        batch_size: rows of a step.
        learning_rate: the highest.
        seed: of the order of rows.
        stop_after: epochs, fewer than all; None for all.
    """
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    per_epoch = sum(1 for _ in range(0, len(examples), batch_size))
    total = epochs * per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=total, pct_start=0.05)
    last = total if stop_after is None else stop_after * per_epoch
    losses: list[float] = []
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(type(model).__name__, total=last)
        for step, rows in batches([len(example.ids) for example in examples], batch_size, seed):
            if step == last:
                break
            ids, labels = (one.to(model.device) for one in _pad([examples[row] for row in rows]))
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
