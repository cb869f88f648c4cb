"""Export a checkpoint: look up and check everything, then write it whole."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.checkpoints.checkpoint import Checkpoint, load_checkpoint
from probe.checkpoints.dskd import ARGUMENTS, CONFIG, NOTES, PROJECTORS, TERMS, as_json, dskd_criterion
from probe.checkpoints.export.models import (
    PlacedModel,
    copy_files,
    find_student,
    find_teacher,
    model_files,
    tokenizer_notes,
)
from probe.checkpoints.export.notes import layout_notes
from probe.checkpoints.export.translation import (
    SHORT,
    Dtype,
    TranslatedRecipe,
    only_projectors,
    recipe_part,
    state_dict,
    translate,
)
from probe.checkpoints.open_model import OpenModel
from probe.errors import OutputError, Problem, TrainingError
from probe.models.table_sources import ADAPTER, read_json
from probe.output.files import replacing_directory


def dskd_arguments(
    checkpoint: Checkpoint, recipe: TranslatedRecipe, student: OpenModel, teacher: PlacedModel, target: Path
) -> dict[str, Any]:
    """The arguments; None for values that are unknown or do not apply."""
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
        "peft": "lora" if (Path(student.source) / ADAPTER).is_file() else None,
        **recipe.arguments,
    }


def _type(directory: Path) -> str | None:
    """DSKD's name of the model family, by which it chooses the end-of-sequence token."""
    file = directory / "config.json"
    named = read_json(file).get("model_type") if file.is_file() else None
    return "qwen" if str(named).startswith("qwen") else named


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Information for the names of the two directories that the checkpoint does not have.

    Raises:
        TrainingError: the setting is not the name of a directory, or the epoch is below 1.
    """

    epoch: int = 1
    loss: float | None = None
    """Loss on the development set; None for a run that was not evaluated."""
    setting: str | None = None
    """Name of the directory of the run; None for a name as in DSKD, from criterion, teacher and recipe."""

    def __post_init__(self) -> None:
        if self.setting is not None and (self.setting in ("", ".", "..") or re.search(r"[/\\\0]", self.setting)):
            raise TrainingError(
                Problem("setting", "the name of a directory", repr(self.setting), "Give a name without a path.")
            )
        if self.epoch < 1:
            raise TrainingError(Problem("epoch", "1 or more", str(self.epoch), "Count epochs from 1."))


def epoch_directory(checkpoint: Checkpoint, out: Path, *, dtype: Dtype, run: RunInfo) -> Path:
    """The directory of projectors and student in an export, named as in DSKD.

    Raises:
        CheckpointError: DSKD does not have the method of the checkpoint.
    """
    steps = [] if checkpoint.steps is None else [f"step{checkpoint.steps}"]
    loss = [] if run.loss is None else [f"loss{run.loss:.4f}"]
    return out / (run.setting or _setting(checkpoint, dtype, run)) / "_".join([f"epoch{run.epoch}", *steps, *loss])


def _setting(checkpoint: Checkpoint, dtype: Dtype, run: RunInfo) -> str:
    known = translate(checkpoint).arguments
    batch, accumulation = known.get("batch_size"), known.get("gradient_accumulation_steps")
    kind = [known[key] for key in ("kq_adver_type", "kd_objective") if key in known]
    parts = [
        f"criterion={dskd_criterion(checkpoint)}",
        "-".join([*map(str, kind), SHORT[dtype]]),
        f"teacher={checkpoint.teacher.name.rpartition('/')[2]}",
        *(
            f"{name}={known[key]}"
            for name, key in (("kd^rate", "kd_rate"), ("kd^temp", "kd_temperature"))
            if key in known
        ),
        f"epoch={run.epoch}",
        *([f"bsz={batch}x{accumulation}x1={batch * accumulation}"] if batch and accumulation else []),
        *(f"{name}={known[key]}" for name, key in (("lr", "lr"), ("proj^lr", "projector_lr")) if key in known),
    ]
    return re.sub(r"[^\w=^.+-]", "-", "__".join(parts))


def export_dskd(
    checkpoint_dir: Path, out: Path, *, teacher_path: str | None, dtype: Dtype = "bfloat16", run: RunInfo
) -> list[str]:
    """Write ``out/SETTING`` whole or not at all; `epoch_directory` says where the projectors are.

    Args:
        checkpoint_dir: a checkpoint of this project, with ``student/`` if the student was trained.
        out: directory of runs; it is made if it does not exist.
        teacher_path: path of the teacher for ``args.json``, perhaps on another machine; None: that of the checkpoint.
        dtype: type of the projectors. With float32 they stay exact.
        run: information for the names of the directories.

    Returns:
        The lines of ``NOTES.txt``: what DSKD cannot store or must know, one sentence each.

    Raises:
        CheckpointError: DSKD does not have the method of the checkpoint, or a model is missing or differs.
        ProjectorError, TableError: the checkpoint or a model cannot be read.
        OutputError: the target exists, or cannot be written.
        MissingExtraError: torch, which writes ``projector.pt``, is not installed.
    """
    checkpoint = load_checkpoint(checkpoint_dir.resolve())
    epoch = epoch_directory(checkpoint, out.resolve(), dtype=dtype, run=run)
    target = epoch.parent
    if os.path.lexists(target):
        raise OutputError(Problem(str(target), "a new directory", "an existing one", "Name another directory."))
    student, teacher = find_student(checkpoint), find_teacher(checkpoint, teacher_path)
    files = model_files(Path(student.source))
    recipe = translate(checkpoint)
    arguments = dskd_arguments(checkpoint, recipe, student, teacher, target)
    notes = [*layout_notes(checkpoint, recipe, student, teacher, dtype), *tokenizer_notes(Path(student.source))]
    config = as_json({name: {"enabled": True, "structure": p.structure} for name, p in checkpoint.projectors.items()})
    texts = {ARGUMENTS: as_json(arguments), CONFIG: config, NOTES: "".join(f"- {note}\n" for note in notes)}
    projectors = state_dict(checkpoint, dtype)
    # If `out` must be made, make it with the same rename, so that a failure leaves nothing behind.
    is_there = out.is_dir()
    with replacing_directory(target if is_there else out) as temporary:
        setting = temporary if is_there else temporary / target.name
        place = setting / epoch.name
        place.mkdir(parents=True)
        for name, text in texts.items():
            (setting / name).write_text(text, encoding="utf-8")
        for file in (checkpoint.path / name for name in TERMS if (checkpoint.path / name).is_file()):
            shutil.copyfile(file, setting / file.name)
        copy_files(files, place)
        (place / CONFIG).write_text(config, encoding="utf-8")
        (place / PROJECTORS).write_bytes(projectors)
    return notes
