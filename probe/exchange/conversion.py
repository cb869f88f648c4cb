"""Convert gold files to the formats of other tools and back.

Formats of links have no tokens, so two files of tokens go with them: ``FILE.student`` and ``FILE.teacher``. They have
one sentence on each line: tokens with the escapes of gold files, separated by spaces. For simalign, an id and a tab
come first, as in its corpora. None of these files has sentences, tags or notes. When links are read back, these come
from the rows of a gold file, or are made again.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from probe.errors import MapError, PairsError, Problem
from probe.exchange.align_jsonl import (
    PROMPT_END,
    Alignment,
    alignment_of,
    format_alignments,
    links_of,
    read_alignments,
    spelled,
)
from probe.exchange.link_formats import (
    STANDARD_BASE,
    LinkLine,
    format_naacl,
    format_pharaoh,
    format_simalign,
    lines_of,
    parse_naacl,
    parse_pharaoh,
    parse_simalign,
    rebase,
)
from probe.gold.check import check_pieces, odd_links
from probe.gold.drafts import declarations, with_reason
from probe.gold.escapes import escape, is_well_escaped, unescape
from probe.gold.pairs import GoldFile
from probe.gold.phenomena import mechanical_tags
from probe.gold.rows import GoldRow, Links, check_pair, unexplained_links
from probe.models.tokenizer import Tokenizer
from probe.output.reading import Wanted, decoded, read_bytes
from probe.tokens import TokenizedText

ALIGN_JSONL, NAACL, PHARAOH, SIMALIGN = "align-jsonl", "naacl", "pharaoh", "simalign"
FORMATS = (PHARAOH, NAACL, SIMALIGN, ALIGN_JSONL)
STUDENT_FILE, TEACHER_FILE = ".student", ".teacher"
REASON = "Stands in the file that this row was converted from:"
ABSENCE = "Not linked in that file:"

_WRITERS: Mapping[str, Callable[[Sequence[GoldRow]], str]] = {
    PHARAOH: format_pharaoh,
    NAACL: format_naacl,
    SIMALIGN: format_simalign,
    ALIGN_JSONL: lambda rows: format_alignments(map(alignment_of, rows)),
}


@dataclass(frozen=True, slots=True)
class Naming:
    """Names for rows that come from files without names.

    Raises:
        PairsError: the pair does not name two tokenizers.
    """

    pair: str
    prefix: str

    def __post_init__(self) -> None:
        check_pair(self.pair, "--pair")


# To another format


def written(rows: Sequence[GoldRow], format_: str) -> dict[str, str]:
    """The contents of each file by the end of its name: ``""`` for links, and two for tokens where needed."""
    files = {"": _WRITERS[format_](rows)}
    if format_ != ALIGN_JSONL:
        files[STUDENT_FILE] = "".join(_tokens(row, row.student, format_) for row in rows)
        files[TEACHER_FILE] = "".join(_tokens(row, row.teacher, format_) for row in rows)
    return files


def _tokens(row: GoldRow, side: TokenizedText, format_: str) -> str:
    front = f"{escape(row.id, spaces=True)}\t" if format_ == SIMALIGN else ""
    return f"{front}{' '.join(escape(piece, spaces=True) for piece in side.pieces)}\n"


def left_out(rows: Sequence[GoldRow], format_: str) -> list[str]:
    """What the format cannot store of these rows, and what else the user must know, one sentence each."""
    names = "pairs, sentences, phenomena or notes"
    names = names if format_ == SIMALIGN else f"ids, {names}"
    lines = [f"{format_} cannot store {names}: keep the gold file, and name it with --rows to read the links back."]
    if format_ == ALIGN_JSONL:
        possible = sum(len(row.possible) for row in rows)
        lines += (
            [f"{possible} possible links are left out, because weights cannot distinguish sure from possible links."]
            if possible
            else []
        )
        lines.append(f"Each line begins with the last token of the prompt, which is written as {PROMPT_END}.")
    numbers = {number for row in rows for link in row.links.either for number in link}
    if STANDARD_BASE.get(format_) == 0 and numbers and 0 not in numbers:
        lines.append("No link has an index 0, so the file does not show where counting starts: read it with --base 0.")
    return lines


# From another format


def read_onto(path: Path, format_: str, rows: Sequence[GoldRow], base: int | None) -> list[GoldRow]:
    """The rows, with their links replaced by those of a file.

    Raises:
        PairsError: the file cannot be read, has other sentences, or counts from another base.
        MapError: the file is not an ``align.jsonl``.
    """
    if format_ == ALIGN_JSONL:
        alignments = read_alignments(path)
        _check_count(path.name, len(alignments), len(rows))
        for number, (row, alignment) in enumerate(zip(rows, alignments, strict=True), start=1):
            _check_alignment(row, alignment, f"{path.name}:{number}")
        found = [links_of(alignment) for alignment in alignments]
    else:
        lines = _link_lines(path, format_, [row.id for row in rows])
        sizes = [row.sizes for row in rows]
        found = rebase(lines, path.name, sizes, base, STANDARD_BASE[format_])
    return [_linked(row, links) for row, links in zip(rows, found, strict=True)]


def read_alone(path: Path, format_: str, naming: Naming, base: int | None) -> list[GoldRow]:
    """Make rows from a file of links and the two files of tokens beside it, or from an ``align.jsonl``.

    Sentences come from the tokens, tags are those that a program can set, ids are those of simalign or count from 001.
    These files have no notes. A new note names links that need one, and says where they come from.

    Raises:
        PairsError: a file cannot be read, the files have different sentences, or count from another base.
        MapError: the file is not an ``align.jsonl``.
    """
    if format_ == ALIGN_JSONL:
        alignments = read_alignments(path)
        tokens = [(alignment.student[1:], alignment.teacher[1:]) for alignment in alignments]
        ids = _counted(naming, len(tokens))
    else:
        ids, tokens = _read_tokens(path, format_, naming)
    problems: list[Problem] = []
    rows: list[GoldRow] = []
    for number, (id_, (student, teacher)) in enumerate(zip(ids, tokens, strict=True), start=1):
        try:
            sides = spelled(student, teacher, f"{path.name}, sentence {number}")
        except PairsError as error:
            problems += error.problems
            continue
        rows.append(GoldRow(id_, naming.pair, *sides, frozenset(), frozenset(), mechanical_tags(*sides), ""))
    if problems:
        raise PairsError(*problems)
    return [_named(row) for row in read_onto(path, format_, rows, base)]


def read_anew(
    path: Path, format_: str, naming: Naming, base: int | None, models: Sequence[tuple[Tokenizer, str]]
) -> GoldFile:
    """A gold file with the rows of `read_alone`; with two models, it declares their vocabularies and sources.

    Raises:
        PairsError: see `read_alone`, or the tokens are not those of the models.
        MapError: the file is not an ``align.jsonl``.
    """
    rows = tuple(read_alone(path, format_, naming, base))
    if not models:
        return GoldFile(rows, ())
    student, teacher = models
    gold = GoldFile(rows, tuple(declarations(naming.pair, student, teacher)))
    names = zip(naming.pair.split("~"), (student[0], teacher[0]), strict=True)
    if problems := check_pieces(gold, path.name, dict(names)):
        raise PairsError(*problems)
    return gold


def _named(row: GoldRow) -> GoldRow:
    """The row with a note that names every link that is not as the half rule proposes, and every missing link."""
    there, absent = odd_links(row)
    named = " ".join(sorted({*there, *unexplained_links(replace(row, note=""))}, key=_place))
    parts = [f"{reason} {links}." for reason, links in ((REASON, named), (ABSENCE, " ".join(absent))) if links]
    return replace(row, note=" ".join(parts))


def _place(link: str) -> list[int]:
    return [int(number) for number in re.split("[-p]", link)]


def lost(rows: Sequence[GoldRow], named: bool) -> list[str]:
    """What new rows lack, one sentence each; ``named`` says whether the user named the tokenizers."""
    noted = sum(bool(row.note) for row in rows)
    notes = f"Notes are lost: {noted} rows have links that need a note, and it says only that they were converted."
    vocabularies = "No vocabulary is declared. To declare them, name both models: --student MODEL --teacher MODEL."
    return ([notes] if noted else []) + ([] if named else [vocabularies])


def _linked(row: GoldRow, links: Links) -> GoldRow:
    heads, roles = row.heads & links.sure, row.roles - links.either
    return with_reason(replace(row, sure=links.sure, possible=links.possible, heads=heads, roles=roles), REASON)


def _link_lines(path: Path, format_: str, ids: Sequence[str]) -> list[LinkLine]:
    """The links of each sentence, in the order of the ids."""
    text = _read(path)
    if format_ == NAACL:
        return parse_naacl(text, path.name, len(ids))
    if format_ == PHARAOH:
        lines = parse_pharaoh(text, path.name)
        _check_count(path.name, len(lines), len(ids))
        return lines
    by_id = {line.id: line for line in parse_simalign(text, path.name)}
    missing, unknown = [id_ for id_ in ids if id_ not in by_id], sorted(by_id.keys() - set(ids))
    if missing or unknown:
        got = "; ".join(f"{what} {', '.join(some)}" for what, some in (("no", missing), ("also", unknown)) if some)
        raise PairsError(
            Problem(path.name, f"a line for each of {len(ids)} ids", got, "Name the rows that the file was made from.")
        )
    return [by_id[id_] for id_ in ids]


def _read_tokens(
    path: Path, format_: str, naming: Naming
) -> tuple[list[str], list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    sides: list[list[tuple[str, ...]]] = []
    ids: list[list[str]] = []
    for end in (STUDENT_FILE, TEACHER_FILE):
        file = path.with_name(path.name + end)
        lines = lines_of(_read(file))
        cells = [line.rpartition("\t") if format_ == SIMALIGN else ("", "", line) for line in lines]
        _check_escapes(file.name, lines)
        ids.append([unescape(id_) for id_, _, _ in cells])
        sides.append([tuple(unescape(piece) for piece in cell.split(" ") if piece) for _, _, cell in cells])
    _check_count(path.name + TEACHER_FILE, len(sides[1]), len(sides[0]))
    if ids[0] != ids[1]:
        got = f"{ids[0][:3]} … and {ids[1][:3]} …"
        raise PairsError(Problem(path.name, "the same ids in both files of tokens", got, "Write both files again."))
    names = ids[0] if format_ == SIMALIGN else _counted(naming, len(sides[0]))
    return names, list(zip(*sides, strict=True))


def _counted(naming: Naming, count: int) -> list[str]:
    return [f"{naming.prefix}{number:03}" for number in range(1, count + 1)]


def _check_escapes(file: str, lines: Sequence[str]) -> None:
    problems = [
        Problem(
            f"{file}:{number}", r"the escapes of gold files, such as \s and \\", "another backslash", r"Write it as \\."
        )
        for number, line in enumerate(lines, start=1)
        if not is_well_escaped(line)
    ]
    if problems:
        raise PairsError(*problems)


def _check_count(file: str, lines: int, rows: int) -> None:
    if lines != rows:
        raise PairsError(
            Problem(file, f"{rows} sentences, one for each row", f"{lines} lines", "Use files with the same sentences.")
        )


def _check_alignment(row: GoldRow, alignment: Alignment, where: str) -> None:
    if not np.isfinite(alignment.weights).all():
        raise MapError(Problem(where, "finite weights", "others", "Export the alignments again."))
    for side, theirs in ((row.student, alignment.student[1:]), (row.teacher, alignment.teacher[1:])):
        if side.pieces != theirs:
            expected = f"the tokens of row {row.id}, {' '.join(side.pieces)}"
            raise PairsError(Problem(where, expected, " ".join(theirs), "Name the rows that were exported."))


def _read(path: Path) -> str:
    remedy = f"FILE needs FILE{STUDENT_FILE} and FILE{TEACHER_FILE} beside it, or rows from --rows."
    raw = read_bytes(path, Wanted("a file of links or tokens", remedy, PairsError))
    return decoded(raw, path, Wanted("UTF-8", "Save the file as UTF-8.", PairsError))
