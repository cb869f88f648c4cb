"""Tables on a terminal: their style and their cells."""

import math
from collections.abc import Callable
from functools import partial
from textwrap import wrap
from typing import TYPE_CHECKING

from probe.stats import Estimate

if TYPE_CHECKING:
    from rich.table import Table


WIDTH = 80


def new_table(*heads: str, words: int = 1) -> "Table":
    """A table under these heads; the first columns hold ``words``, which wrap, and the others numbers, which do not."""
    from rich import box

    from probe.output.fitting import FittingTable

    table = FittingTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for number, head in enumerate(heads):
        if number < words:
            table.add_column(head, overflow="fold")
        else:
            table.add_column(head, justify="right", no_wrap=True)
    return table


def noted(name: str, note: str, indent: int) -> list[str]:
    """A name and what it means behind it, in lines of 80 columns."""
    return wrap(f"{name:<{indent}}{note}", WIDTH, subsequent_indent=" " * indent)


def number(value: float | None, form: str) -> str:
    """A number in such a form, or nothing where it is not known: whoever wants a dash writes ``or "–"``."""
    return "" if value is None or math.isnan(value) else f"{value:{form}}"


def percent(share: float | None, form: str = ".1f") -> str:
    """A share in percent."""
    return "" if share is None else number(100 * share, form)


points = partial(percent, form="+.1f")
"""A difference of shares, with its sign."""
MILLI = 1000
"""Differences of bits per byte are told in thousandths."""


def thousandths(value: float | None, form: str = "+.1f") -> str:
    """A difference of bits per byte, with its sign."""
    return "" if value is None else number(MILLI * value, form)


def with_interval(estimate: Estimate, form: Callable[[float | None], str]) -> str:
    """A figure and, where it is known, its interval behind it."""
    return form(estimate.value) + ("" if estimate.low is None else f" {interval(estimate, form)}")


def interval(estimate: Estimate, form: Callable[[float | None], str]) -> str:
    """Both ends, or that they are not known."""
    if estimate.low is None or estimate.high is None:
        return "[unknown]"
    return f"[{form(estimate.low)}, {form(estimate.high)}]"


def digits(value: float | None) -> str:
    """A number of three digits, or a dash where there is none."""
    if value is None:
        return "–"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.1e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
