"""What the directories of a run and of its epoch are called."""

import re
from dataclasses import dataclass
from pathlib import Path

from probe.checkpoint import Checkpoint
from probe.errors import Problem, TrainingError
from probe.training.export.criteria import dskd_criterion
from probe.training.export.translation import translate
from probe.training.export.weights import SHORT, Dtype


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
