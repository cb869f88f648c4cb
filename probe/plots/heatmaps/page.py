"""A heatmap as one HTML file that needs no network, with hover texts, a legend to click and an overview."""

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import MissingExtraError, Problem
from probe.gold.rows import GoldRow, Link
from probe.maps import AnyMap
from probe.output.files import replacing_file
from probe.plots.heatmaps import page_theme
from probe.plots.heatmaps.drawing import COLUMN_AXIS, link_colour, pale_cells, several
from probe.plots.heatmaps.page_layout import CELL, arrange, hover
from probe.plots.heatmaps.panels import Picture, Scale, Shades, Window, picture, shades
from probe.plots.style import Palette, palette

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


FRAME, LINK = 1, 2
"""Pixels: the lines around chunks and around links."""


def interactive(
    maps: AnyMap | Mapping[str, AnyMap],
    *,
    gold: GoldRow | None = None,
    difference: bool = False,
    scale: Scale = "linear",
    window: Window | None = None,
    dark: bool = False,
) -> "Figure":
    """The figure of `probe.heatmap` in plotly. A cell shows both tokens, their bytes and the weight when pointed at.

    Raises:
        MissingExtraError: plotly is not installed.
        MapError: too many tokens, maps or gold of other tokens, or a window outside of the sentence.
    """
    make_subplots = _plotly()
    named = {"": maps} if isinstance(maps, AnyMap) else maps
    drawn = picture(named, gold, window=window, difference=difference)
    colours, shown = palette(dark=dark), shades(drawn, scale)
    figure = make_subplots(
        rows=1,
        cols=len(drawn.panels),
        shared_yaxes=True,
        horizontal_spacing=0.02,
        subplot_titles=[f"<b>{escape(panel.name)}</b><br>{COLUMN_AXIS}" for panel in drawn.panels],
    )
    for number in range(len(drawn.panels)):
        for trace in _traces(drawn, number, shown, colours):
            figure.add_trace(trace, row=1, col=number + 1)
    arrange(figure, drawn, colours)
    return figure


def save_page(
    maps: AnyMap | Mapping[str, AnyMap],
    path: str | Path,
    *,
    gold: GoldRow | None = None,
    difference: bool = False,
    scale: Scale = "linear",
    window: Window | None = None,
    dark: bool = False,
) -> None:
    """Write `interactive` as an HTML file of about 5 MB that holds plotly.js; equal inputs give equal bytes.

    Without ``dark``, the page is light or dark as its reader prefers.

    Raises:
        MissingExtraError: plotly is not installed.
        MapError: what cannot be drawn, as in `interactive`.
        OutputError: the place cannot be written to.
    """
    options: dict[str, Any] = {"gold": gold, "difference": difference, "scale": scale, "window": window}
    figure = interactive(maps, **options, dark=dark)
    found = [] if dark else page_theme.changes(figure, interactive(maps, **options, dark=True))
    here = files("probe.plots.heatmaps")
    scripts = [here.joinpath(name).read_text(encoding="utf-8") for name in ("navigator.js", "theme.js")]
    config = {"displaylogo": False, "scrollZoom": True, "responsive": False, "typesetMath": False}
    body = figure.to_html(
        full_html=False,
        include_plotlyjs="inline",
        div_id="heatmap",
        config=config,
        post_script=page_theme.script(found) + "".join(scripts),
    )
    style = page_theme.style(dark=dark)
    with replacing_file(Path(path)) as temporary:
        temporary.write_text(
            f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Heatmap</title>'
            f"<style>{style}</style></head>\n<body>\n{body}\n</body>\n</html>\n",
            encoding="utf-8",
        )


def _plotly() -> Any:
    try:
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise MissingExtraError(
            Problem("HTML heatmap", "plotly", "none installed", "Run: pip install 'cma-probe[notebooks]'.")
        ) from error
    return make_subplots


def _traces(drawn: Picture, number: int, shown: Shades, colours: Palette) -> list[Any]:
    from plotly.graph_objects import Heatmap, Scatter

    first = number == 0
    low, high = shown.limits
    heat = Heatmap(
        z=shown.values[number],
        zmin=low,
        zmax=high,
        colorscale=colours.colour_scale(diverging=drawn.difference),
        showscale=first,
        colorbar={
            "title": {"text": shown.label, "side": "right"},
            "tickvals": shown.ticks,
            "ticktext": shown.tick_labels,
            "thickness": 12,
            "len": 0.6,
            "y": 1,
            "yanchor": "top",
            "outlinewidth": 0,
        },
        text=hover(drawn, number),
        hovertemplate="%{text}<extra></extra>",
    )

    def lines(name: str, boxes: Iterable[tuple[range, range]], out: float, line: Any) -> Any:
        x, y = _frames(boxes, out)
        group = {"name": name, "legendgroup": name, "showlegend": first, "hoverinfo": "skip"}
        return Scatter(x=x, y=y, mode="lines", line=line, **group)

    colour = link_colour(drawn, colours)
    traces: list[Any] = [heat]
    if chunks := several(drawn.chunks):
        boxes = [(chunk.student, chunk.teacher) for chunk in chunks]
        beside = LINK if drawn.links is not None and drawn.links.either else 0
        # Within its cells and beside the outlines of links, a frame touches neither its neighbours nor the axes.
        reach = 0.5 - (FRAME + beside) / 2 / CELL
        traces.append(lines("chunk", boxes, reach, {"color": colours.chunk, "width": FRAME}))
    if drawn.links is not None:
        possible, sure = _cells(drawn.links.possible), _cells(drawn.links.sure)
        traces.append(lines("possible link", possible, 0.5, {"color": colour, "width": LINK, "dash": "dot"}))
        traces.append(lines("sure link", sure, 0.5, {"color": colour, "width": LINK}))
    *before, after = drawn.panels[number].largest
    names = drawn.names if drawn.difference else ("largest weight of the row",)
    pale = pale_cells(shown.values[number], shown, colours, diverging=drawn.difference)
    for mask, name in zip((*before, after), names, strict=True):
        rows, columns = mask.nonzero()
        on, around = (["black" if each else "white" for each in cells[mask]] for cells in (pale, ~pale))
        ring = {"size": 11, "color": "rgba(0,0,0,0)", "line": {"color": on, "width": 1.5}}
        dot = {"size": 7, "color": on, "line": {"color": around, "width": 1}}
        label = f"largest weight in {escape(name)}" if drawn.difference else name
        group = {"name": label, "legendgroup": label, "showlegend": first, "hoverinfo": "skip"}
        traces.append(Scatter(x=columns, y=rows, mode="markers", marker=ring if mask is not after else dot, **group))
    return traces


def _cells(links: frozenset[Link]) -> list[tuple[range, range]]:
    return [(range(i, i + 1), range(j, j + 1)) for i, j in sorted(links)]


def _frames(boxes: Iterable[tuple[range, range]], out: float) -> tuple[list[float | None], list[float | None]]:
    """One line with gaps around all boxes; with one shape for each box, the browser would need seconds."""
    x: list[float | None] = []
    y: list[float | None] = []
    for rows, columns in boxes:
        left, right, top, bottom = columns[0] - out, columns[-1] + out, rows[0] - out, rows[-1] + out
        x += [left, right, right, left, left, None]
        y += [top, top, bottom, bottom, top, None]
    return x, y
