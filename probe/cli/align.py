"""``probe-align``: score a trained cross-model attention on annotated token pairs."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.align_checks import check_against, check_functional, check_judged, check_outputs, labels_of
from probe.cli.run import add_checkpoints, add_source, command_line, new_console, opener, run, with_version

if TYPE_CHECKING:
    from rich.console import Console

    from probe.checkpoints.opened import OpenCheckpoint
    from probe.cli.align_outputs import Drawable, Scored
    from probe.gold.by_rule import Texts
    from probe.gold.pairs import GoldFile
    from probe.gold.rows import GoldRow
    from probe.maps import AttentionMap


SECTIONS = (
    "method",
    "phenomenon",
    "token",
    "reading",
    "length",
    "mass",
    "aligner",
    "backward",
    "triple",
    "comparison",
    "all",
)
"""A copy of the names in probe.report.tables: importing that module would make --help slow."""

BEYOND_OVERVIEW = {
    "method": "sharpness",
    "mass": "sharpness",
    "aligner": "links",
    "backward": "backward",
}
"""Sections that tell more than an overview counts, with the part of `probe.alignment.align.PARTS` that they tell."""

EXAMPLES = """examples:
  probe-align
  probe-align --checkpoint smollm2-gemma3-projectors
  probe-align --checkpoint outputs/RUN/epoch20_step7140 --teacher models/Mistral-7B --texts responses.txt
  probe-align --pairs alignments/gold.tsv --by all --explain
  probe-align --pairs alignments/gold.tsv --by token --against diagonal
  probe-align --pairs alignments/gold.tsv --maps align.jsonl
  probe-align --pairs alignments/gold.tsv --functional --refit-on responses.txt
  probe-align --pairs alignments/gold.tsv --checkpoint demo-cma-step-100 --checkpoint demo-cma-step-200
  probe-align --pairs my.tsv --checkpoint cma=runs/a --checkpoint cma=runs/b --checkpoint cla=runs/c …
  probe-align --pairs my.tsv --checkpoint outputs/run/epoch20_step7140 --teacher models/Qwen1.5-1.8B
"""


def parser() -> ArgumentParser:
    """What ``probe-align`` takes."""
    parser = ArgumentParser(
        "probe-align",
        description="Score a trained cross-model attention on annotated token pairs.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    no_rows = ". For tokenizers without rows in it, its texts are linked by rule"
    add_source(parser, no_rows, "; they are linked by rule")
    add_checkpoints(parser, labels=True)
    parser.add_argument(
        "--maps",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="maps or links of another tool: .npz, a directory of .npz files, .jsonl, .pharaoh, .naacl or .simalign; "
        "may be repeated",
    )
    parser.add_argument(
        "--methods",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        metavar="A,B",
        help="other methods to score, separated by commas; default: all",
    )
    parser.add_argument(
        "--by",
        action="append",
        choices=SECTIONS,
        metavar="SECTION",
        help=f"print this table instead of the overview: {', '.join(SECTIONS)}; may be repeated",
    )
    parser.add_argument(
        "--against",
        metavar="METHOD",
        help="print the tables by phenomenon, token and length with the difference to this method and its 95 %% CI",
    )
    parser.add_argument(
        "--judged",
        type=Path,
        metavar="FILE",
        help="also print, apart, what the attention does with the judged heads and roles of this gold file",
    )
    parser.add_argument("--explain", action="store_true", help="also print what every name and figure means")
    _add_outputs(parser)
    return with_version(parser)


def _add_outputs(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all results, to load them again; .json.gz compresses"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write every value with its 95 %% CI, one on each line"
    )
    parser.add_argument("--latex", type=Path, metavar="FILE", help="write the table of methods as LaTeX (booktabs)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write one page: the verdict, pictures, tables, and a heatmap of each sentence",
    )
    parser.add_argument(
        "--heatmaps",
        type=_directory,
        metavar="DIR",
        help="draw a heatmap of each sentence, as DIR/CHECKPOINT-ID.pdf",
    )
    parser.add_argument(
        "--save-maps",
        type=_directory,
        metavar="DIR",
        help="save the map of each sentence as DIR/CHECKPOINT/ID.npz, for --maps and probe-figures",
    )
    parser.add_argument(
        "--functional",
        nargs="?",
        const="",
        metavar="FILE",
        help="also print the t2s and s2t losses under this attention and under others; with FILE, write them there as "
        "JSON; needs the extra train",
    )
    parser.add_argument(
        "--refit-on",
        type=Path,
        metavar="FILE",
        help="with --functional: fit t2s again for each attention on these responses; FILE has one on each line, "
        "or is a .jsonl file with the key output",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _align, argv)


def _align(arguments: Namespace) -> None:
    from probe.alignment.align import source_of
    from probe.cli.align_outputs import compare, print_found, write
    from probe.gold.pairs import read_pairs

    labels = labels_of(arguments)
    check_against(arguments)
    check_functional(arguments)
    check_judged(arguments)
    check_outputs(arguments)
    source = source_of(arguments.pairs, arguments.texts)
    judged = None if arguments.judged is None else read_pairs(arguments.judged)
    scored = dict(_scored(arguments, list(labels), source, judged))
    reports = {name: one.report for name, one in scored.items()}
    compared = compare(reports, labels, every_two=arguments.json is not None)
    write(arguments, scored, compared)
    console = new_console()
    print_found(console, arguments, reports, compared)
    for one in scored.values():
        if one.judged is not None:
            console.print(one.judged.heading())
            console.print(one.judged.table())
        if one.opened is not None:
            _print_functional(console, arguments, one.opened, source)


def _scored(
    arguments: Namespace, names: Sequence[str], source: "GoldFile | Texts", judged: "GoldFile | None"
) -> "Iterator[tuple[str, Scored]]":
    """Score each checkpoint and each file of maps, by name; the demo if none is named."""
    from probe.alignment.align import align_maps, align_rows
    from probe.alignment.fitting import scorable
    from probe.alignment.judged import judged_scores
    from probe.cli.align_outputs import Scored
    from probe.exchange.given_maps import given_maps
    from probe.gold.pairs import GoldFile

    def drawn(rows: "Sequence[GoldRow]", map_of: "Callable[[GoldRow], AttentionMap]") -> "tuple[Drawable, ...]":
        if not (arguments.heatmaps or arguments.html or arguments.save_maps):
            return ()
        return tuple((row, map_of(row)) for row in sorted(rows, key=lambda row: row.id))

    parts = _parts(arguments, names)
    command = command_line("probe-align")
    opened_as = opener(arguments, source.texts)
    for name in names or ([] if arguments.maps else ["demo"]):
        opened = opened_as(name)
        found = scorable(opened, source)
        report = align_rows(opened, found, arguments.methods, command, parts=parts)
        # Two embedding tables may take a gigabyte, so keep them only for the functional probe.
        heads_and_roles = None if judged is None else judged_scores(opened, judged)
        kept = None if arguments.functional is None else opened
        yield name, Scored(report, drawn(found.rows, opened.map), kept, heads_and_roles)
    if not isinstance(source, GoldFile):  # maps need gold rows, see check_outputs
        return
    for path in arguments.maps:
        maps = given_maps(path, source)
        report = align_maps(maps, source, arguments.methods, command, parts=parts)
        rows = [row for row in source if row.id in maps.maps]
        yield str(path), Scored(report, drawn(rows, lambda row, maps=maps: maps.maps[row.id]))


def _parts(arguments: Namespace, names: Sequence[str]) -> Collection[str]:
    """What has to be counted for all that is printed and written."""
    from probe.alignment.align import PARTS, SHARPNESS

    asked: set[str] = set(arguments.by or ())
    if arguments.json or arguments.csv or "all" in asked:
        return PARTS
    tables = arguments.latex or arguments.markdown or arguments.html
    several = len(names) + len(arguments.maps) > 1  # steps of a run are compared at the common entropy
    return {BEYOND_OVERVIEW[name] for name in asked & set(BEYOND_OVERVIEW)} | (
        {SHARPNESS} if tables or several else set()
    )


def _print_functional(
    console: "Console", arguments: Namespace, opened: "OpenCheckpoint", source: "GoldFile | Texts"
) -> None:
    from probe.alignment.fitting import scorable
    from probe.functional.command import print_functional

    print_functional(console, opened, scorable(opened, source), arguments.functional, arguments.refit_on)


def _directory(text: str) -> Path:
    """A directory for --heatmaps or --save-maps. Make it before anything is computed."""
    path = Path(text)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise ArgumentTypeError(f"{text}: expected a directory to write to; got {error.strerror}") from error
    return path


if __name__ == "__main__":
    sys.exit(main())
