"""``probe-models``: list checkpoints and models, download models, explain a checkpoint directory, write its card."""

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
    parser = ArgumentParser(
        "probe-models", description="List checkpoints, download models, explain or share a checkpoint."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser(
        "list", help="list bundled checkpoints, and say whether their models are on this machine (default)"
    )
    fetch = commands.add_parser("fetch", help="download, check and convert the two models of a pair")
    fetch.add_argument("name", help="name of the pair: smollm2-gemma3")
    _add_doctor(commands.add_parser("doctor", help="explain a checkpoint directory: what it has, and what is wrong"))
    _add_card(commands.add_parser("card", help="write the model card of a checkpoint directory, for the hub"))
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    bodies = {"fetch": _fetch, "doctor": _doctor, "card": _card}
    return run(parser(), lambda arguments: bodies.get(arguments.command, _list)(arguments), argv)


def _add_doctor(parser: ArgumentParser) -> None:
    parser.description = "Explain a directory written by DSKD or DSKD-KQ, or a checkpoint of this project."
    parser.add_argument("directory", metavar="DIR", help="directory of an epoch, or of the run above it")
    parser.add_argument(
        "--student",
        metavar="MODEL",
        help="directory, .gguf file or hub id of the student, if it is not where the checkpoint says",
    )
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")
    parser.add_argument(
        "--align",
        type=Path,
        metavar="FILE",
        help="align.jsonl of the run, to measure the key scale and to check the models",
    )
    parser.add_argument(
        "--pairs", type=Path, metavar="FILE", help="gold file, to estimate the key scale from its sentences"
    )
    parser.add_argument(
        "--hash", action="store_true", help="also print the SHA-256 of both embedding tables; takes some seconds"
    )


def _add_card(parser: ArgumentParser) -> None:
    parser.description = (
        "Score a checkpoint on the gold data, and write README.md and alignment.png beside it, as the hub reads them. "
        "Files that are there are not overwritten. Then: hf upload USER/NAME DIR"
    )
    parser.add_argument("directory", metavar="DIR", help="checkpoint of this project, or written by DSKD or DSKD-KQ")
    parser.add_argument("--repo", default="USER/NAME", metavar="ID", help="its name on the hub (default: %(default)s)")
    parser.add_argument("--licence", metavar="ID", help="as the hub names it: apache-2.0, gemma, …")
    parser.add_argument(
        "--base-model",
        action="append",
        default=[],
        metavar="ID",
        help="hub id of the student or teacher, once for each (default: those that the checkpoint names)",
    )
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="ID", help="hub id of its training data, once for each"
    )
    parser.add_argument("--student", metavar="MODEL", help="directory, .gguf file or hub id, if it is elsewhere")
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")


def _list(_: Namespace) -> None:
    from probe.checkpoints.tables import bundled_table
    from probe.models.sources import cache_dir

    console = new_console()
    console.print(bundled_table())
    console.print(f"Cache: {cache_dir()} (set PROBE_CACHE to move it)")
    console.print("A directory that DSKD or DSKD-KQ wrote is a checkpoint too. Give its path as --checkpoint.")


def _fetch(arguments: Namespace) -> None:
    from probe.models.fetch import fetch

    try:
        for line in fetch(arguments.name):
            print(line, flush=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on, and keeps what was downloaded") from None


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
        remedy = "Do what the lines with an arrow (→) say, from top to bottom."
        got = f"problems with {', '.join(found.problems)}"
        raise CheckpointError(Problem(found.directory.name, "a checkpoint to probe", got, remedy))


def _card(arguments: Namespace) -> None:
    from probe.checkpoints.loading import load
    from probe.errors import CheckpointError, Problem
    from probe.sharing.card import Named, write_card

    directory = Path(arguments.directory)
    if not directory.is_dir():
        remedy = "Name the directory that holds probe.json or projector.pt."
        raise CheckpointError(Problem(str(directory), "a checkpoint directory", "none of this name", remedy))
    opened = load(directory.absolute(), student=arguments.student, teacher=arguments.teacher)
    named = Named(arguments.repo, arguments.licence, tuple(arguments.base_model), tuple(arguments.dataset))
    for path in write_card(opened, directory, named):
        print(path)


def _print(found: "Diagnosis") -> None:
    from probe.checkpoints.tables import epochs_table, findings_table

    console = new_console()
    # Soft wrapping keeps paths in one piece, so that they can be copied.
    if found.epochs:
        console.print(f"{found.directory.parent}", soft_wrap=True)
        console.print(epochs_table(found.epochs, found.directory))
        console.print(f"The checkpoint explained below: {found.choice}.")
        console.print()
    console.print(f"{found.directory}", soft_wrap=True)
    console.print()
    console.print(findings_table(found.findings))
    console.print()
    for role, sha256 in found.table_hashes.items():
        console.print(f"{role}  {sha256}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
