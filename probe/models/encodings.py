"""Remember the tokens of given texts in the cache directory.

Reading a vocabulary of 262,144 pieces takes longer than all other parts of probing a gold file. So tokens and ids are
stored under a key made from the tokenizer file, the texts and the version of the library. If one of these changes, the
key changes, so the cache is never out of date.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from probe.errors import OutputError
from probe.models.sources import cache_dir
from probe.output.files import replacing_file
from probe.output.reading import Wanted, parse_json

SMALLEST = 1 << 20
"""Smaller tokenizer files, in bytes, are read faster than a cache."""

RULES = 2
"""Counts what `probe.models.tokenizer` changes about cutting: what was remembered before is then cut anew."""

MOST_TEXTS = 1000
"""Longer lists are not stored, because their attention takes much longer than reading the tokenizer."""


class Encoding(NamedTuple):
    """Pieces of a text and their ids."""

    pieces: tuple[str, ...]
    ids: tuple[int, ...]


def read(tokenizer: Path, texts: Sequence[str]) -> list[Encoding] | None:
    """The encodings of exactly these texts by exactly this file, if they were stored."""
    if not _worthwhile(tokenizer, texts):
        return None
    try:
        digest, _, stored = _path(tokenizer, texts).read_text(encoding="utf-8").partition("\n")
        if digest != _digest(stored):
            return None
        found = parse_json(stored, tokenizer, Wanted("encodings", "Delete the file.", OutputError))
        return [Encoding(tuple(pieces), tuple(ids)) for pieces, ids in found]
    except (OSError, OutputError, TypeError, ValueError):  # not there, not readable, or damaged
        return None


def write(tokenizer: Path, texts: Sequence[str], encodings: Sequence[Encoding]) -> None:
    """Store encodings for `read`."""
    if not _worthwhile(tokenizer, texts):
        return
    path = _path(tokenizer, texts)
    # If the cache cannot be written, the next run only takes a second longer.
    with suppress(OutputError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as temporary:
            stored = json.dumps(encodings)
            temporary.write_text(f"{_digest(stored)}\n{stored}", encoding="utf-8")


def _digest(stored: str) -> str:
    """What stands in front of stored encodings: a changed byte in them would be another token."""
    return hashlib.sha256(stored.encode()).hexdigest()


def _worthwhile(tokenizer: Path, texts: Sequence[str]) -> bool:
    return len(texts) <= MOST_TEXTS and tokenizer.stat().st_size >= SMALLEST


def _path(tokenizer: Path, texts: Sequence[str]) -> Path:
    from importlib.metadata import version

    with tokenizer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps([version("tokenizers"), RULES, *texts]).encode())
    return cache_dir() / "encodings" / f"{digest.hexdigest()}.json"
