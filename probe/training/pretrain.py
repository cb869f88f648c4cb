"""Projector pre-training in Python: two models that stay as they are, rows of text, and a directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.checkpoints.dskd import PROMPT
from probe.errors import ArgumentError
from probe.training.terminal import quiet_transformers, require_train
from probe.training.trained import TrainedRun, projectors_run

if TYPE_CHECKING:
    from probe.training.examples import Example

ROWS = 'Give a jsonl file, "docstrings", or a list of (prompt, output).'
HELD_OUT = 100
"""Docstrings that nothing trains on: the bundled demo held out the same, and some are in the gold data."""
MOST_WARMUP = 100

Row = tuple[str, str] | Mapping[str, Any]


def pretrain(
    student: str | Path = "bundled:demo/student",
    teacher: str | Path = "bundled:demo/teacher",
    *,
    rows: str | Path | Sequence[Row],
    out: str | Path,
    steps: int = 2000,
    batch_size: int = 8,
    learning_rate: float = 1e-3,
    seed: int = 10,
    every: int | None = None,
    name: str | None = None,
    prompt: str = PROMPT,
) -> TrainedRun:
    """Train the two projectors of a cross-model attention; student and teacher stay as they are. Needs torch.

    A run that was stopped goes on when it is called again with the same arguments.

    Args:
        student: a model directory, a hub id, or ``bundled:`` or ``cache:`` with a name, as ``cache:NAME/student``.
        teacher: likewise, with another tokenizer.
        rows: a jsonl file with the fields ``prompt`` and ``output``, a list of such pairs, or ``docstrings`` of Python.
        out: directory of the run.
        steps: of the optimizer. The learning rate rises over the first tenth of them, 100 at most, and then falls to 0.
        batch_size: rows of a step.
        learning_rate: the highest.
        seed: of the projectors' first weights and the order of rows.
        every: keep a checkpoint of every so many steps, and that before the first; default: of the last step alone.
        name: of the checkpoints; default: that of the directory.
        prompt: template of the prompts; its last token is the first row's input.

    Raises:
        ArgumentError: an argument is not what it should be.
        TrainingError, TableError, CheckpointError: rows or models cannot be used, or the directory holds another run.
        MissingExtraError: torch is not installed.

    Example:
        >>> import probe, tempfile
        >>> rows = [("Say a number.", "Seventeen."), ("Say a name.", "Ada Lovelace."), ("Greet.", "Good morning.")]
        >>> with tempfile.TemporaryDirectory() as place:
        ...     run = probe.pretrain(rows=rows, out=f"{place}/mine", steps=3)
        ...     print(probe.load(run.last).map("Good night."))
        <AttentionMap cma, 6 student × 7 teacher tokens: 'Good night.'>
    """
    _check(student=student, teacher=teacher, out=out, learning_rate=learning_rate)
    _check_counts(steps=steps, batch_size=batch_size, every=every)
    require_train()
    from probe.training.pretraining.run import PretrainRun, pretraining, run_pretraining
    from probe.training.projector_loop import LoopSettings

    quiet_transformers()
    directory = Path(out)
    settings = LoopSettings(steps, batch_size, learning_rate, min(MOST_WARMUP, steps // 10), seed=seed)
    run = PretrainRun(name or directory.name, str(student), str(teacher), _examples(rows, seed), prompt, settings)
    if every is None:
        run_pretraining(run, directory)
    else:
        for _ in pretraining(run, directory, every=every):
            pass
    return projectors_run(directory, steps)


def _check(**given: Any) -> None:
    """Of what `pretrain` takes, all but counts and rows."""
    rate = given.pop("learning_rate")
    if not isinstance(rate, float | int) or not 0 < rate < float("inf"):
        raise ArgumentError.of("learning_rate", "a number above 0", rate, "Write learning_rate=1e-3.")
    for name, value in given.items():
        if not isinstance(value, str | Path):
            expected = "a directory" if name == "out" else "a model directory or the name of a model"
            remedy = 'Write pretrain("STUDENT", "TEACHER", rows="rows.jsonl", out="runs/mine").'
            raise ArgumentError.of(name, expected, value, remedy)


def _check_counts(**given: Any) -> None:
    for name, value in given.items():
        if (not isinstance(value, int) or value < 1) and not (name == "every" and value is None):
            raise ArgumentError.of(name, "a whole number above 0", value, f"Write {name}=100.")


def _examples(rows: Any, seed: int) -> "list[Example]":
    from probe.training.data.rows import DOCSTRINGS, read_rows
    from probe.training.examples import parsed_rows, prompt_and_output
    from probe.training.parts import DataPart

    if isinstance(rows, str | Path):
        held_out = HELD_OUT if rows == DOCSTRINGS else 0
        return read_rows(DataPart(source=str(rows), held_out=held_out), seed).train
    if not isinstance(rows, Sequence) or not rows:
        raise ArgumentError.of("rows", "rows to train on", rows, ROWS)
    return parsed_rows(((f"rows[{n}]", _columns(n, row)) for n, row in enumerate(rows)), prompt_and_output)


def _columns(number: int, row: Any) -> Mapping[str, Any]:
    """A row under the names that its parts have in a file."""
    if isinstance(row, Mapping):
        return row
    if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != 2:
        raise ArgumentError.of(f"rows[{number}]", "a prompt and an output", row, ROWS)
    return dict(zip(("prompt", "output"), row, strict=True))
