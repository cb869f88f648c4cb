"""Tables on a terminal, and their cells."""

import io
import math

import pytest
from rich.console import Console

from probe.output.tables import digits, interval, new_table, number, percent, points, with_interval
from probe.stats import Estimate


def test_names_wrap_and_numbers_do_not():
    table = new_table("name", "value\n%", "of both")
    table.add_row("a" * 100, "12.3", "1,234,567")
    console = Console(width=40)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 40
    assert "".join(lines).count("a") == 100 + 2  # of the heads
    assert any("12.3" in line and "1,234,567" in line for line in lines)


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_is_not_known_is_nothing(unknown: float | None):
    assert [form(unknown) for form in (percent, points)] == ["", ""]
    assert number(unknown, ".2f") == ""


def test_cells():
    whole, bare = Estimate(0.123, 0.1, 0.15), Estimate(-0.123)
    assert [percent(0.5), percent(0.5, ".0f"), points(0.5), points(-0.5)] == ["50.0", "50", "+50.0", "-50.0"]
    assert with_interval(whole, percent) == "12.3 [10.0, 15.0]"
    assert with_interval(bare, points) == "-12.3"
    assert with_interval(Estimate(None), points) == ""
    assert (interval(whole, digits), interval(bare, digits)) == ("[0.1, 0.15]", "[unknown]")
    assert [digits(value) for value in (None, 0.0, 1e-5, 0.1234, 123.4, 1234.5)] == [
        *("–", "0", "1.0e-05", "0.123", "123", "1234"),
    ]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 200])
def test_a_narrow_terminal_drops_columns_and_cuts_no_digit(width: int):
    table = new_table("method", *(f"figure {n}" for n in range(6)))
    table.add_row("a long name of a method", *(f"{n}.12345" for n in range(6)))
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    text = out.getvalue()
    assert "…" not in text
    shown = [n for n in range(6) if f"{n}.12345" in text]
    assert shown == list(range(len(shown)))
    assert ("No room for" in text) == (len(shown) < 6) == (width < 100)
    assert all(len(line) <= width for line in text.splitlines())
