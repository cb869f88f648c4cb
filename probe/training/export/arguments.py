"""What ``args.json`` says: paths and kinds of the models, and the recipe."""

from pathlib import Path
from typing import Any

from probe.adopt import CONFIG
from probe.checkpoint import Checkpoint
from probe.models import OpenModel
from probe.table_sources import read_json
from probe.training.export.criteria import dskd_criterion
from probe.training.export.models import PlacedModel
from probe.training.export.translation import TranslatedRecipe, only_projectors, recipe_part


def dskd_arguments(
    checkpoint: Checkpoint, recipe: TranslatedRecipe, student: OpenModel, teacher: PlacedModel, target: Path
) -> dict[str, Any]:
    """The arguments, None for what is not known or does not apply."""
    criterion = dskd_criterion(checkpoint)
    return {
        "task": criterion,
        "criterion": criterion,
        "do_train": True,
        "model_type": _type(Path(student.source)),
        "model_path": student.source if only_projectors(checkpoint) else None,
        "teacher_model_type": _type(Path(teacher.path)) if teacher.path and teacher.opened else None,
        "teacher_model_path": teacher.path,
        "projector_config_path": str(target / CONFIG),
        "only_save_projector": only_projectors(checkpoint),
        "teacher_peft_path": recipe_part(checkpoint, "teacher").get("adapter"),
        "peft": "lora" if (Path(student.source) / "adapter_config.json").is_file() else None,
        **recipe.arguments,
    }


def _type(directory: Path) -> str | None:
    """DSKD's name of a model's family, by which it chooses the end-of-sequence token."""
    file = directory / "config.json"
    named = read_json(file).get("model_type") if file.is_file() else None
    return "qwen" if str(named).startswith("qwen") else named
