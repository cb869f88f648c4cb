"""One run, from a recipe to its last checkpoint; a killed run goes on where its last whole checkpoint left it."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments

from probe.errors import Problem, TrainingError
from probe.files import replacing_file
from probe.training.criteria.same_vocabulary import sft
from probe.training.criteria.views import Counts, view
from probe.training.criteria.vocabulary import Workspace
from probe.training.recipe import Recipe
from probe.training.trainer.batches import Collate, GlobalBatches, Rows, positions_of
from probe.training.trainer.console import Console
from probe.training.trainer.distiller import Distiller
from probe.training.trainer.saving import RECIPE, Saver, is_done, newest_complete
from probe.training.trainer.setup import Prepared, prepare
from probe.training.trainer.trainer import DistillationTrainer, unwrapped

EVALUATION_ROWS = 4


def train(recipe: Recipe, run: Path, say: Callable[[str], None] = print) -> Path:
    """Train in ``run`` and return the last checkpoint.

    Args:
        recipe: one run (see `Recipe.runs`).
        run: its directory; what is there is gone on with.
        say: takes lines for the user.

    Raises:
        TrainingError: the directory belongs to another recipe, or something does not fit (see `prepare`).
        OutputError: a checkpoint cannot be written.
    """
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    arguments = training_arguments(recipe, run)
    is_main = arguments.process_index == 0
    _remember(recipe, run, is_main=is_main)
    found = newest_complete(run)
    if is_main:
        for skipped in found.skipped:
            say(f"skipped {skipped}")
    if found.path is not None and is_done(found.path):
        return found.path
    if is_main and found.path is not None:
        say(f"going on from {found.path.name}")
    trainer = trainer_of(prepare(recipe, arguments.main_process_first(desc="teacher states")), arguments)
    trainer.train(resume_from_checkpoint=None if found.path is None else str(found.path))
    last = newest_complete(run).path
    if last is None:
        raise TrainingError(Problem(str(run), "a checkpoint", "none", "Train at least one step."))
    return last


def training_arguments(recipe: Recipe, run: Path) -> TrainingArguments:
    """The recipe in transformers' words.

    Raises:
        TrainingError: the batch cannot be cut evenly.
    """
    part = recipe.training
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # as accelerate and torchrun set it
    share = part.batch_size // processes
    micro = min(part.micro_batch_size or share, share)
    if share * processes != part.batch_size or share % micro:
        got = f"{part.batch_size} rows over {processes} processes in parts of {micro}"
        raise TrainingError(
            Problem("training.batch_size", "a multiple of processes and micro_batch_size", got, "Change one of them.")
        )
    save_every = part.save_every
    schedule = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}[part.schedule]
    return TrainingArguments(
        output_dir=str(run),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share // micro,
        num_train_epochs=part.epochs or 1,
        max_steps=part.steps or -1,
        learning_rate=part.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=part.warmup_steps,
        max_grad_norm=part.clip,
        bf16=part.precision == "bfloat16",
        seed=recipe.seed,
        logging_steps=part.log_every,
        logging_nan_inf_filter=False,
        save_strategy="steps" if save_every else "epoch",
        save_steps=save_every or 500,
        report_to=part.report_to or "none",
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )


def _remember(recipe: Recipe, run: Path, *, is_main: bool) -> None:
    """The resolved recipe, written once; another one is refused."""
    file = run / RECIPE
    content = recipe.model_dump(mode="json")
    if file.is_file():
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored != content:
            changed = sorted(_differences(content, stored))
            remedy = "Name an empty directory, or give that run's settings to go on with it."
            raise TrainingError(Problem(str(run), "a run of this recipe", f"other {', '.join(changed)}", remedy))
    elif is_main:
        if run.exists() and not run.is_dir():
            raise TrainingError(Problem(str(run), "a directory", "a file", "Name another place."))
        run.mkdir(parents=True, exist_ok=True)
        with replacing_file(file) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key in ours.keys() | theirs.keys():
        one, other = ours.get(key), theirs.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found.append(f"{prefix}{key}")
    return found


def trainer_of(prepared: Prepared, arguments: TrainingArguments) -> DistillationTrainer:
    """The trainer of a prepared run, with its callbacks."""
    recipe = prepared.recipe
    part = recipe.training
    lengths = [len(example.ids) for example in prepared.train.student]
    dev = prepared.dev
    saver = Saver(
        recipe=recipe.model_dump(mode="json"),
        describe=prepared.describe,
        score=None if dev is None else lambda distiller: bits_per_byte(distiller, dev, prepared.dev_bytes),
        tokenizer_files=prepared.tokenizer_files,
        trains_student=recipe.student.train != "nothing",
        trains_table=recipe.student.train == "all",
        keep_last=part.keep_last,
        keep_best=part.keep_best,
    )
    sampler = GlobalBatches(lengths, part.batch_size, recipe.seed)
    trainer = DistillationTrainer(prepared.distiller, arguments, part, Collate(prepared.train), sampler, saver)
    trainer.add_callback(Console(lambda: trainer.targets_seen))
    trainer.add_callback(_LastStep())
    if part.save_projectors_every is not None:
        trainer.add_callback(_Projectors(saver, part.save_projectors_every))
    return trainer


class _LastStep(TrainerCallback):
    """A checkpoint at the end, whatever the interval."""

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == state.max_steps:
            control.should_save = True


class _Projectors(TrainerCallback):
    """Projectors alone, every so many steps."""

    def __init__(self, saver: Saver, every: int) -> None:
        self.saver, self.every = saver, every

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **others: Any) -> None:
        if state.is_world_process_zero and state.global_step % self.every == 0:
            self.saver.save_projectors(unwrapped(others["model"]), state.global_step, Path(str(args.output_dir)))


def bits_per_byte(distiller: Distiller, dev: Rows, size: int) -> float:
    """The student's cross-entropy on held-out responses, EOS included, over their UTF-8 bytes: for any tokenizer."""
    was_training = distiller.student.training
    distiller.student.eval()
    collate, workspace = Collate(dev), Workspace()
    device = next(distiller.parameters()).device
    nats = 0.0
    with torch.no_grad():
        for begin in range(0, len(dev.student), EVALUATION_ROWS):
            numbers = range(begin, min(begin + EVALUATION_ROWS, len(dev.student)))
            batch = {key: value.to(device) for key, value in collate(list(numbers)).items()}
            seen = view(distiller.student, positions_of(batch, "student"))
            nats += sft(seen, Counts(1, 0), workspace).log["nll_loss"].item()
    distiller.student.train(was_training)
    return nats / math.log(2) / max(size, 1)
