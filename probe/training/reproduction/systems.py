"""What a reproduction compares: methods and variants of them, the teacher, and the student as it was."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from probe.errors import Problem, TrainingError
from probe.training.criteria.settings import METHODS
from probe.training.parts import ObjectivePart
from probe.training.recipe import Recipe, with_changes

ALL = "all"
RAW_STUDENT = "raw student"


@dataclass(frozen=True, slots=True)
class Compared:
    """A method, or a variant of one, under the name that tables give it."""

    name: str
    objective: ObjectivePart


def compared(recipe: Recipe, names: Sequence[str] | None) -> list[Compared]:
    """Those named, or else the recipe's; ``all`` is every method for two tokenizers and every variant.

    Raises:
        TrainingError: a name is neither a method nor a variant of the recipe.
    """
    part = recipe.reproduction
    methods = [method for method, needs in METHODS.items() if needs.tokenizers != "one"]
    every = [*dict.fromkeys([*methods, *part.variants])]
    found: list[Compared] = []
    for name in names or part.methods:
        chosen = every if name == ALL else [name]
        found += [Compared(one, _objective(recipe, one, every)) for one in chosen if one not in {f.name for f in found}]
    return found


def as_run(recipe: Recipe, methods: Sequence[Compared]) -> Recipe:
    """The recipe with every variant in full and the methods that are compared: what is to be recorded.

    A variant holds what it was given alone, and its other keys would be written down with defaults of their own.
    """
    part = recipe.reproduction
    variants = {name: _objective(recipe, name, ()) for name in part.variants}
    names = [one.name for one in methods]
    return recipe.model_copy(update={"reproduction": part.model_copy(update={"variants": variants, "methods": names})})


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
