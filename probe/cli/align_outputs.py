"""What ``probe-align`` compares, prints, draws and writes."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import write_texts

if TYPE_CHECKING:
    from rich.console import Console

    from probe.checkpoints.opened import OpenCheckpoint
    from probe.gold.rows import GoldRow
    from probe.maps import AttentionMap
    from probe.plots.report_page.compared import Compared
    from probe.report.judged import JudgedScores
    from probe.report.values import Findings

    Drawable = tuple[GoldRow, AttentionMap]
    Reports = Mapping[str, Findings]
    Labels = Mapping[str, str | None]


@dataclass(frozen=True)
class Scored:
    """A report, with the maps to draw and the open checkpoint."""

    report: "Findings"
    drawn: "tuple[Drawable, ...]"
    """The rows and their maps; empty if nothing is drawn or saved."""
    opened: "OpenCheckpoint | None" = None
    """The checkpoint, for the functional probe; None without it."""
    judged: "JudgedScores | None" = None
    """What it does with judged heads and roles; None unless asked for."""


def compare(reports: "Reports", labels: "Labels", *, every_two: bool) -> "Compared":
    """Compare methods over seeds if checkpoints have labels, else the steps of one run, else every two checkpoints.

    With ``every_two``, steps of a run are also compared two by two.
    """
    from probe.plots.report_page.compared import Compared
    from probe.report.comparison import compare_all
    from probe.report.method_comparison import compare_methods
    from probe.report.steps import by_steps

    if any(labels.values()):
        seeds: dict[str, dict[str, Findings]] = {}
        for name, label in labels.items():
            seeds.setdefault(label or name, {})[name] = reports[name]
        return Compared(methods=compare_methods(seeds))
    steps = by_steps(reports)
    return Compared(compare_all(reports) if every_two or not steps else (), steps)


def print_found(console: "Console", arguments: Namespace, reports: "Reports", compared: "Compared") -> None:
    """Print what was probed, then the tables that were asked for or else the overview, and last the verdict."""
    from probe.report.tables import GROUPED, SECTIONS, against_table, heading, reading

    asked = arguments.by or (list(GROUPED) if arguments.against else [])
    tables = [name for name in SECTIONS if name in asked or "all" in asked]
    if tables:
        for report in reports.values():
            console.print("\n".join(heading(report)), soft_wrap=True)  # do not break paths, so that they can be copied
            for name in tables:
                against = arguments.against if name in GROUPED else None
                console.print(against_table(report, name, against) if against else SECTIONS[name](report))
    if not asked:
        _print_overview(console, reports, compared)
    if "comparison" in asked or "all" in asked:
        _print_comparisons(console, compared)
    if arguments.explain:
        console.print("\n".join(reading(list(reports.values()), tables)))
    _print_verdict(console, reports, compared)


def _print_overview(console: "Console", reports: "Reports", compared: "Compared") -> None:
    """Print the one table: of steps, of methods over seeds, or of checkpoints between floors and ceilings."""
    from probe.report import method_comparison, steps
    from probe.report.comparison import together
    from probe.report.overview import overview
    from probe.report.tables import heading

    groups = together(reports)
    for group in groups:
        for line in heading(*group.values()) if len(group) == 1 else heading(next(iter(group.values())))[1:]:
            console.print(line, soft_wrap=True)
        if not compared.steps and not compared.methods:
            console.print(overview(group))
    if compared.steps:
        console.print(steps.table(compared.steps))
    for one in compared.methods:
        console.print(f"first: {one.first}, second: {one.second}")
        console.print(method_comparison.table(one))


def _print_comparisons(console: "Console", compared: "Compared") -> None:
    """Print every figure of every two checkpoints or methods, and how to read them."""
    from probe.report import comparison, method_comparison, steps

    if compared.steps:
        console.print(steps.table(compared.steps))
        console.print("\n".join(steps.reading(compared.steps)))
    for two in compared.comparisons:
        console.print(comparison.table(two))
        console.print("\n".join(comparison.reading(two)))
    for two in compared.methods:
        console.print(method_comparison.table(two))
        console.print("\n".join(method_comparison.reading(two)))


def _print_verdict(console: "Console", reports: "Reports", compared: "Compared") -> None:
    from probe.report.verdict import verdicts

    told = verdicts(reports, compared.comparisons, compared.methods, compared.steps)
    for _, (lead, *rest) in told:
        console.print(lead, style="bold")
        for line in rest:
            console.print(line)
    if len(told) > 1:
        console.print("Checkpoints of other sentences are not compared.")


def write(arguments: Namespace, scored: Mapping[str, Scored], compared: "Compared") -> None:
    """Write all files: heatmaps, maps, and reports with their comparisons."""
    for one in scored.values():
        if arguments.heatmaps:
            _draw(one, arguments.heatmaps)
        if arguments.save_maps:
            _save_maps(one, arguments.save_maps)
    _write_reports(arguments, scored, compared)


def _draw(scored: Scored, directory: Path) -> None:
    """Draw a heatmap of each sentence, as CHECKPOINT-ID.pdf."""
    import sys
    from urllib.parse import quote

    from rich.console import Console
    from rich.progress import track

    from probe.plots.heatmaps.heatmap import save_heatmap

    for row, map_ in track(scored.drawn, "Heatmaps", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        name = quote(
            f"{scored.report.checkpoint}-{row.id}", safe=" "
        )  # an id may have characters that a file name may not have
        save_heatmap({scored.report.checkpoint: map_}, directory / f"{name}.pdf", gold=row)


def _save_maps(scored: Scored, directory: Path) -> None:
    """Save every map as CHECKPOINT/ID.npz."""
    from urllib.parse import quote

    from probe.output.files import check_directory

    place = directory / quote(scored.report.checkpoint, safe=" ")
    check_directory(place)
    for row, map_ in scored.drawn:
        map_.save(place / f"{quote(row.id, safe=' ')}.npz")


def _write_reports(arguments: Namespace, scored: Mapping[str, Scored], compared: "Compared") -> None:
    """Write the reports and their comparisons; each file is written whole or not at all."""
    reports = {name: one.report for name, one in scored.items()}

    def as_json() -> str:
        from dataclasses import fields

        from probe.report import document
        from probe.report.several import to_json

        found = {field.name: getattr(compared, field.name) for field in fields(compared)}
        return to_json(reports, found) if len(reports) > 1 else document.to_json(*reports.values())

    def form(name: str) -> str:
        from probe.report import forms

        return getattr(forms, name)(reports)

    def as_html() -> str:
        from probe.plots.report_page.page import Probed, to_html

        return to_html([Probed(one.report, one.drawn, name) for name, one in scored.items()], compared)

    texts: dict[Path | None, Callable[[], str]] = {
        arguments.json: as_json,
        arguments.csv: lambda: form("to_csv"),
        arguments.latex: lambda: form("to_latex"),
        arguments.markdown: lambda: form("to_markdown"),
        arguments.html: as_html,
    }
    write_texts(texts)
