"""New rows from sentences: two tokenisations, links by the half rule, and the tags that a program can set."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from probe.errors import OutputError, PairsError, Problem, TokenError
from probe.gold.escapes import is_well_escaped, unescape
from probe.gold.half_rule import half_rule_links
from probe.gold.pairs import read_pairs, write_pairs
from probe.gold.phenomena import mechanical_tags
from probe.gold.rows import HEADS, OVERLAP, ROLES, GoldRow, unexplained_links
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText

WHITE_SPACE_NOTE = "Sure on white space, which is all that these pieces carry:"
"""The format requires a note that names such links. They follow from the half rule, so a program can write it."""
SECOND_READING = "second reading: begun without links, tags and notes"
"""The comment line of such a file, by which the annotator knows to show no links of the half rule."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the number of its line."""

    line: int
    text: str


def read_sentences(raw: bytes, where: str) -> list[Sentence]:
    r"""Sentences, one on each line, with the escapes of gold files (``\n`` for a line break); empty lines are skipped.

    Raises:
        PairsError: bytes that are not UTF-8, a carriage return, an unknown escape, a sentence twice, or no sentence.
    """
    problems: list[Problem] = []
    found: dict[str, Sentence] = {}
    for number, line in enumerate(raw.split(b"\n"), start=1):
        place = f"{where}:{number}"
        try:
            cell = line.decode("utf-8")
        except UnicodeDecodeError as error:
            got = f"byte 0x{line[error.start]:02X} at column {error.start + 1}"
            problems.append(Problem(place, "UTF-8", got, "Save the sentences as UTF-8."))
            continue
        if "\r" in cell or not is_well_escaped(cell):
            expected = r"escapes \\ \t \n \r \s \uXXXX \UXXXXXXXX, and lines that end in LF"
            got = "another backslash or a carriage return"
            problems.append(Problem(place, expected, got, r"Write a backslash as \\ and a carriage return as \r."))
            continue
        text = unescape(cell)
        if text in found:
            got = f"the sentence of line {found[text].line}"
            problems.append(Problem(place, "a different sentence on each line", got, "Remove one of the two lines."))
        elif text:
            found[text] = Sentence(number, text)
    if not found and not problems:
        problems.append(Problem(where, "sentences, one on each line", "none", "Write some."))
    if problems:
        raise PairsError(*problems)
    return list(found.values())


def draft_row(id_: str, pair: str, student: TokenizedText, teacher: TokenizedText) -> GoldRow:
    """A row that no annotator has read yet.

    Raises:
        TokenError: the texts differ, or a side has no tokens.
    """
    links, tags = half_rule_links(student, teacher), mechanical_tags(student, teacher)
    row = GoldRow(id_, pair, student, teacher, links.sure, links.possible, tags, "")
    return with_reason(row, WHITE_SPACE_NOTE)


def blank_pairs(source: str | Path, out: str | Path, ids: Iterable[str] | None = None) -> None:
    """Write rows of a gold file without links, tags and notes, for an independent second annotation.

    Of the judged layer, only what a reader judged is left out: rules link the words and dialogues, and the tag stays.

    Args:
        source: the gold file.
        out: the file to write; it must not exist.
        ids: rows to write, in the order of the source; default: all.

    Raises:
        PairsError: the source cannot be read, or lacks one of the ids.
        OutputError: the file exists, or the place cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import probe
        >>> with TemporaryDirectory() as place:
        ...     blank = Path(place) / "third.tsv"
        ...     probe.blank_pairs("alignments/second.tsv", blank, ["sg-015"])
        ...     [(row.id, len(row.sure)) for row in probe.read_pairs(blank).rows]
        [('sg-015', 0)]
    """
    gold, out = read_pairs(source), Path(out)
    wanted = {row.id for row in gold.rows} if ids is None else set(ids)
    if unknown := sorted(wanted - {row.id for row in gold.rows}):
        raise PairsError(Problem(str(source), "ids of this file", ", ".join(unknown), "Name ids that the file has."))
    if out.exists():
        raise OutputError(
            Problem(str(out), "a new file", "an existing file", "Choose another name, or continue with this file.")
        )
    rows = [row for row in gold.rows if row.id in wanted]
    write_pairs(out, [_blank(row) for row in rows], list(dict.fromkeys([*gold.comments, SECOND_READING])))


def _blank(row: GoldRow) -> GoldRow:
    if row.judged in (HEADS, ROLES):
        return replace(row, heads=frozenset(), roles=frozenset(), note="")
    tags = (OVERLAP,) if row.judged else ()
    return replace(row, sure=frozenset(), possible=frozenset(), phenomena=tags, note="")


def with_reason(row: GoldRow, reason: str) -> GoldRow:
    """The row with its links named at the end of its note, if the format requires that."""
    links = unexplained_links(row)
    note = f"{reason} {' '.join(links)}."
    return replace(row, note=f"{row.note} {note}".lstrip()) if links else row


def draft_rows(
    sentences: Sequence[Sentence], where: str, student: Tokenizer, teacher: Tokenizer, pair: str, prefix: str
) -> list[GoldRow]:
    """One row for each sentence, with ids that count from 001.

    Raises:
        PairsError: the tokens of a tokenizer do not spell a sentence; all such sentences are listed.
    """
    texts = [sentence.text for sentence in sentences]
    rows: list[GoldRow] = []
    problems: list[Problem] = []
    for number, (sentence, *cut) in enumerate(
        zip(sentences, student.pieces(texts), teacher.pieces(texts), strict=True), start=1
    ):
        try:
            sides = [TokenizedText.from_pieces(sentence.text, pieces) for pieces in cut]
            rows.append(draft_row(f"{prefix}{number:03}", pair, sides[0], sides[1]))
        except TokenError as error:
            got = error.problems[0].got
            remedy = "Leave out this sentence, because the tokenizer drops or changes a part of it."
            problems.append(Problem(f"{where}:{sentence.line}", "tokens that spell the sentence", got, remedy))
    if problems:
        raise PairsError(*problems)
    return rows


def draft_comments(pair: str, student: tuple[Tokenizer, str], teacher: tuple[Tokenizer, str]) -> list[str]:
    """The comment lines of a draft: what the file is, and `declarations`."""
    return [
        "Which tokens of two tokenizers have the same content: a draft.",
        "Links: i-j sure, ipj possible, from zero, student first; proposed by the half rule, not yet read by anyone.",
        *declarations(pair, student, teacher),
    ]


def declarations(pair: str, student: tuple[Tokenizer, str], teacher: tuple[Tokenizer, str]) -> list[str]:
    """The comment lines that declare the vocabularies of the rows: hash, source and normal form of each tokenizer."""
    sides = zip(pair.split("~"), (student, teacher), strict=True)
    return [
        f"tokenizer {name}: vocabulary sha256 {tokenizer.vocabulary_sha256()}, {source}{_normalises(tokenizer)}"
        for name, (tokenizer, source) in sides
    ]


def _normalises(tokenizer: Tokenizer) -> str:
    """What `probe.gold.declared.normal_forms` reads."""
    return f", normalises text to {form}" if (form := tokenizer.normal_form) else ""


def short_name(source: str) -> str:
    """The last part of a source, without what the name of a pair may not hold; of a tokenizer.json its directory."""
    of_model = source.partition("@")[0].removesuffix("tokenizer.json").removesuffix(".json").rstrip("/")
    return re.sub(r"[~\s]", "-", re.split(r"[/:]", of_model)[-1]) or "tokenizer"


def pair_name(student: str, teacher: str) -> str:
    """The name of a pair from the last parts of two sources: ``gpt2~qwen`` for ``models/gpt2``, ``owner/qwen@main``.

    Raises:
        PairsError: both have the same last part.
    """
    names = short_name(student), short_name(teacher)
    if names[0] == names[1]:
        raise PairsError(
            Problem("--pair", "two different names", f"{names[0]} twice", "Name both with --pair NAME~NAME.")
        )
    return "~".join(names)
