"""Rows for any two tokenizers, without an annotator: texts cut by both and linked by the rules of the guidelines."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.errors import ArgumentError, PairsError, Problem, TokenError
from probe.gold.phenomena import mechanical_tags
from probe.gold.rows import GoldRow
from probe.gold.rules import rule_links
from probe.models.tokenizer import Tokenizer
from probe.output.provenance import file_sha256
from probe.output.reading import Wanted, parse_json, read_text
from probe.tokens import TokenizedText

OUTPUT = "output"
"""The field of a jsonl row that is its text."""


@dataclass(frozen=True)
class ByRule:
    """Rows that were linked by rule, and how many texts a tokenizer does not spell, so that their bytes are unknown."""

    rows: tuple[GoldRow, ...]
    left_out: int


def rows_by_rule(texts: Mapping[str, str], student: Tokenizer, teacher: Tokenizer, pair: str) -> ByRule:
    """A row for each text, given by id.

    Raises:
        PairsError: a tokenizer spells none of the texts, as one that drops accents or upper case.
    """
    whole = list(texts.values())
    rows: list[GoldRow] = []
    problem: Problem | None = None
    for id_, text, *cut in zip(texts, whole, student.pieces(whole), teacher.pieces(whole), strict=True):
        try:
            ours, theirs = (TokenizedText.from_pieces(text, pieces) for pieces in cut)
        except TokenError as error:
            problem = error.problems[0]
            continue
        links, tags = rule_links(ours, theirs), mechanical_tags(ours, theirs)
        if links.sure:
            rows.append(GoldRow(id_, pair, ours, theirs, links.sure, links.possible, tags, ""))
    if rows:
        return ByRule(tuple(rows), len(whole) - len(rows))
    if problem is None:
        raise PairsError(Problem(pair, "texts with tokens that share content", "none", "Name other texts."))
    remedy = "It changes texts (lower case, accents), so its tokens have no place in them: use another tokenizer."
    raise PairsError(Problem(pair, problem.expected, problem.got, remedy))


@dataclass(frozen=True)
class Texts:
    """Texts without links, by id, and where they are from."""

    by_id: Mapping[str, str]
    name: str
    sha256: str

    @property
    def texts(self) -> list[str]:
        """The texts alone."""
        return list(self.by_id.values())


def read_texts(texts: Sequence[str] | str | Path) -> Texts:
    """Texts themselves, or those of a file: one a line, or the field ``output`` of ``.jsonl``. Empty ones are left out.

    Raises:
        PairsError: the file cannot be read, a line has no such field, or there is no text.
    """
    if isinstance(texts, str | Path):
        found = _of_file(Path(texts))
        return Texts(found, str(texts), file_sha256(Path(texts)))
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise ArgumentError.of("texts", "sentences", wrong[0], "Give a list of str, or the path of a file of them.")
    found = {f"text-{number}": text for number, text in enumerate(texts, start=1) if text.strip()}
    source = f"{len(found)} text{'' if len(found) == 1 else 's'}"
    if not found:
        raise PairsError(Problem("texts", "at least one", "none", "Give a list of sentences."))
    return Texts(found, source, hashlib.sha256("\0".join(found.values()).encode()).hexdigest())


def _of_file(path: Path) -> dict[str, str]:
    wanted = Wanted("texts in UTF-8, one a line or in a .jsonl file", "Name another file.", PairsError)
    found: dict[str, str] = {}
    for number, line in enumerate(read_text(path, wanted).split("\n"), start=1):
        if line.strip():
            text = _output(line, f"{path}:{number}", wanted) if path.suffix == ".jsonl" else line.removesuffix("\r")
            found |= {f"{path.name}-{number}": text} if text.strip() else {}
    if not found:
        raise wanted.refusal(path, "none")
    return found


def _output(line: str, where: str, wanted: Wanted) -> str:
    row = parse_json(line, where, wanted)
    text = row.get(OUTPUT) if isinstance(row, dict) else None
    if not isinstance(text, str):
        remedy = "Write one JSON object a line, with the text in this field."
        raise PairsError(Problem(where, f"a text in the field {OUTPUT}", type(text).__name__, remedy))
    return text
