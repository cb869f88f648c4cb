"""Where projectors start, and the scales that a run trains with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.checkpoints.checkpoint import STUDENT, Checkpoint, ModelRecord, Scales, load_checkpoint
from probe.checkpoints.loading import bundled_checkpoint
from probe.checkpoints.manifest import is_ours
from probe.errors import Problem, TrainingError
from probe.projectors import QUERY, STRUCTURES
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.projectors import start_from_heads
from probe.training.criteria.settings import Objective
from probe.training.criteria.views import last_states, response_positions
from probe.training.criteria.vocabulary import MappedHead
from probe.training.examples import Cut, Encoded, Example
from probe.training.recipe import Recipe
from probe.training.teacher.states import estimate_scales
from probe.training.teacher.teacher import Frozen, Teacher
from probe.training.trainer.alone import TRAINED_ALONE, attention_alone
from probe.training.vocabulary_map import Vocabulary, exact_map, read_vocabulary_map

PSEUDO_INVERSE = "pseudo-inverse"
Key = Literal["start", "as_sharp_as"]
"""Of an objective: it names a checkpoint."""
MADE_ANEW: Mapping[Key, tuple[str, ...]] = {
    "start": ("random", PSEUDO_INVERSE, TRAINED_ALONE),
    "as_sharp_as": (TRAINED_ALONE,),
}
"""Names that are no checkpoint: the run makes it."""
SCALE_ROWS = 256
"""Rows on which scales are estimated where the teacher's states are not cached."""


def named_checkpoint(
    key: Key, recipe: Recipe, train: Sequence[Example], student: ModelRecord, teacher: ModelRecord | None
) -> Checkpoint | None:
    """The checkpoint that a key of the objective names, if it names one; a method without projectors has none.

    Args:
        key: ``start``, or ``as_sharp_as``, whose checkpoint must have a query.
        recipe: of the run.
        train: its training rows, for a query that is trained alone first.
        student: the run's student.
        teacher: its teacher.

    Raises:
        TrainingError: there is no such checkpoint, it was trained with other models, or has no projector of the method,
            or one of another structure; or the method has no query, but one is named.
        CheckpointError: it cannot be read.
        OutputError: a query that is trained alone cannot be kept.
    """
    where, named, needs = f"objective.{key}", getattr(recipe.objective, key), recipe.objective.needs
    if named is None or teacher is None or not needs.projectors:
        return None
    if not needs.attention and (named == TRAINED_ALONE or key == "as_sharp_as"):
        raise TrainingError(Problem(where, "a method with a query", recipe.objective.method, "Leave it out."))
    if named == TRAINED_ALONE:
        return attention_alone(recipe, train, student, teacher)
    directory = named_directory(key, named)
    if directory is None:
        return None
    found = load_checkpoint(directory)
    roles = (("student", student, found.student), ("teacher", teacher, found.teacher))
    wrong = [each for role in roles if (each := _other_model(where, found, *role)) is not None]
    if wrong:
        raise TrainingError(*wrong)
    _check_projectors(where, recipe.objective.method, needs.projectors if key == "start" else (QUERY,), found)
    return found


def _other_model(
    where: str, checkpoint: Checkpoint, role: str, ours: ModelRecord, theirs: ModelRecord
) -> Problem | None:
    """How the run's model differs from the one that the projectors know; rows of another table mean other tokens."""
    accepted, (own,) = {each.sha256 for each in theirs.sources}, ours.sources
    same_table = (ours.rows, ours.width) == (theirs.rows, theirs.width) and own.sha256 in accepted
    if same_table and ours.vocabulary_sha256 == theirs.vocabulary_sha256:
        return None
    if same_table:
        known, found = (f"vocabulary, sha256 {model.vocabulary_sha256[:12]}…" for model in (theirs, ours))
    else:
        digests = ((theirs, min(accepted)), (ours, own.sha256))
        known, found = (f"embedding table, {x.rows} × {x.width}, sha256 {sha256[:12]}…" for x, sha256 in digests)
    expected = f"the {known}, of {theirs.name}, with which {checkpoint.path} was trained"
    places = [str(checkpoint.path / STUDENT) if each.source == STUDENT else each.source for each in theirs.sources]
    # Bundled students and those of projectors/step-N are tables without a model.
    named = f"{' or '.join(places)}, if a whole model lies there"
    remedy = f"Set {role}.source to {named}, or name a checkpoint of your two models."
    return Problem(f"{where}, {role}", expected, f"the {found}, of {own.source}", remedy)


def _check_projectors(where: str, method: str, wanted: Sequence[str], checkpoint: Checkpoint) -> None:
    taken = [name for name in wanted if name in checkpoint.projectors]
    if not taken:
        expected, got = f"a projector of {method}: {', '.join(wanted)}", ", ".join(checkpoint.projectors)
        raise TrainingError(Problem(f"{where}, {checkpoint.path}", expected, got or "none", "Name another checkpoint."))
    for name in taken:
        structure = checkpoint.projectors[name].structure
        if structure != STRUCTURES[name]:
            raise TrainingError(Problem(f"{where}: {name}", STRUCTURES[name], structure, "Name another checkpoint."))


def told_of_start(recipe: Recipe, start: Checkpoint) -> str:
    """What of the starting checkpoint the run takes, and what it makes itself."""
    wanted = recipe.objective.needs.projectors
    taken, others = (", ".join(n for n in wanted if (n in start.projectors) == there) for there in (True, False))
    parts = [f"starts from {recipe.objective.start}: {taken}"]
    if others:
        parts.append(f"at random: {others}")
    unknown = _unknown_scales(start) if recipe.objective.needs.scales else []
    if unknown:
        parts.append(f"from the training rows: {' and '.join(unknown)} scale{'s' * (len(unknown) > 1)}")
    return "; ".join(parts)


def _unknown_scales(start: Checkpoint) -> list[str]:
    return [name for name in ("hidden", "target") if getattr(start.scales, name) is None]


def named_directory(key: Key, named: str | None) -> Path | None:
    """Where the checkpoint lies that a key of the objective names; None where there is none yet, or none is named.

    Raises:
        TrainingError: it is neither a way to make one nor a checkpoint.
    """
    if named is None or named in MADE_ANEW[key]:
        return None
    place = bundled_checkpoint(named) or Path(named)
    if not is_ours(place):
        expected = f"{', '.join(MADE_ANEW[key])}, or a checkpoint's name or directory"
        raise TrainingError(Problem(f"objective.{key}", expected, named, "Correct the name."))
    return place


def scales_of(recipe: Recipe, start: Checkpoint | None, cut: Cut, frozen: Frozen) -> Scales | None:
    """Those that the starting checkpoint has, for its projectors know no others; the rest from the training rows.

    In reference mode they do not serve training, where every batch has its own, and are marked as an estimate.
    """
    if not recipe.objective.needs.scales:
        return None
    if start is None:
        scales = _estimate(cut, frozen)
    elif unknown := _unknown_scales(start):
        estimated = _estimate(cut, frozen)
        scales = replace(start.scales, **{name: getattr(estimated, name) for name in unknown})
    else:
        scales = start.scales
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
    model: Any = frozen.teacher.model
    positions = (response_positions([example]).to(model.device) for example in examples)
    with torch.no_grad():
        return [last_states(model, one)[0].cpu().numpy() for one in positions]


def build_criterion(
    recipe: Recipe,
    start: Checkpoint | None,
    model: Any,
    student: Cut,
    teacher: Cut | None,
    frozen: Frozen | None,
    scales: Scales | None,
) -> Criterion:
    """The criterion, its projectors where the recipe has them start.

    Raises:
        TrainingError: a vocabulary map is needed and none is named.
    """
    objective = recipe.objective.objective()
    head: Tensor = model.get_output_embeddings().weight
    options: dict[str, Any] = {}
    if teacher is not None and frozen is not None:
        options["scales"] = None if objective.reference else scales
        options["ends"] = student.tokenizer.eos_id, teacher.tokenizer.eos_id
        if objective.needs.vocabulary == "nearest":
            options["mapped_head"] = _mapped_head(objective, frozen.teacher, head)
        elif objective.needs.vocabulary == "exact":
            options["student_of_teacher"] = _exact_map(student, teacher, frozen.teacher)
    width = head.shape[1]
    other = width if frozen is None else frozen.teacher.head.shape[1]
    criterion = Criterion(objective, student=width, teacher=other, seed=recipe.seed, **options)
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
            with torch.no_grad():
                tensor.copy_(torch.from_numpy(start.projectors[name].tensors[key]))


def _exact_map(student: Cut, teacher: Cut, frozen: Teacher) -> Int[Tensor, " teacher_rows"]:
    vocabularies = [Vocabulary.of(cut.tokenizer) for cut in (student, teacher)]
    return torch.from_numpy(exact_map(*vocabularies, teacher_rows=len(frozen.head)))


def _mapped_head(objective: Objective, frozen: Teacher, head: Tensor) -> MappedHead:
    if objective.vocabulary_map is None:
        remedy = "Make one with python -m probe.training.vocabulary_map, and set objective.vocabulary_map."
        raise TrainingError(Problem(f"method {objective.method}", "a vocabulary map", "none", remedy))
    path = Path(objective.vocabulary_map)
    ids = read_vocabulary_map(path, teacher_rows=len(frozen.head), student_rows=len(head))
    return MappedHead(frozen.head.float(), torch.from_numpy(ids), len(head))
