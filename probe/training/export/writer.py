"""The export itself: everything is looked up and checked, then written whole."""

import os
import shutil
from pathlib import Path

from probe.adopt import ARGUMENTS, CONFIG, PROJECTORS
from probe.checkpoint import load_checkpoint
from probe.errors import OutputError, Problem
from probe.files import replacing_directory
from probe.training.export.arguments import dskd_arguments
from probe.training.export.directories import RunInfo, epoch_directory
from probe.training.export.layout import NOTES, TERMS, as_json
from probe.training.export.models import find_student, find_teacher
from probe.training.export.notes import layout_notes
from probe.training.export.student_files import copy_files, model_files, tokenizer_notes
from probe.training.export.translation import translate
from probe.training.export.weights import Dtype, state_dict


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
