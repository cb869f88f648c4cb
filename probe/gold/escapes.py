r"""The one escape of gold files: ``\\``, ``\t``, ``\n``, ``\r``, ``\s`` for a space, ``\uXXXX`` and ``\UXXXXXXXX``.

It distinguishes tabs, line ends and spaces inside a cell or a token from those that separate cells and tokens. It also
makes all other white space, control and format characters visible.
"""

import re
import unicodedata

_SHORT = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", " ": "\\s"}
_ESCAPE = re.compile(r"\\(?:([\\tnrs])|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))|(\\)")
_LONG = {escape[1]: char for char, escape in _SHORT.items()}


def escape(text: str, *, spaces: bool) -> str:
    """Escape a cell, or with ``spaces`` a token, so that it can be read back."""
    return "".join(char if char == " " and not spaces else _escape_char(char) for char in text)


def _escape_char(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"):
        return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"
    return char


def unescape(cell: str) -> str:
    """Undo `escape`; a backslash that begins no escape stays as it is."""
    if "\\" not in cell:  # most pieces of most files
        return cell
    return _ESCAPE.sub(lambda match: _char(match) or match[0], cell)


def _char(match: re.Match[str]) -> str | None:
    """The character of an escape; None if it is no escape or names no character."""
    if match[1]:
        return _LONG[match[1]]
    code = int(match[2] or match[3] or "110000", 16)
    return None if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code)


def is_well_escaped(cell: str) -> bool:
    """Whether every backslash begins an escape of a character."""
    return all(_char(match) is not None for match in _ESCAPE.finditer(cell))
