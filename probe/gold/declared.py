"""Which tokenizers the names in a gold file mean: comments of the file itself, or a table beside it.

A file that says it in comments stands alone, but tables with comments trip up their readers. So the files that ship
have none: ``tokenizers.tsv`` beside them has a line for each tokenizer, with its name, the SHA-256 of its vocabulary,
and what it is.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

from probe.errors import PairsError
from probe.output.reading import Wanted, read_text
from probe.tokens import NormalForm

TABLE = "tokenizers.tsv"
HEADER = ("name", "vocabulary_sha256", "description")

_DECLARED = re.compile(r"tokenizer (\S+): vocabulary sha256 ([0-9a-f]{64})")
_NORMALISES = re.compile(r"normalises text to (NFC|NFKC)\b")
_LINE = re.compile(r"(\S+)\t([0-9a-f]{64})\t([^\t]*)")


def declarations_beside(path: Path, names: Collection[str] | None = None) -> tuple[str, ...]:
    """The lines of the table in the directory of a gold file, as comments of it; none without a table.

    Args:
        path: the gold file.
        names: the tokenizers that matter; default: all.

    Raises:
        PairsError: the table cannot be read, or a line is none of a tokenizer.
    """
    table = path.parent / TABLE
    if not table.is_file():
        return ()
    remedy = f"Write the header {' '.join(HEADER)} and a line for each tokenizer, separated by tabs."
    wanted = Wanted("a table of tokenizers", remedy, PairsError)
    header, *lines = read_text(table, wanted).rstrip("\n").split("\n")
    found: list[str] = []
    if tuple(header.split("\t")) != HEADER:
        raise wanted.refusal(f"{TABLE}:1", repr(header[:80]))
    for number, line in enumerate(lines, start=2):
        match = _LINE.fullmatch(line)
        if match is None:
            raise wanted.refusal(f"{TABLE}:{number}", repr(line[:80]))
        if names is None or match[1] in names:
            found.append(f"tokenizer {match[1]}: vocabulary sha256 {match[2]}, {match[3]}")
    return tuple(found)


def unsaid(path: Path, comments: Sequence[str]) -> tuple[str, ...]:
    """Comments for a gold file at a path, without those that the table beside it has."""
    beside = declarations_beside(path)
    return tuple(comment for comment in comments if comment not in beside)


def vocabularies(comments: Sequence[str]) -> dict[str, str]:
    """Vocabulary SHA-256 by tokenizer name, from comments ``tokenizer NAME: vocabulary sha256 HEX``."""
    matches = (_DECLARED.match(comment) for comment in comments)
    return {match[1]: match[2] for match in matches if match}


def normal_forms(comments: Sequence[str]) -> dict[str, NormalForm]:
    """The form to which tokenizers convert text before they cut it, by name; others cut it as it is."""
    found = ((_DECLARED.match(comment), _NORMALISES.search(comment)) for comment in comments)
    return {declared[1]: cast(NormalForm, form[1]) for declared, form in found if declared and form}
