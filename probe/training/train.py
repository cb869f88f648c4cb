"""Training with the full objective in Python: a recipe, changes to it, and a directory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import ArgumentError, Problem, TrainingError
from probe.output.frames import data_frame
from probe.training.terminal import quiet_transformers, require_train
from probe.training.trained import TrainedRun, projectors_run

if TYPE_CHECKING:
    from pandas import DataFrame

    from probe.training.attention_recipe import AttentionRecipe
    from probe.training.recipe import Recipe


def train(
    recipe: str | Path = "demo",
    *overrides: str,
    out: str | Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> TrainedRun:
    """Train a student with the full objective, or an attention alone, as ``probe-train`` does. Needs torch.

    A run that was stopped goes on when it is called again with the same recipe and directory.

    Args:
        recipe: the name of a recipe that comes with the package, or a TOML file.
        overrides: keys of the recipe to change, as on the command line: ``"objective.method=cla"``.
        out: directory of the run; default: ``runs/`` and the recipe's name.
        progress: is told how it goes, as ``print``.

    Raises:
        ArgumentError: an argument is not what it should be, or the recipe is of several runs.
        TrainingError: the recipe, data or models cannot be used, or the directory holds another run.
        MissingExtraError: torch is not installed.

    Example:
        >>> import probe, tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as place:
        ...     rows = Path(place, "rows.jsonl")
        ...     _ = rows.write_text('{"prompt": "Greet.", "output": "Good morning."}')
        ...     mine = f"data.source={rows}", "data.held_out=0", "training.batch_size=1", "training.steps=2"
        ...     run = probe.train("demo", *mine, "training.save_projectors_every=1", out=f"{place}/mine")
        ...     report = probe.align(run.last, methods=[])
        >>> run
        <TrainedRun mine: 2 steps, checkpoints of steps 0, 1, 2>
        >>> report.origin.method, report.origin.steps
        ('cma', 2)
    """
    if not (out is None or isinstance(out, str | Path)):
        raise ArgumentError.of("out", "a directory", out, 'Write train("demo", out="runs/mine").')
    chosen = _one_run(recipe, overrides)
    from probe.training.attention_recipe import AttentionRecipe

    directory = Path("runs") / chosen.name if out is None else Path(out)
    if isinstance(chosen, AttentionRecipe):
        from probe.training.attention.run import train_attention

        train_attention(chosen, directory, progress)
        return projectors_run(directory, chosen.training.steps)
    from probe.training.trainer.run import train as train_there

    return _left(directory, train_there(chosen, directory, progress))


def gradient_reach(recipe: str | Path = "demo", *overrides: str, rows: int = 16) -> "DataFrame":
    """Where the gradient of the first step goes in a method with key-query matching, a row a part. Needs torch.

    The columns: the L2 norm of the gradient of the whole loss; that of the key-query term alone, NaN where no path
    leads from it to the part; and whether an optimizer moves the part at all.

    Args:
        recipe: as `train` takes it.
        overrides: likewise.
        rows: how many training rows, the first ones, make the batch.

    Raises:
        ArgumentError: an argument is not what it should be.
        TrainingError: the method has no key-query term, or the recipe, data or models cannot be used.
        MissingExtraError: torch or pandas is not installed.

    Example:
        >>> import probe, tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as place:
        ...     rows = Path(place, "rows.jsonl")
        ...     _ = rows.write_text('{"prompt": "Greet.", "output": "Good morning."}')
        ...     mine = f"data.source={rows}", "data.held_out=0", "objective.method=cma-ga", "objective.critic=released"
        ...     frame = probe.gradient_reach("demo", *mine, rows=1)
        >>> frame["stepped"].to_dict()
        {'student': True, 'query': True, 't2s': True, 's2t': True, 'critic': False}
    """
    chosen = _one_run(recipe, overrides)
    import torch

    from probe.training.recipe import Recipe
    from probe.training.trainer.batches import Collate
    from probe.training.trainer.setup import prepare
    from probe.training.trainer.watching import gradient_reach as reach_of

    if not isinstance(chosen, Recipe):
        remedy = 'Write gradient_reach("demo", "objective.method=cma-ga").'
        raise ArgumentError.of("recipe", "one that trains a student", recipe, remedy)
    if chosen.training.threads is not None:
        torch.set_num_threads(chosen.training.threads)
    prepared = prepare(chosen)
    most = len(prepared.train.student)
    if not isinstance(rows, int) or not 0 < rows <= most:
        raise ArgumentError.of("rows", f"between 1 and {most}", rows, "The recipe has so many training rows.")
    found = reach_of(prepared.distiller, Collate(prepared.train)(range(rows)))
    columns = ["whole loss", "key-query term", "stepped"]
    return data_frame([each[1:] for each in found], index=[each.part for each in found], columns=columns)


def _one_run(recipe: Any, overrides: Sequence[Any]) -> "Recipe | AttentionRecipe":
    remedy = 'Write train("demo", "training.steps=100", out="runs/mine").'
    if not isinstance(recipe, str | Path):
        raise ArgumentError.of("recipe", "the name of a recipe, or its file", recipe, remedy)
    for value in overrides:
        if not isinstance(value, str):
            raise ArgumentError.of("overrides", '"key.of.part=value"', value, remedy)
    require_train()
    from probe.training.recipe import read_any_recipe

    quiet_transformers()
    read = read_any_recipe(str(recipe), overrides)
    runs = list(read.runs())
    if len(runs) > 1:
        got = f"{read.name}, which has {len(runs)}, from {runs[0].name} to {runs[-1].name}"
        raise ArgumentError(Problem("recipe", "one run", got, """Choose one: "methods=['cma']", "seeds=[10]"."""))
    return runs[0]


def _left(directory: Path, last: Path) -> TrainedRun:
    """What the run has in its directory, also from before it was stopped."""
    from probe.output.reading import Wanted, read_object
    from probe.training.trainer.saving import PROJECTORS, TRAINER_STATE, checkpoints, step_of

    kept = {int(path.name.removeprefix("step-")): path for path in (directory / PROJECTORS).glob("step-*")}
    kept |= {step_of(path): path for path in checkpoints(directory)}
    state = read_object(last / TRAINER_STATE, Wanted("the log of a run", f"Delete {last}.", TrainingError))
    log = [line for line in state["log_history"] if "loss" in line]
    return TrainedRun(directory, dict(sorted(kept.items())), log)
