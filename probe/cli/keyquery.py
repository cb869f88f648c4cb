"""``probe-keyquery``: measure how much queries and keys differ, and what follows from it."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from probe.cli.run import add_checkpoints, add_source, new_console, opener, run, with_version, write_texts

EXAMPLES = """examples:
  probe-keyquery --pairs alignments/gold.tsv
  probe-keyquery --pairs alignments/gold.tsv --checkpoint smollm2-gemma3-projectors --json report.json
  probe-keyquery --texts responses.txt --checkpoint outputs/run/epoch20_step7140
"""


def parser() -> ArgumentParser:
    """What ``probe-keyquery`` takes."""
    parser = ArgumentParser(
        "probe-keyquery",
        description="Measure how much the queries of a cross-model attention differ from its keys.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_source(parser, "", "; values that need gold links are left out")
    add_checkpoints(parser)
    parser.add_argument(
        "--components",
        type=_positive,
        default=32,
        metavar="K",
        help="number of leading principal components of queries and keys; default 32",
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="seed of all random numbers; default 0")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all results, with points for plots; .json.gz compresses"
    )
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _analyse, argv)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected a whole number; got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not _whole(text):
        raise ArgumentTypeError("expected a whole number of at least 1; got 0")
    return int(text)


def _analyse(arguments: Namespace) -> None:
    from probe.keyquery.two_samples import require_analysis

    require_analysis()

    from rich.console import Console

    from probe.alignment.align import source_of
    from probe.keyquery.analyse import key_query
    from probe.keyquery.tables import sections
    from probe.keyquery.values import Settings
    from probe.output.files import check_place

    if arguments.json:
        check_place(arguments.json)
    source = source_of(arguments.pairs, arguments.texts)
    names = arguments.checkpoint or ["demo"]
    opened = map(opener(arguments, source.texts), names)
    settings = Settings(components=arguments.components, seed=arguments.seed)
    with Console(stderr=True, quiet=not sys.stderr.isatty()).status(names[0]) as status:
        report = key_query(opened, source, settings=settings, progress=status.update)
    write_texts({arguments.json: report.to_json})
    console = new_console()
    for section in sections(report):
        console.print(section)


if __name__ == "__main__":
    sys.exit(main())
