"""``probe-align``: score a trained cross-model attention on annotated token pairs."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import add_checkpoints, named, run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.console import Console

    from probe.cma import OpenCheckpoint
    from probe.pair_rows import GoldRow
    from probe.pairs import GoldFile
    from probe.report.values import ProbeReport

SECTIONS = ("method", "phenomenon", "token", "reading", "length", "mass", "aligner", "backward", "triple")
"""Of probe.report.tables, which takes longer to import than --help may."""

EXAMPLES = """examples:
  probe-align --pairs alignments/gold.tsv
  probe-align --pairs alignments/gold.tsv --checkpoint smollm2-gemma3-projectors
  probe-align --pairs alignments/gold.tsv --by aligner --by mass --methods lexical,bigram
  probe-align --pairs alignments/gold.tsv --maps align.jsonl
  probe-align --pairs alignments/gold.tsv --checkpoint demo-cma-step-100 --checkpoint demo-cma-step-200
  probe-align --pairs my.tsv --checkpoint cma=runs/a --checkpoint cma=runs/b --checkpoint cla=runs/c …
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
    add_checkpoints(parser, labels=True)
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
    parser.add_argument(
        "--heatmaps",
        type=_directory,
        metavar="DIR",
        help="draw every sentence into this directory, as CHECKPOINT-ID.pdf",
    )
    return run(parser, _align, argv)


def _align(arguments: Namespace) -> None:
    from rich.console import Console

    from probe.pairs import read_pairs

    labels = _labels(arguments)
    _check(arguments)
    gold = read_pairs(arguments.pairs)
    console = Console(highlight=False, markup=False)
    reports: dict[str, ProbeReport] = {}
    for name, report in _reports(arguments, list(labels), gold):
        reports[name] = report
        # Ten seeds would be ten pages: those of methods are printed where a section is asked for.
        if arguments.by or not any(labels.values()):
            _print(console, report, arguments.by)
    if any(labels.values()):
        _compare_methods(console, arguments, labels, reports)
    else:
        _compare(console, arguments, reports)


def _compare(console: "Console", arguments: Namespace, reports: "dict[str, ProbeReport]") -> None:
    """Steps of one run in one table, other checkpoints two by two."""
    from probe.comparison import compare_all, reading, table
    from probe.report import steps

    run_of = steps.by_steps(reports)
    comparisons = compare_all(reports) if arguments.json or not run_of else []
    _write(arguments, reports, {"comparisons": comparisons, "steps": run_of})
    if run_of:
        console.print(steps.table(run_of))
        console.print("\n".join(steps.reading(run_of)))
        return
    for comparison in comparisons:
        console.print(table(comparison))
        console.print("\n".join(reading(comparison)))
    if apart := len(reports) * (len(reports) - 1) // 2 - len(comparisons):
        console.print(f"{apart} pairs of checkpoints share no text and are not compared.")


def _compare_methods(
    console: "Console", arguments: Namespace, labels: "dict[str, str | None]", reports: "dict[str, ProbeReport]"
) -> None:
    """Every two labels, over their seeds."""
    from probe.method_comparison import compare_methods, reading, table

    by_label: dict[str, dict[str, ProbeReport]] = {label: {} for label in labels.values() if label}
    for name, label in labels.items():
        by_label[label or name][name] = reports[name]
    methods = compare_methods(by_label)
    _write(arguments, reports, {"methods": methods})
    for method in methods:
        console.print(table(method))
        console.print("\n".join(reading(method)))
    if apart := len(by_label) * (len(by_label) - 1) // 2 - len(methods):
        console.print(f"{apart} pairs of methods share no text and are not compared.")


def _labels(arguments: Namespace) -> "dict[str, str | None]":
    """The label of each checkpoint, in order; all of them have one, or none."""
    from probe.errors import CheckpointError, Problem
    from probe.method_comparison import check_paired

    asked = [named(argument) for argument in arguments.checkpoint or []]
    names = [name for _, name in asked]
    if len({*names, *map(str, arguments.maps)}) < len(names) + len(arguments.maps):
        raise CheckpointError(Problem("--checkpoint", "different ones", "one twice", "Name each once."))
    labels = {name: label for label, name in asked}
    if not any(labels.values()):
        return labels
    bare = [*(name for name, label in labels.items() if label is None), *map(str, arguments.maps)]
    if bare:
        remedy = "Write LABEL=NAME for every checkpoint, or for none; maps have no label."
        raise CheckpointError(Problem("--checkpoint", "a label for each", f"none for {bare[0]}", remedy))
    check_paired({label: [n for n, its in labels.items() if its == label] for label in labels.values() if label})
    return labels


def _check(arguments: Namespace) -> None:
    """What the outputs ask of each other, before anything is computed."""
    from probe.errors import OutputError, Problem
    from probe.files import check_place

    outputs = [path for path in (arguments.json, arguments.csv, arguments.latex, arguments.markdown) if path]
    for path in outputs:
        check_place(path)
    if len(set(outputs)) < len(outputs):
        raise OutputError(Problem("outputs", "a file for each", "one file twice", "Name different files."))


def _reports(arguments: Namespace, names: Sequence[str], gold: "GoldFile") -> "Iterator[tuple[str, ProbeReport]]":
    """A report on each checkpoint, and on each file of maps; the demo where neither is named."""
    import shlex
    import sys

    from probe.align import align_maps, align_pairs
    from probe.find import Overrides, find_checkpoint
    from probe.fitting import fitting_rows
    from probe.given_maps import given_maps

    command = shlex.join(["probe-align", *(sys.argv[1:] if sys.argv[0].endswith("probe-align") else [])])
    overrides = Overrides(arguments.student, arguments.teacher, arguments.key_scale)
    for name in names or ([] if arguments.maps else ["demo"]):
        opened = find_checkpoint(name, overrides, [row.text for row in gold.rows])
        yield name, align_pairs(opened, gold, arguments.pairs, arguments.methods, command)
        if arguments.heatmaps:
            _draw(opened, fitting_rows(opened, gold, arguments.pairs), arguments.heatmaps)
    for path in arguments.maps:
        yield str(path), align_maps(given_maps(path), gold, arguments.pairs, arguments.methods, command)


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


def _write(
    arguments: Namespace, reports: "dict[str, ProbeReport]", found: "dict[str, Sequence[DataclassInstance]]"
) -> None:
    """Files of all reports and of what was found of several, each whole or not at all."""
    from probe.comparison import to_json
    from probe.files import replacing_file
    from probe.report import document, forms

    texts = {
        arguments.json: lambda: to_json(reports, found) if len(reports) > 1 else document.to_json(*reports.values()),
        arguments.csv: lambda: forms.to_csv(reports),
        arguments.latex: lambda: forms.to_latex(reports),
        arguments.markdown: lambda: forms.to_markdown(reports),
    }
    for path, text in texts.items():
        if path is not None:
            with replacing_file(path) as temporary:
                temporary.write_text(text(), encoding="utf-8", newline="")


def _print(console: "Console", report: "ProbeReport", by: Sequence[str] | None) -> None:
    from probe.report.tables import DEFAULT_SECTIONS, SECTIONS, heading, reading

    console.print("\n".join(heading(report)))
    for name in by or DEFAULT_SECTIONS:
        console.print(SECTIONS[name](report))
    console.print("\n".join(reading(report)))


if __name__ == "__main__":
    sys.exit(main())
