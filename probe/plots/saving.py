"""Writing figures: equal figures give equal bytes, as PDF, SVG and PNG."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import OutputError, Problem
from probe.output.files import replacing_file
from probe.plots.style import palette, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SUFFIXES = (".pdf", ".svg", ".png")
# No dates, so that a figure changes only when what it shows does.
_METADATA = {".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}


def save_figure(figure: "Figure", path: Path, *, dark: bool = False, dpi: int = 200) -> None:
    """Write a figure in the format that the suffix names; ``dpi`` is for PNG.

    Raises:
        OutputError: the suffix is none of `SUFFIXES`, or the place cannot be written to.
    """
    import matplotlib as mpl

    check_suffix(path)
    options: Any = {"format": path.suffix[1:], "metadata": _METADATA[path.suffix]}
    with mpl.rc_context(settings(palette(dark=dark))), replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=dpi if path.suffix == ".png" else 600, **options)


def png_bytes(figure: "Figure", dpi: int) -> bytes:
    """The figure as PNG, for a page."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata=_METADATA[".png"])
    return file.getvalue()


def check_suffix(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse a file name that says no format, before anything is computed.

    Raises:
        OutputError: the suffix is none of these.
    """
    if path.suffix not in suffixes:
        expected = f"a name that ends in {', '.join(suffixes)}"
        raise OutputError(Problem(str(path), expected, repr(path.suffix), "Choose one of them."))
