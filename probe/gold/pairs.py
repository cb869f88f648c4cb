r"""Gold files: sure and possible links between the tokens of two tokenizers for sentences, as TSV.

    id  pair  text  student_tokens  teacher_tokens  links  phenomena  note

Lines that begin with ``#`` are comments; the first other line is the header. Tokens are written as pieces of their
vocabulary, separated by single spaces. Links are ``i-j`` (sure), ``ipj`` (possible), and in rows of the judged layer
``ihj`` (sure, and the head of its word) and ``irj`` (of one role), from zero, student first. All columns use one
escape: ``\\``, ``\t``, ``\n``, ``\r``, ``\s`` (a space inside a token), and ``\uXXXX`` or ``\UXXXXXXXX`` for any other
white space, control or format character. Lines, columns and tokens are split only at U+000A, U+0009 and U+0020, because
vocabularies have pieces with all other kinds of white space.
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

from probe.errors import ArgumentError, PairsError, Problem
from probe.gold.declared import declarations_beside, unsaid, vocabularies
from probe.gold.rows import COLUMNS, GoldRow, format_row, parse_row
from probe.models.sources import bundled_gold
from probe.output.files import replacing_file
from probe.output.provenance import file_sha256
from probe.output.reading import Wanted, read_bytes


@dataclass(frozen=True, slots=True)
class GoldFile:
    """The rows of a file, in order, its comment lines without ``#``, and the line number of each row.

    Comments that declare tokenizers are those of ``tokenizers.tsv`` beside the file, too.

    It is a sequence of rows, which are found by number, by id, or as a slice, a gold file of its own.

    Example:
        >>> import probe
        >>> gold = probe.read_pairs("alignments/gold.tsv")
        >>> gold
        <GoldFile alignments/gold.tsv: 394 rows>
        >>> len(gold), gold[0].id, gold["sg-003"].text
        (394, 'demo-001', 'The cat chased the dog, and then the dog chased the cat up a tree.')
        >>> gold[:10]
        <GoldFile 10 rows>
    """

    rows: tuple[GoldRow, ...]
    comments: tuple[str, ...]
    lines: tuple[int, ...] = field(default=(), compare=False)
    path: Path | None = field(default=None, compare=False)
    """Where it was read from; None for rows that are no whole file."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[GoldRow]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: int | str) -> GoldRow: ...
    @overload
    def __getitem__(self, key: slice) -> "GoldFile": ...
    def __getitem__(self, key: int | str | slice) -> "GoldRow | GoldFile":
        """A row by its number or id, or the rows of a slice.

        Raises:
            PairsError: there is no such row.
        """
        if isinstance(key, slice):
            return GoldFile(self.rows[key], self.comments, self.lines[key])
        if isinstance(key, str):
            found = next((row for row in self.rows if row.id == key), None)
            if found is not None:
                return found
            close = difflib.get_close_matches(key, [row.id for row in self.rows], n=1)
            remedy = f"Did you mean {close[0]}?" if close else "Ids are in the first column of the file."
            raise PairsError(Problem(self.name, f"a row {key!r}", "no such id", remedy))
        if not isinstance(key, int):
            raise ArgumentError.of("gold[…]", "a number, an id or a slice", key, 'Write gold[0] or gold["my-1"].')
        return self.rows[key]

    def __repr__(self) -> str:
        """Where it is from and how many rows it has."""
        count = _count(self.rows)
        return f"<GoldFile {self.name}: {count}>" if self.path else f"<GoldFile {count}>"

    @property
    def unjudged(self) -> "GoldFile":
        """The file without the rows of the judged layer, whose figures are never pooled with those of others.

        Raises:
            PairsError: it has only such rows.
        """
        kept = [number for number, row in enumerate(self.rows) if row.judged is None]
        if len(kept) == len(self.rows):
            return self
        if not kept:
            remedy = "Name a file whose links follow from bytes, such as alignments/gold.tsv."
            raise PairsError(Problem(self.name, "rows that rules can link", "only rows of the judged layer", remedy))
        lines = tuple(self.lines[number] for number in kept) if self.lines else ()
        return GoldFile(tuple(self.rows[number] for number in kept), self.comments, lines, self.path)

    @property
    def texts(self) -> list[str]:
        """The sentences of the rows."""
        return [row.text for row in self.rows]

    @property
    def name(self) -> str:
        """What messages and reports call it."""
        if self.path is None:
            return _count(self.rows)
        return f"bundled {self.path.name}" if self.path == bundled_gold() else str(self.path)

    @property
    def sha256(self) -> str:
        """Of its file, or of the file that its rows would make."""
        if self.path is not None:
            return file_sha256(self.path)
        return hashlib.sha256(format_pairs(self.rows, self.comments).encode()).hexdigest()


def read_pairs(path: str | Path | None = None) -> GoldFile:
    """Read and check a gold file; without a path, the one that comes with the package.

    Raises:
        PairsError: the file cannot be read, or breaks the format; all bad rows are listed with their line numbers.

    Example:
        >>> import probe
        >>> gold = probe.read_pairs("alignments/gold.tsv")
        >>> gold.rows[0].id, gold.rows[0].pair, gold.rows[0].text
        ('demo-001', 'demo~demo-teacher', 'Nothing is returned.')
    """
    gold, problems = scan_pairs(bundled_gold() if path is None else path)
    if problems:
        raise PairsError(*problems)
    return gold


def scan_pairs(path: str | Path) -> tuple[GoldFile, tuple[Problem, ...]]:
    """The rows of a gold file that have the right format, and the problems of the others.

    Raises:
        PairsError: the file cannot be read, or has no header.
    """
    path = Path(path)
    lines = _read_lines(path)
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    body = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    if not body:
        raise PairsError(
            Problem(path.name, "a header and rows", "nothing", f"Begin with the header: {' '.join(COLUMNS)}.")
        )
    number, header = body[0]
    if header.startswith("\ufeff") or header.endswith("\r"):
        got = "a byte order mark" if header.startswith("\ufeff") else "a carriage return"
        remedy = "Save the file without a byte order mark and with Unix line ends."
        raise PairsError(Problem(f"{path.name}:{number}", "plain UTF-8, and lines that end in LF", got, remedy))
    if tuple(header.split("\t")) != COLUMNS:
        raise PairsError(
            Problem(
                f"{path.name}:{number}",
                f"the header {' '.join(COLUMNS)}, separated by tabs",
                repr(header[:80]),
                "Write these eight names, in this order, or name the .tsv of a release in JSON lines.",
            )
        )
    rows: list[GoldRow] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, line in body[1:]:
        parsed = parse_row(line, f"{path.name}:{number}")
        if not isinstance(parsed, GoldRow):
            problems.extend(parsed)
            continue
        if parsed.id in seen:
            first = f"the same id as line {seen[parsed.id]}"
            problems.append(
                Problem(f"{path.name}:{number}", "a different id for each row", f"{parsed.id!r}, {first}", "Rename it.")
            )
            continue
        seen[parsed.id] = number
        rows.append(parsed)
    beside = declarations_beside(path, {name for row in rows for name in row.pair.split("~")})
    comments += tuple(comment for comment in beside if comment not in comments)
    return GoldFile(tuple(rows), comments, tuple(seen.values()), path), tuple(problems)


def _count(rows: Sequence[GoldRow]) -> str:
    return f"{len(rows)} row{'' if len(rows) == 1 else 's'}"


def declared_vocabularies(gold: GoldFile) -> dict[str, str]:
    """Vocabulary SHA-256 by tokenizer name: from lines ``# tokenizer NAME: …``, and ``tokenizers.tsv`` beside them."""
    return vocabularies(gold.comments)


def _read_lines(path: Path) -> list[str]:
    start = "" if path.is_absolute() else ", or change to the directory where it starts"
    raw = read_bytes(path.absolute(), Wanted("a gold file", f"Correct the path{start}.", PairsError))
    lines: list[str] = []
    problems: list[Problem] = []
    for number, line in enumerate(raw.split(b"\n"), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            got = f"byte 0x{line[error.start]:02X} at column {error.start + 1}"
            problems.append(Problem(f"{path.name}:{number}", "UTF-8", got, "Save the file as UTF-8."))
    if problems:
        raise PairsError(*problems)
    return lines


def write_pairs(path: str | Path, rows: Iterable[GoldRow], comments: Sequence[str] = ()) -> None:
    """Write a gold file, whole or not at all. What ``tokenizers.tsv`` beside it declares is not said again.

    Raises:
        PairsError: an id or a comment could not be read back.
        OutputError: the place cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from probe import GoldRow, TokenizedText, write_pairs
        >>> student = TokenizedText.from_pieces("pezil", ["pe", "zil"])
        >>> teacher = TokenizedText.from_pieces("pezil", ["pez", "il"])
        >>> sure, possible = frozenset({(0, 0), (1, 1)}), frozenset({(1, 0)})
        >>> row = GoldRow("my-1", "mine~theirs", student, teacher, sure, possible, ("many-to-many",), note="")
        >>> with TemporaryDirectory() as place:
        ...     path = Path(place) / "mine.tsv"
        ...     write_pairs(path, [row])
        ...     path.read_text().splitlines()[-1].split(chr(9))[2:6]
        ['pezil', 'pe zil', 'pez il', '0-0 1p0 1-1']
    """
    text = format_pairs(rows, unsaid(Path(path), comments), str(path))
    with replacing_file(Path(path)) as temporary:
        temporary.write_bytes(text.encode())


def format_pairs(rows: Iterable[GoldRow], comments: Sequence[str] = (), where: str = "rows") -> str:
    """The contents of a gold file.

    Raises:
        PairsError: an id or a comment could not be read back; ``where`` names the file.
    """
    rows = list(rows)
    if any(row.id.startswith("#") or not row.id for row in rows) or any("\n" in comment for comment in comments):
        raise PairsError(
            Problem(where, "ids that do not begin with #, and comments of one line", "others", "Change them.")
        )
    lines = [f"# {comment}".rstrip() for comment in comments] + ["\t".join(COLUMNS)]
    lines += [format_row(row) for row in rows]
    return "\n".join(lines) + "\n"
