"""``probe-reproduce``: train every method with every seed, evaluate, probe and compare."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from probe.cli.run import above_zero, new_console, run, with_version

if TYPE_CHECKING:
    from probe.training.recipe import Recipe
    from probe.training.reproduction.systems import Compared
    from probe.training.stages import Outcome


TABLE, LATEX, RESULTS = "table.md", "table.tex", "results.json"
SOME_FAILED = MISSING = 1


def parser() -> ArgumentParser:
    """What ``probe-reproduce`` takes."""
    parser = ArgumentParser(
        "probe-reproduce",
        description="Train every method with every seed from the raw student, then evaluate, probe and compare. "
        "Finished stages are kept, so a stopped run continues, and a second run with the same inputs does nothing.",
        epilog="The exit code is 1 if some stages failed. Their directories say why; the other stages are kept.",
    )
    parser.add_argument("recipe", help="name of a shipped recipe, or a TOML file")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="a key of the recipe, as in training.steps=20")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="methods or variants of the recipe, or all")
    parser.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", help="seeds of training; default: those of the recipe"
    )
    parser.add_argument(
        "--divergences",
        nargs="+",
        metavar="NAME",
        help="divergences of each method, or all; default: its own",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="run nothing and ask no network: say whether it can run, how long it would take, what is missing, and "
        "each stage; the exit code is 1 if something is missing",
    )
    parser.add_argument(
        "--flops", type=above_zero, metavar="N", help="for --plan: operations a second; default: measured in a moment"
    )
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="gold file (.tsv); default: the bundled one")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write; default runs/reproduce-NAME")
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _reproduce, argv, intermixed=True)


def _reproduce(arguments: Namespace) -> int:
    from probe.training.terminal import quiet_transformers, require_train

    if arguments.plan:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
    require_train()
    quiet_transformers()
    from probe.training.recipe import read_recipe
    from probe.training.reproduction.systems import as_run, compared

    recipe, methods = read_recipe(arguments.recipe, _settings(arguments)), _apart(arguments.methods)[0]
    chosen = compared(recipe, methods)
    out: Path = arguments.out or Path("runs") / f"reproduce-{recipe.name}"
    act = _plan if arguments.plan else _run
    return act(arguments, as_run(recipe, chosen), chosen, out)


def _run(arguments: Namespace, recipe: "Recipe", chosen: "Sequence[Compared]", out: Path) -> int:
    from probe.models.sources import bundled_gold
    from probe.output.files import check_directory, replacing_file, sweep
    from probe.training.evaluation.report import latex
    from probe.training.reproduction.plan import Planner
    from probe.training.reproduction.report import bits_table, document, markdown, reading, stages, table
    from probe.training.reproduction.results import collect
    from probe.training.stages import Store

    check_directory(out)
    store = Store(out / "stages")
    plan = Planner(recipe, arguments.pairs or bundled_gold(), store).plan(chosen, _seeds(recipe))
    with store.held():
        sweep(out, TABLE, LATEX, RESULTS)
        try:
            results = collect(plan, store.run(plan.stages, _tell), store)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; the same command keeps finished stages and goes on") from None
    for name, text in ((TABLE, markdown(results)), (LATEX, latex(results.systems)), (RESULTS, document(results))):
        with replacing_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    console = new_console()
    console.print(stages(results))
    console.print(table(results))
    console.print(bits_table(results))
    console.print("\n".join(reading(results)))
    console.print(f"\n{out}: {TABLE}, {LATEX}, {RESULTS}")
    return SOME_FAILED if any(outcome.state in ("failed", "not reached") for outcome in results.outcomes) else 0


def _plan(arguments: Namespace, recipe: "Recipe", chosen: "Sequence[Compared]", out: Path) -> int:
    from probe.models.sources import bundled_gold
    from probe.training.reproduction import outlook as told
    from probe.training.reproduction.costs import Speed, costs, measured_speed, sizes_of
    from probe.training.reproduction.inputs import inputs_here
    from probe.training.reproduction.plan import Planner
    from probe.training.reproduction.systems import sources_of
    from probe.training.stages import Store

    flops = arguments.flops
    speed = None if flops is None else Speed(flops, flops, "given by --flops, which sampling does not reach")
    speed = speed or measured_speed(recipe.training.precision, recipe.evaluation.batch_size)
    store, sources = Store(out / "stages"), sources_of(recipe, chosen)
    inputs = inputs_here(recipe, sources)
    plan = Planner(recipe, arguments.pairs or bundled_gold(), store, inputs).plan(chosen, _seeds(recipe))
    sizes = sizes_of(recipe, inputs, sources)
    done = {stage.name for stage in plan.stages if store.has(stage)}
    outlook = told.Outlook(plan, inputs, sizes, speed, costs(plan, sizes, speed), done)
    console = new_console()
    console.print(told.answer(outlook))
    console.print("\n".join(told.wanting(outlook)))
    for table in (told.stages, told.models, told.data):
        console.print(table(outlook))
    console.print("\n".join(told.notes(outlook)))
    return 0 if outlook.ready else MISSING


def _settings(arguments: Namespace) -> list[str]:
    """All keys of the recipe that are set, by themselves or by an option."""
    from probe.training.criteria.settings import DivergenceName

    methods, divergences = (_apart(words) for words in (arguments.methods, arguments.divergences))
    settings = [*arguments.settings, *methods[1], *divergences[1]]
    if arguments.seeds:
        settings.append(f"reproduction.seeds={arguments.seeds}")
    if divergences[0]:
        named = list(get_args(DivergenceName)) if "all" in divergences[0] else divergences[0]
        settings.append(f"reproduction.divergences={named}")
    return settings


def _seeds(recipe: "Recipe") -> list[int]:
    return list(dict.fromkeys(recipe.reproduction.seeds))


def _apart(words: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Names that an option takes, and the KEY=VALUE arguments that follow them."""
    return [word for word in words or () if "=" not in word], [word for word in words or () if "=" in word]


def _tell(outcome: "Outcome") -> None:
    took = f" {outcome.seconds:.0f} s" if outcome.state == "made" and outcome.seconds is not None else ""
    trouble = f": {outcome.trouble}" if outcome.trouble else ""
    print(f"{outcome.state} {outcome.stage.name}{took}{trouble}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
