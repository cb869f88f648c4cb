"""The stages that train student and teacher from random weights, before anything learns from them."""

from pathlib import Path
from typing import Any

from probe.training.language_model import from_random_weights
from probe.training.recipe import Recipe
from probe.training.reproduction.inputs import Inputs
from probe.training.stages import Stage
from probe.training.teacher.teacher import teacher_source


def scratch_stages(recipe: Recipe, inputs: Inputs) -> dict[str, Stage]:
    """Those of a recipe, by role; none where it takes models as they are."""
    part = recipe.reproduction.scratch
    if part is None:
        return {}
    options = {"epochs": part.epochs, "learning_rate": part.learning_rate, "seed": recipe.seed}
    return {
        "student": _stage("student", recipe.student.source, inputs, stop_after=part.student_epochs, **options),
        "teacher": _stage("teacher", teacher_source(recipe), inputs, stop_after=None, **options),
    }


def _stage(role: str, source: str, inputs: Inputs, **options: Any) -> Stage:
    def make(place: Path) -> None:
        from_random_weights(source, inputs.rows.train, place, **options)

    depends = {"kind": "language model", "of": inputs.model_digest(source), "data": inputs.data, **options}
    return Stage(f"language model {role}", depends, make)
