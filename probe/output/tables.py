"""Tables on a terminal: their style and their cells."""

from typing import TYPE_CHECKING

from probe.stats import Estimate

if TYPE_CHECKING:
    from rich.table import Table


def new_table(first: str, *others: str) -> "Table":
    """A table of numbers whose first column is a name."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)
    table.add_column(first, no_wrap=True)
    for header in others:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def digits(value: float | None) -> str:
    """A number of three digits, or a dash where there is none."""
    if value is None:
        return "–"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.1e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def bounds(estimate: Estimate) -> str:
    """Both of them, or that they are not known."""
    if estimate.low is None or estimate.high is None:
        return "[unknown]"
    return f"[{digits(estimate.low)}, {digits(estimate.high)}]"
