"""``probe-heatmap``: draw the attention of one sentence."""

import re
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.cli.run import add_checkpoints, opener, run, with_version

if TYPE_CHECKING:
    from probe.checkpoints.opened import OpenCheckpoint
    from probe.gold.rows import GoldRow
    from probe.maps import AnyMap
    from probe.plots.heatmaps.panels import Window
    from probe.tokens import TokenizedText


EXAMPLES = """examples:
  probe-heatmap "Return the path of the file." --out path.pdf
  probe-heatmap "The cat sat on the mat." --dark --out cat.html
  probe-heatmap --pairs alignments/gold.tsv --row demo-001 --out gold.png
  probe-heatmap "A file." --checkpoint demo --checkpoint demo-cma --out two.svg
"""

MOST_DPI = 2400  # a sentence at ten times this would not fit into memory
PAPER = ".pdf, .svg and .png"


def parser() -> ArgumentParser:
    """What ``probe-heatmap`` takes."""
    parser = ArgumentParser(
        "probe-heatmap",
        description="Draw the attention map of one sentence. Rows are student tokens and columns are teacher tokens, "
        "each at the position that predicts it.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "text",
        nargs="?",
        metavar="SENTENCE",
        help="any sentence, in quotes, or - to read it from stdin; or use --pairs and --row instead",
    )
    parser.add_argument("others", nargs="*", help=SUPPRESS)  # the words of a sentence without quotes, to say so
    add_checkpoints(parser)
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="gold file, to outline the links of this sentence")
    parser.add_argument("--row", metavar="ID", help="draw this row of the gold file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .pdf, .svg, .png or .html file")
    parser.add_argument(
        "--decode",
        choices=("grid",),
        help="decode the attention by the order of both texts; grid: the share of monotone paths that pass each cell",
    )
    parser.add_argument("--difference", action="store_true", help="draw the second checkpoint minus the first")
    parser.add_argument(
        "--scale",
        choices=("linear", "log", "row"),
        help="colour scale; row: divide each row by its largest weight; default linear",
    )
    parser.add_argument(
        "--window",
        type=_window,
        metavar="R:S[,C:D]",
        help="draw student tokens R to S - 1 and teacher tokens C to D - 1; default: the teacher tokens that share "
        "characters with the student tokens",
    )
    parser.add_argument("--dark", action="store_true", help="use a dark background")
    paper = parser.add_argument_group(f"only for {PAPER}")
    paper.add_argument(
        "--venue",
        metavar="NAME",
        help="fit the column of a venue (acl, icassp, icml, ieee, iclr, neurips), or its page, as in ieee-page",
    )
    paper.add_argument(
        "--marginals", action="store_true", help="add bars: entropy of each row, attention mass of each column"
    )
    paper.add_argument(
        "--font",
        action="append",
        metavar="FONT",
        help="font file, or name of an installed font, to try before DejaVu Sans and before what this machine has for "
        "characters that DejaVu Sans lacks; may be repeated",
    )
    paper.add_argument("--dpi", type=_positive, help="resolution, only for .png; default 200")
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _heatmap, argv)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MOST_DPI:
        raise ArgumentTypeError(f"expected a whole number from 1 to {MOST_DPI}; got {text!r}")
    return int(text)


def _window(text: str) -> "Window":
    from probe.plots.heatmaps.panels import Window

    match = re.fullmatch(r"(\d+):(\d+)(?:,(\d+):(\d+))?", text, re.ASCII)
    if match is None:
        raise ArgumentTypeError(f"expected rows such as 0:40, or rows and columns such as 0:40,0:50; got {text!r}")
    first, last, *columns = (None if part is None else int(part) for part in match.groups())
    return Window((first or 0, last or 0), None if columns[0] is None else (columns[0], columns[1] or 0))


def _heatmap(arguments: Namespace) -> None:
    from probe.alignment.fitting import maps_of_text
    from probe.gold.pairs import read_pairs

    _check(arguments)
    if arguments.text == "-":
        arguments.text = _from_stdin()
    _check_text(arguments.text, arguments.others)
    rows = read_pairs(arguments.pairs).rows if arguments.pairs else ()
    gold = _row(rows, arguments) if arguments.row is not None else None
    text = gold.text if gold else _readable(arguments.text)
    map_of = partial(_map, arguments)
    maps, gold = maps_of_text(text, arguments.checkpoint or ["demo"], opener(arguments), rows, gold, map_of)
    if arguments.decode:
        maps = {f"{name}-{arguments.decode}": map_ for name, map_ in maps.items()}
    options: dict[str, Any] = {"gold": gold, "difference": arguments.difference}
    common: dict[str, Any] = {"scale": arguments.scale or "linear", "window": arguments.window, "dark": arguments.dark}
    if arguments.out.suffix == ".html":
        from probe.plots.heatmaps.page import save_page

        save_page(maps, arguments.out, **options, **common)
    else:
        from probe.plots.heatmaps.heatmap import Look, save_heatmap

        look = Look(**common, marginals=arguments.marginals, venue=arguments.venue, fonts=tuple(arguments.font or ()))
        save_heatmap(maps, arguments.out, **options, look=look, dpi=arguments.dpi or 200)
    print(arguments.out)


def _map(
    arguments: Namespace, opened: "OpenCheckpoint", student: "TokenizedText", teacher: "TokenizedText"
) -> "AnyMap":
    from probe.plots.heatmaps.panels import visible

    rows, _ = visible(student, teacher, arguments.window)  # refuses before any attention is computed
    if arguments.window is not None and not arguments.decode:
        return opened.map_rows(student, teacher, rows=(rows.start, rows.stop))
    map_ = opened.map(student, teacher)
    if arguments.decode:  # a path goes through the whole text
        from probe.aligners.grid import grid

        return grid(map_)
    return map_


def _from_stdin() -> str:
    from probe.errors import PairsError, Problem

    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        got = f"byte 0x{error.object[error.start]:02X}"
        raise PairsError(Problem("stdin", "a sentence in UTF-8", got, "Convert it to UTF-8.")) from error


def _check_text(text: str | None, others: list[str]) -> None:
    """Refuse a sentence that was not quoted, or has nothing to draw."""
    from probe.errors import PairsError, Problem

    if others:
        remedy = f'Quote the sentence: "{" ".join([text or "", *others])}".'
        raise PairsError(Problem("sentence", "one argument", f"{1 + len(others)}", remedy))
    if text is not None and not text.strip():
        got = "only white space" if text else "an empty one"
        raise PairsError(Problem("sentence", "a sentence", got, "Write it in quotes."))


def _check(arguments: Namespace) -> None:
    """Refuse options that do not fit together, before anything is computed."""
    from probe.errors import CheckpointError, OutputError, PairsError, Problem
    from probe.output.files import check_place
    from probe.plots.fonts import find_font
    from probe.plots.saving import SUFFIXES, check_suffix
    from probe.plots.style import venue_width

    suffix = arguments.out.suffix
    check_suffix(arguments.out, (*SUFFIXES, ".html"))
    check_place(arguments.out)
    given = {
        "--venue": arguments.venue is not None,
        "--marginals": arguments.marginals,
        "--font": bool(arguments.font),
    }
    for option, is_given in {**given, "--dpi": arguments.dpi is not None}.items():
        fitting = (".png",) if option == "--dpi" else SUFFIXES
        if is_given and suffix not in fitting:
            remedy = "Leave the option out, or name another file."
            raise OutputError(Problem(option, f"an --out that ends in {', '.join(fitting)}", repr(suffix), remedy))
    for font in arguments.font or ():
        find_font(font)
    if arguments.venue is not None:
        venue_width(arguments.venue)
    names = arguments.checkpoint or ["demo"]
    if arguments.difference and len(names) != 2:
        raise CheckpointError(
            Problem("--difference", "two checkpoints", f"{len(names)}", "Name each with --checkpoint.")
        )
    if len(set(names)) < len(names):
        raise CheckpointError(Problem("--checkpoint", "different checkpoints", "the same one twice", "Name each once."))
    if arguments.difference and arguments.scale:
        raise OutputError(
            Problem(
                "--scale", "a map of weights", "a difference, whose scale is always linear", "Leave one of them out."
            )
        )
    if arguments.text is not None and arguments.row is not None:
        raise PairsError(Problem("arguments", "a sentence or --row", "both", "Leave one of them out."))


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

    if text is None:
        raise PairsError(Problem("arguments", "a sentence, or --pairs with --row", "neither", "Give one of them."))
    if any("\ud800" <= char <= "\udfff" for char in text):  # Python passes bytes that are not UTF-8 in this form
        raise PairsError(
            Problem("arguments", "a sentence in UTF-8", "other bytes", "Check the encoding of the terminal.")
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
