"""Projector pre-training: query and t2s learn from the t2s cross-entropy alone, student and teacher frozen.

    v_j = W_t2s (h_j / hidden_scale + E_t(y_{j+1}) / target_scale)
    t2s logits_i = (Σ_j A_ij v_j) · student head          loss = Σ_i CE(t2s logits_i, x_{i+1}) / number of targets

The student's layers never run, and the teacher ran once: a step costs the head's two matrix products.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from rich.progress import Progress
from torch import Tensor

from probe.attention import attention_logits, bigrams, cross_model_attention
from probe.checkpoint import Scales
from probe.errors import Problem, TrainingError
from probe.files import replacing_file
from probe.projectors import QUERY, STRUCTURES, T2S, project
from probe.training.data import Encoded, batches
from probe.training.losses import head_cross_entropy
from probe.training.modules import Projectors
from probe.training.teacher_states import TeacherStates

STATE, LOG = "state.pt", "log.jsonl"


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """What a run of projector pre-training depends on, beside its models and data."""

    steps: int
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    clip: float = 1.0
    seed: int = 10
    save_every: int = 100


@dataclass(frozen=True)
class PretrainInputs:
    """The frozen side of a run: tables, head, examples of both models, teacher states, scales."""

    student_table: Float[Tensor, "student_vocabulary student_width"]
    teacher_table: Float[Tensor, "teacher_vocabulary teacher_width"]
    head: Float[Tensor, "student_vocabulary student_width"]
    student: Sequence[Encoded]
    teacher: Sequence[Encoded]
    states: TeacherStates
    scales: Scales


class Batch(NamedTuple):
    """Response positions of a few examples, padded at the end; masks are true where a position exists."""

    student_bigrams: Float[Tensor, "batch student two_student_widths"]
    teacher_bigrams: Float[Tensor, "batch teacher two_teacher_widths"]
    teacher_targets: Float[Tensor, "batch teacher teacher_width"]
    teacher_states: Float[Tensor, "batch teacher teacher_width"]
    labels: Int[Tensor, "batch student"]
    student_mask: Bool[Tensor, "batch student"]
    teacher_mask: Bool[Tensor, "batch teacher"]


def make_batch(inputs: PretrainInputs, rows: Sequence[int]) -> Batch:
    """Gather and pad the given examples."""
    student_inputs, labels, student_mask = _pad([inputs.student[row] for row in rows])
    teacher_inputs, teacher_labels, teacher_mask = _pad([inputs.teacher[row] for row in rows])
    states = torch.zeros((*teacher_labels.shape, inputs.teacher_table.shape[1]))
    for number, row in enumerate(rows):
        state = torch.from_numpy(np.array(inputs.states.of(row)))
        states[number, : len(state)] = state
    targets = inputs.teacher_table[teacher_labels]
    return Batch(
        student_bigrams=bigrams(inputs.student_table[student_inputs], inputs.student_table[labels]),
        teacher_bigrams=bigrams(inputs.teacher_table[teacher_inputs], targets),
        teacher_targets=targets,
        teacher_states=states,
        labels=labels,
        student_mask=student_mask,
        teacher_mask=teacher_mask,
    )


def _pad(examples: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(example.targets) for example in examples)
    inputs = torch.zeros((len(examples), longest), dtype=torch.long)
    targets = torch.zeros_like(inputs)
    mask = torch.zeros_like(inputs, dtype=torch.bool)
    for row, example in enumerate(examples):
        inputs[row, : len(example.inputs)] = torch.from_numpy(example.inputs)
        targets[row, : len(example.targets)] = torch.from_numpy(example.targets)
        mask[row, : len(example.targets)] = True
    return inputs, targets, mask


def t2s_loss(
    projectors: Projectors, batch: Batch, head: Tensor, scales: Scales
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Mean t2s cross-entropy in nats per student target, and the number of targets that the argmax hits."""
    if scales.hidden is None or scales.target is None:
        raise TrainingError(
            Problem("scales", "hidden and target scales", "none", "Estimate them on the training set first.")
        )
    logits = attention_logits(projectors[QUERY], batch.student_bigrams, batch.teacher_bigrams, key_scale=scales.key)
    attention = cross_model_attention(logits, student_mask=batch.student_mask, teacher_mask=batch.teacher_mask)
    state = batch.teacher_states / scales.hidden + batch.teacher_targets / scales.target
    mixed = attention.over_teacher @ project(projectors[T2S], state)
    total, hits = head_cross_entropy(mixed[batch.student_mask], head, batch.labels[batch.student_mask])
    return total / batch.student_mask.sum(), hits


def pretrain(inputs: PretrainInputs, settings: PretrainSettings, directory: Path) -> Projectors:
    """Train, logging to ``log.jsonl`` and saving ``state.pt`` in ``directory``; goes on where a killed run stopped.

    Raises:
        TrainingError: the loss is not finite, or the state in the directory belongs to other settings.
    """
    projectors = Projectors(
        {name: STRUCTURES[name] for name in (QUERY, T2S)},
        student=inputs.student_table.shape[1],
        teacher=inputs.teacher_table.shape[1],
        seed=settings.seed,
    )
    optimizer = torch.optim.AdamW(projectors.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warmup_cosine(step, settings))
    done = _resume(directory / STATE, settings, projectors, optimizer, schedule)
    order = batches([len(e.targets) for e in inputs.student], settings.batch_size, settings.seed)
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("Projectors", total=settings.steps, completed=done)
        for step, rows in order:
            if step < done:
                continue
            if step == settings.steps:
                break
            began = time.perf_counter()
            batch = make_batch(inputs, rows)
            loss, hits = t2s_loss(projectors, batch, inputs.head, inputs.scales)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(Problem(f"step {step}", "a finite loss", str(value), "Lower the learning rate."))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(projectors.parameters(), settings.clip)
            optimizer.step()
            schedule.step()
            _log(directory / LOG, step, value, int(hits), int(batch.student_mask.sum()), began)
            if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
                _save(directory / STATE, step + 1, settings, projectors, optimizer, schedule)
            progress.update(task, advance=1, description=f"Projectors, t2s cross-entropy {value:.2f}")
    return projectors


def _warmup_cosine(step: int, settings: PretrainSettings) -> float:
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def _log(file: Path, step: int, loss: float, hits: int, targets: int, began: float) -> None:
    row = {"step": step, "t2s_ce": round(loss, 4), "t2s_accuracy": round(hits / targets, 4), "targets": targets}
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps({**row, "seconds": round(time.perf_counter() - began, 3)}) + "\n")


def _save(
    path: Path,
    step: int,
    settings: PretrainSettings,
    projectors: Projectors,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> None:
    state = {
        "step": step,
        "settings": asdict(settings),
        "projectors": projectors.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    with replacing_file(path) as temporary:
        torch.save(state, temporary)


def _resume(
    path: Path,
    settings: PretrainSettings,
    projectors: Projectors,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> int:
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != asdict(settings):
        raise TrainingError(
            Problem(
                str(path),
                f"a run with {asdict(settings)}",
                f"one with {state['settings']}",
                "Give the settings of that run to go on with it, or name an empty directory.",
            )
        )
    projectors.load_state_dict(state["projectors"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    _drop_log_rows_from(path.with_name(LOG), state["step"])
    return int(state["step"])


def _drop_log_rows_from(log: Path, step: int) -> None:
    """Forget what was logged after the state was saved: those steps will run again."""
    rows = log.read_text(encoding="utf-8").splitlines(keepends=True)
    with replacing_file(log) as temporary:
        temporary.write_text("".join(row for row in rows if json.loads(row)["step"] < step), encoding="utf-8")
