"""Tables of ``probe-models``: bundled checkpoints, the checkpoints of a run, and what was found about one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.checkpoints.checkpoint import load_checkpoint
from probe.checkpoints.doctor.directory import Epoch
from probe.checkpoints.doctor.findings import Finding
from probe.models.sources import bundled_dir, bundled_names, is_here
from probe.output.tables import new_table, number

if TYPE_CHECKING:
    from rich.table import Table


def bundled_table() -> "Table":
    """The checkpoints that ship with the package, and how to get their models where they are not here."""
    table = new_table("checkpoint", "what it is", "student ← teacher", "models", texts=4)
    table.columns[0].no_wrap = True
    for name in bundled_names():
        checkpoint = load_checkpoint(bundled_dir() / name)
        models = checkpoint.student, checkpoint.teacher
        here = all(any(is_here(v.source, checkpoint.path) for v in model.sources) for model in models)
        table.add_row(
            name,
            f"{checkpoint.method}, {checkpoint.criterion}, {checkpoint.steps} steps",
            " ← ".join(
                model.name.removesuffix(f"/{role}") for model, role in zip(models, ("student", "teacher"), strict=True)
            ),
            "here" if here else f"probe-models fetch {models[0].name.partition('/')[0]}",
        )
    return table


def epochs_table(epochs: Sequence[Epoch], chosen: Path) -> "Table":
    """The checkpoints of a run, with an arrow at the one that is explained."""
    table = new_table("", "epoch", "step", "loss", "ROUGE-L")
    for epoch in epochs:
        cells = (
            epoch.path.name if epoch.number is None else f"{epoch.number}",
            "–" if epoch.step is None else f"{epoch.step}",
            *(number(value, ".4f") or "–" for value in (epoch.loss, epoch.rougel)),
        )
        table.add_row("→" if epoch.path == chosen else "", *cells)
    return table


def findings_table(findings: Sequence[Finding]) -> "Table":
    """What was found by topic, each with what to do."""
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "unverified": "yellow", "problem": "bold red"}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)  # marks of their own column, so that what wraps is indented
    table.add_column(overflow="fold")
    for finding in findings:
        heading = Text(finding.verdict, colours[finding.verdict]), finding.topic
        marks = "·" * len(finding.facts) + "→"
        for mark, line in zip(marks, [*finding.facts, finding.remedy], strict=True):
            if line:
                table.add_row(*heading, mark, line)
                heading = "", ""
    return table
