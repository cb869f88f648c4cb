"""Rows for any two tokenizers, without an annotator: texts cut by both and linked by the rules of the guidelines."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from probe.errors import PairsError, Problem, TokenError
from probe.gold.phenomena import mechanical_tags
from probe.gold.rows import GoldRow
from probe.gold.rules import rule_links
from probe.models.tokenizer import Tokenizer
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


def read_texts(path: Path) -> dict[str, str]:
    """Texts of a file by id: one a line, or the field ``output`` of a ``.jsonl`` file. Empty ones are passed over.

    Raises:
        PairsError: the file cannot be read, a line has no such field, or there is no text.
    """
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
