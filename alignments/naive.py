"""What simple scripts answer where readers judged, and how far that is from the judged layer.

    python -m alignments.naive

Heads: the first token, or the longest one. Roles: template tokens that are spelled alike, the first with the first, the
second with the second. Overlap: each token at the next place of the text where its bytes occur, and then the rules of
gold.tsv; what occurs nowhere has no link.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from probe.gold.judged_agreement import JudgedAgreement, Part, compare_judged
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import HEADS, OVERLAP, ROLES, GoldRow
from probe.gold.rules import rule_links
from probe.output.documents import markdown_table
from probe.tokens import Token, TokenizedText, byte_level_bytes, sentencepiece_bytes

JUDGED = Path(__file__).with_name("judged.tsv")


def first_token(row: GoldRow) -> GoldRow:
    """The first sure link of a word."""
    return replace(row, heads=frozenset({min(row.sure)}))


def longest_token(row: GoldRow) -> GoldRow:
    """The sure link of a word whose tokens have most characters; of equal ones the first."""
    sizes = [[len(s.decode(errors="replace").strip()) for s in side.surfaces()] for side in (row.student, row.teacher)]
    links = sorted(row.sure)
    return replace(row, heads=frozenset({max(links, key=lambda link: sizes[0][link[0]] + sizes[1][link[1]])}))


def equal_strings(row: GoldRow) -> GoldRow:
    """Links of template tokens that are spelled alike, in order."""
    linked = [{link[side] for link in row.links.either} for side in (0, 1)]
    named: list[dict[tuple[str, int], int]] = []
    for side, taken in zip((row.student, row.teacher), linked, strict=True):
        seen, found = Counter[str](), dict[tuple[str, int], int]()
        for number, piece in enumerate(side.pieces):
            if number not in taken:
                word = piece.strip("Ġ▁")
                found[word, seen[word]] = number
                seen[word] += 1
        named.append(found)
    return replace(row, roles=frozenset((named[0][key], named[1][key]) for key in named[0] if key in named[1]))


def by_bytes(row: GoldRow) -> GoldRow:
    """Links of the rules, for tokens at the places where their bytes occur."""
    student, teacher = (_placed(side) for side in (row.student, row.teacher))
    links = rule_links(student, teacher)
    return replace(row, sure=links.sure, possible=links.possible)


def _placed(side: TokenizedText) -> TokenizedText:
    text, reached, tokens = side.text.encode(), 0, list[Token]()
    for piece in side.pieces:
        readings = byte_level_bytes(piece), sentencepiece_bytes(piece.removeprefix("##"))
        spelled = [one for reading in readings for one in (reading, reading.lstrip(b" ")) if one]
        places = [(text.find(one, reached), -len(one)) for one in spelled if one in text[reached:]]
        start, size = min(places, default=(reached, 0))
        tokens.append(Token(piece, start, start - size))
        reached = start - size
    return TokenizedText(side.text, tuple(tokens))


SCRIPTS: Mapping[str, tuple[str, Callable[[GoldRow], GoldRow]]] = {
    "first token": (HEADS, first_token),
    "longest token": (HEADS, longest_token),
    "equal strings": (ROLES, equal_strings),
    "bytes": (OVERLAP, by_bytes),
}


def scripted(judged: GoldFile) -> dict[str, JudgedAgreement]:
    """What each script agrees with the judged rows of its kind."""
    found: dict[str, JudgedAgreement] = {}
    for name, (kind, answer) in SCRIPTS.items():
        rows = [row for row in judged if row.judged == kind]
        answers = GoldFile(tuple(map(answer, rows)), judged.comments)
        found[name] = compare_judged(GoldFile(tuple(rows), judged.comments), answers, (judged.name, name))
    return found


def tables(judged: GoldFile) -> str:
    """As they stand in the data card."""
    found = {name: one.parts[SCRIPTS[name][0]] for name, one in scripted(judged).items()}
    headers = [f"{name}, {figure}" for name in ("first token", "longest token") for figure in ("same", "kappa")]
    heads = zip(found["first token"], found["longest token"], strict=True)
    first = markdown_table(["", "rows", *headers], ([*_named(a), *_cells(a), *_cells(b)] for a, b in heads))
    links: Iterable[tuple[str, Part]] = [(n, part) for n in ("equal strings", "bytes") for part in found[n]]
    second = markdown_table(
        ["", "rows", "script", "F1", "same"], ([*_named(part), name, *_cells(part, 0, -1)] for name, part in links)
    )
    return f"{first}\n{second}"


def _named(part: Part) -> list[str]:
    return [part.name, f"{part.rows}"]


def _cells(part: Part, *places: int) -> list[str]:
    values = [part.found.at(place % part.found.value.size).value for place in places or (0, 1)]
    return ["–" if value is None else f"{value:.2f}" for value in values]


if __name__ == "__main__":
    sys.stdout.write(tables(read_pairs(JUDGED)))
