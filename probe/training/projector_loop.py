"""The loop in which projectors learn alone: the two models stay as they are.

AdamW with a rate that rises at first and then falls by a cosine, gradients clipped by their norm.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from rich.progress import Progress as Bar
from torch import Tensor

from probe.errors import Problem, TrainingError
from probe.training.criteria.projectors import Projectors
from probe.training.progress import Progress

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What such a training depends on, beside models, data and loss."""

    steps: int
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    clip: float = 1.0
    seed: int = 10
    save_every: int = 100

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.save_every) < 1 or self.learning_rate <= 0:
            got = f"steps {self.steps}, batch size {self.batch_size}, learning rate {self.learning_rate:g}"
            raise TrainingError(Problem("settings", "numbers above 0", got, "Raise what is not."))


class Loss(NamedTuple):
    """The loss of a step, and what the log says of it."""

    value: Float[Tensor, ""]
    figures: Mapping[str, float]


def optimise(
    projectors: Projectors,
    batches: Iterator[Batch],
    loss_of: Callable[[Batch], Loss],
    settings: LoopSettings,
    progress: Progress,
    *,
    every: int,
    title: str,
) -> Iterator[int]:
    """Train the projectors, and pause before the first step, after every so many, and after the last.

    Log and state are left with ``progress``; what a killed run saved is gone on with. Batch n is always that of step n.

    Yields:
        Steps taken.

    Raises:
        TrainingError: the loss is not finite, or the saved state belongs to other settings.
    """
    optimizer = torch.optim.AdamW(projectors.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warmup_cosine(step, settings))
    parts = {"projectors": projectors, "optimizer": optimizer, "schedule": schedule}
    done = progress.resume(**parts)
    yield done
    with Bar(disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("Projectors", total=settings.steps, completed=done)
        for step, batch in enumerate(islice(batches, done, settings.steps), start=done):
            began = time.perf_counter()
            loss, figures = loss_of(batch)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(Problem(f"step {step}", "a finite loss", str(value), "Lower the learning rate."))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(projectors.parameters(), settings.clip)
            optimizer.step()
            schedule.step()
            progress.log(step, figures, began)
            is_last = step + 1 == settings.steps
            if (step + 1) % settings.save_every == 0 or is_last:
                progress.save(step + 1, **parts)
            bar.update(task, advance=1, description=f"Projectors, {title} {value:.2f}")
            if (step + 1) % every == 0 or is_last:
                yield step + 1


def _warmup_cosine(step: int, settings: LoopSettings) -> float:
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
