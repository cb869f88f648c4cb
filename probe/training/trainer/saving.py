"""Checkpoints of a run: whole or not there, checked against a list of files, few.

``checkpoint-N`` holds our checkpoint (``probe.json``, ``projectors.safetensors``, ``student/`` where it is trained), so
that it can be probed as it is, and beside it what a resume needs, but not at the end of the run. ``files.json`` lists
every file with its size, ``sha256.json`` with its digest, which is compared before a run goes on.
"""

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from probe.checkpoints.checkpoint import STUDENT, Checkpoint, load_checkpoint, write_checkpoint
from probe.checkpoints.manifest import is_ours
from probe.errors import OutputError, Problem, TrainingError
from probe.models.digests import remembered
from probe.output.files import replacing_directory
from probe.output.provenance import file_sha256
from probe.output.reading import Wanted, read_object
from probe.training.recipe import RECIPE
from probe.training.trainer.distiller import Distiller

FILES, DIGESTS = "files.json", "sha256.json"
METRICS, NETWORKS = "metrics.json", "networks.safetensors"
TRAINER_STATE = "trainer_state.json"
PARTIAL, PROJECTORS = ".partial", "projectors"
BITS, ROUGE = "bits_per_byte", "rouge_l"
_NAME = re.compile(r"checkpoint-([0-9]+)")


@contextmanager
def whole_directory(target: Path, *, is_main: bool, wait: Callable[[], None]) -> Generator[Path]:
    """A place that several processes fill; the main one renames it to ``target`` once all are done.

    Raises:
        OutputError: it cannot be written to, for example because the disk is full.
    """
    place = target.with_name(f".{target.name}{PARTIAL}")
    try:
        if is_main:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        wait()
        yield place
        wait()
        if is_main:
            _finish(place)
            shutil.rmtree(target, ignore_errors=True)
            place.replace(target)
            _sync(target.parent)
        wait()
    except Exception as error:
        if is_main:
            shutil.rmtree(place, ignore_errors=True)
        if _is_about_space(error):
            remedy = "Make room, or name another directory; the run goes on from its last checkpoint."
            raise OutputError(Problem(str(target), "room for a checkpoint", str(error), remedy)) from error
        raise


def _is_about_space(error: Exception) -> bool:
    """Whether writing failed; libraries wrap the system's error in their own."""
    wrapped = ("SafetensorError", "PytorchStreamWriter", "unexpected pos", "file write failed", "iostream error")
    return isinstance(error, OSError) or any(name in f"{type(error).__name__}: {error}" for name in wrapped)


def _finish(place: Path) -> None:
    sizes = {str(file.relative_to(place)): file.stat().st_size for file in _files(place)}
    digests = {name: file_sha256(place / name) for name in sizes}
    for list_, content in ((FILES, sizes), (DIGESTS, digests)):
        (place / list_).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for file in [*_files(place), *(folder for folder in place.rglob("*") if folder.is_dir()), place]:
        _sync(file)


def _files(place: Path) -> Iterator[Path]:
    return (file for file in sorted(place.rglob("*")) if file.is_file())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Found(NamedTuple):
    """The newest complete checkpoint of a run, and what is wrong with newer ones."""

    path: Path | None
    skipped: tuple[str, ...]


def newest_complete(run: Path) -> Found:
    """Look for the checkpoint to go on from; the remains of an interrupted one are removed."""
    for remains in run.glob(f".checkpoint-*{PARTIAL}"):
        shutil.rmtree(remains, ignore_errors=True)
    skipped: list[str] = []
    for path in reversed(checkpoints(run)):
        wrong = _what_is_wrong(path) or _what_was_changed(path)
        if wrong is None:
            return Found(path, tuple(skipped))
        skipped.append(f"{path.name}: {wrong}")
    return Found(None, tuple(skipped))


def is_done(checkpoint: Path) -> bool:
    """Whether the run had no further step to take."""
    wanted = Wanted("the steps of a run", f"Delete {checkpoint}.", TrainingError)
    state = read_object(checkpoint / TRAINER_STATE, wanted)
    return state["global_step"] >= state["max_steps"]


def step_of(checkpoint: Path) -> int:
    """Steps taken, by its name."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def checkpoints(run: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    found = [(int(match[1]), path) for path in run.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _what_is_wrong(path: Path) -> str | None:
    try:
        sizes = read_object(path / FILES, Wanted("sizes", "", TrainingError))
    except TrainingError:
        return f"no readable {FILES}"
    for name, size in sizes.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes, not {size}"
    return None


def _what_was_changed(path: Path) -> str | None:
    """What is not as it was written; of a checkpoint of an earlier version, which has no digests, nothing is known."""
    if not (path / DIGESTS).is_file():
        return None
    try:
        digests = read_object(path / DIGESTS, Wanted("digests of files", "Delete the checkpoint.", OutputError))
    except OutputError:
        return f"no readable {DIGESTS}"
    for name, digest in digests.items():
        if remembered(path / name, "file", partial(file_sha256, path / name)) != digest:
            return f"{name} is not as it was written"
    return None


@dataclass(frozen=True)
class Saver:
    """What of a distiller is written, and how much of it stays."""

    recipe: Mapping[str, Any]
    """The resolved recipe, which every checkpoint holds."""
    describe: Callable[[Distiller, int, Path], Checkpoint | None]
    """The checkpoint of a step, with the projectors as they are and the student's table as the place has it; None where
    there is no teacher, and so nothing to probe."""
    scores: Callable[[Distiller], Mapping[str, float]] | None
    """Figures of the student on the dev rows, by name; None where there are no dev rows."""
    tokenizer_files: Sequence[Path]
    """Copied beside a trained student."""
    trains_student: bool
    trains_table: bool
    """The embedding table too, so that a probe must read the checkpoint's own."""
    keep_last: int
    keep_best: int
    keep_by: Literal["bits_per_byte", "rouge_l"] = BITS
    """The figure that says which is best: bits per byte are best when low, ROUGE-L when high."""

    def save(self, distiller: Distiller, step: int, place: Path) -> None:
        """Everything but the optimizer and random numbers.

        Raises:
            TrainingError: weights are not finite, as the last step can leave them without a loss to tell.
        """
        from safetensors.torch import save

        for name, parameter in distiller.named_parameters():
            if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
                remedy = "Lower the learning rate."
                raise TrainingError(Problem(f"step {step}: {name}", "finite weights", "others", remedy))
        (place / RECIPE).write_text(json.dumps(dict(self.recipe), indent=2) + "\n", encoding="utf-8")
        if self.trains_student:
            save_student(distiller.student, self.tokenizer_files, place / STUDENT)
        checkpoint = self.describe(distiller, step, place)
        if checkpoint is not None:
            write_checkpoint(checkpoint, place)
        if self.scores is not None:
            (place / METRICS).write_text(json.dumps(dict(self.scores(distiller))) + "\n", encoding="utf-8")
        if distiller.criterion.networks is not None:
            tensors = {key: value.contiguous() for key, value in distiller.criterion.networks.state_dict().items()}
            (place / NETWORKS).write_bytes(save(tensors))

    def load(self, distiller: Distiller, place: Path) -> None:
        """The inverse of `save`, to the bit."""
        from safetensors.torch import load_file

        stored = load_checkpoint(place).projectors if is_ours(place) else {}
        with torch.no_grad():
            for name, projector in stored.items():
                for key, tensor in distiller.criterion.projectors[name].tensors.items():
                    tensor.copy_(torch.from_numpy(projector.tensors[key]))
        if distiller.criterion.networks is not None:
            distiller.criterion.networks.load_state_dict(load_file(place / NETWORKS))
        if self.trains_student:
            load_student(distiller.student, place / STUDENT)

    def save_projectors(self, distiller: Distiller, step: int, run: Path) -> None:
        """Projectors alone, in float16, with the embedding table they are to be read with where it is trained too."""
        import numpy as np

        path = run / PROJECTORS / f"step-{step}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_directory(path) as place:
            if self.trains_table:
                save_table(distiller.student, self.tokenizer_files, place / STUDENT)
            checkpoint = self.describe(distiller, step, place)
            if checkpoint is not None:
                write_checkpoint(checkpoint, place, dtype=np.float16)

    def rotate(self, run: Path) -> list[Path]:
        """Remove all checkpoints but the last ones and the best ones; returns those that stay."""
        # A damaged one was skipped by this very run; it must not stand for the last.
        damaged = {path for path in checkpoints(run) if _what_is_wrong(path) is not None}
        present = [path for path in checkpoints(run) if path not in damaged]
        scores = {path: score for path in present if (score := _score_of(path, self.keep_by)) is not None}
        ranked = sorted(scores, key=scores.__getitem__, reverse=self.keep_by == ROUGE)
        kept = {*present[-self.keep_last :], *ranked[: self.keep_best]}
        for path in [*present, *sorted(damaged)]:
            if path not in kept:
                # Renamed first, so that a kill leaves no checkpoint with half of its files.
                doomed = path.with_name(f".{path.name}{PARTIAL}")
                path.replace(doomed)
                shutil.rmtree(doomed, ignore_errors=True)
        return sorted(kept)


def _score_of(path: Path, name: str) -> float | None:
    try:
        score = float(read_object(path / METRICS, Wanted("scores", "", TrainingError))[name])
    except (TrainingError, ValueError, KeyError, TypeError):
        return None
    return score if math.isfinite(score) else None


def save_student(student: Any, tokenizer_files: Sequence[Path], place: Path) -> None:
    """Weights, or adapters, as transformers and peft store them, with the tokenizer beside them."""
    student.save_pretrained(place)
    (place / "generation_config.json").unlink(missing_ok=True)
    for file in tokenizer_files:
        shutil.copyfile(file, place / file.name)


def save_table(student: Any, tokenizer_files: Sequence[Path], place: Path) -> None:
    """The embedding table alone, in float16, as a model directory from which a probe can read rows."""
    from safetensors.torch import save

    place.mkdir()
    table = student.get_input_embeddings().weight
    name = next(key for key, parameter in student.named_parameters() if parameter is table)
    (place / "model.safetensors").write_bytes(save({name: table.detach().to(torch.float16).contiguous()}))
    student.config.save_pretrained(place)
    for file in tokenizer_files:
        shutil.copyfile(file, place / file.name)


def load_student(student: Any, place: Path) -> None:
    """Weights or adapters of `save_student`.

    Raises:
        TrainingError: they are not those of this student.
    """
    if hasattr(student, "peft_config"):
        from peft import load_peft_weights, set_peft_model_state_dict

        set_peft_model_state_dict(student, load_peft_weights(str(place), device="cpu"))
        return
    from transformers import AutoModelForCausalLM

    dtype = next(student.parameters()).dtype
    stored: Any = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, trust_remote_code=False)
    try:
        student.load_state_dict(stored.state_dict())
    except RuntimeError as error:
        expected, got = "weights of the recipe's student", str(error).splitlines()[0]
        raise TrainingError(Problem(str(place), expected, got, "Name its directory.")) from error
