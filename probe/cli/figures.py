"""``probe-figures``: the figures of a paper from saved reports and maps."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from probe.cli.run import run, with_version

NAMES = ("maps", "mass", "repeats", "clouds", "mismatch", "progress", "results")
STUDY = ("arms", "forest", "learning", "dose")
FORMATS = ("pdf", "svg", "png")
"""Copies of names in probe.figures: importing that module would make --help slow."""

EXAMPLES = """examples:
  probe-figures
  probe-figures --only maps --only mass --venue acl --out paper/figures
  probe-figures --reports my-reports --pairs my.tsv --format pdf

A figure is written as NAME.pdf, NAME.svg and NAME.png, a table as NAME.tex. The
numbers are in NAME.csv, the caption is in NAME-caption.tex. figures/README.md
names the commands that make the reports. Equal reports give equal files if the
versions of matplotlib and numpy are the same.
"""


def parser() -> ArgumentParser:
    """What ``probe-figures`` takes."""
    parser = ArgumentParser(
        "probe-figures",
        description="Draw the figures of a paper from saved reports and maps. No model is opened.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--reports",
        type=Path,
        default=Path("figures/saved"),
        metavar="DIR",
        help="saved reports and maps; default %(default)s",
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        default=Path("alignments/gold.tsv"),
        metavar="FILE",
        help="gold file of the maps; default %(default)s",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("figures"), metavar="DIR", help="where to write; default %(default)s"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=(*NAMES, *STUDY),
        metavar="NAME",
        help=f"draw only this figure: {', '.join(NAMES)}, or of the study of alignment {', '.join(STUDY)}; may be "
        "repeated",
    )
    parser.add_argument(
        "--row",
        metavar="ID",
        help="sentence of the figure maps; default: a short one with repeated words and several splits",
    )
    parser.add_argument(
        "--venue",
        default="ieee",
        metavar="NAME",
        help="style: acl, icassp, icml, ieee, iclr or neurips; default %(default)s",
    )
    parser.add_argument(
        "--format",
        action="append",
        choices=FORMATS,
        metavar="SUFFIX",
        help="pdf, svg or png; may be repeated; default: all",
    )
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _figures, argv)


def _figures(arguments: Namespace) -> None:
    from functools import partial

    from probe.figures.every import FIGURES
    from probe.figures.maps import maps
    from probe.figures.paper import check_venue, save
    from probe.figures.saved import Saved
    from probe.output.files import check_place

    check_venue(arguments.venue)
    check_place(arguments.out / "figure")
    saved = Saved(arguments.reports, arguments.pairs)
    makers = {**FIGURES, "maps": partial(maps, row=arguments.row)}
    suffixes = [f".{suffix}" for suffix in arguments.format or FORMATS]
    # Compute all numbers first, so that a missing input leaves the old figures as they are.
    made = {name: makers[name](saved) for name in dict.fromkeys(arguments.only or NAMES)}
    for name, figure in made.items():
        for path in save(name, figure, arguments.out, venue=arguments.venue, suffixes=suffixes):
            print(path)


if __name__ == "__main__":
    sys.exit(main())
