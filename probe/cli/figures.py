"""``probe-figures``: the figures of a paper from saved reports and maps."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from probe.cli.run import run, with_version

NAMES = ("maps", "mass", "repeats", "clouds", "mismatch", "progress", "results")
FORMATS = ("pdf", "svg", "png")
"""Of probe.figures, which takes longer to import than --help may."""

EXAMPLES = """examples:
  probe-figures
  probe-figures --only maps --only mass --venue acl --out paper/figures
  probe-figures --reports my-reports --pairs my.tsv --format pdf

Each figure is NAME.pdf, .svg and .png, or NAME.tex of a table, with its numbers
in NAME.csv and its caption in NAME-caption.tex. figures/README.md has the
commands that make the reports. Equal reports give equal bytes with the same
matplotlib and numpy.
"""


def parser() -> ArgumentParser:
    """What ``probe-figures`` takes."""
    parser = ArgumentParser(
        "probe-figures",
        description="Rebuild the figures of a paper from saved reports and maps; no model is opened.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--reports", type=Path, default=Path("figures/saved"), metavar="DIR", help="what was saved; default %(default)s"
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        default=Path("alignments/gold.tsv"),
        metavar="FILE",
        help="gold of the maps; default %(default)s",
    )
    parser.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="default %(default)s")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help=f"this figure: {', '.join(NAMES)}; repeat"
    )
    parser.add_argument(
        "--row", metavar="ID", help="sentence of maps; default a short one with repeats and several cuts"
    )
    parser.add_argument(
        "--venue", default="ieee", metavar="NAME", help="acl, icassp, icml, ieee, iclr, neurips; default %(default)s"
    )
    parser.add_argument(
        "--format", action="append", choices=FORMATS, metavar="SUFFIX", help="pdf, svg or png; repeat; default all"
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
    # All numbers first: an input that is missing leaves the old figures as they are.
    made = {name: makers[name](saved) for name in dict.fromkeys(arguments.only or NAMES)}
    for name, figure in made.items():
        for path in save(name, figure, arguments.out, venue=arguments.venue, suffixes=suffixes):
            print(path)


if __name__ == "__main__":
    sys.exit(main())
