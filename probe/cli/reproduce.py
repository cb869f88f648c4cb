"""``probe-reproduce``: train every method with every seed, evaluate, probe and compare."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import new_console, run, with_version

if TYPE_CHECKING:
    from probe.training.stages import Outcome


TABLE, LATEX, RESULTS = "table.md", "table.tex", "results.json"
SOME_FAILED = 1


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
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="gold file (.tsv); default: the bundled one")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write; default runs/reproduce-NAME")
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _reproduce, argv, intermixed=True)


def _reproduce(arguments: Namespace) -> int:
    from probe.training.terminal import quiet_transformers, require_train

    require_train()
    quiet_transformers()
    from probe.models.sources import bundled_gold
    from probe.output.files import check_directory, replacing_file, sweep
    from probe.training.evaluation.report import latex
    from probe.training.recipe import read_recipe
    from probe.training.reproduction.plan import Planner
    from probe.training.reproduction.report import bits_table, document, markdown, reading, stages, table
    from probe.training.reproduction.results import collect
    from probe.training.reproduction.systems import as_run, compared
    from probe.training.stages import Store

    methods, settings = _apart(arguments.methods or [])
    seeds = [f"reproduction.seeds={arguments.seeds}"] if arguments.seeds else []
    recipe = read_recipe(arguments.recipe, [*arguments.settings, *settings, *seeds])
    chosen = compared(recipe, methods)
    out: Path = arguments.out or Path("runs") / f"reproduce-{recipe.name}"
    check_directory(out)
    store = Store(out / "stages")
    plan = Planner(as_run(recipe, chosen), arguments.pairs or bundled_gold(), store).plan(
        chosen, list(dict.fromkeys(recipe.reproduction.seeds))
    )
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


def _apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Methods, and the KEY=VALUE arguments that follow them."""
    return [word for word in words if "=" not in word], [word for word in words if "=" in word]


def _tell(outcome: "Outcome") -> None:
    took = f" {outcome.seconds:.0f} s" if outcome.state == "made" and outcome.seconds is not None else ""
    trouble = f": {outcome.trouble}" if outcome.trouble else ""
    print(f"{outcome.state} {outcome.stage.name}{took}{trouble}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
