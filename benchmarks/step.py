"""One cross-model step: ours against the published one, written plainly, in one run under one allocator.

Each variant takes its steps in a process of its own, the same batch and weights in all. Projectors are first trained
for a few steps on the batch, so that the t2s argmax hits and no term is empty. Losses are checked to be equal. Last,
each term stands beside plain matrix products of its shapes (`step_terms`). Ratios are of time by the clock; processor
seconds stand beside it, which other work on the machine stretches less. Both are medians of three steps, or of two if
those take long.

    python benchmarks/step.py [--threads 2] [--steps 3]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from published_step import PADDED, PaddedBatch, make_batch, models, published_loss
from step_terms import Term, measure, table, terms

from probe.training.criteria.criterion import Criterion
from probe.training.criteria.logits import Workspace
from probe.training.criteria.published import batch_scales
from probe.training.criteria.settings import Objective
from probe.training.criteria.step import Side
from probe.training.criteria.teacher_space import expectations, teacher_space_losses
from probe.training.criteria.views import Positions, Tokens, View, frozen_view, padded_positions, view

VARIANTS = ("published", "online", "cached", "bfloat16", "student alone", "s2t online", "s2t cached", "terms")
"""``bfloat16``: as cached, with the frozen teacher's head in that precision, whether this machine has it or not."""
AIMS = {"online": "15", "cached": "24", "bfloat16": "32"}
"""How many times as fast as published."""
WARM_UP = 25
ENOUGH_SECONDS = 50
"""After so many, no further step is timed: a long one varies less, and a few of the longest take minutes."""


def lean_positions(batch: PaddedBatch, side: str) -> Positions:
    """Response positions of the padded batch, without its padding to a fixed length."""
    prefix = "" if side == "student" else "teacher_"
    ids, mask, labels = (getattr(batch, prefix + name) for name in ("input_ids", "attention_mask", "labels"))
    length = int(mask.sum(1).max())
    padded = padded_positions(ids[:, :length], mask[:, :length], labels[:, :length])
    counts = padded.mask.sum(1)
    where = ids.new_zeros((len(ids), int(counts.max())))
    present = torch.arange(where.shape[1], device=ids.device) < counts[:, None]
    where[present] = padded.where[padded.mask]
    inputs, targets = (values.gather(1, where) * present for values in (padded.inputs, padded.targets))
    return padded._replace(where=where, inputs=inputs, targets=targets, mask=present)


def criterion_of(projectors: Any, teacher: Any, batch: PaddedBatch, widths: tuple[int, int]) -> Criterion:
    """Ours, with the same projectors and with the scales of the padded batch as constants."""
    padded = padded_positions(batch.teacher_input_ids, batch.teacher_attention_mask, batch.teacher_labels)
    scales = batch_scales(frozen_view(teacher, padded))
    criterion = Criterion(Objective("cma"), student=widths[0], teacher=widths[1], seed=0, scales=scales)
    with torch.no_grad():
        for name in ("query", "t2s", "s2t"):
            for key, tensor in criterion.projectors[name].tensors.items():
                tensor.copy_(projectors[name].state_dict()[key.removeprefix("0.")])
    return criterion.to(batch.input_ids.device)


def steps(variant: str, count: int, weights: Path | None) -> dict[str, Any]:
    """Seconds of at most so many steps after a first one that warms up, the peak, and the loss."""
    student, teacher, projectors = models()
    if weights is not None:
        projectors.load_state_dict(torch.load(weights, weights_only=True))
    batch = make_batch()
    if variant == "terms":
        return measure(parts_of_step(student, teacher, projectors, batch))
    result: dict[str, Any] = {"times": [], "cpu": []}
    step = (
        published(student, teacher, projectors, batch)
        if variant == "published"
        else lean(variant, student, teacher, projectors, batch)
    )
    for number in range(count + 1):
        began, used = time.perf_counter(), time.process_time()
        result |= step()
        if number:
            result["times"].append(time.perf_counter() - began)
            result["cpu"].append(time.process_time() - used)
        student.zero_grad(set_to_none=True)
        if sum(result["times"]) > ENOUGH_SECONDS:
            break
    result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def published(student: Any, teacher: Any, projectors: Any, batch: PaddedBatch) -> Any:
    """A step of the plain implementation."""

    def step() -> dict[str, float]:
        losses = published_loss(student, teacher, projectors, batch)
        losses["loss"].backward()
        projectors.zero_grad(set_to_none=True)
        return {name: value.item() for name, value in losses.items()}

    return step


def lean(variant: str, student: Any, teacher: Any, projectors: Any, batch: PaddedBatch) -> Any:
    """A step of ours, or of a part of it."""
    sides = lean_positions(batch, "student"), lean_positions(batch, "teacher")
    widths = student.config.n_embd, teacher.config.hidden_size
    criterion = criterion_of(projectors, teacher, batch, widths)
    cached = frozen_view(teacher, sides[1])
    if variant == "bfloat16":
        cached = cached._replace(head=cached.head.bfloat16())
    expected = expectations(cached.flat_states, cached.head, criterion.objective.temperature, Workspace())
    alone = Criterion(Objective("sft"), student=widths[0], teacher=widths[1], seed=0)
    mixed = torch.randn_like(cached.flat_states).requires_grad_()
    del projectors

    def step() -> dict[str, float]:
        if variant.startswith("s2t"):
            given = expected if variant == "s2t cached" else None
            part = teacher_space_losses(
                mixed, cached.flat_states, cached.head, cached.targets, 2.0, criterion.workspace, given
            )
            part.divergence.backward()
            return {}
        own = view(student, sides[0])
        if variant == "student alone":
            found = alone(own)
        elif variant == "online":
            found = criterion(own, Side(frozen_view(teacher, sides[1])))
        else:
            found = criterion(own, Side(cached, expected=expected))
        found.loss.backward()
        criterion.zero_grad(set_to_none=True)
        return {name: value.item() for name, value in found.log.items()}

    return step


def parts_of_step(student: Any, teacher: Any, projectors: Any, batch: PaddedBatch) -> dict[str, Term]:
    """The terms of a step of ours."""
    sides = lean_positions(batch, "student"), lean_positions(batch, "teacher")
    criterion = criterion_of(projectors, teacher, batch, (student.config.n_embd, teacher.config.hidden_size))
    cached = frozen_view(teacher, sides[1])
    expected = expectations(cached.flat_states, cached.head, criterion.objective.temperature, criterion.workspace)
    return terms(student, sides, criterion, Side(cached, expected=expected))


def train_projectors(path: Path) -> None:
    """A few steps on the batch, so that the t2s argmax hits."""
    student, teacher, projectors = models()
    batch = make_batch()
    sides = lean_positions(batch, "student"), lean_positions(batch, "teacher")
    criterion = criterion_of(projectors, teacher, batch, (student.config.n_embd, teacher.config.hidden_size))
    with torch.no_grad():
        own, side = view(student, sides[0]), Side(frozen_view(teacher, sides[1]))
    optimizer = torch.optim.Adam(criterion.parameters(), lr=1e-2)
    for _ in range(WARM_UP):
        optimizer.zero_grad()
        criterion(View(Tokens(*own.tokens), own.states, own.head.detach()), side).loss.backward()
        optimizer.step()
    trained = {
        f"{name}.{key.removeprefix('0.')}": tensor.detach().clone()
        for name in ("query", "t2s", "s2t")
        for key, tensor in criterion.projectors[name].tensors.items()
    }
    torch.save(trained, path)


def main() -> None:
    """Run every variant and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.child:
        variant, weights = arguments.child
        print(json.dumps(steps(variant, arguments.steps, Path(weights))))
        return
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "projectors.pt"
        train_projectors(weights)
        for variant in arguments.variants:
            command = [sys.executable, __file__, "--threads", str(arguments.threads), "--steps", str(arguments.steps)]
            done = subprocess.run(
                [*command, "--child", variant, str(weights)], capture_output=True, text=True, check=True
            )
            found[variant] = json.loads(done.stdout)
            if variant != "terms":
                result = found[variant]
                seconds, cpu = (statistics.median(result[key]) for key in ("times", "cpu"))
                print(f"{variant:14} {seconds:7.2f} s  cpu {cpu:6.2f} s  {result['peak']:8.0f} MB", flush=True)
    broken_down = found.pop("terms", None)
    report(found)
    if broken_down is not None:
        print(table(broken_down))


def report(found: dict[str, dict[str, Any]]) -> None:
    """Ratios, and whether the losses agree."""
    seconds = {variant: statistics.median(result["times"]) for variant, result in found.items()}
    for variant in ("online", "cached", "bfloat16"):
        if "published" in found and variant in found:
            theirs, ours = found["published"], found[variant]
            print(
                f"training step, {variant}, published over ours: {seconds['published'] / seconds[variant]:.1f}", end=""
            )
            print(f"; aim {AIMS[variant]}")
            print(
                f"training step, {variant}, peak memory of published: 1/{theirs['peak'] / ours['peak']:.1f}; aim 1/10"
            )
            worst = max(abs(ours[k] - v) / max(abs(v), 1e-6) for k, v in theirs.items() if k in ours and "_" in k)
            print(
                f"  loss {ours['loss']:.6f} and {theirs['loss']:.6f}, largest relative difference {worst:.1e}", end=""
            )
            print(f", t2s accuracy {ours['t2s_acc']:.2f}, padded to {PADDED}")
        if variant in found and {"student alone", f"s2t {variant}"} <= found.keys():
            print(
                f"  {variant}: {seconds[variant] / seconds['student alone']:.1f} times the student's own step", end=", "
            )
            print(f"s2t takes {seconds[f's2t {variant}'] / seconds[variant]:.0%}")


if __name__ == "__main__":
    main()
