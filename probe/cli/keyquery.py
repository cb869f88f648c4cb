"""``probe-keyquery``: measure how much queries and keys differ, and what follows from it."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import add_checkpoints, new_console, overrides, run, with_version

if TYPE_CHECKING:
    from probe.keyquery.values import Analysis, Settings


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
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument("--pairs", type=Path, metavar="FILE", help="gold file (.tsv)")
    texts.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help="texts of your own, one a line, or the field output of a .jsonl file; values that need gold links are "
        "left out",
    )
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

    from probe.keyquery.report import PACKAGES, KeyQueryReport
    from probe.keyquery.tables import sections
    from probe.keyquery.values import Settings
    from probe.output.documents import packed
    from probe.output.files import check_place, replacing_file
    from probe.output.provenance import file_sha256, versions

    if arguments.json:
        check_place(arguments.json)
    path: Path = arguments.pairs or arguments.texts
    settings = Settings(components=arguments.components, seed=arguments.seed)
    one = _of_gold(arguments, settings) if arguments.pairs else _of_texts(arguments, settings)
    analyses: list[Analysis] = []
    for name in arguments.checkpoint or ["demo"]:
        with Console(stderr=True, quiet=not sys.stderr.isatty()).status(name) as status:
            analyses.append(one(name, lambda part, name=name, status=status: status.update(f"{name}: {part}")))
    report = KeyQueryReport(str(path), file_sha256(path), settings, versions(PACKAGES), tuple(analyses))
    if arguments.json:
        with replacing_file(arguments.json) as temporary:
            temporary.write_bytes(packed(report.to_json(), arguments.json))
    console = new_console()
    for section in sections(report):
        console.print(section)


def _of_gold(arguments: Namespace, settings: "Settings") -> "Callable[[str, Callable[[str], None]], Analysis]":
    from probe.alignment.fitting import fitting_rows
    from probe.checkpoints.find import find_checkpoint
    from probe.gold.pairs import read_pairs
    from probe.keyquery.analyse import analyse_gold

    gold = read_pairs(arguments.pairs)
    given = overrides(arguments)

    def one(name: str, progress: Callable[[str], None]) -> "Analysis":
        opened = find_checkpoint(name, given, [row.text for row in gold.rows])
        return analyse_gold(opened, fitting_rows(opened, gold, arguments.pairs), settings, progress)

    return one


def _of_texts(arguments: Namespace, settings: "Settings") -> "Callable[[str, Callable[[str], None]], Analysis]":
    from probe.checkpoints.find import find_checkpoint
    from probe.gold.by_rule import read_texts
    from probe.keyquery.analyse import analyse_sentences

    texts = list(read_texts(arguments.texts).values())
    given = overrides(arguments)

    def one(name: str, progress: Callable[[str], None]) -> "Analysis":
        return analyse_sentences(find_checkpoint(name, given, texts), texts, settings, progress)

    return one


if __name__ == "__main__":
    sys.exit(main())
