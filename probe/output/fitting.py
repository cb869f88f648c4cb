"""A table that leaves columns out where the terminal is too narrow for them, and says so: digits are never cut."""

from collections.abc import Iterator
from copy import copy
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

LEAST_WORDS = 8
"""Columns of words fold down to this width."""


class FittingTable(Table):
    """A table whose columns of numbers keep their width; the last ones go first where there is no room."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        """The columns that fit, and a line on those that do not."""
        room = options.max_width - (self._extra_width - (len(self.columns) - 1))  # which counts the gaps too
        widths = [self._least(console, options, column) for column in self.columns]
        kept = len(widths)
        while kept > 1 and sum(widths[:kept]) + kept - 1 > room:
            kept -= 1
        if kept == len(widths):
            yield from self._drawn(console, options)
            return
        narrow = copy(self)
        narrow.columns = self.columns[:kept]
        yield from narrow._drawn(console, options)
        names = ", ".join(" ".join(str(column.header).split()) for column in self.columns[kept:])
        yield Text(f"No room for {names}: widen the terminal, or write a file.")

    def _drawn(self, console: Console, options: ConsoleOptions) -> Any:
        return super().__rich_console__(console, options)

    def _least(self, console: Console, options: ConsoleOptions, column: Column) -> int:
        wide = options.update(width=10_000)
        cells = [column.header, *column.cells]
        needed = max((Measurement.get(console, wide, cell).maximum for cell in cells), default=0)
        return needed if column.no_wrap else min(needed, LEAST_WORDS)
