"""One attention map as a heatmap: student targets as rows, teacher targets as columns, gold links as outlines."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import MapError, OutputError, Problem
from probe.files import replacing_file
from probe.maps import AttentionMap
from probe.pair_rows import GoldRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".svg", ".png")
LARGEST = 512
"""Tokens a side: DSKD trains on no more, and a page of more than ten feet cannot be read."""

CELL = 0.24
"""Side of a cell in inches; labels of 8 points stay apart."""

STYLE: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that every machine draws the same
    "font.size": 8,
    "pdf.fonttype": 42,  # real text: searchable, and editable in a paper
    "svg.fonttype": "none",
    "svg.hashsalt": "cma-probe",
}
COLOUR_MAP, SURE_COLOUR, POSSIBLE_COLOUR, DOT_COLOUR = "Greys", "#d1495b", "#d1495b", "#2a9df4"
DASHES = (0, (2, 1.5))


def heatmap(map_: AttentionMap, *, gold: GoldRow | None = None, title: str = "") -> "Figure":
    """Draw a map; sure links are outlined solid, possible links dashed, each row's largest weights carry a dot.

    The colours run from 0 to 1 in every figure, so that two of them can be compared. ``title`` says whose map it is.

    Raises:
        MapError: the map is too large for a page, or the gold row is of other tokens.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    students, teachers = map_.weights.shape
    if max(students, teachers) > LARGEST:
        got = f"{students} × {teachers}"
        raise MapError(Problem("heatmap", f"at most {LARGEST} tokens a side", got, "Draw the sentences one by one."))
    if gold is not None and (gold.student, gold.teacher) != (map_.student, map_.teacher):
        remedy = "Give the row that the map was made from."
        raise MapError(Problem("heatmap", f"gold links of {map_.student.text!r}", f"those of {gold.text!r}", remedy))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(CELL * teachers + 2.1, CELL * students + 1.5), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(map_.weights, cmap=COLOUR_MAP, vmin=0, vmax=1, aspect="equal")
        axes.set_xticks(range(teachers), drawable(map_.teacher_labels), rotation=60, ha="left", rotation_mode="anchor")
        axes.set_yticks(range(students), drawable(map_.student_labels))
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0)
        axes.set_xlabel("teacher token (as target)")
        axes.set_ylabel("student token (as target)")
        if title:
            figure.suptitle(title, x=0, ha="left", fontsize=7, color="0.4")
        axes.spines[:].set_linewidth(0.4)
        _outline(axes, gold)
        largest = map_.weights == map_.weights.max(axis=1, keepdims=True)  # ties are all marked, as they are scored
        rows, columns = largest.nonzero()
        axes.scatter(columns, rows, s=6, color=DOT_COLOUR, linewidths=0, zorder=3)
        bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 12 / students), aspect=25, pad=0.02)
        bar.set_label("attention weight; each row sums to 1")
        bar.outline.set_linewidth(0.4)  # type: ignore[operator]
        handles = _legend(gold)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def drawable(labels: Sequence[str]) -> list[str]:
    """Labels with characters that the font lacks written as ⟨U+4E2D⟩: a box says nothing, and all boxes look alike."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(STYLE["font.family"]))
    return ["".join(c if font.get_char_index(ord(c)) else f"⟨U+{ord(c):04X}⟩" for c in label) for label in labels]


def _legend(gold: GoldRow | None) -> list[Any]:
    from matplotlib.lines import Line2D

    def marker(label: str, colour: str, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="none", color=colour, label=label, **style)

    handles = [marker("largest in its row", DOT_COLOUR, marker="o", markersize=3, markeredgewidth=0)]
    if gold is not None:
        handles.append(marker("sure link", SURE_COLOUR, marker="s", markersize=7, fillstyle="none"))
    if gold is not None and gold.possible:
        dashed = Line2D([], [], color=POSSIBLE_COLOUR, linestyle=DASHES, linewidth=1.1, label="possible link")
        handles.append(dashed)
    return handles


def _outline(axes: Any, gold: GoldRow | None) -> None:
    from matplotlib.patches import Rectangle

    if gold is None:
        return
    for links, colour, line in ((gold.possible, POSSIBLE_COLOUR, DASHES), (gold.sure, SURE_COLOUR, "-")):
        for i, j in sorted(links):
            square = Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=colour, linestyle=line, linewidth=1.1)
            axes.add_patch(square)


def save_heatmap(
    map_: AttentionMap, path: str | Path, *, gold: GoldRow | None = None, title: str = "", dpi: int = 200
) -> None:
    """Write a heatmap as PDF, SVG or PNG, by suffix; equal inputs give equal bytes.

    Raises:
        OutputError: the suffix is none of these, or the place cannot be written to.
    """
    import matplotlib as mpl

    path = Path(path)
    check_suffix(path)
    # No dates, so that a figure changes only when what it shows does.
    metadata = {".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}
    with mpl.rc_context(STYLE), replacing_file(path) as temporary:
        figure = heatmap(map_, gold=gold, title=title)
        options: Any = {"dpi": dpi, "format": path.suffix[1:], "metadata": metadata[path.suffix]}
        figure.savefig(temporary, bbox_inches="tight", pad_inches=0.05, **options)  # long labels reach beyond the page


def check_suffix(path: Path) -> None:
    """Refuse a file name that says no format, before anything is computed.

    Raises:
        OutputError: the suffix is not one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise OutputError(
            Problem(str(path), f"a name that ends in {', '.join(SUFFIXES)}", repr(path.suffix), "Choose one of them.")
        )
