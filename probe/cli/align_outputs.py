"""What ``probe-align`` prints, draws and writes."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from probe.gold.rows import GoldRow
    from probe.maps import AttentionMap
    from probe.plots.report_page.compared import Compared
    from probe.report.values import ProbeReport

    MapOf = Callable[[GoldRow], AttentionMap]
    Drawable = tuple[GoldRow, AttentionMap]
    Drawn = dict[str, tuple[Drawable, ...]]


def print_report(console: "Console", report: "ProbeReport", by: Sequence[str] | None) -> None:
    """What was probed, and the sections that are asked for."""
    from probe.report.tables import DEFAULT_SECTIONS, SECTIONS, heading

    console.print("\n".join(heading(report)), soft_wrap=True)  # paths must stay whole to be copied
    for name in by or DEFAULT_SECTIONS:
        console.print(SECTIONS[name](report))


def compare(
    console: "Console", arguments: Namespace, reports: "dict[str, ProbeReport]", drawn: "Drawn", *, printed: bool
) -> None:
    """Steps of one run in one table; other checkpoints each on a page, if not ``printed`` yet, and then two by two."""
    from probe.plots.report_page.compared import Compared
    from probe.report import steps
    from probe.report.comparison import compare_all, reading, table

    run_of = steps.by_steps(reports)
    comparisons = compare_all(reports) if arguments.json or not run_of else []
    _write(arguments, reports, Compared(comparisons, run_of), drawn)
    if run_of:
        if printed:
            _explain(console, arguments, reports)
        console.print(steps.table(run_of))
        console.print("\n".join(steps.reading(run_of)))
        return
    if not printed:
        for report in reports.values():
            print_report(console, report, None)
    _explain(console, arguments, reports)
    for comparison in comparisons:
        console.print(table(comparison))
        console.print("\n".join(reading(comparison)))
    if apart := len(reports) * (len(reports) - 1) // 2 - len(comparisons):
        console.print(f"{apart} pairs of checkpoints share no text and are not compared.")


def _explain(console: "Console", arguments: Namespace, reports: "dict[str, ProbeReport]") -> None:
    from probe.report.tables import DEFAULT_SECTIONS, reading

    console.print("\n".join(reading(list(reports.values()), arguments.by or DEFAULT_SECTIONS)))


def compare_methods(
    console: "Console",
    arguments: Namespace,
    labels: "dict[str, str | None]",
    reports: "dict[str, ProbeReport]",
    drawn: "Drawn",
    *,
    printed: bool,
) -> None:
    """Every two labels, over their seeds."""
    from probe.plots.report_page.compared import Compared
    from probe.report.method_comparison import compare_methods, reading, table

    by_label: dict[str, dict[str, ProbeReport]] = {label: {} for label in labels.values() if label}
    for name, label in labels.items():
        by_label[label or name][name] = reports[name]
    methods = compare_methods(by_label)
    if printed:
        _explain(console, arguments, reports)
    _write(arguments, reports, Compared(methods=methods), drawn)
    for method in methods:
        console.print(table(method))
        console.print("\n".join(reading(method)))
    if apart := len(by_label) * (len(by_label) - 1) // 2 - len(methods):
        console.print(f"{apart} pairs of methods share no text and are not compared.")


def draw(checkpoint: str, drawn: "Sequence[Drawable]", directory: Path) -> None:
    """A heatmap of each sentence, as CHECKPOINT-ID.pdf."""
    import sys
    from urllib.parse import quote

    from rich.console import Console
    from rich.progress import track

    from probe.plots.heatmaps.heatmap import save_heatmap

    for row, map_ in track(drawn, "Heatmaps", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        name = quote(f"{checkpoint}-{row.id}", safe=" ")  # an id may hold what a file name may not
        save_heatmap({checkpoint: map_}, directory / f"{name}.pdf", gold=row)


def save_maps(checkpoint: str, drawn: "Sequence[Drawable]", directory: Path) -> None:
    """Every map as CHECKPOINT/ID.npz."""
    from urllib.parse import quote

    place = directory / quote(checkpoint, safe=" ")
    place.mkdir(exist_ok=True)
    for row, map_ in drawn:
        map_.save(place / f"{quote(row.id, safe=' ')}.npz")


def _write(
    arguments: Namespace,
    reports: "dict[str, ProbeReport]",
    compared: "Compared",
    drawn: "Drawn",
) -> None:
    """Files of all reports and of what was found of several, each whole or not at all."""
    from probe.output.documents import packed
    from probe.output.files import replacing_file

    def as_json() -> str:
        from dataclasses import fields

        from probe.report import document
        from probe.report.comparison import to_json

        found = {field.name: getattr(compared, field.name) for field in fields(compared)}
        return to_json(reports, found) if len(reports) > 1 else document.to_json(*reports.values())

    def form(name: str) -> str:
        from probe.report import forms

        return getattr(forms, name)(reports)

    def as_html() -> str:
        from probe.plots.report_page.page import Probed, to_html

        return to_html([Probed(reports[name], maps) for name, maps in drawn.items()], compared)

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
                temporary.write_bytes(packed(text(), path))
