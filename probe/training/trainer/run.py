"""One run, from a recipe to its last checkpoint; a killed run goes on where its last whole checkpoint left it."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments

from probe.errors import MissingExtraError, Problem, TrainingError
from probe.output.files import replacing_file, sweep
from probe.output.locks import held
from probe.training.evaluation.generate import generate
from probe.training.evaluation.likelihood import predicted
from probe.training.evaluation.respond import generation_settings
from probe.training.evaluation.rouge import score
from probe.training.model_files import running_device
from probe.training.recipe import RECIPE, Recipe, read_recipe_of_run
from probe.training.teacher.head import settle_head
from probe.training.trainer.batches import Collate, GlobalBatches
from probe.training.trainer.console import Console
from probe.training.trainer.distiller import Distiller
from probe.training.trainer.saving import BITS, PROJECTORS, ROUGE, Saver, checkpoints, is_done, newest_complete
from probe.training.trainer.setup import Prepared, prepare
from probe.training.trainer.trainer import DistillationTrainer, unwrapped

NAMED = 5
"""Bad rows that are named; the others are counted."""


def tell(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def train(recipe: Recipe, run: Path, say: Callable[[str], None] = tell) -> Path:
    """Train in ``run`` and return the last checkpoint.

    Args:
        recipe: one run (see `Recipe.runs`).
        run: its directory; what is there is gone on with.
        say: takes lines for the user.

    Raises:
        TrainingError: the directory belongs to another recipe, or something does not fit (see `prepare`).
        OutputError: another process trains there, or a checkpoint cannot be written.
    """
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    arguments = training_arguments(recipe, run)
    if arguments.device.type == "cuda":
        sum_in_one_order(recipe)
    # The others of several processes belong to the main one, and write nothing before it does.
    with held(run) if arguments.process_index == 0 else nullcontext():
        return _train(recipe, run, arguments, say)


def _train(recipe: Recipe, run: Path, arguments: TrainingArguments, say: Callable[[str], None]) -> Path:
    is_main = arguments.process_index == 0
    if is_main:
        sweep(run, RECIPE)
        sweep(run / PROJECTORS, "step-*")
    # The others of several processes find what the main one has chosen.
    with arguments.main_process_first(desc="recipe"):
        stored = _stored(run, is_main=is_main)
        recipe, note = settle_head(recipe, stored)
        _remember(recipe, stored, run, is_main=is_main)
    found = newest_complete(run)
    if is_main:
        for skipped in found.skipped:
            say(f"skipped {skipped}")
    if found.path is not None and is_done(found.path):
        return found.path
    if is_main and found.path is not None:
        say(f"going on from {found.path.name}")
    prepared = prepare(recipe, arguments.main_process_first(desc="teacher states"))
    if is_main and prepared.skipped:
        say(_left_out(prepared.skipped))
    if is_main and found.path is None:
        for line in (note, *prepared.notes):
            if line is not None:
                say(line)
    trainer = trainer_of(prepared, arguments, say)
    trainer.train(resume_from_checkpoint=None if found.path is None else str(found.path))
    last = newest_complete(run).path
    if last is None:
        raise TrainingError(Problem(str(run), "a checkpoint", "none", "Train at least one step."))
    return last


def sum_in_one_order(recipe: Recipe) -> None:
    """Have a graphics card take all sums in one order, so that a resumed run has the bits of one that was not killed.

    Torch has no such order for the running sums of adaptive KL, and warns of them.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read before the first product
    torch.use_deterministic_algorithms(True, warn_only=recipe.objective.divergence == "adaptive_kl")


def training_arguments(recipe: Recipe, run: Path) -> TrainingArguments:
    """The recipe in transformers' words.

    Raises:
        TrainingError: the batch cannot be cut evenly.
    """
    part = recipe.training
    for package in part.report_to:
        if find_spec(package) is None:
            remedy = f"Run: pip install {package}, or leave it out."
            raise MissingExtraError(Problem("training.report_to", f"the package {package}", "none", remedy))
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
    arguments = TrainingArguments(
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
        report_to=list(part.report_to) or "none",
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=running_device().type == "cpu",
    )
    if arguments.n_gpu > 1:
        # transformers would cut each batch over all cards of this process; further cards are for further processes.
        arguments._n_gpu = 1  # pyright: ignore[reportPrivateUsage]
    return arguments


def _stored(run: Path, *, is_main: bool) -> Recipe | None:
    """The recipe of the run that is here, if there is one.

    One that left nothing behind does not count, so that a corrected recipe can have its directory; the other processes
    find what the main one has written since.
    """
    if not (run / RECIPE).is_file():
        return None
    stored = read_recipe_of_run(run / RECIPE)
    return stored if checkpoints(run) or (run / PROJECTORS).is_dir() or not is_main else None


def _remember(recipe: Recipe, stored: Recipe | None, run: Path, *, is_main: bool) -> None:
    """The resolved recipe, written once; another one than is stored there is refused."""
    file = run / RECIPE
    content = recipe.model_dump(mode="json")
    if stored is not None:
        # Compared as recipes, because a run of an earlier version has not all keys; they have their defaults.
        known = stored.model_dump(mode="json")
        if known != content:
            changed = sorted(_differences(content, known))
            remedy = "Name an empty directory, or give that run's settings to go on with it."
            raise TrainingError(Problem(str(run), "a run of this recipe", f"other {', '.join(changed)}", remedy))
    elif is_main:
        with replacing_file(file) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _left_out(skipped: Sequence[Problem]) -> str:
    """How many rows are not trained on, and where the first of them stand."""
    named = ", ".join(problem.where for problem in skipped[:NAMED])
    more = f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    return f"left out {len(skipped)} bad row{'' if len(skipped) == 1 else 's'}: {named}{more}"


def _differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key in ours.keys() | theirs.keys():
        one, other = ours.get(key), theirs.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found.append(f"{prefix}{key}")
    return found


def trainer_of(
    prepared: Prepared, arguments: TrainingArguments, say: Callable[[str], None] = tell
) -> DistillationTrainer:
    """The trainer of a prepared run, with its callbacks."""
    recipe = prepared.recipe
    part = recipe.training
    lengths = [len(example.ids) for example in prepared.train.student]
    saver = Saver(
        recipe=recipe.model_dump(mode="json"),
        describe=prepared.describe,
        scores=(lambda distiller: dev_scores(prepared, distiller)) if prepared.dev else None,
        tokenizer_files=prepared.tokenizer_files,
        trains_student=recipe.student.train != "nothing",
        trains_table=recipe.trains_table,
        keep_last=part.keep_last,
        keep_best=part.keep_best,
        keep_by=part.keep_by,
    )
    sampler = GlobalBatches(lengths, part.batch_size, recipe.seed)
    trainer = DistillationTrainer(prepared.distiller, arguments, part, Collate(prepared.train), sampler, saver)
    trainer.add_callback(Console(lambda: trainer.targets_seen, say))
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
    """Projectors alone, before the first step and after every so many."""

    def __init__(self, saver: Saver, every: int) -> None:
        self.saver, self.every = saver, every

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **others: Any) -> None:
        if state.is_world_process_zero and state.global_step == 0:
            self.saver.save_projectors(unwrapped(others["model"]), 0, Path(str(args.output_dir)))

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **others: Any) -> None:
        if state.is_world_process_zero and state.global_step % self.every == 0:
            self.saver.save_projectors(unwrapped(others["model"]), state.global_step, Path(str(args.output_dir)))


def dev_scores(prepared: Prepared, distiller: Distiller) -> dict[str, float]:
    """Bits per byte of the student on the dev rows, and ROUGE-L where checkpoints are kept by it."""
    student, dev = distiller.student, prepared.dev
    data = prepared.recipe.data
    judged = predicted(student, prepared.tokenizer, dev, max_prompt=data.max_prompt, max_length=data.max_length)
    found = {BITS: judged.bits_per_byte}
    if prepared.recipe.training.keep_by == ROUGE:
        part = prepared.recipe.evaluation
        settings = generation_settings(part, no_repeat_ngram_size=0)
        prompts = [row.prompt for row in dev]
        responses = generate(
            student, prepared.tokenizer, prompts, settings, batch_size=part.batch_size, seed=part.seeds[0]
        )
        found[ROUGE] = score(responses, [[row.output] for row in dev], part.rouge).rouge_l
    return found
