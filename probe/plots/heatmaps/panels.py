"""The values that a heatmap shows: cells, colours, links, chunks, marks and bars in a window. Nothing here draws."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from probe.chunks import Chunk, overlap_mask, shared_chunks
from probe.errors import MapError, Problem
from probe.gold.rows import GoldRow, Link, Links
from probe.maps import AnyMap, MapRows, token_range
from probe.plots.heatmaps.labels import repeats
from probe.scoring.sharpness import entropy
from probe.tokens import EOS_DISPLAY, TokenizedText

Scale = Literal["linear", "log", "row"]
LARGEST = 512
"""Most tokens on each side of one picture. DSKD trains on no longer sentences, and a larger page cannot be read."""

TINY = 1e-6  # two maps that differ by less are drawn as equal
FAINTEST = 1e-4  # smaller weights look like 0 on a logarithmic scale


@dataclass(frozen=True, slots=True)
class Window:
    """Token numbers ``[start, stop)`` of the rows and of the columns; the end of sequence comes last.

    Without columns, the teacher tokens that share bytes with the rows are shown.
    """

    rows: tuple[int, int]
    columns: tuple[int, int] | None = None


@dataclass(frozen=True)
class Panel:
    """One map, or the difference of two, in a window.

    Cells, links and chunks are counted from the first row and column of the window. ``largest`` marks the largest
    weights of each row: one mask for a map, two for a difference (first map, second map). ``row_largest`` is that
    weight. ``entropy`` of a row is 0 to 1, ``mass`` is the sum of a column; both cover the whole sentence, even if the
    window shows a part. ``outside`` is the share of the weight of the shown rows that is outside of the window.
    """

    name: str
    weights: Float[np.ndarray, "rows columns"]
    largest: tuple[Bool[np.ndarray, "rows columns"], ...]
    row_largest: Float[np.ndarray, " rows"]
    entropy: Float[np.ndarray, " rows"]
    mass: Float[np.ndarray, " columns"]
    outside: float


@dataclass(frozen=True)
class Picture:
    """Panels of one sentence in two tokenisations, and what they share. ``rows`` and ``columns`` are token numbers."""

    panels: tuple[Panel, ...]
    names: tuple[str, ...]
    student: TokenizedText
    teacher: TokenizedText
    rows: range
    columns: range
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    row_ties: tuple[int | None, ...]
    column_ties: tuple[int | None, ...]
    links: Links | None
    chunks: tuple[Chunk, ...]
    difference: bool = False

    @property
    def whole(self) -> bool:
        """Whether the picture shows every token."""
        return len(self.rows) == len(self.student.tokens) + 1 and len(self.columns) == len(self.teacher.tokens) + 1


def picture(
    maps: Mapping[str, AnyMap],
    gold: GoldRow | None = None,
    *,
    window: Window | None = None,
    difference: bool = False,
) -> Picture:
    """Collect what to draw. A difference is the second map minus the first.

    Raises:
        MapError: no map, maps or gold of other tokens, a window outside of the sentence, too many tokens for a
            picture, or a difference of other than two.
    """
    _check(maps, gold, difference)
    map_ = next(iter(maps.values()))
    if isinstance(map_, MapRows) and window is None:
        window = Window((map_.rows.start, map_.rows.stop))
    rows, columns = visible(map_.student, map_.teacher, window)
    ties = repeats(map_.student, map_.teacher)
    panels = tuple(_panel(name, m, rows, columns) for name, m in maps.items())
    return Picture(
        panels=(_difference(*panels),) if difference else panels,
        names=tuple(maps),
        student=map_.student,
        teacher=map_.teacher,
        rows=rows,
        columns=columns,
        row_labels=(*map_.student.display(), EOS_DISPLAY)[rows.start : rows.stop],
        column_labels=(*map_.teacher.display(), EOS_DISPLAY)[columns.start : columns.stop],
        row_ties=(*ties[0], None)[rows.start : rows.stop],
        column_ties=(*ties[1], None)[columns.start : columns.stop],
        links=None if gold is None else Links(_shift(gold.sure, rows, columns), _shift(gold.possible, rows, columns)),
        chunks=_chunks(map_, rows, columns),
        difference=difference,
    )


def _check(maps: Mapping[str, AnyMap], gold: GoldRow | None, difference: bool) -> None:
    if not maps or (difference and len(maps) != 2):
        expected = "two maps, for a difference" if difference else "a map"
        raise MapError(Problem("heatmap", expected, f"{len(maps)}", "Name them."))
    first, *others = maps.values()
    for other in others:
        if (other.student, other.teacher) != (first.student, first.teacher):
            expected, got = "maps with the same tokens", "another sentence or another pair of tokenizers"
            raise MapError(Problem("heatmap", expected, got, "Draw each map by itself."))
    if gold is not None and (gold.student, gold.teacher) != (first.student, first.teacher):
        remedy = "Pass the row from which the map was made."
        raise MapError(Problem("heatmap", f"gold links of {first.student.text!r}", f"those of {gold.text!r}", remedy))


def visible(student: TokenizedText, teacher: TokenizedText, window: Window | None) -> tuple[range, range]:
    """The rows and columns that a picture of a sentence shows; needs no map, so that it can be asked beforehand.

    Raises:
        MapError: they are too many, or the window lies outside of the sentence.
    """
    rows, columns = _ranges(student, teacher, window)
    if max(len(rows), len(columns)) > LARGEST:
        got = f"{len(rows)} × {len(columns)}"
        raise MapError(
            Problem("heatmap", f"at most {LARGEST} tokens on each side", got, "Draw a window of the sentence.")
        )
    return rows, columns


def _ranges(student: TokenizedText, teacher: TokenizedText, window: Window | None) -> tuple[range, range]:
    if window is None:
        return range(len(student.tokens) + 1), range(len(teacher.tokens) + 1)
    rows = token_range(window.rows, student, "student")
    if window.columns is not None:
        return rows, token_range(window.columns, teacher, "teacher")
    shown = TokenizedText(student.text, student.tokens[rows.start : rows.stop])
    ends = rows.stop > len(student.tokens)  # both ends of sequence belong together
    touched = np.flatnonzero(np.append(overlap_mask(shown, teacher).any(axis=0), ends))
    if not len(touched):
        expected = "rows that share a byte with a teacher token"
        raise MapError(Problem(f"window {rows.start}:{rows.stop}", expected, "none", "Name the columns as well."))
    return rows, range(int(touched[0]), int(touched[-1]) + 1)


def _panel(name: str, map_: AnyMap, rows: range, columns: range) -> Panel:
    across = slice(columns.start, columns.stop)
    there = map_.rows if isinstance(map_, MapRows) else range(len(map_.weights))
    if rows.start < there.start or rows.stop > there.stop:
        got, remedy = f"{there.start}:{there.stop}", "Make the rows that you draw."
        raise MapError(Problem("window", f"rows {rows.start}:{rows.stop}", got, remedy))
    first = rows.start - there.start
    weights = np.asarray(map_.weights[first : first + len(rows)], dtype=np.float64)
    row_largest = weights.max(axis=1)
    largest = weights == row_largest[:, None]  # mark all ties, because scores count all of them
    mass = map_.mass if isinstance(map_, MapRows) else map_.weights.sum(axis=0, dtype=np.float64)
    shown = weights[:, across]
    return Panel(
        name=name,
        weights=shown,
        largest=(largest[:, across],),
        row_largest=row_largest,
        entropy=entropy(weights),
        mass=mass[across],
        outside=float(max(0.0, 1 - shown.sum() / weights.sum())),
    )


def _difference(first: Panel, second: Panel) -> Panel:
    return replace(
        second,
        name=f"{second.name} − {first.name}",
        weights=second.weights - first.weights,
        largest=first.largest + second.largest,
        entropy=second.entropy - first.entropy,
        mass=second.mass - first.mass,
        outside=max(first.outside, second.outside),
    )


def _shift(links: frozenset[Link], rows: range, columns: range) -> frozenset[Link]:
    return frozenset((i - rows.start, j - columns.start) for i, j in links if i in rows and j in columns)


def _chunks(map_: AnyMap, rows: range, columns: range) -> tuple[Chunk, ...]:
    """The chunks that have a cell in the window; they may reach beyond it."""
    return tuple(
        Chunk(_moved(chunk.student, rows.start), _moved(chunk.teacher, columns.start))
        for chunk in shared_chunks(map_.student, map_.teacher)
        if _meet(chunk.student, rows) and _meet(chunk.teacher, columns)
    )


def _moved(span: range, by: int) -> range:
    return range(span.start - by, span.stop - by)


def _meet(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


# From weights to colours


@dataclass(frozen=True)
class Shades:
    """Values to colour, an array for each panel; their limits, for all panels; and the ticks of the colour bar."""

    values: tuple[Float[np.ndarray, "rows columns"], ...]
    limits: tuple[float, float]
    ticks: tuple[float, ...]
    tick_labels: tuple[str, ...]
    label: str


def shades(picture: Picture, scale: Scale) -> Shades:
    """Values to colour. A linear scale is always 0 to 1, so pictures can be compared; a difference is symmetric."""
    weights = tuple(panel.weights for panel in picture.panels)
    if picture.difference:
        bound = max(float(np.abs(weights[0]).max()), TINY)
        ticks = (-bound, 0.0, bound)
        return Shades(
            weights,
            (-bound, bound),
            ticks,
            tuple(f"{tick:+.2g}" if tick else "0" for tick in ticks),
            "change of attention weight",
        )
    if scale == "log":
        floor = np.log10(FAINTEST)
        values = tuple(np.log10(np.maximum(each, FAINTEST)) for each in weights)
        ticks = tuple(float(tick) for tick in range(int(floor), 1))
        labels = "≤ 10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"
        return Shades(values, (float(floor), 0.0), ticks, labels, "attention weight")
    quarters = (0.0, 0.25, 0.5, 0.75, 1.0)
    written = tuple(f"{tick:g}" for tick in quarters)
    if scale == "row":
        values = tuple(panel.weights / panel.row_largest[:, None] for panel in picture.panels)
        return Shades(values, (0.0, 1.0), quarters, written, "weight / largest weight of the row")
    return Shades(weights, (0.0, 1.0), quarters, written, "attention weight")
