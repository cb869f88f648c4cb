"""``probe-models``: which checkpoints and models are at hand, how to get the others, and what is wrong with one."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import run, with_version

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from probe.checkpoints.doctor.diagnosis import Diagnosis
    from probe.checkpoints.doctor.directory import Epoch


def parser() -> ArgumentParser:
    """What ``probe-models`` takes."""
    parser = ArgumentParser("probe-models", description="List checkpoints and models, fetch some, or explain one.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="bundled checkpoints, and whether their models are here (the default)")
    fetch = commands.add_parser("fetch", help="download, check and convert the models of a pair into the cache")
    fetch.add_argument("name", help="smollm2-gemma3")
    _add_doctor(commands.add_parser("doctor", help="explain a checkpoint directory: what is there, and what is wrong"))
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    bodies = {"fetch": _fetch, "doctor": _doctor}
    return run(parser(), lambda arguments: bodies.get(arguments.command, _list)(arguments), argv)


def _add_doctor(parser: ArgumentParser) -> None:
    parser.description = "Explain a directory written by DSKD or DSKD-KQ, or a checkpoint of this project."
    parser.add_argument("directory", metavar="DIR", help="an epoch's directory, or the run's above it")
    parser.add_argument("--student", metavar="MODEL", help="directory, .gguf file or hub id of the student, if moved")
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")
    parser.add_argument(
        "--align", type=Path, metavar="FILE", help="the run's align.jsonl, to measure the key scale and check models by"
    )
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="gold pairs, to simulate the key scale with")
    parser.add_argument("--hash", action="store_true", help="SHA-256 of both embedding tables, which takes seconds")


def _list(_: Namespace) -> None:
    from rich.console import Console

    from probe.checkpoints.checkpoint import load_checkpoint
    from probe.models.sources import bundled_dir, bundled_names, cache_dir, is_here
    from probe.output.tables import new_table

    table = new_table("checkpoint", "what it is", "student ← teacher", "models", texts=4)
    table.columns[0].no_wrap = True
    for name in bundled_names():
        checkpoint = load_checkpoint(bundled_dir() / name)
        models = checkpoint.student, checkpoint.teacher
        here = all(any(is_here(v.source, checkpoint.path) for v in model.sources) for model in models)
        table.add_row(
            name,
            f"{checkpoint.method}, {checkpoint.criterion}, {checkpoint.steps} steps",
            " ← ".join(
                model.name.removesuffix(f"/{role}") for model, role in zip(models, ("student", "teacher"), strict=True)
            ),
            "here" if here else f"probe-models fetch {models[0].name.partition('/')[0]}",
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"Cache: {cache_dir()} (set PROBE_CACHE to move it)")
    console.print("Any directory written by DSKD or DSKD-KQ is a checkpoint too: name its path.")


def _fetch(arguments: Namespace) -> None:
    from probe.models.fetch import fetch

    for line in fetch(arguments.name):
        print(line, flush=True)


def _doctor(arguments: Namespace) -> None:
    from rich.console import Console

    from probe.checkpoints.doctor.diagnosis import diagnose
    from probe.errors import CheckpointError, Problem
    from probe.gold.pairs import read_pairs

    found = diagnose(
        arguments.directory,
        student=arguments.student,
        teacher=arguments.teacher,
        align=arguments.align,
        texts=[row.text for row in read_pairs(arguments.pairs).rows] if arguments.pairs else (),
        hash_tables=arguments.hash,
    )
    _print(Console(highlight=False, markup=False), found)
    if found.problems:
        remedy = "Do what the arrows (→) say, from the top."
        got = f"problems with {', '.join(found.problems)}"
        raise CheckpointError(Problem(found.directory.name, "a checkpoint to probe", got, remedy))


def _print(console: "Console", found: "Diagnosis") -> None:
    # Paths must stay whole to be copied: a terminal wraps them without breaking them.
    if found.epochs:
        console.print(f"{found.directory.parent}", soft_wrap=True)
        console.print(_epochs(found.epochs, found.directory))
        console.print(f"Explained below: {found.choice}.")
        console.print()
    console.print(f"{found.directory}", soft_wrap=True)
    console.print()
    console.print(_findings(found))
    console.print()
    for role, sha256 in found.table_hashes.items():
        console.print(f"{role}  {sha256}", soft_wrap=True)


def _epochs(epochs: "Sequence[Epoch]", chosen: Path) -> "Table":
    from probe.output.tables import new_table, number

    table = new_table("", "epoch", "step", "loss", "ROUGE-L")
    for epoch in epochs:
        cells = (
            epoch.path.name if epoch.number is None else f"{epoch.number}",
            "–" if epoch.step is None else f"{epoch.step}",
            *(number(value, ".4f") or "–" for value in (epoch.loss, epoch.rougel)),
        )
        table.add_row("→" if epoch.path == chosen else "", *cells)
    return table


def _findings(found: "Diagnosis") -> "Table":
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "unverified": "yellow", "problem": "bold red"}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)  # marks of their own column, so that what wraps is indented
    table.add_column(overflow="fold")
    for finding in found.findings:
        heading = Text(finding.verdict, colours[finding.verdict]), finding.topic
        marks = "·" * len(finding.facts) + "→"
        for mark, line in zip(marks, [*finding.facts, finding.remedy], strict=True):
            if line:
                table.add_row(*heading, mark, line)
                heading = "", ""
    return table


if __name__ == "__main__":
    sys.exit(main())
