"""Whatever comes from outside, read in one place: the bytes of a file, its text, its JSON.

There are many ways in which opening, decoding and parsing fail, and Python has an error for each. Here all of them
become the one error of whoever reads, with the file, the position, and what to do.
"""

import codecs
import errno
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from probe.errors import ProbeError, Problem

MOST_BYTES = 1 << 30
"""Of a file that is read whole. A pipe may have no end."""
MOST_DEPTH = 64
"""Of brackets within brackets. Whatever walks through a value later, such as `repr`, can then do so too."""

MOST_DIGITS = sys.get_int_max_str_digits()
"""Of an integer, which Python would take ever longer to read."""

_CHUNK = 1 << 20
_LONG_INTEGER = re.compile(f"[0-9]{{{MOST_DIGITS + 1},}}")
_HALF_CHARACTER = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file is to be, what to do if it is something else, and the error that says so."""

    what: str
    remedy: str
    error: type[ProbeError]

    def refusal(self, where: str | Path, got: str) -> ProbeError:
        """The error for a file that is something else."""
        return self.error(Problem(str(where), self.what, got, self.remedy))


@contextmanager
def opened(path: Path, wanted: Wanted) -> Generator[BinaryIO]:
    """A file or a pipe, open to read bytes.

    Raises:
        ProbeError: that of ``wanted``: it cannot be opened or read, or is a device, which may have no end.
    """
    try:
        with _open(path) as file:
            yield file
    except OSError as error:
        raise wanted.refusal(path, reason(error)) from error


def _open(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # half of a character, or the character that ends names
        raise OSError(errno.EINVAL, "a name that no file can have", str(path)) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise OSError(errno.EINVAL, "a device, neither a file nor a pipe", str(path))
    return path.open("rb")


def read_bytes(path: Path, wanted: Wanted) -> bytes:
    """All bytes of a file or a pipe.

    Raises:
        ProbeError: that of ``wanted``: it cannot be read, is a device, or is too large.
    """
    with opened(path, wanted) as file:
        return limited(file.read, path, wanted)


def limited(read: Callable[[int], bytes], where: str | Path, wanted: Wanted) -> bytes:
    """All that ``read`` returns, which takes a number of bytes; refused if it is too much to hold."""
    parts: list[bytes] = []
    while part := read(_CHUNK):
        parts.append(part)
        if len(parts) * _CHUNK > MOST_BYTES:
            raise wanted.refusal(where, f"more than {MOST_BYTES >> 20} MB")
    return b"".join(parts)


def reason(error: Exception) -> str:
    """What an error of the system says, without its number and the path that the message names already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def read_text(path: Path, wanted: Wanted) -> str:
    """The text of a file in UTF-8; a byte order mark is no part of it.

    Raises:
        ProbeError: that of ``wanted``: it cannot be read, or is not UTF-8.
    """
    return decoded(read_bytes(path, wanted), path, wanted)


def decoded(raw: bytes, where: str | Path, wanted: Wanted) -> str:
    """The text of bytes in UTF-8; a byte order mark is no part of it.

    Raises:
        ProbeError: that of ``wanted``.
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        got = f"byte 0x{raw[error.start]:02X} at line {line}, column {column}, which is not UTF-8"
        raise wanted.refusal(where, got) from error


def read_json(path: Path, wanted: Wanted) -> Any:
    """What a JSON file holds; see `parse_json`."""
    return parse_json(read_text(path, wanted), path, wanted)


def read_object(path: Path, wanted: Wanted) -> dict[str, Any]:
    """The same of a file that holds an object."""
    found = read_json(path, replace(wanted, what="JSON"))
    if not isinstance(found, dict):
        raise wanted.refusal(path, type(found).__name__)
    return found  # pyright: ignore[reportUnknownVariableType]


def parse_json(
    text: str,
    where: str | Path,
    wanted: Wanted,
    *,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    constants: bool = True,
) -> Any:
    """What a JSON text holds.

    Args:
        text: the text.
        where: names it in messages.
        wanted: how it is refused.
        pairs: makes an object of its keys and values; default: a dict.
        constants: whether NaN and Infinity are read, which Python writes although they are no JSON.

    Raises:
        ProbeError: that of ``wanted``: it is no JSON; or one that Python cannot hold or write again: integers of
            thousands of digits, brackets nested too deep, halves of characters.
    """
    hook = None if constants else _no_constant
    try:
        found: Any = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=pairs, parse_constant=hook)
    except json.JSONDecodeError as error:
        raise wanted.refusal(where, str(error)) from error
    except ValueError as error:
        long = _LONG_INTEGER.search(text)
        got = f"an integer of {len(long[0])} digits{_place(text, long.start())}" if long else str(error)
        raise wanted.refusal(where, got) from error
    except RecursionError as error:
        raise wanted.refusal(where, _too_deep(text)) from error
    if _is_deep(found):
        raise wanted.refusal(where, _too_deep(text))
    half = _HALF_CHARACTER.search(text)
    if half and not _is_unicode(found):
        raise wanted.refusal(where, f"half of a surrogate pair, {half[0]},{_place(text, half.start())}")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is no number of JSON")


def _place(text: str, position: int) -> str:
    return f" at line {text.count(chr(10), 0, position) + 1}, column {position - text.rfind(chr(10), 0, position)}"


def _too_deep(text: str) -> str:
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        depth += found[0] in "[{"
        depth -= found[0] in "]}"
        if depth > MOST_DEPTH:
            return f"brackets nested more than {MOST_DEPTH} deep{_place(text, found.start())}"
    return f"brackets nested more than {MOST_DEPTH} deep"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterator[Any]:
    """The lists and objects directly inside of one."""
    values: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return (one for one in values if isinstance(one, dict | list | tuple))


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
