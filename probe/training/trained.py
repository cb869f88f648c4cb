"""A training run that has ended, as users hold it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.output.frames import data_frame

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class TrainedRun:
    """What a training run left: checkpoints by step, each of which `load` and `align` take, and its log.

    Example:
        >>> import probe, tempfile
        >>> rows = [("Say a number.", "Seventeen."), ("Say a name.", "Ada Lovelace."), ("Greet.", "Good morning.")]
        >>> with tempfile.TemporaryDirectory() as place:
        ...     run = probe.pretrain(rows=rows, out=f"{place}/mine", steps=4, every=2)
        ...     reports = {step: probe.align(run.checkpoints[step], methods=[]) for step in (0, 4)}
        >>> run
        <TrainedRun mine: 4 steps, checkpoints of steps 0, 2, 4>
        >>> run.frame()["targets"].tolist()
        [21, 21, 21, 21]
        >>> reports[4].origin.steps
        4
    """

    directory: Path
    checkpoints: Mapping[int, Path]
    """The directory of each step that was kept, in order."""
    log: Sequence[Mapping[str, Any]]
    """A line for each logged step; ``step`` counts those taken."""

    def __repr__(self) -> str:
        """Where it lies, and what there is."""
        steps = [str(step) for step in self.checkpoints]
        few = steps if len(steps) <= 6 else [*steps[:3], "…", *steps[-2:]]
        return f"<TrainedRun {self.directory.name}: {steps[-1]} steps, checkpoints of steps {', '.join(few)}>"

    @property
    def last(self) -> Path:
        """The directory of the last checkpoint."""
        return self.checkpoints[max(self.checkpoints)]

    def frame(self) -> "DataFrame":
        """The log as a data frame, a row a logged step.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return data_frame(list(self.log)).set_index("step")


def projectors_run(directory: Path, steps: int) -> TrainedRun:
    """What a training of projectors alone has in its directory, also from before it was stopped."""
    from probe.training.progress import CHECKPOINT, LOG, PROJECTORS

    kept = {int(path.name.removeprefix("step-")): path for path in (directory / PROJECTORS).glob("step-*")}
    lines = [json.loads(line) for line in (directory / LOG).read_text(encoding="utf-8").splitlines()]
    log = [line | {"step": line["step"] + 1} for line in lines]
    return TrainedRun(directory, dict(sorted((kept | {steps: directory / CHECKPOINT}).items())), log)
