"""Translate the recipe of a checkpoint into arguments of DSKD."""

import io
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from probe.checkpoints.checkpoint import STUDENT, Checkpoint
from probe.checkpoints.dskd import ADVERSARIES, MAX_LENGTH, MAX_PROMPT, PRETRAINING, PROJECTORS
from probe.errors import MissingExtraError, Problem

Dtype = Literal["bfloat16", "float32"]
SHORT: Mapping[Dtype, str] = {"bfloat16": "bf16", "float32": "fp32"}


def state_dict(checkpoint: Checkpoint, dtype: Dtype) -> bytes:
    """The file ``projector.pt``.

    Raises:
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        remedy = "Run: pip install 'cma-probe[train]'."
        raise MissingExtraError(Problem(PROJECTORS, "torch, to write PyTorch files", "no torch", remedy)) from error
    state = {
        f"{name}.{key}": torch.tensor(value, dtype=getattr(torch, dtype))
        for name, projector in checkpoint.projectors.items()
        for key, value in projector.tensors.items()
    }
    buffer = (
        io.BytesIO()
    )  # in memory, because torch hides the system error of a full disk, which `probe.output.files` reports
    torch.save(state, buffer)
    return buffer.getvalue()


SPELLINGS = {
    "max_prompt": "max_prompt_length",
    "temperature": "kd_temperature",
    "divergence": "kd_objective",
    "skew": "skew_lambda",
    "alpha": "adaptive_kl_alpha",
    "kq_hidden": "kq_hidden_size",
    "only_projectors": "only_save_projector",
    "projector_learning_rate": "projector_lr",
    "learning_rate": "lr",
    "clip": "clip_grad",
    "schedule": "lr_decay_style",
    "warmup_steps": "warmup_iters",
    "steps": "total_iters",
    "epochs": "num_epochs",
}
"""The argument of DSKD for each key of a recipe with another name."""

PARTS = ("data", "objective", "training")
"""Parts of a recipe whose keys are translated. The parts of the two models are not split."""

SPELT_ALIKE = ("batch_size", "max_length", "teacher_temperature", "weight_decay", "seed")
OF_ALL = ("batch_size", "gradient_accumulation_steps", "max_length", "max_prompt_length")
OF_DISTILLATION = ("kd_rate", "kd_temperature", "kd_objective")
OF_MATCHING = ("kq_rate", "kq_adver_type")
"""Arguments that tools need, for all runs or for some; unknown ones are named in the notes."""


class TranslatedRecipe(NamedTuple):
    """The recipe as arguments of DSKD, and the keys without such an argument."""

    arguments: dict[str, Any]
    rest: dict[str, Any]


def translate(checkpoint: Checkpoint) -> TranslatedRecipe:
    """Translate the recipe. That of pre-training is flat; those of `probe.training.recipe` have parts."""
    recipe = {key: value for key, value in checkpoint.recipe.items() if key not in PARTS}
    for part in (recipe_part(checkpoint, name) for name in PARTS):
        recipe |= part
    recipe = {key: value for key, value in recipe.items() if value is not None}
    alike = (*SPELLINGS.values(), *SPELT_ALIKE, *OF_ALL, *OF_DISTILLATION, *OF_MATCHING)
    spellings = {**SPELLINGS, **{name: name for name in alike}}
    if (
        only_projectors(checkpoint) and "projector_learning_rate" not in recipe
    ):  # then the only rate is that of the projectors
        spellings["learning_rate"] = "projector_lr"
    arguments = {spellings[key]: value for key, value in recipe.items() if key in spellings}
    if recipe:  # pre-training does not store these; it cuts rows as `probe.training.examples` does
        arguments = {"max_length": MAX_LENGTH, "max_prompt_length": MAX_PROMPT} | arguments
    if "batch_size" in recipe:  # here: rows of a step; in DSKD: rows that a process runs at once
        at_once = recipe.get("micro_batch_size", recipe["batch_size"])
        arguments |= {"batch_size": at_once, "gradient_accumulation_steps": recipe["batch_size"] // at_once}
    if checkpoint.method in ADVERSARIES:
        arguments["kq_adver_type"] = ADVERSARIES[checkpoint.method]
    if recipe_part(checkpoint, "student").get("train") == "lora":
        lora: Mapping[str, Any] = recipe_part(checkpoint, "student")["lora"]
        arguments |= {f"peft_lora_{key}": lora[key] for key in ("r", "alpha", "dropout")}
    said = {*spellings, "method", "micro_batch_size"}
    return TranslatedRecipe(arguments, {key: value for key, value in recipe.items() if key not in said})


def recipe_part(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """One part of the recipe; empty if it has no such part, as in pre-training."""
    part: Any = checkpoint.recipe.get(name)
    return dict(cast(Mapping[str, Any], part)) if isinstance(part, Mapping) else {}


def only_projectors(checkpoint: Checkpoint) -> bool:
    """Whether the run trained only projectors."""
    return checkpoint.criterion == PRETRAINING or not (checkpoint.path / STUDENT).is_dir()
