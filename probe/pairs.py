r"""Gold pairs: sure and possible links between the tokens of two tokenizers for one text, in a TSV file.

    id  pair  text  student_tokens  teacher_tokens  links  phenomena  note

Lines that begin with ``#`` are comments; the first other line is the header. Tokens are vocabulary pieces joined by one
space. Links are ``i-j`` (sure) and ``ipj`` (possible), zero-based, student first. All columns share one escape: ``\\``,
``\t``, ``\n``, ``\r``, ``\s`` (a space inside a piece), and ``\uXXXX`` or ``\UXXXXXXXX`` for any other white space,
control or format character. Lines and columns are split on U+000A, U+0009 and U+0020 alone, for vocabularies hold
pieces with every other kind of white space.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.chunks import chunk_mask, content_mask
from probe.errors import PairsError, Problem, TokenError
from probe.files import replacing_file
from probe.tokens import TokenizedText

COLUMNS = ("id", "pair", "text", "student_tokens", "teacher_tokens", "links", "phenomena", "note")
PHENOMENA = (
    "repeat-same-context",
    "repeat-new-context",
    "split",
    "merge",
    "many-to-many",
    "number",
    "name",
    "rare-word",
    "punctuation",
    "whitespace",
    "code",
    "url",
    "accent",
    "cjk",
    "emoji",
    "byte-fallback",
    "contraction",
    "casing",
)
"""The closed list; alignments/README.md defines each."""

Link = tuple[int, int]
_LINK = re.compile(r"(0|[1-9][0-9]*)([-p])(0|[1-9][0-9]*)")
_SHORT = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", " ": "\\s"}
_ESCAPE = re.compile(r"\\(?:([\\tnrs])|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))|(\\)")
_LONG = {escape[1]: char for char, escape in _SHORT.items()}


@dataclass(frozen=True, slots=True)
class GoldRow:
    """One text in two tokenisations, and which tokens a reader would link."""

    id: str
    pair: str
    student: TokenizedText
    teacher: TokenizedText
    sure: frozenset[Link]
    possible: frozenset[Link]
    phenomena: tuple[str, ...]
    note: str

    @property
    def text(self) -> str:
        """The text that both sides spell."""
        return self.student.text


@dataclass(frozen=True, slots=True)
class GoldFile:
    """Rows of a file, in order, and its comment lines without the ``#``."""

    rows: tuple[GoldRow, ...]
    comments: tuple[str, ...]


def read_pairs(path: Path) -> GoldFile:
    """Read and check a gold file.

    Raises:
        PairsError: the file cannot be read, or breaks the format; all bad rows are listed, with line numbers.
    """
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
        remedy = "Save the file without byte order mark, with Unix line ends."
        raise PairsError(Problem(f"{path.name}:{number}", "plain UTF-8, and lines that end in LF", got, remedy))
    if tuple(header.split("\t")) != COLUMNS:
        raise PairsError(
            Problem(
                f"{path.name}:{number}",
                f"the header {' '.join(COLUMNS)}, separated by tabs",
                repr(header[:80]),
                "Write these eight names, in this order.",
            )
        )
    rows: list[GoldRow] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, line in body[1:]:
        parsed = _parse_row(line, f"{path.name}:{number}")
        if not isinstance(parsed, GoldRow):
            problems.extend(parsed)
            continue
        if parsed.id in seen:
            first = f"the same id as line {seen[parsed.id]}"
            problems.append(
                Problem(f"{path.name}:{number}", "an id of its own", f"{parsed.id!r}, {first}", "Rename it.")
            )
        seen.setdefault(parsed.id, number)
        rows.append(parsed)
    if problems:
        raise PairsError(*problems)
    return GoldFile(tuple(rows), comments)


def _read_lines(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PairsError(
            Problem(str(path), "a gold file", error.strerror or str(error), "Name a file such as alignments/gold.tsv.")
        ) from error
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


def _parse_row(line: str, where: str) -> GoldRow | list[Problem]:
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        return [
            Problem(
                where,
                f"{len(COLUMNS)} columns separated by tabs",
                f"{len(cells)}",
                "Write all of them; the note may be empty, its tab may not be left out.",
            )
        ]
    problems: list[Problem] = []
    for name, cell in zip(COLUMNS, cells, strict=True):
        if any(_char(match) is None for match in _ESCAPE.finditer(cell)) or "\r" in cell:
            problems.append(
                Problem(
                    where,
                    r"escapes \\ \t \n \r \s \uXXXX \UXXXXXXXX, and lines that end in LF",
                    f"another backslash, or a carriage return, in column {name}",
                    "Escape it.",
                )
            )
    id_, pair, text, _, _, links, phenomena, note = (unescape(cell) for cell in cells)
    if not id_:
        problems.append(Problem(where, "an id", "an empty one", "Give the row a name."))
    if not text:
        problems.append(Problem(where, "a text", "an empty one", "Drop the row: without tokens there are no links."))
    if len(set(phenomena.split(","))) != len(phenomena.split(",")):
        problems.append(Problem(where, "each phenomenon once", phenomena, "Drop the repetition."))
    if not re.fullmatch(r"[^~\s]+~[^~\s]+", pair):
        problems.append(Problem(where, "a pair such as smollm2~gemma3", repr(pair), "Name both tokenizers."))
    names = tuple(name for name in phenomena.split(",") if name)
    for name in names:
        if name not in PHENOMENA:
            remedy = f"Choose from {', '.join(PHENOMENA)}."
            problems.append(Problem(where, "phenomena of the closed list", repr(name), remedy))
    sides = _parse_sides(text, cells[3], cells[4], where, problems)
    sure, possible = _parse_links(links, where, problems)
    if sides is None:
        return problems
    row = GoldRow(id_, pair, *sides, sure, possible, names, note)
    problems.extend(_check_links(row, where))
    return problems or row


def _parse_sides(
    text: str, student: str, teacher: str, where: str, problems: list[Problem]
) -> tuple[TokenizedText, TokenizedText] | None:
    sides: list[TokenizedText] = []
    for name, cell in (("student_tokens", student), ("teacher_tokens", teacher)):
        pieces = [unescape(piece) for piece in cell.split(" ")] if cell else []
        if "" in pieces:
            got = "an empty one, which shifts the links of those behind it"
            problems.append(
                Problem(f"{where}, {name}", "pieces joined by one space each", got, "Drop the other space.")
            )
        try:
            sides.append(TokenizedText.from_pieces(text, pieces))
        except TokenError as error:
            problem = error.problems[0]
            problems.append(Problem(f"{where}, {name}", problem.expected, problem.got, problem.remedy))
    return (sides[0], sides[1]) if len(sides) == 2 else None


def _parse_links(cell: str, where: str, problems: list[Problem]) -> tuple[frozenset[Link], frozenset[Link]]:
    kinds: dict[str, set[Link]] = {"-": set(), "p": set()}
    for item in cell.split(" ") if cell else []:
        match = _LINK.fullmatch(item)
        if match is None:
            problems.append(
                Problem(where, "links i-j (sure) or ipj (possible), zero-based", repr(item), "Mend or drop it.")
            )
            continue
        link = int(match[1]), int(match[3])
        if link in kinds["-"] | kinds["p"]:
            problems.append(Problem(where, "each link once", f"{item} again", "Keep it as sure or as possible."))
        kinds[match[2]].add(link)
    return frozenset(kinds["-"]), frozenset(kinds["p"])


def _check_links(row: GoldRow, where: str) -> list[Problem]:
    """Ranges, and the rules that only a note may break: sure links share content, possible links share a chunk."""
    size = len(row.student.tokens), len(row.teacher.tokens)
    outside = [link for link in sorted(row.sure | row.possible) if link[0] >= size[0] or link[1] >= size[1]]
    if outside:
        expected = f"links within 0 to {size[0] - 1} and 0 to {size[1] - 1}"
        shown = ", ".join(f"{i}-{j}" for i, j in outside)
        return [Problem(where, expected, shown, "Count from zero, student first.")]
    if 0 in size:
        return []
    content, chunk = content_mask(row.student, row.teacher), chunk_mask(row.student, row.teacher)
    odd = [f"{i}-{j}" for i, j in sorted(row.sure) if not content[i, j]]
    odd += [f"{i}p{j}" for i, j in sorted(row.possible) if not chunk[i, j]]
    unexplained = [link for link in odd if link not in re.findall(r"[0-9]+[-p][0-9]+", row.note)]
    if unexplained:
        expected = "sure links between tokens that share more than white space, possible links within a chunk"
        remedy = "Mend the link, or name it in the note and say why it stands."
        return [Problem(where, expected, ", ".join(unexplained), remedy)]
    return []


def write_pairs(path: Path, rows: Iterable[GoldRow], comments: Sequence[str] = ()) -> None:
    """Write a gold file, whole or not at all.

    Raises:
        PairsError: an id or a comment would not be read back.
        OutputError: the place cannot be written to.
    """
    rows = list(rows)
    if any(row.id.startswith("#") or not row.id for row in rows) or any("\n" in comment for comment in comments):
        raise PairsError(
            Problem(str(path), "ids that do not begin with #, comments of one line", "others", "Change them.")
        )
    lines = [f"# {comment}".rstrip() for comment in comments] + ["\t".join(COLUMNS)]
    lines += [format_row(row) for row in rows]
    with replacing_file(path) as temporary:
        temporary.write_bytes(("\n".join(lines) + "\n").encode())


def format_row(row: GoldRow) -> str:
    """The line of a row, without its line feed."""
    kinds = [(i, j, "-") for i, j in row.sure] + [(i, j, "p") for i, j in row.possible]
    cells = (
        escape(row.id, spaces=False),
        escape(row.pair, spaces=False),
        escape(row.text, spaces=False),
        " ".join(escape(piece, spaces=True) for piece in row.student.pieces),
        " ".join(escape(piece, spaces=True) for piece in row.teacher.pieces),
        " ".join(f"{i}{kind}{j}" for i, j, kind in sorted(kinds)),
        ",".join(row.phenomena),
        escape(row.note, spaces=False),
    )
    return "\t".join(cells)


def escape(text: str, *, spaces: bool) -> str:
    """Write a cell, or with ``spaces`` a piece, so that it survives the file."""
    return "".join(char if char == " " and not spaces else _escape_char(char) for char in text)


def _escape_char(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"):
        return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"
    return char


def unescape(cell: str) -> str:
    """Read what `escape` wrote; a backslash that begins no escape is left as it is."""
    return _ESCAPE.sub(lambda match: _char(match) or match[0], cell)


def _char(match: re.Match[str]) -> str | None:
    """What an escape stands for; None where it is none, or names no character."""
    if match[1]:
        return _LONG[match[1]]
    code = int(match[2] or match[3] or "110000", 16)
    return None if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code)
