"""``probe-models``: which checkpoints and models are at hand, and how to get the others."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from probe.cli.run import run


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = ArgumentParser("probe-models", description="List checkpoints and models at hand, or fetch others.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="bundled checkpoints, and whether their models are here (the default)")
    fetch = commands.add_parser("fetch", help="download, check and convert the models of a pair into the cache")
    fetch.add_argument("name", help="smollm2-gemma3")
    return run(parser, lambda arguments: _fetch(arguments) if arguments.command == "fetch" else _list(), argv)


def _list() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from probe.checkpoint import load_checkpoint
    from probe.sources import bundled_dir, bundled_names, cache_dir, is_here

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("checkpoint", no_wrap=True)
    for header in ("what it is", "student ← teacher", "models"):
        table.add_column(header, overflow="fold")
    for name in bundled_names():
        checkpoint = load_checkpoint(bundled_dir() / name)
        models = checkpoint.student, checkpoint.teacher
        here = all(any(is_here(v.source, checkpoint.path) for v in model.sources) for model in models)
        table.add_row(
            name,
            f"{checkpoint.method}, {checkpoint.criterion}, {checkpoint.steps} steps",
            " ← ".join(model.name for model in models),
            "here" if here else f"probe-models fetch {models[0].name.partition('/')[0]}",
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"Cache: {cache_dir()} (set PROBE_CACHE to move it)")
    console.print("Any directory written by DSKD or DSKD-KQ is a checkpoint too: name its path.")


def _fetch(arguments: Namespace) -> None:
    from probe.training.fetch import fetch

    for line in fetch(arguments.name):
        print(line, flush=True)
