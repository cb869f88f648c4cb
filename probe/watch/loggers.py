"""Where a Trainer's figures and pictures go: its history, TensorBoard and W&B, whichever it reports to."""

import os
from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from probe.plots.saving import png_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREFIX = "alignment/"
DPI = 80
RUN = "alignment"


class Loggers:
    """Writes figures and pictures to what the arguments of a Trainer name in ``report_to``.

    The Trainer hands its callbacks neither itself nor the writer of TensorBoard. So TensorBoard gets a run of its own,
    ``alignment``, in the directory that the Trainer's is in: two writers of one directory would hide each other.
    """

    def __init__(self, args: Any) -> None:
        self._wandb = "wandb" in args.report_to
        self._board = _board(Path(args.output_dir)) if "tensorboard" in args.report_to else None

    def scalars(self, state: Any, figures: Mapping[str, float]) -> None:
        """Log some figures at the step of the state."""
        named = {f"{PREFIX}{name}": float(value) for name, value in figures.items() if np.isfinite(value)}
        state.log_history.append({**named, "epoch": state.epoch, "step": state.global_step})
        if self._board is not None:
            for name, value in named.items():
                self._board.add_scalar(name, value, state.global_step)
            self._board.flush()
        self._to_wandb(named, state)

    @property
    def shows_pictures(self) -> bool:
        """Whether there is anything to show a picture in."""
        return self._board is not None or self._wandb

    def picture(self, state: Any, name: str, figure: "Figure") -> None:
        """Log a picture at the step of the state."""
        pixels = _pixels(figure)
        if self._board is not None:
            self._board.add_image(f"{PREFIX}{name}", pixels, state.global_step, dataformats="HWC")
            self._board.flush()
        if self._wandb:
            image = import_module("wandb").Image(pixels)
            self._to_wandb({f"{PREFIX}{name}": image}, state)

    def close(self) -> None:
        """Write what is left."""
        if self._board is not None:
            self._board.close()

    def _to_wandb(self, values: Mapping[str, Any], state: Any) -> None:
        if not self._wandb:
            return
        wandb: Any = import_module("wandb")  # no dependency
        if wandb.run is not None:  # the Trainer starts it, where it does
            wandb.log({**values, "train/global_step": state.global_step})


def _board(output: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    named = os.environ.get("TENSORBOARD_LOGGING_DIR")
    return SummaryWriter(str((Path(named).expanduser() if named else output / "runs") / RUN))


def _pixels(figure: "Figure") -> UInt8[np.ndarray, "height width 3"]:
    from PIL import Image

    return np.asarray(Image.open(BytesIO(png_bytes(figure, DPI))).convert("RGB"))
