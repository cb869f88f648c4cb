"""What a reproduction compares: methods and variants of them, the teacher, and the student as it was."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from probe.errors import Problem, TrainingError
from probe.training.criteria.settings import METHODS
from probe.training.parts import ObjectivePart, ReproductionPart, TeacherPart
from probe.training.recipe import Recipe, with_changes
from probe.training.teacher.teacher import teacher_source

ALL = "all"
WITHOUT_DIVERGENCE = frozenset({"sft", "uld", "mined"})
"""Methods whose loss has none, or a fixed one."""
RAW_STUDENT = "raw student"


@dataclass(frozen=True, slots=True)
class Compared:
    """A method, or a variant of one, under the name that tables give it."""

    name: str
    objective: ObjectivePart


def compared(recipe: Recipe, names: Sequence[str] | None) -> list[Compared]:
    """Those named, or else the recipe's, with each of its divergences.

    ``all`` is every variant and every method for the teachers that there are.

    Raises:
        TrainingError: a name is neither a method nor a variant of the recipe.
    """
    part = recipe.reproduction
    one_tokenizer = part.same_tokenizer_teacher is not None
    methods = [method for method, needs in METHODS.items() if one_tokenizer or needs.tokenizers != "one"]
    every = [*dict.fromkeys([*methods, *part.variants])]
    chosen = [one for name in names or part.methods for one in (every if name == ALL else [name])]
    found: dict[str, Compared] = {}
    for name in chosen:
        found |= {one.name: one for one in _with_divergences(Compared(name, _objective(recipe, name, every)), part)}
    return list(found.values())


def _with_divergences(one: Compared, part: ReproductionPart) -> list[Compared]:
    if part.divergences is None or one.objective.method in WITHOUT_DIVERGENCE:
        return [one]
    name = "{} {}" if len(part.divergences) > 1 else "{}"
    return [
        Compared(name.format(one.name, each), with_changes(one.objective, {"divergence": each}, one.name))
        for each in dict.fromkeys(part.divergences)
    ]


def teacher_for(recipe: Recipe, objective: ObjectivePart) -> TeacherPart:
    """From whom a method learns."""
    source = recipe.reproduction.same_tokenizer_teacher
    if source is None or objective.needs.tokenizers != "one":
        return recipe.teacher
    return recipe.teacher.model_copy(update={"source": source, "adapter": None})


def teachers_of(recipe: Recipe, methods: Sequence[Compared]) -> dict[str, TeacherPart]:
    """The recipe's teacher, and the other one where a method learns from it; the names say whether they are fine-tuned.

    Raises:
        TrainingError: the recipe names none.
    """
    teacher_source(recipe)
    part = recipe.reproduction
    kind = "raw" if part.teacher == "raw" else f"sft, {part.teacher_train}"
    found = {f"teacher ({kind})": recipe.teacher}
    for one in methods:
        if teacher_for(recipe, one.objective) != recipe.teacher:
            found[f"same-tokenizer teacher ({kind})"] = teacher_for(recipe, one.objective)
    return found


def sources_of(recipe: Recipe, methods: Sequence[Compared]) -> list[str]:
    """Of all models that are read."""
    teachers = teachers_of(recipe, methods).values()
    named = [source for one in teachers for source in (one.source, one.adapter) if source is not None]
    return list(dict.fromkeys([recipe.student.source, *named]))


def as_run(recipe: Recipe, methods: Sequence[Compared]) -> Recipe:
    """The recipe with every variant in full and the methods that are compared: what is to be recorded.

    A variant holds what it was given alone, and its other keys would be written down with defaults of their own. What
    was trained with a divergence of ``divergences`` is a variant of its own.
    """
    part = recipe.reproduction
    variants = {name: _objective(recipe, name, ()) for name in part.variants}
    if part.divergences is not None:
        variants |= {one.name: one.objective for one in methods}
    names = [one.name for one in methods]
    update = {"variants": variants, "methods": names, "divergences": None}
    return recipe.model_copy(update={"reproduction": part.model_copy(update=update)})


def _objective(recipe: Recipe, name: str, every: Sequence[str]) -> ObjectivePart:
    if name in recipe.reproduction.variants:
        variant = recipe.reproduction.variants[name]
        changes = {key: getattr(variant, key) for key in variant.model_fields_set}
        if name in METHODS:
            changes.setdefault("method", name)
        return with_changes(recipe.objective, changes, f"variant {name}")
    if name in METHODS:
        return with_changes(recipe.objective, {"method": name}, f"method {name}")
    near = difflib.get_close_matches(name, every, n=1)
    remedy = f"Did you mean {near[0]}?" if near else "Add it to reproduction.variants."
    raise TrainingError(Problem(f"method {name}", f"one of {', '.join([*every, ALL])}", "another name", remedy))
