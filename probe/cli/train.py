"""``probe-train``: train a method on a pair of models, as a recipe says."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import run, with_version
from probe.errors import Problem, TrainingError

if TYPE_CHECKING:
    from probe.training.attention_recipe import AttentionRecipe
    from probe.training.recipe import Recipe


def parser() -> ArgumentParser:
    """What ``probe-train`` takes."""
    parser = ArgumentParser(
        "probe-train",
        description="Train as a recipe says. A run that was stopped continues when it is started again.",
        epilog="On several devices: accelerate launch -m probe.cli.train RECIPE --out DIR",
    )
    parser.add_argument("recipe", help="name of a shipped recipe, or a TOML file; an unknown name prints all names")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="a key of the recipe, as in objective.method=cla"
    )
    parser.add_argument("--out", type=Path, help="directory of the run (default: runs/NAME)")
    parser.add_argument(
        "--export", choices=["dskd"], help="also write the last checkpoint in the layout of DSKD, to OUT-dskd"
    )
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _train, argv, intermixed=True)


def _train(arguments: Namespace) -> None:
    from probe.training.terminal import require_train

    require_train()
    from probe.training.attention_recipe import AttentionRecipe
    from probe.training.recipe import read_any_recipe

    recipe = read_any_recipe(arguments.recipe, arguments.settings)
    if isinstance(recipe, AttentionRecipe) and arguments.export:
        remedy = "Leave --export out, or start a distillation from the attention: objective.start=DIR."
        raise TrainingError(Problem("--export", "a recipe that trains a student", "an attention alone", remedy))
    runs = list(recipe.runs())
    for one in runs:
        place = arguments.out or Path("runs") / recipe.name
        if len(runs) > 1:
            place = place / one.name.removeprefix(f"{recipe.name}/")
            print(one.name, flush=True)
        checkpoint = _attention(one, place) if isinstance(one, AttentionRecipe) else _distilled(one, place)
        print(checkpoint, flush=True)
        if arguments.export == "dskd":
            from probe.checkpoints.export.writer import RunInfo, export_dskd

            out = place.with_name(f"{place.name}-dskd")
            notes = export_dskd(checkpoint, out, teacher_path=None, run=RunInfo())
            print(f"{out}: NOTES.txt lists {len(notes)} things that this layout cannot represent", flush=True)


def _distilled(recipe: "Recipe", place: Path) -> Path:
    from probe.training.terminal import quiet_transformers

    quiet_transformers()
    from probe.training.trainer.run import train
    from probe.training.trainer.saving import newest_complete, step_of

    try:
        return train(recipe, place)
    except KeyboardInterrupt:
        last = newest_complete(place).path
        step = "begins again: nothing was saved yet" if last is None else f"goes on from step {step_of(last)}"
        raise KeyboardInterrupt(f"stopped; the same command {step}") from None


def _attention(recipe: "AttentionRecipe", place: Path) -> Path:
    from probe.training.attention.run import train_attention

    try:
        return train_attention(recipe, place, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on from the state that was saved last") from None


if __name__ == "__main__":
    sys.exit(main())
