"""What the trainer adds to a step: the same batches through a plain loop and through the trainer, in one process.

The plain loop makes the batch, runs criterion and backward pass, clips and steps AdamW. Both see the same rows.

    python benchmarks/trainer_overhead.py demo training.steps=40
"""

import argparse
import statistics
import tempfile
import time
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from probe.training.criteria.views import Counts
from probe.training.recipe import read_recipe
from probe.training.terminal import quiet_transformers
from probe.training.trainer import run
from probe.training.trainer.batches import Collate, GlobalBatches
from probe.training.trainer.setup import Prepared, prepare
from probe.training.trainer.trainer import parameter_groups


class Clock(TrainerCallback):
    """Seconds of each step, and no checkpoint."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the time."""
        self.times.append(time.perf_counter())
        control.should_save = False


def plain_loop(prepared: Prepared, steps: int) -> list[float]:
    """Times at which steps ended."""
    part = prepared.recipe.training
    lengths = [len(example.ids) for example in prepared.train.student]
    sampler = GlobalBatches(lengths, part.batch_size, prepared.recipe.seed)
    collate, distiller = Collate(prepared.train), prepared.distiller.train()
    optimizer = torch.optim.AdamW(parameter_groups(distiller, part))
    rows = iter(sampler)
    times: list[float] = []
    for _ in range(steps):
        numbers = list(islice(rows, part.batch_size))
        micro = part.micro_batch_size or part.batch_size
        batches = [collate(numbers[i : i + micro]) for i in range(0, len(numbers), micro)]
        counts = Counts(*(sum(int(b[f"{side}_mask"].sum()) for b in batches) for side in ("student", "teacher")))
        for batch in batches:
            distiller(batch, counts)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(distiller.parameters(), part.clip)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter())
    return times


def gaps(times: list[float]) -> list[float]:
    """Durations after the first step, which warms up."""
    return [after - before for before, after in pairwise(times)]


def main() -> None:
    """Run both and print the ratio, median of steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    quiet_transformers()
    recipe = read_recipe(arguments.recipe, arguments.settings)
    steps = recipe.training.steps or 20
    plain_loop(prepare(recipe), steps)  # reads the caches that both then find in memory
    plain = gaps(plain_loop(prepare(recipe), steps))
    with tempfile.TemporaryDirectory() as scratch:
        clock = Clock()
        trainer = run.trainer_of(prepare(recipe), run.training_arguments(recipe, Path(scratch)))
        trainer.add_callback(clock)
        trainer.train()
    ours = gaps(clock.times)
    for name, times in (("plain loop", plain), ("trainer", ours)):
        print(f"{name:10} {statistics.median(times):.3f} s a step, total of {len(times)} steps {sum(times):.1f} s")
    print(f"the trainer takes {sum(ours) / sum(plain):.3f} times as long")


if __name__ == "__main__":
    main()
