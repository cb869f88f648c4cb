"""The view that the page of the explorer draws. Cells are sent as bytes, because a sentence can have 250,000."""

import math
from typing import Any, get_args

import numpy as np

from probe.gold.rows import Links
from probe.plots.heatmaps.drawing import TIES, several, tie_style
from probe.plots.heatmaps.heatmap import Look, heatmap
from probe.plots.heatmaps.page_layout import SHAPES
from probe.plots.heatmaps.panels import Picture, Scale, Shades, Window, picture, shades
from probe.plots.saving import png_bytes
from probe.plots.style import DARK, LIGHT, Palette, our_style, palette
from probe.tokens import TokenizedText
from probe.widgets.exploration import Exploration

TOP = 8
"""Number of teacher tokens that are listed for a row; linked ones are always listed."""

LARGEST_WEIGHT, SURE, POSSIBLE = 1, 2, 4
"""Bits of the flags of a cell."""

STATIC, DPI = 48, 110
"""Tokens on each side, and dots per inch, of the picture that is shown without a kernel."""


def view(state: Exploration) -> dict[str, Any]:
    """Everything that is drawn, as JSON values and byte strings."""
    drawn = picture({"": state.found.map}, state.found.gold)
    panel, shown = drawn.panels[0], shades(drawn, state.shown.scale)
    choice = state.choice
    return {
        "checkpoint": choice.checkpoint,
        "method": choice.method,
        "temperature": choice.temperature,
        "text": choice.text,
        "title": state.title,
        "student": _heads("student", drawn.student, drawn.row_labels, drawn.row_ties),
        "teacher": _heads("teacher", drawn.teacher, drawn.column_labels, drawn.column_ties),
        "scale": choice.scale,
        "bar": [shown.tick_labels[0], shown.tick_labels[-1], shown.label],
        "weights": panel.weights.astype("<f4").tobytes(),
        "levels": _levels(shown).tobytes(),
        "flags": _flags(drawn).tobytes(),
        "chunks": [[c.student.start, c.student.stop, c.teacher.start, c.teacher.stop] for c in several(drawn.chunks)],
        "entropy": [round(float(value), 4) for value in panel.entropy],
        "top": top_tokens(panel.weights, drawn.links),
        "gold": _gold(state),
        "methods": [{"name": m.name, "softmax": m.softmax, "lacks": m.lacks} for m in state.methods],
        "stale": state.stale,
        "message": state.message,
        "refused": state.refused,
    }


def fixed(state: Exploration) -> dict[str, Any]:
    """The part of the view that does not change."""
    names = state.bench.checkpoints
    return {
        "checkpoints": list(names),
        "scales": list(get_args(Scale)),
        "gold": any(state.bench.ranked(name) for name in names),
        "palettes": {"light": _colours(LIGHT), "dark": _colours(DARK)},
    }


def top_tokens(weights: np.ndarray, links: Links | None) -> list[list[tuple[int, int]]]:
    """For each row its `TOP` largest weights and all linked ones, as (column, rank); equal weights share a rank."""
    first = np.argsort(-weights, axis=1, kind="stable")[:, :TOP]
    linked = set() if links is None else links.either
    found: list[list[tuple[int, int]]] = []
    for i, (line, columns) in enumerate(zip(weights, first.tolist(), strict=True)):
        others = sorted(j for k, j in linked if k == i and j not in columns)
        found.append([(j, 1 + int((line > line[j]).sum())) for j in (*columns, *others)])
    return found


def static_picture(state: Exploration) -> bytes:
    """The heatmap as PNG, for a page without a kernel; of a long sentence, only the beginning."""
    rows, columns = state.found.map.weights.shape
    window = None if max(rows, columns) <= STATIC else Window((0, min(rows, STATIC)), (0, min(columns, STATIC)))
    with our_style(palette(dark=False)):
        look = Look(scale=state.shown.scale, window=window, fonts=state.fonts)
        figure = heatmap({state.title: state.found.map}, gold=state.found.gold, look=look)
        return png_bytes(figure, DPI)


def _heads(
    side: str, text: TokenizedText, labels: tuple[str, ...], ties: tuple[int | None, ...]
) -> list[dict[str, Any]]:
    """Each token as it is shown, its full name, and the number that it shares with equal tokens."""
    places = [f"bytes {token.start}–{token.end}" for token in text.tokens] + ["end of sequence"]
    return [
        {"shown": label, "name": f"{side} token {number} '{label}', {place}", "tie": _tie(tie)}
        for number, (label, place, tie) in enumerate(zip(labels, places, ties, strict=True))
    ]


def _tie(tie: int | None) -> int | None:
    return tie if tie is not None and tie < TIES else None


def _levels(shown: Shades) -> np.ndarray:
    """Indices into the colour map, from 0 to 255."""
    low, high = shown.limits
    return np.rint(255 * np.clip((shown.values[0] - low) / (high - low), 0, 1)).astype(np.uint8)


def _flags(drawn: Picture) -> np.ndarray:
    flags = drawn.panels[0].largest[-1].astype(np.uint8) * LARGEST_WEIGHT
    if drawn.links is not None:
        for links, bit in ((drawn.links.sure, SURE), (drawn.links.possible, POSSIBLE)):
            for cell in links:
                flags[cell] |= bit
    return flags


def _gold(state: Exploration) -> dict[str, Any] | None:
    if state.found.gold is None:
        return None
    ranked, place = state.bench.ranked(state.shown.checkpoint), state.place
    top_1 = math.nan if place is None else ranked[place].top_1
    return {
        "id": state.found.gold.id,
        "place": place,
        "of": len(ranked),
        "top_1": None if math.isnan(top_1) else top_1,
    }


def _colours(colours: Palette) -> dict[str, Any]:
    ties = [(colour, SHAPES[marker]) for colour, marker in (tie_style(tie, colours) for tie in range(TIES))]
    parts = ("ground", "ink", "muted", "link", "chunk")
    return {"map": colours.sequential, "ties": ties, **{part: getattr(colours, part) for part in parts}}
