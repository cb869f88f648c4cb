"""Progress of a run: a bar on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainingArguments

LONGER = 400
"""Steps of a usual run on two cores: after a short one, this is what people want to know."""
SHOWN = {"loss": "loss", "t2s_acc": "t2s", "critic_accuracy": "critic", "accuracy": "accuracy"}


class Console(TrainerCallback):
    """Loss, accuracies, tokens a second and time left."""

    def __init__(self, tokens: Callable[[], int], say: Callable[[str], None]) -> None:
        self.tokens, self.say = tokens, say
        """Student targets that the process has trained on since it began; takes a line where there is no bar."""
        self._bar: Progress | None = None
        self._task: Any = None
        self._began = (0.0, 0)

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Start the bar where the run begins or goes on."""
        self._began = (time.perf_counter(), state.global_step)
        if state.is_world_process_zero and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.completed}/{task.total}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("training", total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Say where the run is."""
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        seconds, steps = time.perf_counter() - self._began[0], state.global_step - self._began[1]
        parts = [f"{name} {logs[key]:.3f}" for key, name in SHOWN.items() if key in logs]
        parts.append(f"{self.tokens() / max(seconds, 1e-9):,.0f} tokens/s")
        line = ", ".join(parts)
        if self._bar is not None:
            self._bar.update(self._task, description=line)
        else:
            left = seconds / max(steps, 1) * (state.max_steps - state.global_step)
            self.say(f"step {state.global_step}/{state.max_steps}: {line}, {clock(left)} left")

    def on_train_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Stop the bar, and say what longer runs would take."""
        if self._bar is not None:
            self._bar.stop()
        steps = state.global_step - self._began[1]
        if state.is_world_process_zero and steps:
            each = (time.perf_counter() - self._began[0]) / steps
            self.say(f"{steps} steps at {each:.2f} s; {LONGER} would take {clock(LONGER * each)}")


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
