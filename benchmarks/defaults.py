"""What each default that differs from the published code changes, on the bundled demo.

For every difference: how far loss and gradient of single batches move (relative L2 over student and projectors), and
what a short training from the same start comes to: the student's loss on held-out rows, and how much of the attention
lies on the chunk of the target. Trainings are repeated over seeds of the order of rows and of all that is drawn.

    python benchmarks/defaults.py [--steps 200] [--seeds 3] [--batches 10]
"""

import argparse
import math
import random
import statistics
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from probe.checkpoints.checkpoint import Checkpoint, load_checkpoint
from probe.models.sources import bundled_dir
from probe.models.tokenizer import Tokenizer
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.links import Response, chunk_links, place_links
from probe.training.criteria.published import batch_scales
from probe.training.criteria.settings import ChunkSide, Objective
from probe.training.criteria.step import Side
from probe.training.criteria.views import View, frozen_view, pad_as_published, response_positions, view
from probe.training.data.docstrings import docstring_examples
from probe.training.examples import Encoded, batches, tokenize

HELD_OUT, BATCH, LENGTH = 100, 8, 256
LEARNING_RATE, PROJECTOR_RATE = 5e-4, 1e-3


class Variant(NamedTuple):
    """An objective, and how batches are made for it."""

    objective: Objective
    scales: str = "constant"
    """``constant``, or ``batch``: of the batch padded to `LENGTH`."""
    chunk_side: ChunkSide = "target"
    padded: bool = False
    """Views of all positions of the padded batch."""


class Difference(NamedTuple):
    """A default, and what the published code does instead."""

    name: str
    ours: Variant
    theirs: Variant


def differences() -> list[Difference]:
    """All that the demo can show."""
    cma = Variant(Objective("cma"))
    matching = Variant(Objective("cma-ga"))
    adaptive = Objective("cma", divergence="adaptive_kl")
    found = [
        Difference("cma: constant scales / of each batch", cma, cma._replace(scales="batch")),
        Difference(
            "cma: all of the defaults / reference", cma, Variant(Objective("cma", reference=True), "batch", padded=True)
        ),
        Difference("adaptive KL: T / T twice", Variant(adaptive), Variant(replace(adaptive, reference=True))),
    ]
    for method in ("cla", "clp"):
        by_target = Variant(Objective(method))
        found.append(
            Difference(f"{method}: chunks of targets / of inputs", by_target, by_target._replace(chunk_side="input"))
        )
    released = Objective("cma-ga", critic="released", reference=True)
    found.append(Difference("cma-ga: trained critic / released", matching, Variant(released, "batch", padded=True)))
    controls = (Objective("cma-ga", kq_rate=0.0), Objective("cma-ga", critic="norm-only"))
    for name, control in zip(("kq_rate 0", "norm-only"), controls, strict=True):
        found.append(Difference(f"cma-ga: trained critic / {name} (control)", matching, Variant(control)))
    return found


class Demo:
    """The bundled models, tokenised rows, and everything a step needs."""

    def __init__(self) -> None:
        self.directory = bundled_dir() / "demo"
        self.checkpoint: Checkpoint = load_checkpoint(self.directory)
        self.tokenizers = [Tokenizer.load(self.directory / side) for side in ("student", "teacher")]
        self.teacher: Any = self._model("teacher").eval().requires_grad_(False)
        rows = docstring_examples()
        random.Random(10).shuffle(rows)
        self.rows = rows
        self.encoded = [[tokenize(row, tokenizer) for row in rows] for tokenizer in self.tokenizers]

    def _model(self, side: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.directory / side, dtype=torch.float32)

    def student(self) -> Any:
        """The student as shipped."""
        return self._model("student").train()

    def criterion(self, variant: Variant, seed: int) -> Criterion:
        """With the shipped query and t2s."""
        widths = self.checkpoint.student.width, self.checkpoint.teacher.width
        torch.manual_seed(seed)
        criterion = Criterion(
            variant.objective, student=widths[0], teacher=widths[1], seed=seed, scales=self.checkpoint.scales
        )
        with torch.no_grad():
            for name, projector in self.checkpoint.projectors.items():
                if name in criterion.projectors.structures:
                    for key, tensor in criterion.projectors[name].tensors.items():
                        tensor.copy_(torch.from_numpy(projector.tensors[key]))
        return criterion

    def sides(self, student: Any, rows: list[int], variant: Variant, criterion: Criterion) -> tuple[View, Side]:
        """Both views of a batch; the batch's own scales are put into the criterion where the variant wants them."""
        examples = [[encoded[row] for row in rows] for encoded in self.encoded]
        padded = [
            pad_as_published(part, length=LENGTH, pad_id=tokenizer.eos_id)
            for part, tokenizer in zip(examples, self.tokenizers, strict=True)
        ]
        if variant.scales == "batch":
            criterion.scales = batch_scales(frozen_view(self.teacher, padded[1]))
        positions = padded if variant.padded else [response_positions(part) for part in examples]
        masks = [each.mask for each in positions]
        links = None if variant.padded else place_links(self._links(rows, examples, variant.chunk_side), *masks)
        return view(student, positions[0]), Side(frozen_view(self.teacher, positions[1]), links)

    def _links(self, rows: list[int], examples: list[list[Encoded]], side: ChunkSide) -> list[np.ndarray]:
        return [
            chunk_links(
                *(
                    Response(tokenizer.tokenize(self.rows[row].output), len(part[number].targets))
                    for tokenizer, part in zip(self.tokenizers, examples, strict=True)
                ),
                side,
            )
            for number, row in enumerate(rows)
        ]

    def batches(self, seed: int, count: int) -> list[list[int]]:
        """The first batches of training rows."""
        lengths = [len(example.ids) for example in self.encoded[0][HELD_OUT:]]
        return [[row + HELD_OUT for row in rows] for _, rows in islice(batches(lengths, BATCH, seed), count)]


def loss_and_gradient(demo: Demo, variant: Variant, rows: list[int]) -> tuple[float, Tensor]:
    """Of one batch, at the shipped weights."""
    student, criterion = demo.student(), demo.criterion(variant, seed=0)
    criterion.eval()
    terms = criterion(*demo.sides(student, rows, variant, criterion))
    terms.loss.backward()
    parameters = [*student.parameters(), *criterion.projectors.parameters()]
    return terms.loss.item(), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


class Outcome(NamedTuple):
    """Of a short training, on held-out rows."""

    nll: float
    chunk_mass: float


def train(demo: Demo, variant: Variant, steps: int, seed: int) -> Outcome:
    """Train student and projectors, then look at the held-out rows with the defaults."""
    student, criterion = demo.student(), demo.criterion(variant, seed)
    groups = [
        {"params": list(student.parameters()), "lr": LEARNING_RATE},
        {"params": list(criterion.projectors.parameters()), "lr": PROJECTOR_RATE},
        {"params": criterion.trained_networks, "lr": PROJECTOR_RATE},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.01)
    trained = [p for group in groups[:2] for p in group["params"]]
    for rows in demo.batches(seed, steps):
        optimizer.zero_grad()
        criterion(*demo.sides(student, rows, variant, criterion)).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        if criterion.trained_networks:
            torch.nn.utils.clip_grad_norm_(criterion.trained_networks, 1.0)
        optimizer.step()
    return evaluate(demo, student, criterion)


def evaluate(demo: Demo, student: Any, criterion: Criterion) -> Outcome:
    """Mean over held-out targets; A is looked at through the constant scales and without links."""
    student.eval()
    criterion.eval()
    judge = Criterion(Objective("cma"), student=criterion_width(student), teacher=demo.checkpoint.teacher.width, seed=0)
    judge.scales = demo.checkpoint.scales
    has_query = "query" in criterion.projectors.structures
    judge.projectors.load_state_dict(criterion.projectors.state_dict(), strict=False)
    nll = mass = count = 0.0
    with torch.no_grad():
        for begin in range(0, HELD_OUT, BATCH):
            rows = list(range(begin, min(begin + BATCH, HELD_OUT)))
            own, side = demo.sides(student, rows, Variant(judge.objective), judge)
            terms = judge(own, side)
            targets = float(own.tokens.mask.sum())
            nll += terms.log["nll_loss"].item() * targets
            on_chunk = (terms.attention.over_teacher * side.links).sum(-1)[own.tokens.mask]
            mass += on_chunk.sum().item()
            count += targets
    return Outcome(nll / count, mass / count if has_query else float("nan"))


def criterion_width(student: Any) -> int:
    """Width of the student."""
    return student.config.hidden_size


def main() -> None:
    """Print one row for each difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    demo = Demo()
    trained: dict[Variant, list[Outcome]] = {}
    print("| ours / theirs | loss | gradient | held-out nats, ours / theirs | mass on the chunk, ours / theirs |")
    print("|---|---:|---:|---:|---:|")
    for name, ours, theirs in differences():
        losses, gradients = [], []
        for rows in demo.batches(0, arguments.batches):
            (loss, gradient), (other_loss, other) = (loss_and_gradient(demo, v, rows) for v in (ours, theirs))
            losses.append(abs(loss - other_loss) / abs(other_loss))
            gradients.append(((gradient - other).norm() / other.norm()).item())
        for variant in (ours, theirs):
            if variant not in trained:
                trained[variant] = [train(demo, variant, arguments.steps, seed) for seed in range(arguments.seeds)]
        cells = [
            " / ".join(spread([getattr(outcome, key) for outcome in trained[variant]]) for variant in (ours, theirs))
            for key in ("nll", "chunk_mass")
        ]
        effect = f"{statistics.mean(losses):.1%} | {statistics.mean(gradients):.1%}"
        print(f"| {name} | {effect} | {cells[0]} | {cells[1]} |", flush=True)
    print(f"\n{arguments.steps} steps of {BATCH} rows, {arguments.seeds} seeds (mean ± deviation over them)")


def spread(values: list[float]) -> str:
    """Mean and deviation; a dash where there is nothing to measure."""
    if any(math.isnan(value) for value in values):
        return "–"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {deviation:.3f}"


if __name__ == "__main__":
    main()
