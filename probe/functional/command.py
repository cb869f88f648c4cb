"""What ``probe-align --functional`` does after its tables. Imports torch when called, not before."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from probe.alignment.fitting import Scorable
    from probe.checkpoints.opened import OpenCheckpoint


def print_functional(
    console: "Console", open_: "OpenCheckpoint", found: "Scorable", out: str, texts: Path | None
) -> None:
    """Probe and print; into the file ``out`` too, if it is named. ``texts`` are those to refit t2s on.

    Raises:
        ProbeError: see `probe.functional.measure.functional_probe` and `refit_sentences`.
    """
    from rich.console import Console

    from probe.functional.measure import functional_probe
    from probe.functional.refit_texts import read_refit_texts
    from probe.functional.report import FitSettings
    from probe.functional.tables import heading, reading, tables
    from probe.keyquery.two_samples import only_numpy
    from probe.output.files import replacing_file
    from probe.training.terminal import quiet_transformers

    only_numpy()
    quiet_transformers()
    settings = FitSettings()
    refit_on = None if texts is None else read_refit_texts(open_, texts, found.rows, settings)
    with Console(stderr=True, quiet=not sys.stderr.isatty()).status("functional probe") as status:
        report = functional_probe(open_, found, settings, status.update, refit_on)
    if out:
        with replacing_file(Path(out)) as temporary:
            temporary.write_text(report.to_json(), encoding="utf-8")
    console.print("\n".join(["", *heading(report)]))
    console.print(tables(report))
    console.print("\n".join(reading(report)))
