"""``probe-aligners``: rank the ways in which tools align the tokens of two tokenizers."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import add_source, command_line, new_console, run, with_version, write_texts

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
    add_source(parser, ", by pair", "; they are linked by rule")
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
        command=command_line("probe-aligners"),
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
    from probe.report import aligner_report, aligner_tables

    def as_html() -> str:
        from probe.plots.aligner_page import to_html

        return to_html(reports)

    write_texts(
        {
            arguments.json: lambda: aligner_report.to_json(reports),
            arguments.csv: lambda: aligner_tables.to_csv(reports),
            arguments.latex: lambda: aligner_tables.to_latex(reports),
            arguments.markdown: lambda: aligner_tables.to_markdown(reports),
            arguments.html: as_html,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
