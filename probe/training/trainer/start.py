"""Where projectors start, and the scales that a run trains with."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.checkpoints.checkpoint import Checkpoint, Scales, load_checkpoint
from probe.checkpoints.loading import bundled_checkpoint
from probe.errors import Problem, TrainingError
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.projectors import start_from_heads
from probe.training.criteria.settings import Objective
from probe.training.criteria.views import last_states, response_positions
from probe.training.criteria.vocabulary import MappedHead
from probe.training.examples import Cut, Encoded
from probe.training.recipe import Recipe
from probe.training.teacher.states import estimate_scales
from probe.training.teacher.teacher import Frozen, Teacher
from probe.training.vocabulary_map import Vocabulary, exact_map, read_vocabulary_map

PSEUDO_INVERSE = "pseudo-inverse"
SCALE_ROWS = 256
"""Rows on which scales are estimated where the teacher's states are not cached."""


def starting_checkpoint(recipe: Recipe) -> Checkpoint | None:
    """The checkpoint whose projectors the run begins with, if it names one."""
    directory = start_directory(recipe.objective.start)
    return None if directory is None or not recipe.objective.needs.projectors else load_checkpoint(directory)


def start_directory(named: str) -> Path | None:
    """Where the projectors lie that a recipe begins with; None where they are made anew."""
    if named in ("random", PSEUDO_INVERSE):
        return None
    return bundled_checkpoint(named) or Path(named)


def scales_of(recipe: Recipe, cut: Cut, frozen: Frozen) -> Scales | None:
    """Those of the starting checkpoint, for its projectors know no others; else estimated on the training rows.

    In reference mode they do not serve training, where every batch has its own, and are marked as an estimate.
    """
    if not recipe.objective.needs.scales:
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
        if objective.needs.vocabulary == "nearest":
            options["mapped_head"] = _mapped_head(objective, frozen.teacher, head)
        elif objective.needs.vocabulary == "exact":
            options["student_of_teacher"] = _exact_map(student, teacher, frozen.teacher)
    width = head.shape[1]
    other = width if frozen is None else frozen.teacher.head.shape[1]
    criterion = Criterion(objective, student=width, teacher=other, seed=recipe.seed, **options)
    start = starting_checkpoint(recipe)
    if start is not None:
        _copy_projectors(start, criterion)
    elif recipe.objective.start == PSEUDO_INVERSE and criterion.projectors.structures and teacher and frozen:
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


def _mapped_head(objective: Objective, frozen: Teacher, head: Tensor) -> MappedHead:
    if objective.vocabulary_map is None:
        remedy = "Make one with python -m probe.training.vocabulary_map, and set objective.vocabulary_map."
        raise TrainingError(Problem(f"method {objective.method}", "a vocabulary map", "none", remedy))
    path = Path(objective.vocabulary_map)
    ids = read_vocabulary_map(path, teacher_rows=len(frozen.head), student_rows=len(head))
    return MappedHead(frozen.head.float(), torch.from_numpy(ids), len(head))
