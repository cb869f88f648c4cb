"""``probe-align``: score a trained cross-model attention on annotated token pairs."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import add_checkpoints, run

if TYPE_CHECKING:
    from rich.console import Console

    from probe.cma import OpenCheckpoint
    from probe.comparison import Comparison
    from probe.maps import AttentionMap
    from probe.pair_rows import GoldRow
    from probe.pairs import GoldFile
    from probe.report.values import ProbeReport

    MapOf = Callable[[GoldRow], AttentionMap]
    Drawable = tuple[GoldRow, AttentionMap]

SECTIONS = ("method", "phenomenon", "token", "reading", "length", "mass", "aligner", "backward", "triple")
"""Of probe.report.tables, which takes longer to import than --help may."""

EXAMPLES = """examples:
  probe-align --pairs alignments/gold.tsv
  probe-align --pairs alignments/gold.tsv --checkpoint smollm2-gemma3-projectors
  probe-align --pairs alignments/gold.tsv --by aligner --by mass --methods lexical,bigram
  probe-align --pairs alignments/gold.tsv --maps align.jsonl
  probe-align --pairs alignments/gold.tsv --functional --refit-on responses.txt
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
    parser.add_argument(
        "--maps",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="maps or links of another tool: .npz or a directory of them, .jsonl, .pharaoh, .naacl, .simalign; repeat",
    )
    parser.add_argument(
        "--methods",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        metavar="A,B",
        help="what to score beside; default all",
    )
    parser.add_argument(
        "--by", action="append", choices=SECTIONS, metavar="SECTION", help=f"print this: {', '.join(SECTIONS)}; repeat"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, to be loaded again")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every figure with bounds, a line each")
    parser.add_argument("--latex", type=Path, metavar="FILE", help="write the table of methods for a paper (booktabs)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables for a document")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page: tables, and each sentence to open")
    parser.add_argument(
        "--heatmaps",
        type=_directory,
        metavar="DIR",
        help="draw every sentence into this directory, as CHECKPOINT-ID.pdf",
    )
    parser.add_argument(
        "--functional",
        nargs="?",
        const="",
        metavar="FILE",
        help="t2s and s2t losses under this attention and others, too, and into FILE as JSON; needs the extra train",
    )
    parser.add_argument(
        "--refit-on",
        type=Path,
        metavar="FILE",
        help="with --functional: fit t2s anew to each attention on these responses, one a line, or output of .jsonl",
    )
    return run(parser, _align, argv)


def _align(arguments: Namespace) -> None:
    from rich.console import Console

    from probe.comparison import compare_all, reading, table
    from probe.pairs import read_pairs
    from probe.report.tables import reading as explanation

    _check(arguments)
    gold = read_pairs(arguments.pairs)
    console = Console(highlight=False, markup=False)
    reports: dict[str, ProbeReport] = {}
    drawn: dict[str, tuple[Drawable, ...]] = {}
    for name, report, map_of in _reports(arguments, gold):
        reports[name] = report
        _print(console, report, arguments.by)
        if arguments.heatmaps or arguments.html:
            scored = set(report.sentences)
            drawn[name] = tuple((row, map_of(row)) for row in gold.rows if row.id in scored)
        if arguments.heatmaps:
            _draw(report.checkpoint, drawn[name], arguments.heatmaps)
    console.print("\n".join(explanation(list(reports.values()))))
    comparisons = compare_all(reports)
    _write(arguments, reports, comparisons, drawn)
    for comparison in comparisons:
        console.print(table(comparison))
        console.print("\n".join(reading(comparison)))
    apart = len(reports) * (len(reports) - 1) // 2 - len(comparisons)
    if apart:
        console.print(f"{apart} pairs of checkpoints share no text and are not compared.")


def _check(arguments: Namespace) -> None:
    """What the options ask of each other, before anything is computed."""
    from probe.errors import CheckpointError, OutputError, Problem
    from probe.files import check_place

    names: list[str] = [*(arguments.checkpoint or []), *map(str, arguments.maps)]
    if len(set(names)) < len(names):
        raise CheckpointError(Problem("--checkpoint", "different ones", "one twice", "Name each once."))
    _check_functional(arguments)
    own = Path(arguments.functional) if arguments.functional else None
    named = arguments.json, arguments.csv, arguments.latex, arguments.markdown, arguments.html, own
    outputs = [path for path in named if path]
    for path in outputs:
        check_place(path)
    if len(set(outputs)) < len(outputs):
        raise OutputError(Problem("outputs", "a file for each", "one file twice", "Name different files."))


def _check_functional(arguments: Namespace) -> None:
    """It needs torch and a checkpoint, and only it refits; a file holds one probe."""
    from probe.errors import OutputError, PairsError, Problem
    from probe.training.terminal import require_train

    if arguments.functional is None:
        if arguments.refit_on:
            raise PairsError(Problem("--refit-on", "--functional beside it", "none", "Add --functional."))
        return
    checkpoints = len(arguments.checkpoint or ()) or int(not arguments.maps)
    if not checkpoints:
        remedy = "Name the checkpoint too: losses need its t2s projector."
        raise PairsError(Problem("--functional", "a checkpoint", "maps alone", remedy))
    if arguments.functional and checkpoints > 1:
        remedy = "Leave out the file, or run once for each checkpoint."
        raise OutputError(Problem("--functional FILE", "one checkpoint", f"{checkpoints}", remedy))
    require_train()


def _reports(arguments: Namespace, gold: "GoldFile") -> "Iterator[tuple[str, ProbeReport, MapOf]]":
    """A report on each checkpoint and each file of maps, with the probed map of a row; the demo where none is named."""
    import shlex
    import sys

    from probe.align import align_maps, align_pairs
    from probe.find import Overrides, find_checkpoint
    from probe.given_maps import given_maps

    command = shlex.join(["probe-align", *(sys.argv[1:] if sys.argv[0].endswith("probe-align") else [])])
    overrides = Overrides(arguments.student, arguments.teacher, arguments.key_scale)
    for name in arguments.checkpoint or ([] if arguments.maps else ["demo"]):
        opened = find_checkpoint(name, overrides, [row.text for row in gold.rows])
        report = align_pairs(opened, gold, arguments.pairs, arguments.methods, command)
        yield name, report, lambda row, opened=opened: opened.map(row.student, row.teacher)
        if arguments.functional is not None:  # whoever asked for the report has printed it by now
            _print_functional(arguments, opened, gold)
    for path in arguments.maps:
        given = given_maps(path, gold, arguments.pairs)
        report = align_maps(given, gold, arguments.pairs, arguments.methods, command)
        yield str(path), report, lambda row, given=given: given.maps[row.id]


def _print_functional(arguments: Namespace, opened: "OpenCheckpoint", gold: "GoldFile") -> None:
    from rich.console import Console

    from probe.fitting import fitting_rows
    from probe.training.functional.command import print_functional

    rows = fitting_rows(opened, gold, arguments.pairs)
    console = Console(highlight=False, markup=False)
    print_functional(console, opened, rows, arguments.pairs, arguments.functional, arguments.refit_on)


def _directory(text: str) -> Path:
    """A directory for the option --heatmaps, made before anything is computed."""
    path = Path(text)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise ArgumentTypeError(f"{text}: a directory that can be written to, not: {error.strerror}") from error
    return path


def _draw(checkpoint: str, drawn: "Sequence[Drawable]", directory: Path) -> None:
    import sys
    from urllib.parse import quote

    from rich.console import Console
    from rich.progress import track

    from probe.plots.heatmap import save_heatmap

    for row, map_ in track(drawn, "Heatmaps", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        name = quote(f"{checkpoint}-{row.id}", safe=" ")  # an id may hold what a file name may not
        save_heatmap({checkpoint: map_}, directory / f"{name}.pdf", gold=row)


def _write(
    arguments: Namespace,
    reports: "dict[str, ProbeReport]",
    comparisons: "list[Comparison]",
    drawn: "dict[str, tuple[Drawable, ...]]",
) -> None:
    """Files of all reports, each whole or not at all."""
    from probe.files import replacing_file

    def as_json() -> str:
        from probe.comparison import to_json
        from probe.report import document

        return to_json(reports, comparisons) if len(reports) > 1 else document.to_json(*reports.values())

    def form(name: str) -> str:
        from probe.report import forms

        return getattr(forms, name)(reports)

    def as_html() -> str:
        from probe.plots.report_page import Probed, to_html

        return to_html([Probed(reports[name], maps) for name, maps in drawn.items()])

    texts: dict[Path | None, Callable[[], str]] = {
        arguments.json: as_json,
        arguments.csv: lambda: form("to_csv"),
        arguments.latex: lambda: form("to_latex"),
        arguments.markdown: lambda: form("to_markdown"),
        arguments.html: as_html,
    }
    for path, text in texts.items():
        if path is not None:
            with replacing_file(path) as temporary:
                temporary.write_text(text(), encoding="utf-8", newline="")


def _print(console: "Console", report: "ProbeReport", by: Sequence[str] | None) -> None:
    from probe.report.tables import DEFAULT_SECTIONS, SECTIONS, heading

    console.print("\n".join(heading(report)), soft_wrap=True)  # paths must stay whole to be copied
    for name in by or DEFAULT_SECTIONS:
        console.print(SECTIONS[name](report))


if __name__ == "__main__":
    sys.exit(main())
