"""Write figures as PDF, SVG and PNG; equal figures give equal bytes."""

from collections.abc import Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import OutputError, Problem
from probe.output.files import replacing_file
from probe.plots.style import LIGHT, our_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SUFFIXES = (".pdf", ".svg", ".png")
# Without dates, so that a file changes only when its figure changes.
_METADATA = {".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}


def save_figure(figure: "Figure", path: str | Path, *, dpi: int = 200) -> None:
    """Write a figure in the format that the suffix names; equal figures give equal bytes. ``dpi`` is for PNG.

    Raises:
        OutputError: the suffix is not .pdf, .svg or .png, or the place cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import probe
        >>> figure = probe.plot(probe.load("demo").map("Return the path."))
        >>> with TemporaryDirectory() as place:
        ...     probe.save_figure(figure, Path(place) / "map.png")
        ...     [path.name for path in Path(place).iterdir()]
        ['map.png']
    """
    path = Path(path)
    check_suffix(path)
    options: Any = {"format": path.suffix[1:], "metadata": _METADATA[path.suffix]}
    with our_style(LIGHT), replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=dpi if path.suffix == ".png" else 600, **options)


def png_bytes(figure: "Figure", dpi: int) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = BytesIO()
    with our_style(LIGHT):
        figure.savefig(file, format="png", dpi=dpi, metadata=_METADATA[".png"])
    return file.getvalue()


def svg_text(figure: "Figure") -> str:
    """The figure as the text of an SVG file."""
    file = StringIO()
    with our_style(LIGHT):
        figure.savefig(file, format="svg", metadata=_METADATA[".svg"])
    return file.getvalue()


def check_suffix(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse a file name with another suffix, before anything is computed.

    Raises:
        OutputError: the suffix is none of these.
    """
    if path.suffix not in suffixes:
        expected = f"a name that ends in {', '.join(suffixes)}"
        raise OutputError(Problem(str(path), expected, repr(path.suffix), "Choose one of them."))
