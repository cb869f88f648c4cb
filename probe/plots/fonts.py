"""Fonts by file or by name, and those of the machine for characters that DejaVu Sans lacks."""

import difflib
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from probe.errors import OutputError, Problem

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry, FontPath, FontProperties
    from matplotlib.ft2font import FT2Font


DEFAULT, BOLD = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"
ENDINGS = (".ttf", ".otf", ".ttc", ".otc")


def default_font(*, bold: bool = False) -> "FontPath":
    """The font that is part of matplotlib: every machine draws the same, where a name could find another file."""
    from matplotlib import get_data_path
    from matplotlib.font_manager import FontPath

    return FontPath(str(Path(get_data_path()) / "fonts" / "ttf" / (BOLD if bold else DEFAULT)), 0)


def find_font(font: str | Path) -> "FontPath":
    """A font by its file, or by the name of its family as the machine knows it.

    Raises:
        OutputError: no family of this name is installed, or the file is missing or has no outlines.
    """
    from matplotlib.font_manager import FontPath

    if isinstance(font, Path) or font.lower().endswith(ENDINGS) or Path(font).is_file():
        path = FontPath(str(font), 0)
        _check(path)
        return path
    families = {entry.name.lower(): entry for entry in reversed(_installed())}
    if entry := families.get(font.lower()):
        return FontPath(entry.fname, entry.index)
    near = difflib.get_close_matches(font.lower(), families, n=1)
    remedy = f"Did you mean {families[near[0]].name}?" if near else "Install it, or name a font file."
    raise OutputError(Problem("font", "an installed family or a font file", repr(font), remedy))


def _check(path: "FontPath") -> None:
    try:
        if open_font(path).scalable:
            return
        got = "a font of pictures, as emoji have"
    except (OSError, RuntimeError) as error:
        got = str(error)
    raise OutputError(Problem(str(path), "a TrueType or OpenType font", got, "Name another file."))


def open_font(path: "FontPath") -> "FT2Font":
    """One font without the fonts that matplotlib would try after it."""
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(path), face_index=path.face_index)


def drawn_by(font: "FT2Font", chars: Collection[str]) -> frozenset[str]:
    """Those of the characters for which the font has an outline; matplotlib cannot draw the pictures of emoji fonts."""
    from matplotlib.ft2font import LoadFlags

    def has_outline(char: str) -> bool:
        if not font.get_char_index(ord(char)):
            return False
        font.load_char(ord(char), flags=LoadFlags.NO_SCALE)
        return len(font.get_path()[0]) > 0

    return frozenset(filter(has_outline, chars))


@lru_cache(maxsize=256)
def machine_fonts(chars: frozenset[str]) -> tuple["FontPath", ...]:
    """Installed fonts for these characters, always the same on one machine: as few as possible, sans-serif first."""
    from matplotlib.font_manager import FontPath

    drawn: dict[FontPath, frozenset[str]] = {}
    for entry in _installed():
        path = FontPath(entry.fname, entry.index)
        with suppress(OSError, RuntimeError):  # removed since matplotlib listed it, or broken
            drawn[path] = drawn_by(open_font(path), chars)
            if drawn[path] == chars:
                return (path,)
    chosen: list[FontPath] = []
    left = chars
    while drawn and (most := max(drawn, key=lambda path: len(drawn[path] & left))) and drawn[most] & left:
        chosen.append(most)
        left -= drawn[most]
    return tuple(chosen)


def _installed() -> "list[FontEntry]":
    """The fonts of the machine, the plainest first."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {entry.fname for entry in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:  # matplotlib keeps its list over years; the font may be newer
            with suppress(OSError, RuntimeError):
                fontManager.addfont(path)
    # A font of last resort has a box for every character.
    real = [one for one in fontManager.ttflist if "lastresort" not in one.name.replace(" ", "").lower()]
    return sorted(real, key=_order)


def _order(entry: "FontEntry") -> tuple[object, ...]:
    plain = "Sans" in entry.name and "Mono" not in entry.name
    return not plain, entry.style != "normal", abs(int(entry.weight) - 400), entry.fname, entry.index, entry.name


def font_properties(fonts: "Sequence[FontPath]", points: float) -> "FontProperties":
    """What matplotlib draws a text with: each character in the first of the fonts that has it."""
    from matplotlib.font_manager import FontProperties

    class Files(FontProperties):
        """Families that are these files; matplotlib asks for one family after the other."""

        files: "tuple[tuple[str, FontPath], ...]" = ()

        def get_file(self) -> "FontPath | None":
            return dict(self.files).get(self.get_family()[0])

    files = tuple((family(path), path) for path in fonts)
    found = Files(family=[name for name, _ in files], size=points)
    found.files = files
    return found


@lru_cache(maxsize=64)
def family(path: "FontPath") -> str:
    """The name of its family, which an SVG asks its viewer for."""
    return open_font(path).family_name
