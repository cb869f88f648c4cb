"""Attention for one gold sentence of the real pair against a forward pass of both models, and the published path.

    python benchmarks/attention_cost.py [--row sg-003]

The published path pads both models to 512 positions and computes all logits. Everything is float32 on the CPU. What is
held against the models includes reading the embedding rows from their files.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from probe.checkpoints.loading import load
from probe.gold.pairs import read_pairs
from probe.models.sources import cache_dir

GOLD = Path(__file__).parent.parent / "alignments" / "gold.tsv"
PADDED = 512


def median_seconds(function: Callable[[], object], runs: int) -> float:
    """After one run that is not counted."""
    function()
    seconds: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def main() -> None:
    """Time the three and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", default="sg-003")
    wanted = parser.parse_args().row
    row = next(row for row in read_pairs(GOLD).rows if row.id == wanted)
    opened = load("smollm2-gemma3-projectors")
    attention = median_seconds(lambda: opened.map(row.student, row.teacher), 200)

    models = [
        AutoModelForCausalLM.from_pretrained(cache_dir() / "smollm2-gemma3" / side, dtype=torch.float32).eval()
        for side in ("student", "teacher")
    ]
    ids = [opened.student.tokenizer.ids(row.student.pieces), opened.teacher.tokenizer.ids(row.teacher.pieces)]

    def forward(padding: int) -> None:
        with torch.inference_mode():
            for model, own in zip(models, ids, strict=True):
                model(torch.tensor([own + [0] * max(0, padding - len(own))]))

    plain, published = median_seconds(lambda: forward(0), 7), median_seconds(lambda: forward(PADDED), 3)
    print(f"{wanted}: {len(ids[0])} × {len(ids[1])} tokens, {torch.get_num_threads()} threads")
    print(f"attention {1e3 * attention:.2f} ms")
    print(f"attention, of a forward pass of both models: 1/{plain / attention:.0f} ({1e3 * plain:.0f} ms); aim 1/100")
    print(f"attention, of the published path padded to {PADDED}: 1/{published / attention:.0f}; aim 1/1000")


if __name__ == "__main__":
    main()
