"""Tell a notebook what to show of maps, gold rows, reports and checkpoints. What it shows is imported when shown."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

SHOWN: Mapping[str, str] = {
    "probe.maps.AttentionMap": "map_html",
    "probe.gold.rows.GoldRow": "row_html",
    "probe.report.report.ProbeReport": "report_html",
    "probe.checkpoints.opened.OpenCheckpoint": "checkpoint_html",
}
"""By the path of a class, the function of `probe.plots.notebook_html` that shows it."""


def register() -> None:
    """Tell IPython how to show them, where there is a session."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        return
    html = shell.display_formatter.formatters["text/html"]
    for path, name in SHOWN.items():
        module, _, class_ = path.rpartition(".")
        html.for_type_by_name(module, class_, _later(name))


def _later(name: str) -> Callable[[Any], str]:
    return lambda shown: getattr(import_module("probe.plots.notebook_html"), name)(shown)
