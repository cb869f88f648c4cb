"""The export itself: everything is looked up and checked, then written whole."""

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
        "peft": "lora" if (Path(student.source) / ADAPTER).is_file() else None,
        **recipe.arguments,
    }


def _type(directory: Path) -> str | None:
    """DSKD's name of a model's family, by which it chooses the end-of-sequence token."""
    file = directory / "config.json"
    named = read_json(file).get("model_type") if file.is_file() else None
    return "qwen" if str(named).startswith("qwen") else named


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What names the two directories beside what the checkpoint knows.

    Raises:
        TrainingError: the setting is no name of a directory, or the epoch is below 1.
    """

    epoch: int = 1
    loss: float | None = None
    """On the development set; None for a run that was not evaluated, whose directory then names none."""
    setting: str | None = None
    """Name of the run's directory; None for one in DSKD's manner, from criterion, teacher and recipe."""

    def __post_init__(self) -> None:
        if self.setting is not None and (self.setting in ("", ".", "..") or re.search(r"[/\\\0]", self.setting)):
            raise TrainingError(
                Problem("setting", "the name of a directory", repr(self.setting), "Leave out what is a path.")
            )
        if self.epoch < 1:
            raise TrainingError(Problem("epoch", "1 or more", str(self.epoch), "Count epochs from 1."))


def epoch_directory(checkpoint: Checkpoint, out: Path, *, dtype: Dtype, run: RunInfo) -> Path:
    """Where an export puts projectors and student, named in DSKD's manner.

    Raises:
        CheckpointError: the checkpoint is of a method without counterpart.
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
    """Write ``out/SETTING`` whole, or nothing; `epoch_directory` tells where the projectors are in it.

    Args:
        checkpoint_dir: a directory in our format, with ``student/`` in it where the student was trained.
        out: directory of runs; made if it is not there.
        teacher_path: what ``args.json`` is to name, perhaps on another machine; None for the checkpoint's own source.
        dtype: of the projectors. With float32 they are kept to the bit.
        run: what names the directories.

    Returns:
        What DSKD cannot represent, or has to be told, one sentence each: the lines of ``NOTES.txt``.

    Raises:
        CheckpointError: the checkpoint is of a method without counterpart, or a model is missing or another one.
        ProjectorError, TableError: the checkpoint or a model cannot be read.
        OutputError: the target is there already, or cannot be written.
        MissingExtraError: torch, which writes ``projector.pt``, is not installed.
    """
    checkpoint = load_checkpoint(checkpoint_dir.resolve())
    epoch = epoch_directory(checkpoint, out.resolve(), dtype=dtype, run=run)
    target = epoch.parent
    if os.path.lexists(target):
        raise OutputError(Problem(str(target), "a free name", "something there already", "Name another directory."))
    student, teacher = find_student(checkpoint), find_teacher(checkpoint, teacher_path)
    files = model_files(Path(student.source))
    recipe = translate(checkpoint)
    arguments = dskd_arguments(checkpoint, recipe, student, teacher, target)
    notes = [*layout_notes(checkpoint, recipe, student, teacher, dtype), *tokenizer_notes(Path(student.source))]
    config = as_json({name: {"enabled": True, "structure": p.structure} for name, p in checkpoint.projectors.items()})
    texts = {ARGUMENTS: as_json(arguments), CONFIG: config, NOTES: "".join(f"- {note}\n" for note in notes)}
    projectors = state_dict(checkpoint, dtype)
    # An `out` that has to be made is made in the same rename, so that a failure leaves nothing of it either.
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
