"""``probe-models``: which checkpoints and models are at hand, how to get the others, and what is wrong with one."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import new_console, run, with_version

if TYPE_CHECKING:
    from probe.checkpoints.doctor.diagnosis import Diagnosis


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
    from probe.checkpoints.tables import bundled_table
    from probe.models.sources import cache_dir

    console = new_console()
    console.print(bundled_table())
    console.print(f"Cache: {cache_dir()} (set PROBE_CACHE to move it)")
    console.print("Any directory written by DSKD or DSKD-KQ is a checkpoint too: name its path.")


def _fetch(arguments: Namespace) -> None:
    from probe.models.fetch import fetch

    for line in fetch(arguments.name):
        print(line, flush=True)


def _doctor(arguments: Namespace) -> None:
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
    _print(found)
    if found.problems:
        remedy = "Do what the arrows (→) say, from the top."
        got = f"problems with {', '.join(found.problems)}"
        raise CheckpointError(Problem(found.directory.name, "a checkpoint to probe", got, remedy))


def _print(found: "Diagnosis") -> None:
    from probe.checkpoints.tables import epochs_table, findings_table

    console = new_console()
    # Paths must stay whole to be copied: a terminal wraps them without breaking them.
    if found.epochs:
        console.print(f"{found.directory.parent}", soft_wrap=True)
        console.print(epochs_table(found.epochs, found.directory))
        console.print(f"Explained below: {found.choice}.")
        console.print()
    console.print(f"{found.directory}", soft_wrap=True)
    console.print()
    console.print(findings_table(found.findings))
    console.print()
    for role, sha256 in found.table_hashes.items():
        console.print(f"{role}  {sha256}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
