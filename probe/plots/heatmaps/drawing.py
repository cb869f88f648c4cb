"""Draw the parts of a heatmap with matplotlib: cells, outlines, labels, bars."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from probe.chunks import Chunk
from probe.plots.fonts import font_properties
from probe.plots.heatmaps.labels import Label
from probe.plots.heatmaps.layout import GAP, MARKER, STRIP, Box, Layout
from probe.plots.heatmaps.panels import TINY, Panel, Picture, Shades
from probe.plots.style import Palette

DASHES = (0, (1.6, 1.2))
MARKERS = "os^Dvp"
TIES = 36  # colours times markers; more repeated tokens are not marked
PALE = 0.3  # luminance; white has a contrast of 3 to this, and of less to paler cells
ROW_AXIS, COLUMN_AXIS = "student token (predicted)", "teacher token (predicted)"


def link_colour(picture: Picture, colours: Palette) -> str:
    """The colour of link outlines. In a difference orange means a decrease, so links are black or white there."""
    return colours.ink if picture.difference else colours.link


def outline(axes: Any, picture: Picture, colours: Palette, cell: float) -> None:
    """Outline each sure link (solid), each possible link (dashed), and each chunk of several cells (thin)."""
    from matplotlib.patches import Rectangle

    line = min(1.2, cell * 7)
    frame = line * 0.7
    # Within its cells and beside the outlines of links, a frame touches neither its neighbours nor the axes.
    beside = line if picture.links is not None and picture.links.either else 0.0
    inset = (frame + beside) / 2 / 72 / cell

    def rectangle(rows: range, columns: range, inset: float, **style: Any) -> None:
        corner = columns.start - 0.5 + inset, rows.start - 0.5 + inset
        axes.add_patch(Rectangle(corner, len(columns) - 2 * inset, len(rows) - 2 * inset, fill=False, **style))

    for chunk in several(picture.chunks):
        rectangle(chunk.student, chunk.teacher, inset, edgecolor=colours.chunk, linewidth=frame, zorder=2)
    if picture.links is None:
        return
    for links, dashes, order in ((picture.links.possible, DASHES, 3), (picture.links.sure, "-", 4)):
        for i, j in sorted(links):
            style: Any = {"edgecolor": link_colour(picture, colours), "linestyle": dashes, "linewidth": line}
            rectangle(range(i, i + 1), range(j, j + 1), 0.0, clip_on=False, zorder=order, **style)


def several(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks of more than one cell; a frame around a single cell would add nothing."""
    return [chunk for chunk in chunks if len(chunk.student) > 1 or len(chunk.teacher) > 1]


def mark_largest(axes: Any, panel: Panel, cell: float, pale: Bool[np.ndarray, "rows columns"]) -> None:
    """Put a dot on the largest weights of each row; in a difference, also a ring on those of the first map."""
    points = cell * 72
    *before, after = panel.largest
    for mask in before:
        rings = {"facecolors": "none", "edgecolors": _contrast(pale, mask), "linewidths": points * 0.05}
        _mark(axes, mask, (points * 0.5) ** 2, **rings)
    dots = {"facecolors": _contrast(pale, after), "edgecolors": _contrast(~pale, after), "linewidths": points * 0.035}
    _mark(axes, after, (points * 0.28) ** 2, **dots)


def mark_losses(axes: Any, panel: Panel, cell: float, pale: Bool[np.ndarray, "rows columns"]) -> None:
    """Put a minus on decreases of at least a tenth of the largest change: in greyscale, both ends look the same."""
    mask, points = panel.weights <= -max(float(np.abs(panel.weights).max()), TINY) / 10, cell * 72
    _mark(axes, mask, (points * 0.6) ** 2, marker="_", linewidths=points * 0.07, color=_contrast(pale, mask))


def _mark(axes: Any, mask: Bool[np.ndarray, "rows columns"], size: float, **style: Any) -> None:
    rows, columns = mask.nonzero()
    axes.scatter(columns, rows, s=size, zorder=6, **style)


def pale_cells(
    values: Float[np.ndarray, "rows columns"], shown: Shades, colours: Palette, *, diverging: bool
) -> Bool[np.ndarray, "rows columns"]:
    """Cells on which a black mark is seen better than a white one."""
    low, high = shown.limits
    colour = colours.colour_map(diverging=diverging)((values - low) / (high - low))[..., :3]
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722]) > PALE


def _contrast(pale: Bool[np.ndarray, "rows columns"], mask: Bool[np.ndarray, "rows columns"]) -> list[str]:
    return ["black" if each else "white" for each in pale[mask]]


def label_axes(
    axes: Any,
    picture: Picture,
    rows: Sequence[Label] | None,
    columns: Sequence[Label],
    layout: Layout,
    colours: Palette,
) -> None:
    """Label the tokens; repeated tokens share a colour and a marker. Without ``rows``, the rows have no labels."""
    shown_rows, shown_columns = range(0, len(picture.rows), layout.step), range(0, len(picture.columns), layout.step)
    axes.tick_params(length=0, pad=72 * MARKER)
    axes.xaxis.tick_top()
    slant: Any = {"rotation": layout.angle, "rotation_mode": "anchor"}
    slant |= {"ha": "left", "va": "center"} if layout.angle == 90 else {"ha": "left"}
    axes.set_xticks(list(shown_columns), [columns[j].text for j in shown_columns], **slant)
    axes.set_yticks(list(shown_rows), ["" if rows is None else rows[i].text for i in shown_rows])
    beside = 0.5 + 0.06 / layout.cell
    if rows is not None:
        _style(axes.get_yticklabels(), [rows[i] for i in shown_rows], layout.font)
        _tie(
            axes,
            axes.get_yticklabels(),
            [picture.row_ties[i] for i in shown_rows],
            shown_rows,
            colours,
            layout,
            x=-beside,
        )
    _style(axes.get_xticklabels(), [columns[j] for j in shown_columns], layout.font)
    ties = [picture.column_ties[j] for j in shown_columns]
    _tie(axes, axes.get_xticklabels(), ties, shown_columns, colours, layout, y=-beside)


def _style(texts: Iterable[Any], labels: Sequence[Label], points: float) -> None:
    for text, label in zip(texts, labels, strict=True):
        text.set_fontproperties(font_properties(label.fonts, points))


def _tie(
    axes: Any,
    texts: Iterable[Any],
    ties: Sequence[int | None],
    places: Sequence[int],
    colours: Palette,
    layout: Layout,
    x: float | None = None,
    y: float | None = None,
) -> None:
    size = (min(layout.font, 7) * 0.5) ** 2
    for text, tie, place in zip(texts, ties, places, strict=True):
        if tie is None or tie >= TIES:
            continue
        colour, marker = tie_style(tie, colours)
        text.set_color(colour)
        at = (place if x is None else x), (place if y is None else y)
        axes.scatter(*at, s=size, marker=marker, color=colour, linewidths=0, clip_on=False, zorder=7)


def tie_style(tie: int, colours: Palette) -> tuple[str, str]:
    """Colour and marker of a repeated token; no two of the first 36 share both."""
    kinds = len(MARKERS)
    return colours.repeats[tie % kinds], MARKERS[(tie + tie // kinds) % kinds]


def margins(figure: Any, panel: Panel, box: Box, layout: Layout, colours: Palette) -> None:
    """Draw bars: the entropy of each row at the right, the attention mass of each column below."""
    left, bottom, width, height = box
    rows, columns = np.arange(len(panel.entropy)), np.arange(len(panel.mass))
    side = _strip(figure, (left + width + GAP / 2, bottom, STRIP, height), layout)
    side.barh(rows, panel.entropy, height=0.7, color=colours.muted, linewidth=0)
    side.set_ylim(len(rows) - 0.5, -0.5)
    side.set_xlim(*_limits(panel.entropy, 1.0))
    # One tick shows the scale; two would touch those of the next panel.
    side.set_xticks([side.get_xlim()[1]], [f"{side.get_xlim()[1]:.2g}"])
    side.set_yticks([])
    side.set_title("row\nentropy", fontsize=5.5, pad=2, color=colours.muted)
    below = _strip(figure, (left, bottom - GAP / 2 - STRIP, width, STRIP), layout)
    below.bar(columns, panel.mass, width=0.7, color=colours.muted, linewidth=0)
    below.set_xlim(-0.5, len(columns) - 0.5)
    below.set_ylim(*_limits(panel.mass, float(panel.mass.max()))[::-1])
    below.set_xticks([])
    below.set_yticks([below.get_ylim()[0]], [f"{below.get_ylim()[0]:.2g}"])
    below.set_ylabel("mass", fontsize=5.5, labelpad=1, color=colours.muted)


def _strip(figure: Any, box: Box, layout: Layout) -> Any:
    axes = figure.add_axes(layout.share(box))
    axes.tick_params(length=1.5, width=0.3, labelsize=5, pad=1)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _limits(values: Float[np.ndarray, " bars"], most: float) -> tuple[float, float]:
    if (values < 0).any():  # a difference
        bound = float(np.abs(values).max())
        return -bound, bound
    return 0.0, max(most, TINY)  # equal maps differ by nothing
