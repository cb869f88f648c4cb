"""``probe-align``: how well does a trained cross-model attention align tokens?"""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import add_checkpoints, run

if TYPE_CHECKING:
    from rich.console import Console

    from probe.cma import OpenCheckpoint
    from probe.pair_rows import GoldRow
    from probe.report import ProbeReport

EXAMPLES = """examples:
  probe-align --pairs alignments/gold.tsv
  probe-align --pairs alignments/gold.tsv --checkpoint smollm2-gemma3-projectors
  probe-align --pairs my.tsv --checkpoint outputs/run/epoch20_step7140 --teacher models/Qwen1.5-1.8B
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = ArgumentParser(
        "probe-align",
        description="Score a trained cross-model attention on annotated token pairs.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=Path, required=True, metavar="FILE", help="gold pairs, a .tsv file")
    add_checkpoints(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report of one checkpoint as JSON")
    parser.add_argument(
        "--heatmaps",
        type=_directory,
        metavar="DIR",
        help="draw every sentence into this directory, as CHECKPOINT-ID.pdf",
    )
    return run(parser, _align, argv)


def _align(arguments: Namespace) -> None:
    from rich.console import Console

    from probe.align import align_pairs, fitting_rows
    from probe.comparison import compare_all, reading, table
    from probe.errors import CheckpointError, OutputError, Problem
    from probe.files import replacing_file
    from probe.find import Overrides, find_checkpoint
    from probe.pairs import read_pairs

    names: list[str] = arguments.checkpoint or ["demo"]
    if arguments.json and len(names) > 1:
        raise OutputError(Problem("--json", "one checkpoint", f"{len(names)}", "Run the command once for each."))
    if len(set(names)) < len(names):
        raise CheckpointError(Problem("--checkpoint", "different ones", "one twice", "Name each once."))
    gold = read_pairs(arguments.pairs)
    console = Console(highlight=False, markup=False)
    reports: dict[str, ProbeReport] = {}
    for name in names:
        overrides = Overrides(arguments.student, arguments.teacher, arguments.key_scale)
        opened = find_checkpoint(name, overrides, [row.text for row in gold.rows])
        report = align_pairs(opened, gold, arguments.pairs)
        if arguments.json:
            with replacing_file(arguments.json) as temporary:
                temporary.write_text(report.to_json(), encoding="utf-8")
        if arguments.heatmaps:
            _draw(opened, fitting_rows(opened, gold, arguments.pairs), arguments.heatmaps)
        reports[name] = report
        _print(console, report)
    comparisons = compare_all(reports)
    for comparison in comparisons:
        console.print(table(comparison))
        console.print("\n".join(reading(comparison)))
    apart = len(reports) * (len(reports) - 1) // 2 - len(comparisons)
    if apart:
        console.print(f"{apart} pairs of checkpoints share no text and are not compared.")


def _directory(text: str) -> Path:
    """A directory for the option --heatmaps, made before anything is computed."""
    path = Path(text)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise ArgumentTypeError(f"{text}: a directory that can be written to, not: {error.strerror}") from error
    return path


def _draw(opened: "OpenCheckpoint", rows: "Sequence[GoldRow]", directory: Path) -> None:
    import sys
    from urllib.parse import quote

    from rich.console import Console
    from rich.progress import track

    from probe.plots.heatmap import save_heatmap

    checkpoint = opened.checkpoint.name
    for row in track(rows, "Heatmaps", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        name = quote(f"{checkpoint}-{row.id}", safe=" ")  # an id may hold what a file name may not
        map_ = opened.map(row.student, row.teacher)
        save_heatmap({checkpoint: map_}, directory / f"{name}.pdf", gold=row)


def _print(console: "Console", report: "ProbeReport") -> None:
    from probe.triples import table as triples_table

    console.print("\n".join(report.heading()))
    console.print(report.table())
    console.print(report.phenomena_table())
    if report.by_triple:
        console.print(triples_table(report.by_triple))
    console.print("\n".join(report.reading()))


if __name__ == "__main__":
    sys.exit(main())
