"""What the callback of other people's training costs: processor seconds of its parts, and its share of a run.

Run: python -m benchmarks.alignment_callback
"""

import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

import probe
from probe.models.sources import bundled_dir
from probe.plots.saving import png_bytes
from probe.watch.callback import PICTURES

EVERY, STEPS = 500, 50
NAMES = "bundled:demo/student", "bundled:demo/teacher"


def seconds(work: Callable[[], Any], times: int = 5) -> float:
    """The least processor seconds of several times."""
    found: list[float] = []
    for _ in range(times):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def training(callback: Any) -> Callable[[], Any]:
    """A run of `STEPS` steps on eight texts of 64 tokens each."""
    tokenizer = AutoTokenizer.from_pretrained(bundled_dir() / "demo" / "student")
    text = " ".join(row.text for row in probe.read_pairs() if row.text.isascii())
    ids = tokenizer(text)["input_ids"]
    rows = [{"input_ids": ids[n : n + 64], "labels": ids[n : n + 64]} for n in range(0, 64 * 64, 64)]
    config = GPT2Config(vocab_size=2048, n_embd=64, n_layer=2, n_head=4, n_positions=128)

    def run() -> None:
        with TemporaryDirectory() as place:
            settings: Any = {
                "max_steps": STEPS,
                "use_cpu": True,
                "save_strategy": "no",
                "disable_tqdm": True,
                "logging_strategy": "no",
            }
            named = TrainingArguments(place, **settings, report_to=["tensorboard"], per_device_train_batch_size=8)
            Trainer(GPT2LMHeadModel(config), named, train_dataset=rows, callbacks=[callback]).train()

    return run


def main() -> None:
    torch.set_num_threads(1)
    tables = torch.nn.Embedding(2048, 64), torch.nn.Embedding(4096, 96)
    attention = probe.QueryAttention(torch.nn.Linear(128, 192), *tables, key_scale=1.0)
    texts = [row.text for row in probe.read_pairs() if len(row.text) > 150][:8]
    watching = probe.AlignmentCallback(*NAMES, attention=attention)
    exam: Any = watching.exam
    with torch.no_grad():
        shown = exam.map(attention, exam.shown)
        health = seconds(lambda: probe.alignment_health(texts, *NAMES))
        scores = seconds(lambda: exam.report(attention).intervals)
    picture = seconds(lambda: png_bytes(probe.heatmap(shown, gold=exam.rows[exam.shown]), 80))
    print(f"health of 8 texts {health:.3f} s, scores of 64 texts {scores:.3f} s, a picture {picture:.3f} s")
    print(f"a step for 2 % at every={EVERY}: {health / EVERY / 0.02:.3f} s without an attention,", end=" ")
    print(f"{(health + scores + picture / PICTURES) / EVERY / 0.02:.3f} s with one")
    step = seconds(training(TrainerCallback()), 2) / STEPS
    print(f"a tiny model: {step:.3f} s a step; of its time", end=" ")
    for name, one in (("health", health), ("an attention", health + scores + picture / PICTURES)):
        print(f"{name} {one / (EVERY * step):.2%}", end="; ")
    watched = seconds(training(watching), 2) / STEPS - step
    print(f"the first of {STEPS} steps takes {watched * STEPS:.2f} s more with an attention")


if __name__ == "__main__":
    main()
