"""``probe-heatmap``: draw the attention of one sentence."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import add_checkpoint_options, run

if TYPE_CHECKING:
    from probe.pair_rows import GoldRow

EXAMPLES = """examples:
  probe-heatmap "Return the path of the file." --out path.pdf
  probe-heatmap "The cat sat on the mat." --checkpoint smollm2-gemma3-projectors --out cat.svg
  probe-heatmap --pairs alignments/gold.tsv --row demo-001 --out gold.png
"""


MOST_DPI = 2400  # a sentence at ten times this would not fit into memory


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = ArgumentParser(
        "probe-heatmap",
        description="Draw the attention of one sentence.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", nargs="?", help="any text; or name a row of a gold file instead")
    parser.add_argument(
        "--checkpoint", default="demo", metavar="NAME", help="bundled name, directory or hub id; default demo"
    )
    add_checkpoint_options(parser)
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="gold pairs: links of this text are outlined")
    parser.add_argument("--row", metavar="ID", help="draw this row of the gold file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .pdf, .svg or .png file")
    parser.add_argument("--dpi", type=_positive, default=200, help="resolution of a .png; default 200")
    return run(parser, _heatmap, argv)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MOST_DPI:
        raise ArgumentTypeError(f"a whole number from 1 to {MOST_DPI}, not {text!r}")
    return int(text)


def _heatmap(arguments: Namespace) -> None:
    from probe.errors import PairsError, Problem
    from probe.find import Overrides, find_checkpoint
    from probe.pairs import read_pairs
    from probe.plots.heatmap import check_suffix, save_heatmap

    check_suffix(arguments.out)
    rows = read_pairs(arguments.pairs).rows if arguments.pairs else ()
    gold = _row(rows, arguments) if arguments.row is not None else None
    text: str = gold.text if gold else _readable(arguments.text)
    overrides = Overrides(arguments.student, arguments.teacher, arguments.key_scale)
    opened = find_checkpoint(arguments.checkpoint, overrides, [text])
    sides = opened.tokenize(text)
    if gold is None:
        gold = next((row for row in rows if (row.student, row.teacher) == sides), None)
    elif (gold.student, gold.teacher) != sides:
        remedy = "Name a checkpoint of the row's pair."
        raise PairsError(Problem(f"row {gold.id}", f"tokens of {arguments.checkpoint}", gold.pair, remedy))
    name = opened.checkpoint.name
    save_heatmap(opened.map(*sides), arguments.out, gold=gold, title=name, dpi=arguments.dpi)
    print(arguments.out)


def _row(rows: "Sequence[GoldRow]", arguments: Namespace) -> "GoldRow":
    from probe.errors import PairsError, Problem

    for row in rows:
        if row.id == arguments.row:
            return row
    where = str(arguments.pairs) if arguments.pairs else "no file"
    remedy = "Name a file with --pairs, and one of its ids with --row."
    raise PairsError(Problem(where, f"a row {arguments.row}", "no such id", remedy))


def _readable(text: str | None) -> str:
    from probe.errors import PairsError, Problem

    if not text:
        raise PairsError(Problem("arguments", "a text, or --pairs with --row", "neither", "Give one of them."))
    if any("\ud800" <= char <= "\udfff" for char in text):  # how Python hands on bytes that are not UTF-8
        raise PairsError(Problem("arguments", "a text in UTF-8", "other bytes", "Check the terminal's encoding."))
    return text


if __name__ == "__main__":
    sys.exit(main())
