"""``python -m probe.training.export``: write a checkpoint as DSKD lays its runs out, for its code and other readers.

    OUT/SETTING/args.json                        what the recipe knows of DSKD's arguments
                projector_config.json            structures of the projectors; args.json names this file
                NOTES.txt                        what the layout cannot say
                epoch1_step2000_loss2.7183/      projector.pt, projector_config.json and the student's own files

Nothing is made up: an argument that the recipe does not know is left out, and NOTES.txt says so. `probe.adopt` reads
the directory of the epoch back.
"""

import argparse
import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from probe.adopt import ARGUMENTS, CONFIG, MATCHING, PROJECTORS, PROMPT, TRAINED_QUERY
from probe.checkpoint import MANIFEST, TENSORS, Checkpoint, ModelRecord, load_checkpoint
from probe.errors import CheckpointError, MissingExtraError, OutputError, ProbeError, Problem, TrainingError
from probe.files import replacing_directory
from probe.models import OpenModel, open_model
from probe.projectors import QUERY, S2T, STRUCTURES
from probe.sources import resolve
from probe.table_foreign import tensor_names
from probe.table_sources import read_json
from probe.training.data import MAX_LENGTH, MAX_PROMPT

STUDENT, NOTES, TOKENIZER = "student", "NOTES.txt", "tokenizer_config.json"
TERMS = ("NOTICE", "LICENSE")
"""Files of a checkpoint that go where its projectors go: the teacher's terms may bind them."""

PRETRAINING = "t2s pre-training"

Dtype = Literal["bfloat16", "float32"]
SHORT: Mapping[Dtype, str] = {"bfloat16": "bf16", "float32": "fp32"}

CRITERIA = {
    "dskd": "dual_space_kd",
    "cma": "dual_space_kd_with_cma",
    "cla": "dual_space_kd_with_cla",
    "clp": "dual_space_kd_with_clp",
    "cma-ga": MATCHING,
    "cma-ct": MATCHING,
}
"""DSKD-KQ's name of each method whose projectors it knows."""

ADVERSARIES = {"cma-ga": "gan", "cma-ct": "ct"}

SPELLINGS = {
    "max_prompt": "max_prompt_length",
    "temperature": "kd_temperature",
    "divergence": "kd_objective",
    "skew": "skew_lambda",
    "alpha": "adaptive_kl_alpha",
    "kq_hidden": "kq_hidden_size",
    "only_projectors": "only_save_projector",
    "projector_learning_rate": "projector_lr",
    "learning_rate": "lr",
    "clip": "clip_grad",
    "schedule": "lr_decay_style",
    "warmup_steps": "warmup_iters",
    "steps": "total_iters",
    "epochs": "num_epochs",
}
"""DSKD's argument for each name that a recipe has for it."""

PARTS = ("data", "objective", "training")
"""Parts of a recipe whose keys are looked at; those of the two models say where they are from, and stay together."""

SPELT_ALIKE = ("batch_size", "max_length", "teacher_temperature", "weight_decay", "seed")
OF_ALL = ("batch_size", "gradient_accumulation_steps", "max_length", "max_prompt_length")
OF_DISTILLATION = ("kd_rate", "kd_temperature", "kd_objective")
OF_MATCHING = ("kq_rate", "kq_adver_type")
"""Arguments that readers look at, for all runs and for some; those that are not known are named in the notes."""

NOT_THE_MODELS = frozenset(
    {PROJECTORS, CONFIG, ARGUMENTS, NOTES, MANIFEST, TENSORS, "training_args.bin", "trainer_state.json"}
    | {"optimizer.pt", "scheduler.pt", "scaler.pt"}
)
"""Files that may lie in a student's directory and would be taken for the exported run's, or are of no use to it."""


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


class _Model(NamedTuple):
    """A model's place as ``args.json`` names it, and the open model where it could be verified."""

    path: str | None
    opened: OpenModel | None


class _Recipe(NamedTuple):
    """The recipe in DSKD's words: its arguments, and what it has no argument for."""

    arguments: dict[str, Any]
    rest: dict[str, Any]


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
    student, teacher = _student(checkpoint), _teacher(checkpoint, teacher_path)
    files = _model_files(Path(student.source))
    recipe = _translate(checkpoint)
    arguments = _arguments(checkpoint, recipe, student, teacher, target)
    notes = [*_notes(checkpoint, recipe, student, teacher, dtype), *_tokenizer_note(Path(student.source))]
    config = _json({name: {"enabled": True, "structure": p.structure} for name, p in checkpoint.projectors.items()})
    texts = {ARGUMENTS: _json(arguments), CONFIG: config, NOTES: "".join(f"- {note}\n" for note in notes)}
    projectors = _state_dict(checkpoint, dtype)
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
        _copy(files, place)
        (place / CONFIG).write_text(config, encoding="utf-8")
        (place / PROJECTORS).write_bytes(projectors)
    return notes


def epoch_directory(checkpoint: Checkpoint, out: Path, *, dtype: Dtype, run: RunInfo) -> Path:
    """Where an export puts projectors and student, named in DSKD's manner.

    Raises:
        CheckpointError: the checkpoint is of a method without counterpart.
    """
    steps = [] if checkpoint.steps is None else [f"step{checkpoint.steps}"]
    loss = [] if run.loss is None else [f"loss{run.loss:.4f}"]
    return out / (run.setting or _setting(checkpoint, dtype, run)) / "_".join([f"epoch{run.epoch}", *steps, *loss])


def _setting(checkpoint: Checkpoint, dtype: Dtype, run: RunInfo) -> str:
    known = _translate(checkpoint).arguments
    batch, accumulation = known.get("batch_size"), known.get("gradient_accumulation_steps")
    kind = [known[key] for key in ("kq_adver_type", "kd_objective") if key in known]
    parts = [
        f"criterion={_criterion(checkpoint)}",
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


def _criterion(checkpoint: Checkpoint) -> str:
    unknown = sorted(checkpoint.projectors.keys() - STRUCTURES.keys())
    if checkpoint.method not in CRITERIA or unknown or not checkpoint.projectors:
        projectors = ", ".join(checkpoint.projectors) or "none"
        raise CheckpointError(
            Problem(
                str(checkpoint.path),
                f"a method of DSKD's ({', '.join(CRITERIA)}) with its projectors ({', '.join(STRUCTURES)})",
                f"method {checkpoint.method} with projectors {projectors}",
                "DSKD cannot read this checkpoint; share it as it is.",
            )
        )
    # An adopted checkpoint keeps the name that it came with.
    is_theirs = checkpoint.criterion in TRAINED_QUERY | set(CRITERIA.values())
    return checkpoint.criterion if is_theirs else CRITERIA[checkpoint.method]


# Models


def _student(checkpoint: Checkpoint) -> OpenModel:
    """The student to copy: the trained one beside the projectors, else the one that they were trained for."""
    own = checkpoint.path / STUDENT
    weights = own / "model.safetensors"
    is_table = weights.is_file() and len(tensor_names(weights)) == 1  # all that a probe needs of it
    if is_table or (not own.is_dir() and _part(checkpoint, "student").get("train", "nothing") != "nothing"):
        got = "its embedding table alone" if is_table else "projectors alone"
        raise CheckpointError(Problem(str(own), "the trained student", got, "Name a whole checkpoint of the run."))
    found = own if own.is_dir() else _local(checkpoint.student, checkpoint.path)
    if found is None:
        sources = ", ".join(verified.source for verified in checkpoint.student.sources) or "no source"
        remedy = f"Fetch it, or put its files into {own}."
        expected = f"the directory of student {checkpoint.student.name}"
        raise CheckpointError(Problem(str(checkpoint.path), expected, f"{sources}, which is none here", remedy))
    return open_model(checkpoint.student, "student", directory=checkpoint.path, override=str(found))


def _teacher(checkpoint: Checkpoint, named: str | None) -> _Model:
    """The teacher as it is named, or where it is; only a directory of this machine can be verified."""
    record, where = checkpoint.teacher, checkpoint.path
    found = (_local(record, where) or _hub_id(record, where)) if named is None else resolve(named, Path.cwd())
    if not isinstance(found, Path) or not found.exists():
        return _Model(None if found is None else str(found), None)
    if not found.is_dir():
        remedy = "DSKD loads directories that save_pretrained wrote."
        raise CheckpointError(Problem(f"teacher {found}", "a model directory", "a file", remedy))
    return _Model(str(found), open_model(record, "teacher", directory=where, override=str(found)))


def _local(record: ModelRecord, directory: Path) -> Path | None:
    """The first of a model's sources that is a directory of this machine."""
    found = (resolve(verified.source, directory) for verified in record.sources)
    return next((path.absolute() for path in found if isinstance(path, Path) and path.is_dir()), None)


def _hub_id(record: ModelRecord, directory: Path) -> str | None:
    found = (resolve(verified.source, directory) for verified in record.sources)
    # DSKD hands it to transformers, which wants the revision apart.
    return next((name.partition("@")[0] for name in found if isinstance(name, str)), None)


def _model_files(directory: Path) -> list[Path]:
    """The files of a model, without hidden ones, subdirectories and what another run left beside them.

    Raises:
        CheckpointError: one of them cannot be read, as a link into a cache from which the file was removed.
    """
    files: list[Path] = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith((".", "rng_state")) or path.name in NOT_THE_MODELS or path.is_dir():
            continue
        if not (path.is_file() and os.access(path, os.R_OK)):
            got = "one without permission" if path.exists() else "a link to nothing"
            raise CheckpointError(Problem(str(path), "a file to copy", got, "Fetch the student again."))
        files.append(path)
    return files


def _copy(files: Iterable[Path], place: Path) -> None:
    for file in files:
        shutil.copyfile(file, place / file.name)
    if _is_of_transformers_5(place):
        config = read_json(place / TOKENIZER) | {"tokenizer_class": "PreTrainedTokenizerFast"}
        (place / TOKENIZER).write_text(_json(config), encoding="utf-8")


def _is_of_transformers_5(directory: Path) -> bool:
    """Whether the tokenizer is of the general class that releases before 5, such as DSKD's, have another name for."""
    file = directory / TOKENIZER
    return file.is_file() and read_json(file).get("tokenizer_class") == "TokenizersBackend"


def _tokenizer_note(student: Path) -> list[str]:
    if not _is_of_transformers_5(student):
        return []
    return [f"{TOKENIZER}: the class TokenizersBackend became PreTrainedTokenizerFast, its name before transformers 5."]


def _state_dict(checkpoint: Checkpoint, dtype: Dtype) -> bytes:
    try:
        import torch
    except ImportError as error:
        remedy = "Run: pip install 'cma-probe[train]'."
        raise MissingExtraError(Problem(PROJECTORS, "torch, to write PyTorch files", "none", remedy)) from error
    state = {
        f"{name}.{key}": torch.tensor(value, dtype=getattr(torch, dtype))
        for name, projector in checkpoint.projectors.items()
        for key, value in projector.tensors.items()
    }
    buffer = io.BytesIO()  # torch has an error of its own for a full disk, and `probe.files` knows the system's
    torch.save(state, buffer)
    return buffer.getvalue()


# Arguments


def _translate(checkpoint: Checkpoint) -> _Recipe:
    """The recipe in DSKD's words. That of pre-training is flat, those of `probe.training.recipe` have parts."""
    recipe = {key: value for key, value in checkpoint.recipe.items() if key not in PARTS}
    for part in (_part(checkpoint, name) for name in PARTS):
        recipe |= part
    recipe = {key: value for key, value in recipe.items() if value is not None}
    alike = (*SPELLINGS.values(), *SPELT_ALIKE, *OF_ALL, *OF_DISTILLATION, *OF_MATCHING)
    spellings = {**SPELLINGS, **{name: name for name in alike}}
    if _only_projectors(checkpoint) and "projector_learning_rate" not in recipe:  # then the one rate is theirs
        spellings["learning_rate"] = "projector_lr"
    arguments = {spellings[key]: value for key, value in recipe.items() if key in spellings}
    if recipe:  # pre-training does not say that it cuts its rows as `probe.training.data` does
        arguments = {"max_length": MAX_LENGTH, "max_prompt_length": MAX_PROMPT} | arguments
    if "batch_size" in recipe:  # ours are the rows of a step, DSKD's those that a process runs at once
        at_once = recipe.get("micro_batch_size", recipe["batch_size"])
        arguments |= {"batch_size": at_once, "gradient_accumulation_steps": recipe["batch_size"] // at_once}
    if checkpoint.method in ADVERSARIES:
        arguments["kq_adver_type"] = ADVERSARIES[checkpoint.method]
    if _part(checkpoint, "student").get("train") == "lora":
        lora: Mapping[str, Any] = _part(checkpoint, "student")["lora"]
        arguments |= {f"peft_lora_{key}": lora[key] for key in ("r", "alpha", "dropout")}
    said = {*spellings, "method", "micro_batch_size"}
    return _Recipe(arguments, {key: value for key, value in recipe.items() if key not in said})


def _part(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    part: Any = checkpoint.recipe.get(name)
    return dict(cast(Mapping[str, Any], part)) if isinstance(part, Mapping) else {}


def _only_projectors(checkpoint: Checkpoint) -> bool:
    return checkpoint.criterion == PRETRAINING or not (checkpoint.path / STUDENT).is_dir()


def _arguments(
    checkpoint: Checkpoint, recipe: _Recipe, student: OpenModel, teacher: _Model, target: Path
) -> dict[str, Any]:
    criterion = _criterion(checkpoint)
    return {
        "task": criterion,
        "criterion": criterion,
        "do_train": True,
        "model_type": _type(Path(student.source)),
        "model_path": student.source if _only_projectors(checkpoint) else None,
        "teacher_model_type": _type(Path(teacher.path)) if teacher.path and teacher.opened else None,
        "teacher_model_path": teacher.path,
        "projector_config_path": str(target / CONFIG),
        "only_save_projector": _only_projectors(checkpoint),
        "teacher_peft_path": _part(checkpoint, "teacher").get("adapter"),
        "peft": "lora" if (Path(student.source) / "adapter_config.json").is_file() else None,
        **recipe.arguments,
    }


def _type(directory: Path) -> str | None:
    """DSKD's name of a model's family, by which it chooses the end-of-sequence token."""
    file = directory / "config.json"
    named = read_json(file).get("model_type") if file.is_file() else None
    return "qwen" if str(named).startswith("qwen") else named


# Notes


def _notes(checkpoint: Checkpoint, recipe: _Recipe, student: OpenModel, teacher: _Model, dtype: Dtype) -> Iterable[str]:
    yield from _scale_notes(checkpoint)
    yield from _projector_notes(checkpoint, dtype)
    yield from _row_notes(checkpoint.student, student, "student")
    if teacher.opened:
        yield from _row_notes(checkpoint.teacher, teacher.opened, "teacher")
    elif teacher.path:
        yield f"teacher_model_path: {teacher.path} is not on this machine; whether its embeddings fit was not checked."
        for source in (v.source for v in checkpoint.teacher.sources if v.source.startswith(f"{teacher.path}@")):
            yield f"teacher_model_path: the revision is lost; the projectors belong to {source}."
    else:
        yield "teacher_model_path: the teacher is not on this machine; write its directory into args.json."
    distils = OF_DISTILLATION if checkpoint.criterion != PRETRAINING else ()
    matches = OF_MATCHING if _criterion(checkpoint) == MATCHING else ()
    unknown = [key for key in (*OF_ALL, *distils, *matches) if key not in recipe.arguments]
    if unknown:
        yield f"args.json leaves out what the recipe does not say: {', '.join(unknown)}."
    if recipe.rest:
        yield f"Of the recipe, DSKD has no argument for: {json.dumps(recipe.rest, ensure_ascii=False)}."


def _scale_notes(checkpoint: Checkpoint) -> Iterable[str]:
    scales = checkpoint.scales
    if QUERY in checkpoint.projectors:
        kind = ", an estimate" if scales.key_is_estimate else ""
        yield (
            f"key_scale {scales.key!r}{kind}: lost, for DSKD divides keys by the standard deviation of each batch. "
            f"Give it to readers that take one: --key-scale {scales.key!r}."
        )
    for name, value in (("hidden", scales.hidden), ("target", scales.target)):
        if value is not None:
            yield f"{name}_scale {value!r}: lost, for DSKD divides by the standard deviation of each batch."


def _projector_notes(checkpoint: Checkpoint, dtype: Dtype) -> Iterable[str]:
    names = checkpoint.projectors.keys()
    if dtype == "bfloat16":
        yield "Projectors are rounded to bfloat16; --dtype float32 keeps them to the bit."
    if QUERY not in names:
        yield "There is no query projector, so this run has no attention to read."
    if S2T not in names:
        yield f"There is no s2t projector; to train on, enable it in {CONFIG}, and DSKD starts from a random one."
    if checkpoint.method in ADVERSARIES:
        yield "The networks that match keys and queries are not part of a checkpoint, neither here nor in DSKD's."


def _row_notes(record: ModelRecord, model: OpenModel, role: str) -> Iterable[str]:
    """What DSKD's readers assume of a tokenizer and this checkpoint does otherwise."""
    end = model.tokenizer.encode(PROMPT)[-1]
    if end != record.prompt_end_id:
        yield f"{role}: prompts end in token {record.prompt_end_id}, and those of DSKD's template in {end}."
    if model.tokenizer.dskd_eos_id != record.eos_id:
        yield f"{role}: texts end in token {record.eos_id}, and DSKD ends them in {model.tokenizer.dskd_eos_id}."


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


# Command


def main() -> int:
    """Parse arguments and export."""
    parser = argparse.ArgumentParser(
        prog="python -m probe.training.export", description="Write a checkpoint as another toolkit lays it out."
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint directory of a run")
    parser.add_argument("--to", required=True, choices=["dskd"], help="the layout")
    parser.add_argument("--out", required=True, type=Path, help="directory of runs; this one gets its own in there")
    parser.add_argument("--teacher", help="what args.json names as the teacher; default: where the checkpoint has it")
    parser.add_argument("--dtype", choices=[*SHORT], default="bfloat16", help="of the projectors; default %(default)s")
    parser.add_argument("--epoch", type=int, help="default: the recipe's steps over the rows of its data, or 1")
    parser.add_argument("--loss", type=float, help="on the development set; left out by default")
    parser.add_argument("--setting", help="name of the run's directory; default: criterion, teacher and recipe")
    arguments = parser.parse_args()
    try:
        checkpoint = load_checkpoint(arguments.checkpoint)
        epoch = _epochs(checkpoint) if arguments.epoch is None else arguments.epoch
        run = RunInfo(epoch, arguments.loss, arguments.setting)
        notes = export_dskd(
            arguments.checkpoint, arguments.out, teacher_path=arguments.teacher, dtype=arguments.dtype, run=run
        )
    except ProbeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(epoch_directory(checkpoint, arguments.out, dtype=arguments.dtype, run=run))
    for note in notes:
        print(f"- {note}")
    return 0


def _epochs(checkpoint: Checkpoint) -> int:
    known, rows = _translate(checkpoint).arguments, checkpoint.recipe.get("rows")
    size, steps = known.get("batch_size"), checkpoint.steps
    if not (rows and size and steps):
        return 1
    return max(1, math.ceil(steps * size * (known.get("gradient_accumulation_steps") or 1) / rows))


if __name__ == "__main__":
    sys.exit(main())
