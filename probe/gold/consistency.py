"""What the rows of a gold file say together: names of pairs, normal forms, triples. Tokenizers are not needed."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator

from probe.errors import Problem
from probe.gold.declared import normal_forms
from probe.gold.pairs import GoldFile
from probe.gold.rows import GoldRow
from probe.gold.triples import check_triples
from probe.tokens import TokenizedText, normal_form

ENOUGH, MOST = 10, 0.9
"""Of so many rows whose ids begin alike, so large a share of one pair says that the others have a wrong name."""
_PREFIX = re.compile(r"(.*?)\d+")


def where_of(gold: GoldFile, file: str, number: int) -> str:
    """What messages call a row."""
    line = f":{gold.lines[number]}" if gold.lines else ""
    return f"{file}{line}, row {gold.rows[number].id}"


def check_together(gold: GoldFile, file: str) -> Iterator[Problem]:
    """All findings on rows that do not fit to each other, or to what is declared; ``file`` is its name."""
    wheres = [where_of(gold, file, number) for number in range(len(gold))]
    yield from _check_pairs(gold, wheres)
    yield from _check_forms(gold, wheres)
    yield from check_triples(gold.rows, wheres)


def _check_pairs(gold: GoldFile, wheres: list[str]) -> Iterator[Problem]:
    """Rows whose pair is another than that of nearly all rows whose ids begin alike."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(gold):
        if match := _PREFIX.fullmatch(row.id):
            groups[match[1]].append(number)
    for prefix, numbers in groups.items():
        pair, count = Counter(gold.rows[number].pair for number in numbers).most_common(1)[0]
        if len(numbers) < ENOUGH or count < MOST * len(numbers):
            continue
        for number in numbers:
            if (got := gold.rows[number].pair) != pair:
                expected = f"the pair {pair}, as of {count} of the {len(numbers)} rows {prefix}…"
                yield Problem(wheres[number], expected, got, "Correct the pair, or give the row another id.")


def _check_forms(gold: GoldFile, wheres: list[str]) -> Iterator[Problem]:
    """Tokens that spell a normal form of the sentence where none is declared, or the other way round."""
    declared = normal_forms(gold.comments)
    for row, where in zip(gold, wheres, strict=True):
        for side, name, tokens in _sides(row):
            wanted, spelled = declared.get(name), normal_form(tokens)
            remedy = f"Tokenise the sentence again, or correct what is declared: `{name}: …, normalises text to NFC`."
            if spelled is not None and wanted not in (spelled, "NFKC"):
                expected = f"tokens that spell the sentence as it is: {name} declares no other form"
                yield Problem(f"{where}, {side}_tokens", expected, f"tokens of its {spelled}", remedy)
            elif spelled is None and wanted and row.text != unicodedata.normalize(wanted, row.text):
                expected = f"tokens of the {wanted} of the sentence, which {name} declares"
                yield Problem(f"{where}, {side}_tokens", expected, "tokens of the sentence as it is", remedy)


def _sides(row: GoldRow) -> Iterator[tuple[str, str, TokenizedText]]:
    """Student and teacher, the names of their tokenizers, and their tokens; none of a row without places."""
    if row.student.placed and row.teacher.placed:
        yield from zip(("student", "teacher"), row.pair.split("~"), (row.student, row.teacher), strict=True)
