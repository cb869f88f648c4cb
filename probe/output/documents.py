"""How results are written into documents: figures that may not exist, text that is no command, JSON to be read back."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from probe.errors import Problem, ReportError, visible
from probe.output.reading import Wanted, decoded, limited, parse_json, read_bytes, reason
from probe.stats import known


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The lines of a table: the first column to the left, the others, which are numbers, to the right."""
    lines = [[*map(escape_markdown, line)] for line in (header, *rows)]
    lines.insert(1, ["---", *["---:"] * (len(header) - 1)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escape_markdown(text: str) -> str:
    """Text in which no character is markup or ends a cell of a table; control characters are shown by their codes."""
    marks = "".join(f"\\{c}" if c in "\\`*_<>|" else c for c in text)
    return visible(marks).replace("](", "]\\(").replace("\n", " ")


T = TypeVar("T")


def escape_latex(text: str) -> str:
    """Text in which no character is a command."""
    replaced = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(replaced.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def without_nan(part: Any) -> Any:
    """The same with None in place of every number that is not known."""
    if isinstance(part, Mapping):
        return {key: without_nan(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [without_nan(value) for value in part]
    return known(part) if isinstance(part, float) else part


def parsed(text: str, where: str, what: str, schema: int, build: Callable[[Any], T]) -> T:
    """What a saved document holds.

    Args:
        text: JSON, an object with the key ``schema``.
        where: the file, for messages.
        what: what it is to be, for messages.
        schema: the only version that is read.
        build: makes the value of the document; it may fail in any way that a document of other keys brings about.

    Raises:
        ReportError: it is no JSON, of another schema version, or has other keys.
    """
    document: Any = parse_json(text, where, Wanted(f"{what} in JSON", "Write it again.", ReportError), constants=False)
    found = document.get("schema") if isinstance(document, dict) else None
    if found != schema:
        remedy = "Read it with the version that wrote it, or write it again."
        raise ReportError(Problem(where, f"{what} of schema {schema}", f"schema {found}", remedy))
    try:
        return build(document)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        got = f"none called {error}" if isinstance(error, KeyError) else str(error)
        raise ReportError(Problem(where, f"the keys of schema {schema}", got, "Write it again.")) from error


def packed(text: str, path: Path) -> bytes:
    """What a document's file holds: UTF-8, under gzip where its name ends in ``.gz``; equal texts give equal bytes."""
    raw = text.encode()
    return gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw


def read_document(path: str | Path, what: str) -> str:
    """The text of a saved document, which may be under gzip.

    Raises:
        ReportError: it cannot be read.
    """
    path, wanted = Path(path), Wanted(what, "Name a file of --json.", ReportError)
    raw = read_bytes(path, wanted)
    return decoded(_unpacked(raw, path, wanted) if path.suffix == ".gz" else raw, path, wanted)


def _unpacked(raw: bytes, path: Path, wanted: Wanted) -> bytes:
    """What stands under gzip. A small file may stand for terabytes, so no more is taken than can be held."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(raw)) as file:
            return limited(file.read, path, wanted)
    except (OSError, EOFError, zlib.error) as error:
        raise wanted.refusal(path, reason(error)) from error
