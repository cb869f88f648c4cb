"""What a command prints, on whatever standard output there is: one that knows no arrows, one that is full or closed."""

import codecs
import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

_ASCII = {
    **{"…": "...", "–": "-", "—": "-", "−": "-", "±": "+-", "×": "x", "·": "*", "◌": "o"},
    **{"←": "<-", "→": "->", "⟨": "<", "⟩": ">", "▁": "_", "␣": "_", "⏎": "\\n", "⇥": "\\t", "␍": "\\r", "⍽": "_"},
    **{"≤": "<=", "≥": ">=", "≈": "~", "“": '"', "”": '"', "‘": "'", "’": "'"},
    **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", (f"^{digit}" for digit in "0123456789-"), strict=True)),
}
"""How the characters that this package itself writes are told where they cannot be shown."""

_LINES = range(0x2500, 0x2580)
"""Box drawing. One character each, so that tables stay aligned."""
_HANDLER = "probe-ascii"


def _told(char: str) -> str:
    if ord(char) in _LINES:
        return "|" if char in "│┃║╷╵╎┆" else "-" if char in "─━═╌╴╶╸╺╼╾" else "+"
    # Of a text or a file's name nothing is dropped: what it holds is shown as an escape.
    return _ASCII.get(char) or char.encode("ascii", "backslashreplace").decode()


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_told, error.object[error.start : error.end])), error.end


def show_everywhere() -> None:
    """Let both streams write what their encodings lack as ASCII, instead of ending in an error."""
    codecs.register_error(_HANDLER, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)  # a test or a notebook may have put another one there
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def is_closed() -> bool:
    """Whether there is no standard output: what a command finds would be lost, after all its work."""
    out: Any = sys.stdout
    return out is None or bool(getattr(out, "closed", False))


def give_up_stdout() -> None:
    """Send what is still to be written to nowhere: at exit Python would try again, and print a traceback."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
"""What a library tells those who call it; whoever runs a command can do nothing about it."""


@contextmanager
def warnings_after() -> Generator[None]:
    """Hold warnings of libraries back until the end, a line each; where a message says what is wrong, drop them."""
    told: dict[str, None] = {}

    def hold(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if not issubclass(category, FOR_DEVELOPERS):
            told[f"{category.__name__}: {str(message).strip().partition(chr(10))[0]}"] = None

    with warnings.catch_warnings():
        warnings.showwarning = hold
        yield
    for line in told:
        print(line, file=sys.stderr)
