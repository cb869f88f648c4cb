"""Labels of tokens: their font, their length, and which of them are repeated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from probe.errors import OutputError, Problem
from probe.plots.style import font_file
from probe.tokens import TokenizedText

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font


LONGEST = 24
"""Characters. A longer label ends in ``…``; the hover text of the HTML page has all of it."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label and the font file that it is drawn in."""

    text: str
    font: Path


def drawable(labels: Sequence[str], fonts: Sequence[Path] = (), longest: int = LONGEST) -> list[Label]:
    """Each label in the font that has most of its characters; the first of equal ones. DejaVu Sans comes last.

    A character that the font lacks is written as ``⟨U+4E2D⟩``, because all boxes for missing characters look alike.

    Raises:
        OutputError: a font file is missing, or matplotlib cannot read it.
    """
    opened = [(path, _open(path)) for path in (*fonts, font_file())]
    return [_label(label, opened, longest) for label in labels]


def _open(path: Path) -> "FT2Font":
    from matplotlib.font_manager import get_font

    try:
        return get_font(str(path))
    except (OSError, RuntimeError) as error:
        raise OutputError(
            Problem(str(path), "a TrueType or OpenType font", str(error), "Name another file.")
        ) from error


def _label(label: str, fonts: "Sequence[tuple[Path, FT2Font]]", longest: int) -> Label:
    def has(font: "FT2Font", char: str) -> bool:
        return font.get_char_index(ord(char)) != 0

    path, font = max(fonts, key=lambda named: sum(has(named[1], char) for char in label))
    units = [char if has(font, char) else f"⟨U+{ord(char):04X}⟩" for char in label]
    if not all(has(font, char) for char in "⟨U+0123456789ABCDEF⟩…") and "".join(units) != label:
        return _label(label, fonts[-1:], longest)  # a symbol font may lack the characters of ⟨U+…⟩ too
    return Label(_cut(units, longest), path)


def _cut(units: Sequence[str], longest: int) -> str:
    """Shorten a label without cutting a ``⟨U+…⟩`` in two."""
    if sum(map(len, units)) <= longest:
        return "".join(units)
    kept = ""
    for unit in units:
        if len(kept) + len(unit) >= longest:
            break
        kept += unit
    return f"{kept}…"


def repeats(student: TokenizedText, teacher: TokenizedText) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
    """A number for every repeated token, by side, and None for others; equal tokens have equal numbers.

    Within a side, white space counts: ``a`` and ``␣a`` are different tokens. Between the sides it does not: ``␣cat``
    and ``cat`` get the same number. Numbers follow the order of the student tokens, then that of the teacher tokens.
    """
    sides = [[side.surface(i) for i in range(len(side.tokens))] for side in (student, teacher)]
    again = [_word(surface) for side in sides for surface in side if surface and Counter(side)[surface] > 1]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(again))}
    tied = [tuple(numbers.get(_word(surface)) if surface else None for surface in side) for side in sides]
    return tied[0], tied[1]


def _word(surface: bytes) -> bytes:
    return surface.strip() or surface
