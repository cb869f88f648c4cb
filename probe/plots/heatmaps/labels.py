"""Labels of tokens: their font, their length, and which of them are repeated."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import name
from warnings import warn

from probe.errors import option
from probe.plots.fonts import default_font, drawn_by, find_font, machine_fonts, open_font
from probe.tokens import TokenizedText

if TYPE_CHECKING:
    from matplotlib.font_manager import FontPath


LONGEST = 24
"""Characters. A longer label ends in ``…``; the hover text of the HTML page has all of it."""
ESCAPE = "⟨U+0123456789ABCDEF⟩…"
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Label:
    """A label and the fonts that it is drawn in, each for the characters that those before it lack."""

    text: str
    fonts: "tuple[FontPath, ...]"


def drawable(labels: Sequence[str], fonts: Sequence[str | Path] = (), longest: int = LONGEST) -> list[Label]:
    """Each character in the first font that draws it: of ``fonts``, then DejaVu Sans, then any font of the machine.

    A character that no font draws is written as ``⟨U+4E2D⟩``, because all boxes for missing characters look alike, and
    a warning names it.

    Raises:
        OutputError: a font is not installed, its file is missing, or matplotlib cannot draw it.
    """
    chars = frozenset("".join(labels))
    sources = _sources([find_font(font) for font in fonts], chars)
    missing = chars.difference(*sources.values())
    if missing:
        sources |= {path: drawn_by(open_font(path), missing) for path in machine_fonts(missing)}
        if missing := missing.difference(*sources.values()):
            warn(_undrawn(missing), stacklevel=2)
    return [_label(label, sources, longest) for label in labels]


def _sources(given: "Sequence[FontPath]", chars: frozenset[str]) -> "dict[FontPath, frozenset[str]]":
    """What each font draws: of those of the user, and of DejaVu Sans, which writes ``⟨U+…⟩`` and ``…`` as well."""
    last = default_font()
    found = {path: drawn_by(open_font(path), chars) for path in given if path != last}
    font = open_font(last)
    return {**found, last: frozenset(char for char in chars | set(ESCAPE) if font.get_char_index(ord(char)))}


def _undrawn(chars: Iterable[str]) -> str:
    named = [f"U+{ord(char):04X} {name(char, '')}".rstrip() for char in sorted(chars)]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    given = option("--font", "FILE", command="probe-heatmap", python="Look(fonts=…)")
    return (
        f"no font here draws {', '.join(named[:MOST_NAMED])}{more}: written by number. "
        f"Install a font of that script, such as Noto Sans CJK SC for Chinese, or name its file: {given}."
    )


def _label(label: str, sources: "Mapping[FontPath, frozenset[str]]", longest: int) -> Label:
    drawn = frozenset().union(*sources.values())
    text = _cut([char if char in drawn else f"⟨U+{ord(char):04X}⟩" for char in label], longest)
    used = {next(path for path, chars in sources.items() if char in chars) for char in text}
    return Label(text, tuple(path for path in sources if path in used))


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
    sides = student.surfaces(), teacher.surfaces()
    again = [_word(surface) for side in sides for surface, times in Counter(side).items() if surface and times > 1]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(again))}
    tied = [tuple(numbers.get(_word(surface)) if surface else None for surface in side) for side in sides]
    return tied[0], tied[1]


def _word(surface: bytes) -> bytes:
    return surface.strip() or surface
