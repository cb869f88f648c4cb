"""Phenomena that a machine can see, by the definitions of alignments/README.md; one small function for each.

The annotator gives the others: name, rare-word, code and url. Of the two repeats a machine sees those of words that
stand free; repeats within longer words and in scripts that do not space words are listed by hand.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import regex

from probe.chunks import byte_sizes, content_sizes, shared_chunks
from probe.gold.rows import PHENOMENA, GoldRow
from probe.tokens import BYTE_PIECE, TokenizedText, text_of

SAME_CONTEXT, NEW_CONTEXT = "repeat-same-context", "repeat-new-context"
REPEATS = (SAME_CONTEXT, NEW_CONTEXT)

_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}"

# Of the text


def has_number(text: str) -> bool:
    """Something is written with digits."""
    return bool(regex.search(r"\d", text))


def has_punctuation(text: str) -> bool:
    """Two or more marks in a row, or a dash, ellipsis or curly quote."""
    return bool(regex.search(r"[\p{P}$+<=>^`|~]{2}|[—–…“”„‘’]", text))  # to Unicode, $ and its like are symbols


def has_whitespace(text: str) -> bool:
    """A line break, a tab, a run of spaces, or a space other than U+0020."""
    return bool(regex.search(r"  |[^\S ]", text))


def has_accent(text: str) -> bool:
    """A Latin or Greek letter with a diacritic, composed or with a combining mark."""
    return bool(regex.search(r"[\p{Latin}\p{Greek}]\p{M}", unicodedata.normalize("NFD", text)))


def has_cjk(text: str) -> bool:
    """Han characters, kana or Hangul."""
    return bool(regex.search(f"[{_CJK}]", text))


def has_emoji(text: str) -> bool:
    """An emoji, alone or in a sequence."""
    # Of the pictures that a program may draw as text those from U+2600 on: before it lie ©, ™ and arrows.
    pictures = r"(?V1)\p{Emoji_Presentation}|[\p{Extended_Pictographic}&&[\u2600-\U0010ffff]]"
    return bool(regex.search(pictures, text))


def has_contraction(text: str) -> bool:
    """An apostrophe between letters."""
    return bool(regex.search(r"\p{L}['’]\p{L}", text))


def has_casing(text: str) -> bool:
    """Two capitals in a row, a capital inside a word, or one word of three letters or more in two casings."""
    text = unicodedata.normalize("NFC", text)
    forms: dict[str, set[str]] = defaultdict(set)
    for word in regex.findall(r"\p{L}{3,}", text):
        forms[word.lower()].add(word)
    forms.pop("the", None)
    inside = regex.search(r"\p{Changes_When_Casemapped}\p{Uppercase}", text)
    return inside is not None or any(len(casings) > 1 for casings in forms.values())


# Of the chunks


class _Shape(NamedTuple):
    """Pieces of a chunk, student and teacher: those that are not empty, and those that hold more than white space."""

    full: tuple[int, int]
    wordy: tuple[int, int]


def _shapes(student: TokenizedText, teacher: TokenizedText) -> list[_Shape]:
    sides = [(byte_sizes(side) > 0, content_sizes(side) > 0) for side in (student, teacher)]
    return [
        _Shape(
            (int(sides[0][0][chunk.student].sum()), int(sides[1][0][chunk.teacher].sum())),
            (int(sides[0][1][chunk.student].sum()), int(sides[1][1][chunk.teacher].sum())),
        )
        for chunk in shared_chunks(student, teacher)
    ]


def has_split(student: TokenizedText, teacher: TokenizedText) -> bool:
    """One teacher piece against several student pieces, those of white space not counted."""
    return any(shape.full[1] == 1 and shape.wordy[0] > 1 for shape in _shapes(student, teacher))


def has_merge(student: TokenizedText, teacher: TokenizedText) -> bool:
    """One student piece against several teacher pieces, those of white space not counted."""
    return any(shape.full[0] == 1 and shape.wordy[1] > 1 for shape in _shapes(student, teacher))


def has_many_to_many(student: TokenizedText, teacher: TokenizedText) -> bool:
    """Several pieces against several, with no boundary in common."""
    return any(min(shape.full) > 1 for shape in _shapes(student, teacher))


def has_byte_fallback(student: TokenizedText, teacher: TokenizedText) -> bool:
    """A piece, on either side, that is a byte or holds part of a character."""
    return any(
        BYTE_PIECE.fullmatch(piece) or text_of(side.surface(n)) is None
        for side in (student, teacher)
        for n, piece in enumerate(side.pieces)
    )


# Repeats


def has_repeat_same_context(student: TokenizedText, teacher: TokenizedText) -> bool:
    """A free word occurs again after the same left neighbour: that piece and the word's first one are there twice."""
    return any(len(set(places)) < len(places) for places in _repeated(student))


def has_repeat_new_context(student: TokenizedText, teacher: TokenizedText) -> bool:
    """A free word occurs again after another left neighbour."""
    return any(len({neighbour for neighbour, _ in places}) > 1 for places in _repeated(student))


def _repeated(student: TokenizedText) -> list[list[tuple[str | None, str]]]:
    """For each free word of two to five occurrences, the student piece before each, and the one that it begins in."""
    places: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    for word in regex.finditer(r"\p{L}[\p{L}\p{M}]+", student.text):
        letters = unicodedata.normalize("NFC", word[0]).lower()
        if len(letters) < 3:
            continue
        byte = len(student.text[: word.start()].encode())
        first = next(n for n, token in enumerate(student.tokens) if token.start <= byte < token.end)
        places[letters].append((student.pieces[first - 1] if first else None, student.pieces[first]))
    return [pieces for pieces in places.values() if 2 <= len(pieces) <= 5]


def may_repeat(tag: str, student: TokenizedText) -> bool:
    """Whether a repeat that was listed by hand can be there.

    Four letters, or two of a script that does not space words, must come twice; for the same context, so must a bigram
    of student pieces.
    """
    text = unicodedata.normalize("NFC", student.text)
    unspaced = rf"[{_CJK}\p{{Thai}}\p{{Lao}}\p{{Khmer}}\p{{Myanmar}}]"
    letters = regex.search(rf"(\p{{L}}{{4}}|{unspaced}{{2}}).*\1", text, regex.IGNORECASE | regex.DOTALL)
    bigrams = Counter(pairwise(student.pieces))
    return letters is not None and (tag == NEW_CONTEXT or max(bigrams.values(), default=0) > 1)


# All of them

Test = Callable[[TokenizedText, TokenizedText], bool]


def _of_text(test: Callable[[str], bool], student: TokenizedText, teacher: TokenizedText) -> bool:
    return test(student.text)


MECHANICAL: Mapping[str, Test] = {
    SAME_CONTEXT: has_repeat_same_context,
    NEW_CONTEXT: has_repeat_new_context,
    "split": has_split,
    "merge": has_merge,
    "many-to-many": has_many_to_many,
    "number": partial(_of_text, has_number),
    "punctuation": partial(_of_text, has_punctuation),
    "whitespace": partial(_of_text, has_whitespace),
    "accent": partial(_of_text, has_accent),
    "cjk": partial(_of_text, has_cjk),
    "emoji": partial(_of_text, has_emoji),
    "byte-fallback": has_byte_fallback,
    "contraction": partial(_of_text, has_contraction),
    "casing": partial(_of_text, has_casing),
}
"""Tags that a machine sets, in the order of the closed list."""


def mechanical_tags(student: TokenizedText, teacher: TokenizedText) -> tuple[str, ...]:
    """The tags that a machine sets for one text, cut twice, in the order of the closed list."""
    return tuple(tag for tag in PHENOMENA if tag in MECHANICAL and MECHANICAL[tag](student, teacher))


def missing_tags(row: GoldRow) -> tuple[str, ...]:
    """Tags that the row has by their definitions, and does not carry."""
    return tuple(tag for tag in mechanical_tags(row.student, row.teacher) if tag not in row.phenomena)


def unfounded_tags(row: GoldRow) -> tuple[str, ...]:
    """Tags that the row carries against their definitions; of repeats, those that nobody can have listed by hand."""
    found = mechanical_tags(row.student, row.teacher)
    return tuple(
        tag
        for tag in row.phenomena
        if tag in MECHANICAL and tag not in found and not (tag in REPEATS and may_repeat(tag, row.student))
    )
