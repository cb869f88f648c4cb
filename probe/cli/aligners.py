"""``probe-aligners``: rank the ways in which tools align the tokens of two tokenizers."""

import shlex
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import new_console, run, with_version

if TYPE_CHECKING:
    from probe.report.aligner_report import AlignerReport

EXAMPLES = """examples:
  probe-aligners
  probe-aligners --student models/SmolLM2-135M --teacher models/Qwen2.5-0.5B
  probe-aligners --student bundled:demo/student --teacher bundled:demo/teacher --texts responses.txt
  probe-aligners --checkpoint smollm2-gemma3-projectors --by phenomenon
  probe-aligners --pairs my.tsv --maps links.pharaoh --html aligners.html
"""


def parser() -> ArgumentParser:
    """What ``probe-aligners`` takes."""
    parser = ArgumentParser(
        "probe-aligners",
        description="Rank the ways in which tools align the tokens of two tokenizers. No checkpoint is needed.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument("--pairs", type=Path, metavar="FILE", help="gold file (.tsv); default: the bundled one, by pair")
    texts.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help="texts of your own, to be linked by rule: one a line, or the field output of a .jsonl file",
    )
    source = "a model directory, a tokenizer.json, a hub id or a bundled model: only its tokenizer is read"
    parser.add_argument("--student", metavar="TOKENIZER", help=f"cut the texts anew and link them by rule; {source}")
    parser.add_argument("--teacher", metavar="TOKENIZER", help="the other tokenizer")
    parser.add_argument(
        "--checkpoint", metavar="NAME", help="also rank what needs vectors: simalign, soft-DTW, and its attention"
    )
    parser.add_argument(
        "--maps",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="also rank maps or links of another tool, in a format of probe-align --maps; may be repeated",
    )
    parser.add_argument("--by", choices=("phenomenon",), help="also print F1 by phenomenon")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures with their 95 %% CI")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every figure, one on each line")
    parser.add_argument("--latex", type=Path, metavar="FILE", help="write F1 of aligners by pair as LaTeX (booktabs)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page: verdicts, pictures and tables")
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(parser(), _rank, argv)


def _rank(arguments: Namespace) -> None:
    from probe.alignment.ranking import rank_aligners
    from probe.output.files import check_place
    from probe.report import aligner_tables

    for path in (arguments.json, arguments.csv, arguments.latex, arguments.markdown, arguments.html):
        if path is not None:
            check_place(path)
    reports = rank_aligners(
        arguments.pairs,
        texts=arguments.texts,
        student=arguments.student,
        teacher=arguments.teacher,
        checkpoint=arguments.checkpoint,
        maps=arguments.maps,
        command=shlex.join(["probe-aligners", *(sys.argv[1:] if sys.argv[0].endswith("probe-aligners") else [])]),
    )
    _write(arguments, reports)
    console = new_console()
    for report in reports.values():
        console.print(aligner_tables.heading(report))
        console.print(aligner_tables.table(report))
        if arguments.by:
            console.print(aligner_tables.phenomena(report))
        lead, *rest = aligner_tables.verdict(report)
        console.print(lead, style="bold")
        console.print("\n".join([*rest, ""]))
    console.print(aligner_tables.BY_CONSTRUCTION)


def _write(arguments: Namespace, reports: "Mapping[str, AlignerReport]") -> None:
    """Write all files, each whole or not at all."""
    from probe.output.documents import packed
    from probe.output.files import replacing_file
    from probe.report import aligner_report, aligner_tables

    def as_html(reports: "Mapping[str, AlignerReport]") -> str:
        from probe.plots.aligner_page import to_html

        return to_html(reports)

    forms: dict[Path | None, Callable[[Mapping[str, AlignerReport]], str]] = {
        arguments.json: aligner_report.to_json,
        arguments.csv: aligner_tables.to_csv,
        arguments.latex: aligner_tables.to_latex,
        arguments.markdown: aligner_tables.to_markdown,
        arguments.html: as_html,
    }
    for path, form in forms.items():
        if path is not None:
            with replacing_file(path) as temporary:
                temporary.write_bytes(packed(form(reports), path))


if __name__ == "__main__":
    sys.exit(main())
