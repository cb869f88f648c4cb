"""Training on a graphics card: our step beside the published one, gradients against the processor's, and a resume.

    python benchmarks/gpu.py [--steps 10]

Models have the sizes of GPT-2 and Qwen1.5-1.8B and random weights. Each step is forward and backward, in float32 and
under bfloat16 autocast with the teacher in bfloat16:

published    as `published_step.py` writes it
online       ours, the teacher runs in every step
cached       ours, the teacher ran once and is gone from the card
one order    as cached, all sums in one order, as `probe-train` has them on a card

Tokens are the student's targets. The share of the peak is the arithmetic that a step does over its time, against the
speed of one plain product of large matrices in that precision, measured here as well. Gradients are compared at the
sizes of `published_step.py`. The resume is one of `probe-train demo`: four steps at once against two and two, bit by
bit. Exit code 1 if gradients or bits differ, 2 without a card.

``--device cpu`` runs all of it at toy size, to see that it runs; its figures mean nothing.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from published_step import IGNORED, PADDED, STUDENT, TEACHER, PaddedBatch, make_batch, models
from safetensors.torch import load_file
from step import lean, published
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, Qwen2Config

VARIANTS = ("published", "online", "cached", "one order")
PRECISIONS = (torch.float32, torch.bfloat16)
WARM_UP = 2
AIM = 1e-4
"""Largest difference of a gradient, as a share of the largest number in its tensor."""
SIDE = {"cuda": 8192, "cpu": 256}
"""Of the square matrices that are multiplied."""
ROWS = [
    {"prompt": f"Name {n}.\n", "output": f"The name of number {n} is not known; read the file, line {n}."}
    for n in range(8)
]


class Pair(NamedTuple):
    """What student and teacher are made of."""

    student: GPT2Config
    teacher: Qwen2Config


class Cost(NamedTuple):
    """Of one step."""

    seconds: float
    peak: int | None
    """Bytes; None where there is no card to ask."""
    operations: int
    """Of matrix products, additions and multiplications."""


def changed(student: dict[str, int], teacher: dict[str, int]) -> Pair:
    """The pair of `published_step`, with other sizes."""
    return Pair(GPT2Config(**STUDENT.to_dict() | student), Qwen2Config(**TEACHER.to_dict() | teacher))


PAPER = changed(
    {"n_embd": 768, "n_layer": 12, "n_head": 12},
    {"hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 24, "num_attention_heads": 16}
    | {"num_key_value_heads": 16, "layer_types": None, "max_window_layers": 24},
)
TOY = changed(
    {"vocab_size": 300, "n_embd": 16, "n_layer": 1, "n_head": 2},
    {"vocab_size": 500, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    | {"layer_types": None},
)


def batch_for(pair: Pair, device: torch.device) -> PaddedBatch:
    """The batch of `published_step` on a device."""
    batch = make_batch(pair.student.vocab_size, pair.teacher.vocab_size)
    return PaddedBatch(*(None if one is None else one.to(device) for one in batch))


def wait(device: torch.device) -> None:
    """A card answers before it has computed."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(run: Callable[[], Any], times: int, device: torch.device) -> float:
    """Median seconds, after some runs that warm up."""
    seconds: list[float] = []
    for _ in range(WARM_UP + times):
        wait(device)
        began = time.perf_counter()
        run()
        wait(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[WARM_UP:])


def plain_speed(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of one product of square matrices."""
    side = SIDE[device.type]
    first, second, out = (torch.ones((side, side), dtype=dtype, device=device) for _ in range(3))
    return 2 * side**3 / timed(lambda: torch.mm(first, second, out=out), 10, device)


def a_step(variant: str, pair: Pair, dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], Any], Any]:
    """What takes a step, and the student, which has the gradients then."""
    student, teacher, projectors = models(*pair)
    student, teacher, projectors = student.to(device), teacher.to(device, dtype), projectors.to(device)
    batch = batch_for(pair, device)
    if variant == "published":
        step = published(student, teacher, projectors, batch)
    else:
        step = lean("online" if variant == "online" else "cached", student, teacher, projectors, batch)
    if variant not in ("published", "online"):
        teacher.cpu()

    def run() -> dict[str, float]:
        student.zero_grad(set_to_none=True)
        context: AbstractContextManager[Any] = nullcontext()
        if dtype != torch.float32:
            context = torch.autocast(device.type, dtype=dtype)
        with context:
            return step()

    return run, student


def added_product(total: Any, first: tuple[int, int], second: tuple[int, int], **_: Any) -> int:
    """Operations of a product that is added in place, from shapes; torch's counter does not know it."""
    return 2 * first[0] * first[1] * second[1]


def cost(variant: str, pair: Pair, dtype: torch.dtype, device: torch.device, times: int) -> Cost:
    """Time, memory and arithmetic of a step."""
    torch.use_deterministic_algorithms(variant == "one order")
    run, _ = a_step(variant, pair, dtype, device)
    peak = None
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = timed(run, times, device)
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added_product}) as counter:
        run()
    torch.use_deterministic_algorithms(False)
    return Cost(seconds, peak, counter.get_total_flops())


def print_costs(pair: Pair, device: torch.device, times: int) -> None:
    """A line for each precision and variant."""
    targets = int((batch_for(pair, device).labels != IGNORED).sum())
    print(f"{targets} targets of the student in 4 rows, padded to {PADDED} by the published step")
    print(f"{'':22}{'time':>11}{'peak':>12}{'tokens':>11}{'of the':>9}{'times as fast':>16}")
    print(f"{'':22}{'ms':>11}{'GB':>12}{'per s':>11}{'peak':>9}{'as published':>16}")
    for dtype in PRECISIONS:
        speed, name = plain_speed(dtype, device), str(dtype).removeprefix("torch.")
        print(f"{name}, {speed / 1e12:.3g} TFLOP/s in a plain product")
        first: float | None = None
        for variant in VARIANTS:
            found = cost(variant, pair, dtype, device, times)
            first = first or found.seconds
            memory = "–" if found.peak is None else f"{found.peak / 1e9:.2f}"
            share = found.operations / found.seconds / speed
            figures = f"{1e3 * found.seconds:11.2f}{memory:>12}{targets / found.seconds:11.0f}{share:9.1%}"
            print(f"  {variant:20}{figures}{first / found.seconds:16.1f}", flush=True)


def gradients(pair: Pair, device: torch.device) -> dict[str, torch.Tensor]:
    """Of the student, after an online step in float32."""
    run, student = a_step("online", pair, torch.float32, device)
    run()
    return {name: one.grad.cpu() for name, one in student.named_parameters() if one.grad is not None}


def gradients_agree(pair: Pair, device: torch.device) -> bool:
    """Compare them with the processor's."""
    here, there = gradients(pair, torch.device("cpu")), gradients(pair, device)
    apart = {name: float((there[name] - one).abs().max() / one.abs().max()) for name, one in here.items()}
    worst = max(apart, key=apart.__getitem__)
    print(f"gradients against the processor's, float32: {apart[worst]:.1e} at most, of {worst}; aim {AIM:.0e}")
    return apart.keys() == there.keys() and apart[worst] <= AIM


def resume_agrees(precision: str, device: torch.device, scratch: Path) -> bool:
    """Train four steps of the demo at once, and two more from the checkpoint of the second."""
    rows, whole, again = scratch / "rows.jsonl", scratch / f"{precision}-whole", scratch / f"{precision}-again"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    train(rows, whole, precision, device)
    again.mkdir()
    shutil.copy(whole / "recipe.json", again)
    shutil.copytree(whole / "checkpoint-2", again / "checkpoint-2")
    train(rows, again, precision, device)
    ours, theirs = weights(whole / "checkpoint-4"), weights(again / "checkpoint-4")
    differ = [name for name, one in ours.items() if not torch.equal(one, theirs[name])]
    told = f"{len(differ)} of {len(ours)} tensors differ" if differ else "the same bits"
    print(f"resumed at step 2 of 4, {precision}: {told}", flush=True)
    return not differ


def train(rows: Path, out: Path, precision: str, device: torch.device) -> None:
    """Run ``probe-train demo`` on a few rows, in a process of its own."""
    settings = [f"data.source={rows}", "data.held_out=0", f"training.precision={precision}", "training.steps=4"]
    settings += ["training.batch_size=4", "training.save_every=2", "training.keep_last=2"]
    command = [sys.executable, "-m", "probe.cli.train", "demo", *settings, "--out", str(out)]
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device.type == "cpu" else {}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | hidden)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint."""
    files = sorted(checkpoint.rglob("*.safetensors"))
    return {f"{file.relative_to(checkpoint)}: {key}": one for file in files for key, one in load_file(file).items()}


def main() -> int:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(SIDE), default="cuda")
    parser.add_argument("--steps", type=int, default=10, help="that are timed; default %(default)s")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: torch sees no CUDA device; --device cpu runs all of it at toy size", file=sys.stderr)
        return 2
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for sums in one order; read before the first product
    device = torch.device(arguments.device)
    on_card = device.type == "cuda"
    print(f"{torch.cuda.get_device_name() if on_card else 'processor, toy size'}, torch {torch.__version__}")
    print_costs(PAPER if on_card else TOY, device, arguments.steps)
    agree = [gradients_agree(Pair(STUDENT, TEACHER) if on_card else TOY, device)]
    with tempfile.TemporaryDirectory() as scratch:
        agree += [resume_agrees(precision, device, Path(scratch)) for precision in ("float32", "bfloat16")]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
