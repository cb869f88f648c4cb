"""Recipes: everything that a training run depends on, in one TOML file.

Shipped ones lie in ``recipes/``. Any key can be set on the command line, ``objective.method=cla``; values are TOML,
and what TOML cannot read is a string. The resolved recipe, all defaults written out, is stored with the checkpoint.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from probe.errors import Problem, TrainingError
from probe.output.reading import Wanted, parse_json, read_text, reason
from probe.training.attention_recipe import AttentionRecipe
from probe.training.criteria.settings import Method
from probe.training.parts import (
    SEEDS,
    DataPart,
    EvaluationPart,
    ObjectivePart,
    Part,
    RecipePart,
    ReproductionPart,
    Seed,
    StudentPart,
    TeacherPart,
    TrainingPart,
    named_runs,
)

SHIPPED = Path(__file__).parent / "recipes"
ATTENTION = "attention"
"""The part that only recipes of an attention alone have."""
RECIPE = "recipe.json"
"""The file in a run and in each of its checkpoints that says what ran."""


class Recipe(RecipePart):
    """A run, or several that differ in method and seed."""

    name: str
    seed: int = Field(default=10, ge=0, lt=SEEDS)
    methods: list[Method] | None = None
    """Run each of these instead of ``objective.method``."""
    seeds: list[Seed] | None = None
    """Run each method with each of these instead of ``seed``."""
    student: StudentPart
    teacher: TeacherPart = TeacherPart()
    data: DataPart
    objective: ObjectivePart = ObjectivePart()
    training: TrainingPart
    evaluation: EvaluationPart = EvaluationPart()
    reproduction: ReproductionPart = ReproductionPart()

    @model_validator(mode="after")
    def _can_keep_best(self) -> "Recipe":
        if self.training.keep_by == "rouge_l" and not self.evaluation.seeds:
            raise ValueError("training.keep_by = rouge_l needs a seed in evaluation.seeds")
        return self

    def runs(self) -> Iterator["Recipe"]:
        """The runs one by one, every method on the same seeds."""
        methods, seeds = self.methods or [self.objective.method], self.seeds or [self.seed]
        for name, method, seed in named_runs(self.name, methods, seeds):
            changed = {"name": name, "seed": seed, "methods": None, "seeds": None}
            objective = with_changes(self.objective, {"method": method}, f"method {method}")
            yield self.model_copy(update=changed | {"objective": objective}).for_training()

    @property
    def trains_table(self) -> bool:
        """Whether the student's embedding table changes along the run."""
        return self.student.train == "all" and "student_embeddings" not in self.objective.freeze

    def for_training(self) -> "Recipe":
        """Without what training does not read, so that another evaluation does not make it another run."""
        unread: dict[str, Any] = {"reproduction": ReproductionPart()}
        if self.training.keep_by != "rouge_l":
            unread["evaluation"] = EvaluationPart()
        return self.model_copy(update=unread)

    def digest(self) -> str:
        """SHA-256 of the resolved recipe."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def with_changes(objective: ObjectivePart, changes: Mapping[str, Any], where: str) -> ObjectivePart:
    """The objective with other values, which are checked together.

    Raises:
        TrainingError: they do not go together.
    """
    return part_of(ObjectivePart, objective.model_dump(mode="json") | dict(changes), where)


def part_of(kind: type[Part], values: dict[str, Any], where: str) -> Part:
    """One part of a recipe, on its own.

    Raises:
        TrainingError: keys or values are wrong; all of them are listed.
    """
    return _resolved(kind, values, where)


def read_recipe_of_run(file: Path) -> Recipe:
    """The recipe that a run wrote down.

    Raises:
        TrainingError: the file is none.
    """
    wanted = Wanted("the recipe of a run", "Name a checkpoint of a run, or a model directory.", TrainingError)
    text = read_text(file, wanted)
    parse_json(text, file, wanted)  # pydantic's own reader takes numbers of any length
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise wanted.refusal(file, str(error).splitlines()[0]) from error


def read_recipe(named: str, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a file; ``overrides`` are ``key.of.part=value``.

    Raises:
        TrainingError: there is no such recipe, it is not TOML, or keys or values are wrong; all of them are listed.
    """
    where, content = _content(named, overrides)
    if ATTENTION in content:
        remedy = "Use probe-train; a distillation can start from its checkpoint: objective.start=DIR."
        raise TrainingError(Problem(where, "a recipe that trains a student", "one of an attention alone", remedy))
    return _resolved(Recipe, content, where)


def read_any_recipe(named: str, overrides: Sequence[str] = ()) -> Recipe | AttentionRecipe:
    """A recipe of either kind: that of an attention alone has the part ``attention``.

    Raises:
        TrainingError: as `read_recipe`.
    """
    where, content = _content(named, overrides)
    return _resolved(AttentionRecipe if ATTENTION in content else Recipe, content, where)


def _content(named: str, overrides: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The name of a recipe's file, and its keys with the overrides."""
    path = SHIPPED / f"{named}.toml"
    path = path if path.is_file() else Path(named)
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise TrainingError(Problem(named, f"a recipe file, or one of: {shipped}", "neither", "Check the spelling."))
    wanted = Wanted("TOML in UTF-8", "Mend the line.", TrainingError)
    content = _toml(read_text(path, wanted), path, wanted)
    for override in overrides:
        _set(content, override)
    # Whoever sets one of the two lengths on the command line means it instead of the recipe's other one.
    lengths = {"epochs": "steps", "steps": "epochs"}
    keys = {override.partition("=")[0] for override in overrides}
    for key, other in lengths.items():
        if f"training.{key}" in keys and f"training.{other}" not in keys:
            content["training"].pop(other, None)
    return path.name, content


def _resolved(kind: type[Part], content: dict[str, Any], where: str) -> Part:
    try:
        # Integers are allowed where a float is meant, which strictness would forbid for nobody's good.
        return kind.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise TrainingError(*(_problem(where, each, kind) for each in error.errors())) from error


def _toml(text: str, path: Path, wanted: Wanted) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise wanted.refusal(path, reason(error).partition(";")[0]) from error


def _set(content: dict[str, Any], override: str) -> None:
    key, sign, value = override.partition("=")
    *parents, last = key.split(".")
    if not sign or not all([*parents, last]):
        raise TrainingError(Problem(override, "key.of.part=value", "something else", "Write objective.method=cla."))
    part: Any = content
    for parent in parents:
        part = part.setdefault(parent, {})
        if not isinstance(part, dict):
            raise TrainingError(Problem(override, "a part of a recipe", f"a value, {parent}", "Name the key alone."))
    try:
        found: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found = value
    except (ValueError, RecursionError) as error:
        got = reason(error).partition(";")[0]
        raise TrainingError(Problem(f"{override[:40]}…", "a value of TOML", got, "Write a shorter one.")) from error
    # TOML knows dates; here, one is a name that looks like it.
    part[last] = found if isinstance(found, str | int | float | list | dict) else value


def _problem(where: str, error: Any, kind: type[RecipePart]) -> Problem:
    place = ".".join(str(part) for part in error["loc"])
    # What is wrong of several keys together has no place and no value of its own.
    got = "other values" if isinstance(error["input"], dict) else repr(error["input"])
    if error["type"] == "extra_forbidden":
        known = _keys(error["loc"][:-1], kind)
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Remove it."
        return Problem(f"{where}: {place}", f"one of {', '.join(known)}", "an unknown key", remedy)
    if error["type"] == "missing":
        return Problem(f"{where}: {place}", "a value", "none", f"Set {place}.")
    expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return Problem(f"{where}: {place}" if place else where, expected, got, "Mend the value.")


def _keys(place: Sequence[Any], kind: type[RecipePart]) -> list[str]:
    model: Any = kind
    parts = iter(place)
    for part in parts:
        model = model.model_fields[part].annotation
        if not hasattr(model, "model_fields"):  # a part that may be left out, or one for each of several names
            if next(iter(model.__args__)) is str:
                next(parts)
            model = next(choice for choice in model.__args__ if hasattr(choice, "model_fields"))
    return sorted(model.model_fields)
