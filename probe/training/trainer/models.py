"""The two models of a run, loaded and checked; the teacher's caches; projectors and where they start."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.checkpoint import Checkpoint, Scales, load_checkpoint
from probe.errors import Problem, TrainingError
from probe.sources import bundled_dir, bundled_names, cache_dir
from probe.training.criteria.criterion import PROJECTORS, Criterion
from probe.training.criteria.logit_matching import MappedHead
from probe.training.criteria.pseudo_inverse import start_from_heads
from probe.training.criteria.settings import Method
from probe.training.criteria.views import last_states, plain_head, response_positions
from probe.training.data import Encoded
from probe.training.model_files import directory_of
from probe.training.recipe import Recipe, StudentPart
from probe.training.scales import estimate_scales
from probe.training.teacher_states import TeacherStates, teacher_expectations, teacher_states, token_digest
from probe.training.trainer.sides import Cut
from probe.training.trainer.teacher import Teacher
from probe.training.vocabulary_map import Vocabulary, exact_map, read_vocabulary_map

CROSS_MODEL: frozenset[Method] = frozenset({"cma", "cla", "clp", "cma-ga", "cma-ct"})
SAMPLED = 64
"""Values of each weight that tell one teacher from another."""
SCALE_ROWS = 256
"""Rows on which scales are estimated where the teacher's states are not cached."""


def load_student(part: StudentPart) -> Any:
    """The student in float32, with gradients for what is trained.

    Raises:
        TrainingError: its logits are not states times weights.
    """
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(directory_of(part.source), dtype=torch.float32)
    plain_head(model)
    match part.train:
        case "all":
            return model.train()
        case "nothing":
            return model.requires_grad_(False)
        case "body":
            for module in (model.get_input_embeddings(), model.get_output_embeddings()):
                module.requires_grad_(False)
            return model.train()
        case "lora":
            from peft import LoraConfig, get_peft_model
            from transformers.pytorch_utils import Conv1D

            lora = part.lora
            config = LoraConfig(
                task_type="CAUSAL_LM",
                # GPT-2 keeps the weights of its layers transposed.
                fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=lora.targets,
            )
            return get_peft_model(model, config).train()


def load_teacher(recipe: Recipe) -> Any:
    """The teacher, adapters merged, without gradients.

    Raises:
        TrainingError: none is named, or its logits are not states times weights.
    """
    from transformers import AutoModelForCausalLM

    part = recipe.teacher
    options: dict[str, Any] = {} if part.device_map is None else {"device_map": part.device_map}
    dtype = getattr(torch, part.precision or recipe.training.precision)
    model: Any = AutoModelForCausalLM.from_pretrained(directory_of(teacher_source(recipe)), dtype=dtype, **options)
    if part.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(directory_of(part.adapter))).merge_and_unload()
    plain_head(model)
    return model.eval().requires_grad_(False)


def teacher_source(recipe: Recipe) -> str:
    """Where the teacher lies.

    Raises:
        TrainingError: the recipe names none.
    """
    if recipe.teacher.source is None:
        where = f"method {recipe.objective.method}"
        raise TrainingError(Problem(where, "a teacher", "none", "Set teacher.source."))
    return recipe.teacher.source


class Frozen(NamedTuple):
    """The teacher, and what is cached of it."""

    teacher: Teacher
    states: TeacherStates | None
    expected: TeacherStates | None


def weights_digest(model: Any) -> str:
    """SHA-256 of names, shapes, precisions and some evenly spaced values of all weights.

    Any training moves them all, adapters that were merged too; hashing them whole would take minutes for a large model.
    """
    found = hashlib.sha256()
    for name, parameter in model.named_parameters():
        flat = parameter.detach().flatten()
        some = flat[:: max(1, len(flat) // SAMPLED)].float().cpu().numpy()
        found.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode() + some.tobytes())
    return found.hexdigest()


def freeze_teacher(recipe: Recipe, cut: Cut) -> Frozen:
    """Load the teacher; run it over the corpus once, unless it is to run at every step.

    Raises:
        TrainingError: a cache belongs to another teacher or to other data.
    """
    model = load_teacher(recipe)
    head = model.get_output_embeddings().weight.detach()
    embeddings = model.get_input_embeddings()
    # In reference mode the padded length is part of the teacher's states.
    if not recipe.teacher.cached or recipe.objective.reference:
        return Frozen(Teacher(embeddings, head, model), None, None)
    identity = weights_digest(model)
    folder = cache_dir() / "states" / token_digest(cut.train)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    stem = identity[:16]
    states = teacher_states(model.get_decoder(), identity, cut.train, folder / f"{stem}.npy")
    expected = None
    in_teacher_space = recipe.objective.method in CROSS_MODEL | {"dskd"} and not recipe.objective.only_projectors
    if recipe.teacher.expectations and in_teacher_space:
        temperature = recipe.objective.temperature
        path = folder / f"{stem}-expected-{temperature:g}.npy"
        expected = teacher_expectations(states, head, temperature, identity, path)
    return Frozen(Teacher(embeddings, head), states, expected)


def starting_checkpoint(recipe: Recipe) -> Checkpoint | None:
    """The checkpoint whose projectors the run begins with, if it names one."""
    directory = start_directory(recipe.objective.start)
    return None if directory is None or not PROJECTORS[recipe.objective.method] else load_checkpoint(directory)


def start_directory(named: str) -> Path | None:
    """Where the projectors lie that a recipe begins with; None where they are made anew."""
    if named in ("random", "pseudo-inverse"):
        return None
    return bundled_dir() / named if named in bundled_names() else Path(named)


def scales_of(recipe: Recipe, cut: Cut, frozen: Frozen) -> Scales | None:
    """Those of the starting checkpoint, for its projectors know no others; else estimated on the training rows.

    In reference mode they do not serve training, where every batch has its own, and are marked as an estimate.
    """
    if recipe.objective.method not in CROSS_MODEL:
        return None
    start = starting_checkpoint(recipe)
    scales = _estimate(cut, frozen) if start is None else start.scales
    return replace(scales, key_is_estimate=True) if recipe.objective.reference else scales


def _estimate(cut: Cut, frozen: Frozen) -> Scales:
    examples = cut.train if frozen.states is not None else cut.train[:SCALE_ROWS]
    embeddings = frozen.teacher.embeddings

    def embed(ids: Int[np.ndarray, " positions"]) -> Float[np.ndarray, "positions width"]:
        with torch.no_grad():
            return embeddings(torch.from_numpy(ids).to(embeddings.weight.device)).float().cpu().numpy()

    return estimate_scales(examples, embed, _states_of(examples, frozen))


def _states_of(examples: Sequence[Encoded], frozen: Frozen) -> Iterable[Float[np.ndarray, "_ width"]]:
    if frozen.states is not None:
        return (frozen.states.of(i) for i in range(len(examples)))
    with torch.no_grad():
        return [
            last_states(frozen.teacher.model, response_positions([example]))[0].cpu().numpy() for example in examples
        ]


def build_criterion(
    recipe: Recipe, model: Any, student: Cut, teacher: Cut | None, frozen: Frozen | None, scales: Scales | None
) -> Criterion:
    """The criterion, its projectors where the recipe has them start.

    Raises:
        TrainingError: a vocabulary map is needed and none is named, or the starting projectors are of another pair.
    """
    objective = recipe.objective.objective()
    head: Tensor = model.get_output_embeddings().weight
    options: dict[str, Any] = {}
    if teacher is not None and frozen is not None:
        options["scales"] = None if objective.reference else scales
        if objective.method == "mined":
            options["mapped_head"] = _mapped_head(recipe, frozen.teacher, head)
        elif objective.method == "eta":
            options["student_of_teacher"] = _exact_map(student, teacher, frozen.teacher)
    width = head.shape[1]
    other = width if frozen is None else frozen.teacher.head.shape[1]
    criterion = Criterion(objective, student=width, teacher=other, seed=recipe.seed, **options)
    start = starting_checkpoint(recipe)
    if start is not None:
        _copy_projectors(start, criterion)
    elif recipe.objective.start == "pseudo-inverse" and teacher is not None and frozen is not None:
        ids = _exact_map(student, teacher, frozen.teacher)
        shared = torch.stack([ids[ids >= 0], (ids >= 0).nonzero()[:, 0]], dim=1)
        start_from_heads(criterion.projectors, head.detach(), frozen.teacher.head.float(), shared)
    return criterion


def _copy_projectors(start: Checkpoint, criterion: Criterion) -> None:
    for name in start.projectors.keys() & criterion.projectors.structures.keys():
        for key, tensor in criterion.projectors[name].tensors.items():
            value = torch.from_numpy(start.projectors[name].tensors[key])
            if value.shape != tensor.shape:
                where, got = f"objective.start: {name}.{key}", f"{tuple(value.shape)} in {start.name}"
                remedy = "Start from a checkpoint of this pair."
                raise TrainingError(Problem(where, f"shape {tuple(tensor.shape)}", got, remedy))
            with torch.no_grad():
                tensor.copy_(value)


def _exact_map(student: Cut, teacher: Cut, frozen: Teacher) -> Int[Tensor, " teacher_rows"]:
    vocabularies = [Vocabulary.read(cut.tokenizer.path.parent) for cut in (student, teacher)]
    return torch.from_numpy(exact_map(*vocabularies, teacher_rows=len(frozen.head)))


def _mapped_head(recipe: Recipe, frozen: Teacher, head: Tensor) -> MappedHead:
    if recipe.objective.vocabulary_map is None:
        remedy = "Make one with python -m probe.training.vocabulary_map, and set objective.vocabulary_map."
        raise TrainingError(Problem("method mined", "a vocabulary map", "none", remedy))
    path = Path(recipe.objective.vocabulary_map)
    ids = read_vocabulary_map(path, teacher_rows=len(frozen.head), student_rows=len(head))
    return MappedHead(frozen.head.float(), torch.from_numpy(ids), len(head))
