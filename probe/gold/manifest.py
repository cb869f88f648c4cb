"""What a directory of gold files should hold: ids and hashes of all rows, so that a lost or changed row is found.

``manifest.tsv`` has a line ``file  id  sha256`` for each row of each table beside it; of the hash of the whole line, it
has the first `DIGITS` digits. Rows of ``tokenizers.tsv`` are among them, so a changed hash of a vocabulary is found.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from probe.errors import PairsError, Problem
from probe.gold.declared import TABLE
from probe.output.reading import Wanted, read_text

MANIFEST = "manifest.tsv"
HEADER = "file\tid\tsha256"
DIGITS = 16
REMEDY = "Restore the row; if it was changed on purpose, write the manifest again."


def format_manifest(directory: Path, names: Sequence[str]) -> str:
    """The manifest of some tables of a directory.

    Raises:
        PairsError: one cannot be read.
    """
    lines = [HEADER]
    for name in names:
        lines += [f"{name}\t{id_}\t{digest}" for id_, digest in _digests(directory / name).items()]
    return "\n".join(lines) + "\n"


def check_manifest(path: Path) -> Iterator[Problem]:
    """Rows of a gold file, and of the table of tokenizers beside it, that are gone, changed or new.

    Without a manifest in the directory that names the file, there is nothing to compare.

    Raises:
        PairsError: the manifest cannot be read, or is none.
    """
    manifest = path.parent / MANIFEST
    if not manifest.is_file():
        return
    wanted = Wanted("a manifest", f"Write the header {HEADER!r}, and a line for each row.", PairsError)
    header, *lines = read_text(manifest, wanted).rstrip("\n").split("\n")
    cells = [line.split("\t") for line in lines]
    if header != HEADER or any(len(line) != 3 for line in cells):
        raise wanted.refusal(manifest, repr(header[:80]) if header != HEADER else "lines of other columns")
    if all(name != path.name for name, *_ in cells):
        return
    for name in (path.name, TABLE):
        expected = {id_: digest for file, id_, digest in cells if file == name}
        yield from _differences(name, expected, _digests(path.parent / name))


def _differences(name: str, expected: dict[str, str], found: dict[str, str]) -> Iterator[Problem]:
    for id_, digest in expected.items():
        if id_ not in found:
            yield Problem(f"{name}, row {id_}", f"a row that {MANIFEST} names", "none", REMEDY)
        elif found[id_] != digest:
            expectation = f"the row as {MANIFEST} has it, sha256 {digest}…"
            yield Problem(f"{name}, row {id_}", expectation, f"another, {found[id_]}…", REMEDY)
    for id_ in found.keys() - expected.keys():
        yield Problem(f"{name}, row {id_}", f"a row that {MANIFEST} names", "a new one", "Write the manifest again.")


def _digests(path: Path) -> dict[str, str]:
    """Of each line after the header, by its first cell."""
    lines = read_text(path, Wanted("a table", "Restore it.", PairsError)).split("\n")
    rows = [line for line in lines if line and not line.startswith("#")][1:]
    return {line.split("\t", 1)[0]: hashlib.sha256(line.encode()).hexdigest()[:DIGITS] for line in rows}
