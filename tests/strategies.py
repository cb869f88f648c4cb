"""Hypothesis strategies: texts that tokenizers find hard, cut at random into byte-level or SentencePiece pieces."""

import random
import re
import unicodedata
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from probe.chunks import chunk_mask, content_mask
from probe.gold.rows import PHENOMENA, GoldRow
from probe.tokens import NormalForm, TokenizedText

# Every white space that is not U+0020, format and control characters, marks that join, and characters that a normal
# form changes. U+2581 stands for a space in SentencePiece, so it is left out.
HARD = (
    " \t\n\r\v\f\x00\x1c\x85\u00a0\u1680\u2003\u200b\u2028\u2029\u202f\u3000\ufeff"
    "\u00ad\u200d\u200e\u202e\ufe0f\U000e0061"
    "\\~#ae\u00e9\u00ea\u0301\u0323\u0315\u0344\u212b\ufb01\u2460\uff21\uff76\uff9e\u304b\u3099"
    "\uac00\u1100\u1161\u11a8\u09c7\u09be\u0f40\u0f71\u0f73\u0f75\u0f81\u05d0\u093f"
    "\U0001f44d\U0001f3fd\U0001f468\U0001f9e0\u4eac"
)
CHARACTERS = st.sampled_from(HARD) | st.characters(exclude_categories=["Cs"], exclude_characters="▁")


def texts(*, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[str]:
    return st.text(CHARACTERS, min_size=min_size, max_size=max_size)


def byte_alphabet(text: str) -> str:
    """A character for each UTF-8 byte, by the tokenizers library."""
    return "".join(piece for piece, _ in ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text))


@st.composite
def cuts(draw: st.DrawFn, whole: str) -> list[str]:
    """Runs of one or more characters that spell the whole."""
    ends = draw(st.sets(st.integers(1, len(whole) - 1))) if len(whole) > 1 else set()
    return [whole[a:b] for a, b in pairwise([0, *sorted(ends), len(whole)]) if a < b]


@st.composite
def byte_level_pieces(draw: st.DrawFn, text: str) -> list[str]:
    return draw(cuts(byte_alphabet(text)))


@st.composite
def sentencepiece_pieces(draw: st.DrawFn, text: str, *, dummy: bool) -> list[str]:
    """Runs of characters, some spelled byte by byte; the dummy prefix is a piece of its own or part of the first."""
    pieces: list[str] = []
    for run in draw(cuts((" " if dummy else "") + text)):
        in_bytes = draw(st.booleans()) or re.fullmatch("<0x[0-9A-F]{2}>", run)
        pieces += [f"<0x{byte:02X}>" for byte in run.encode()] if in_bytes else [run.replace(" ", "▁")]
    return pieces


@st.composite
def pieces_of(draw: st.DrawFn, text: str) -> list[str]:
    """Any spelling that the package knows: the text or a normal form, in bytes or characters, with a dummy or not."""
    form: NormalForm | None = draw(st.sampled_from([None, None, "NFC", "NFKC"]))
    spelled = unicodedata.normalize(form, text) if form else text
    if draw(st.booleans()):
        return draw(byte_level_pieces(spelled))
    return draw(sentencepiece_pieces(spelled, dummy=draw(st.booleans())))


@contextmanager
def random_undone() -> Generator[None]:
    """Beartype chooses at random which items to check, and Hypothesis forbids that inside a strategy."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@st.composite
def pairs_of_sides(draw: st.DrawFn) -> tuple[TokenizedText, TokenizedText]:
    """One text, cut twice."""
    text = draw(texts(min_size=1))
    student, teacher = draw(pieces_of(text)), draw(pieces_of(text))
    with random_undone():
        return TokenizedText.from_pieces(text, student), TokenizedText.from_pieces(text, teacher)


NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,8}", fullmatch=True)


@st.composite
def gold_rows(draw: st.DrawFn) -> GoldRow:
    student, teacher = draw(pairs_of_sides())
    with random_undone():
        content, chunk = content_mask(student, teacher).nonzero(), chunk_mask(student, teacher).nonzero()
    sure = draw(_some(content))
    possible = draw(_some(chunk)) - sure
    fields = {
        "id": draw(texts(min_size=1).filter(lambda id_: not id_.startswith("#"))),
        "pair": f"{draw(NAMES)}~{draw(NAMES)}",
        "phenomena": tuple(draw(st.lists(st.sampled_from(PHENOMENA), unique=True, max_size=3))),
        "note": draw(texts()),
    }
    with random_undone():
        return GoldRow(student=student, teacher=teacher, sure=sure, possible=possible, **fields)


def _some(cells: Sequence[Sequence[int]]) -> st.SearchStrategy[frozenset[tuple[int, int]]]:
    links = [(int(i), int(j)) for i, j in zip(*cells, strict=True)]
    return st.frozensets(st.sampled_from(links)) if links else st.just(frozenset())
