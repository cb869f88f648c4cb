"""What a run leaves behind while it trains: a log of every step, and a state from which it goes on after a kill."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from probe.errors import Problem, TrainingError
from probe.output.files import replacing_file
from probe.output.reading import Wanted, parse_json, read_object, read_text

STATE, LOG, MADE_OF = "state.pt", "log.jsonl", "made_of.json"
CHECKPOINT, PROJECTORS = "checkpoint", "projectors"
"""Where the last checkpoint of a run lies, and the folder of those before it."""

_LINES = Wanted("lines of a log", "Delete the directory to begin again.", TrainingError)


@dataclass(frozen=True)
class Progress:
    """Log and saved state of one run, in its directory; `settings` are those that a saved state must have."""

    directory: Path
    settings: dict[str, Any]

    def log(self, step: int, figures: Mapping[str, float], began: float) -> None:
        """Append a line for a step that began at ``began`` on `time.perf_counter`."""
        with (self.directory / LOG).open("a", encoding="utf-8") as log:
            seconds = round(time.perf_counter() - began, 3)
            log.write(json.dumps({"step": step, **figures, "seconds": seconds}) + "\n")

    def save(self, step: int, **parts: Any) -> None:
        """Write the state before ``step``, whole or not at all; parts have a ``state_dict``."""
        states = {name: part.state_dict() for name, part in parts.items()}
        with replacing_file(self.directory / STATE) as temporary:
            torch.save({"step": step, "settings": self.settings, **states}, temporary)

    def resume(self, **parts: Any) -> int:
        """Load the saved state into the parts; the step to go on with, 0 where nothing was saved.

        Raises:
            TrainingError: the state belongs to other settings.
        """
        path = self.directory / STATE
        if not path.is_file():
            self._forget_steps_from(0)  # of a run that was stopped before it saved anything
            return 0
        state = torch.load(path, weights_only=True)
        if state["settings"] != self.settings:
            remedy = "Give the settings of that run to go on with it, or name an empty directory."
            expected, got = f"a run with {self.settings}", f"one with {state['settings']}"
            raise TrainingError(Problem(str(path), expected, got, remedy))
        for name, part in parts.items():
            part.load_state_dict(state[name])
        self._forget_steps_from(state["step"])
        return int(state["step"])

    def _forget_steps_from(self, step: int) -> None:
        """Drop what was logged after the state was saved: those steps will run again."""
        log = self.directory / LOG
        if not log.is_file():
            return
        rows = read_text(log, _LINES).splitlines(keepends=True)
        with replacing_file(log) as temporary:
            temporary.write_text("".join(row for row in rows if _step(row, log) < step), encoding="utf-8")


def _step(row: str, log: Path) -> float:
    """The step of a line; one that the run was stopped in is of none that is kept."""
    try:
        return float(parse_json(row, log, _LINES)["step"])
    except (TrainingError, KeyError, TypeError, ValueError):
        return math.inf


def remember(directory: Path, made_of: Mapping[str, int | str]) -> None:
    """Write down what a run is made of. Another run there would go on from states that are not its own.

    Raises:
        TrainingError: it was made of something else.
    """
    file = directory / MADE_OF
    if not file.is_file():
        with replacing_file(file) as temporary:
            temporary.write_text(json.dumps(made_of, indent=1) + "\n", encoding="utf-8")
        return
    stored = read_object(file, Wanted("what a run is made of", "Name an empty directory.", TrainingError))
    if changed := [name for name, value in made_of.items() if stored.get(name) != value]:
        remedy = "Name an empty directory, or give those of that run to go on with it."
        raise TrainingError(Problem(str(directory), "a run of these models and rows", f"other {changed[0]}", remedy))
