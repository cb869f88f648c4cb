"""Draw attention maps as heatmaps: rows are student tokens, columns teacher tokens, outlines gold links."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import ArgumentError
from probe.gold.rows import GoldRow
from probe.maps import AnyMap
from probe.plots.heatmaps import captions, drawing
from probe.plots.heatmaps.labels import Label, drawable
from probe.plots.heatmaps.layout import LINE, TICK_FONT, Content, Layout, lay_out
from probe.plots.heatmaps.panels import Picture, Scale, Shades, Window, picture, shades
from probe.plots.saving import check_suffix, save_figure
from probe.plots.style import our_style, palette, venue_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Look:
    """How a heatmap is drawn.

    ``scale`` is ``linear`` (weights from 0 to 1), ``log``, or ``row`` (weights over the largest of their row); a
    difference always is linear. ``venue`` names a width of `probe.plots.style.VENUES`; without one, the figure is as
    large as its cells need. ``fonts`` are files, or names of installed fonts, to try before DejaVu Sans; characters
    that these lack are drawn in other fonts of the machine.

    Example:
        >>> import probe
        >>> map_ = probe.load("demo").map("Return the path of the file.")
        >>> figure = probe.heatmap(map_, look=probe.Look(venue="acl", dark=True))
        >>> print(f"{figure.get_figwidth():.2f}")
        3.03
    """

    scale: Scale = "linear"
    marginals: bool = False
    window: Window | None = None
    venue: str | None = None
    dark: bool = False
    fonts: tuple[str | Path, ...] = ()


def heatmap(
    maps: AnyMap | Mapping[str, AnyMap],
    *,
    gold: GoldRow | None = None,
    difference: bool = False,
    look: Look = Look(),
) -> "Figure":
    """Draw a map, or several named maps side by side, or the difference of two (the second minus the first).

    Sure links have a solid outline, possible links a dashed one, chunks a thin one. A dot marks the largest weights of
    each row. Repeated tokens share a colour and a marker.

    Raises:
        MapError: too many tokens for the page, maps or gold of other tokens, or a window outside of the sentence.
        OutputError: an unknown venue, or a font that is not installed or cannot be read.

    Example:
        >>> import probe
        >>> figure = probe.heatmap(probe.load("demo").map("Return the path of the file."))
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['Return', '␣the', '␣path', '␣of', '␣the', '␣file', '.', '⟨eos⟩']
    """
    named = {"": maps} if isinstance(maps, AnyMap) else maps
    _check_maps(named)
    drawn = picture(named, gold, window=look.window, difference=difference)
    with our_style(palette(dark=look.dark)):
        return _draw(drawn, look)


def _check_maps(named: object) -> None:
    """Refuse what is no map, with how to make one of it."""
    if isinstance(named, Mapping) and all(isinstance(one, AnyMap) for one in named.values()):
        return
    remedy = "Give one map, or several by name: {'mine': map_}."
    if isinstance(named, str):
        remedy = f'Write heatmap(probe.load("demo").map({named[:40]!r})).'
    elif hasattr(named, "shape"):
        remedy = 'Write heatmap(probe.AttentionMap("mine", student, teacher, weights)), with both token sequences.'
    raise ArgumentError.of("heatmap", "an attention map", named, remedy)


def _draw(drawn: Picture, look: Look) -> "Figure":
    from matplotlib.figure import Figure

    colours, shown = palette(dark=look.dark), shades(drawn, look.scale)
    written = drawable((*drawn.row_labels, *drawn.column_labels, *shown.tick_labels), look.fonts)
    rows, columns = len(drawn.rows), len(drawn.columns)
    labels, ticks = (written[:rows], written[rows : rows + columns]), written[rows + columns :]
    handles = captions.legend(drawn, colours)
    side = captions.side(shown.label)
    layout, across, names, notes = _layout(drawn, labels, ticks, handles, side, look)
    figure = Figure(figsize=(layout.width, layout.height))
    image: Any = None
    for number, (panel, box) in enumerate(zip(drawn.panels, layout.panels, strict=True)):
        axes = figure.add_axes(layout.share(box))
        low, high = shown.limits
        cells = colours.colour_map(diverging=drawn.difference)
        image = axes.imshow(shown.values[number], cmap=cells, vmin=low, vmax=high, aspect="auto")
        # Fix the limits now: frames and markers reach beyond the cells and would change them.
        axes.set(xlim=(-0.5, len(drawn.columns) - 0.5), ylim=(len(drawn.rows) - 0.5, -0.5))
        drawing.outline(axes, drawn, colours, layout.cell)
        pale = drawing.pale_cells(shown.values[number], shown, colours, diverging=drawn.difference)
        if drawn.difference:
            drawing.mark_losses(axes, panel, layout.cell, pale)
        drawing.mark_largest(axes, panel, layout.cell, pale)
        drawing.label_axes(axes, drawn, None if number else labels[0], labels[1], layout, colours)
        if look.marginals:
            drawing.margins(figure, panel, box, layout, colours)
    captions.write(figure, names, notes, layout, colours)
    _bar(figure, image, shown, layout)
    place = 0.5, len(notes) * LINE / layout.height
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=place, ncols=across, **captions.LEGEND)
    return figure


def _layout(
    drawn: Picture,
    labels: tuple[list[Label], list[Label]],
    ticks: list[Label],
    handles: list[Any],
    side: float,
    look: Look,
) -> tuple[Layout, int, list[list[str]], list[str]]:
    """Lay out twice: the number of lines below and above depends on the widths, which the first layout gives."""
    width = None if look.venue is None else venue_width(look.venue)
    content = Content(*labels, len(drawn.panels), look.marginals, lines_below=3, side=side, ticks=ticks)
    layout = lay_out(content, width)
    notes = captions.notes(drawn, layout.step, layout.width)
    names = captions.names(drawn, layout)
    across = captions.legend_columns(handles, layout.width)
    below, above = len(notes) + ceil(len(handles) / across), 1 + max(1, *map(len, names))
    return lay_out(replace(content, lines_below=below, lines_above=above), width), across, names, notes


def _bar(figure: "Figure", image: Any, shown: Shades, layout: Layout) -> None:
    bar = figure.colorbar(image, cax=figure.add_axes(layout.share(layout.bar)))
    bar.set_ticks(list(shown.ticks), labels=list(shown.tick_labels))
    bar.set_label(shown.label, fontsize=captions.BAR_FONT, labelpad=2, y=captions.bar_middle(shown.label, layout))
    bar.ax.tick_params(length=2, width=0.4, labelsize=TICK_FONT, pad=1.5)
    outline: Any = bar.outline
    outline.set_linewidth(0.4)


def save_heatmap(
    maps: AnyMap | Mapping[str, AnyMap],
    path: str | Path,
    *,
    gold: GoldRow | None = None,
    difference: bool = False,
    look: Look = Look(),
    dpi: int = 200,
) -> None:
    """Write a heatmap as PDF, SVG or PNG, by suffix; equal inputs give equal bytes. ``dpi`` is for PNG.

    Raises:
        OutputError: the suffix is none of these, or the place cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import probe
        >>> map_ = probe.load("demo").map("Return the path.")
        >>> with TemporaryDirectory() as place:
        ...     probe.save_heatmap({"demo": map_}, Path(place) / "map.svg")
        ...     [path.name for path in Path(place).iterdir()]
        ['map.svg']
    """
    path = Path(path)
    check_suffix(path)
    save_figure(heatmap(maps, gold=gold, difference=difference, look=look), path, dpi=dpi)
