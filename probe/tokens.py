"""A sentence and its tokens, each with the UTF-8 bytes of the sentence that it covers.

Two tokenizers are compared by these bytes. They are found from the tokens alone, so a gold file can be checked without
its tokenizers. Two alphabets are tried: byte-level (``Ġcat``) and SentencePiece (``▁cat``, ``<0xE6>``); the one that
spells the sentence was used. If a tokenizer normalised the text first (NFC, NFKC), the bytes are mapped back segment by
segment. Everything else is an error.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise, product
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from probe.errors import Problem, TokenError

Spans = Int[np.ndarray, "_ 2"]  # no name: two sides have other sizes
NormalForm = Literal["NFC", "NFKC"]
EOS_DISPLAY = "⟨eos⟩"
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


class Token(NamedTuple):
    """A piece of the vocabulary, and the bytes ``[start, end)`` of the text that it covers, which may be none."""

    piece: str
    start: int
    end: int


@dataclass(frozen=True)
class TokenizedText:
    """A sentence and its tokens from one tokenizer, in order, without special tokens.

    Example:
        >>> from probe import TokenizedText
        >>> side = TokenizedText.from_pieces("naïve file", ["na", "Ã", "¯", "ve", "Ġfile"])
        >>> side.display()
        ('na', '⟨C3⟩', '⟨AF⟩', 've', '␣file')
        >>> side.tokens[4]
        Token(piece='Ġfile', start=6, end=11)
    """

    text: str
    tokens: tuple[Token, ...]
    placed: bool = True
    """Whether the bytes of the tokens are known. Where not, each covers none, and nothing that needs them is said."""

    @classmethod
    def from_pieces(cls, text: str, pieces: Sequence[str]) -> "TokenizedText":
        """Find the byte span of each token, which is given as a piece of the vocabulary.

        Raises:
            TokenError: the tokens spell neither the text nor a Unicode normal form of it.
        """
        return cls(text, tuple(map(Token, pieces, *zip(*_spans(text, pieces), strict=True))))

    @classmethod
    def unplaced(cls, text: str, pieces: Sequence[str]) -> "TokenizedText":
        """Tokens that do not spell the text, as in another case, cut short, or with a chat template around it.

        Raises:
            TokenError: half of a character.
        """
        check_characters(text, *pieces)
        return cls(text, tuple(Token(piece, 0, 0) for piece in pieces), placed=False)

    def __repr__(self) -> str:
        """The beginning of the sentence, and the number of tokens."""
        return f"<TokenizedText {beginning(self.text)}, {len(self.tokens)} tokens>"

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The tokens as pieces of the vocabulary."""
        return tuple(token.piece for token in self.tokens)

    @cached_property
    def spans(self) -> Spans:
        """The bytes ``[start, end)`` of each token."""
        return np.array([token[1:] for token in self.tokens], dtype=np.int64).reshape(-1, 2)

    def surface(self, index: int) -> bytes:
        """The bytes of the text that token ``index`` covers."""
        token = self.tokens[index]
        return self.text.encode()[token.start : token.end]

    def surfaces(self) -> list[bytes]:
        """Those of all tokens; in a loop, `surface` would encode the text once for each."""
        raw = self.text.encode()
        return [raw[token.start : token.end] for token in self.tokens]

    def display(self) -> tuple[str, ...]:
        """Each token in readable form: spaces as ``␣``, line breaks and tabs as symbols, single bytes in hex.

        Tokens without a place are shown as they stand in the vocabulary.
        """
        if not self.placed:
            return self.pieces
        return tuple(_display(s, token.piece) for s, token in zip(self.surfaces(), self.tokens, strict=True))


def beginning(text: str) -> str:
    """The first forty characters of a sentence in quotes, for a line that names it."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def char_sizes(text: str) -> Int[np.ndarray, " characters"]:
    """How many bytes each character of a text has."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    return 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)


def text_of(surface: bytes) -> str | None:
    """The characters of a token; None if it begins or ends inside a character."""
    try:
        return surface.decode()
    except UnicodeDecodeError:
        return None


@cache
def byte_of_char() -> dict[str, int]:
    """The alphabet of GPT-2: printable Latin-1 characters are themselves, other bytes are U+0100 and up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + n): b for n, b in enumerate(others)}


@cache  # at most as many as there are pieces in the vocabularies that are used
def byte_level_bytes(piece: str) -> bytes:
    """The bytes of a piece of a byte-level vocabulary."""
    alphabet = byte_of_char()
    # Added tokens (runs of spaces in GPT-NeoX and Phi) are stored as plain text, outside the alphabet.
    return b"".join(bytes([alphabet[char]]) if char in alphabet else char.encode() for char in piece)


@cache
def sentencepiece_bytes(piece: str) -> bytes:
    """The bytes of a piece of a SentencePiece vocabulary."""
    byte = BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()


ALPHABETS = byte_level_bytes, sentencepiece_bytes


def check_characters(text: str, *pieces: str) -> None:
    """Refuse halves of characters, which no encoding has and no tokenizer takes.

    Raises:
        TokenError: there is one.
    """
    if lone := re.search(r"[\ud800-\udfff]", "".join([text, *pieces])):
        got = f"half of a surrogate pair, U+{ord(lone[0]):X}"
        raise TokenError(Problem(repr(text), "characters that UTF-8 can encode", got, "Write the whole character."))


def normal_form(side: TokenizedText) -> NormalForm | None:
    """The normal form of the text that its tokens spell; None if they spell the text as it is."""
    return _spelled(side.text, side.pieces)[0]


def _spans(text: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
    form, spans = _spelled(text, pieces)
    return spans if form is None else list(_unnormalise(text, form, spans))


def _spelled(text: str, pieces: Sequence[str]) -> tuple[NormalForm | None, list[tuple[int, int]]]:
    """The form of the text that the pieces spell, and their spans in it."""
    check_characters(text, *pieces)
    forms: tuple[NormalForm | None, ...] = (None, "NFC", "NFKC")
    for form in forms:
        # A form that does not change the text has been tried already.
        spelled = text if form is None else unicodedata.normalize(form, text)
        if form is not None and spelled == text:
            continue
        spans = _spans_of_exact(spelled.encode(), pieces)
        if spans is not None:
            return form, spans
    raise TokenError(
        Problem(
            repr(text),
            "tokens that spell this sentence, byte for byte or in a Unicode normal form",
            " ".join(pieces),
            "Give the tokens of the tokenizer for exactly this sentence, without special tokens.",
        )
    )


def _spans_of_exact(text: bytes, pieces: Sequence[str]) -> list[tuple[int, int]] | None:
    """Spans if the pieces spell ``text``, perhaps after the dummy space that SentencePiece puts in front; else None."""
    chunks = _as_they_are(text, pieces) or _with_added(text, pieces)
    if chunks is None:
        return None
    ends = list(accumulate(map(len, chunks), initial=len(text) - sum(map(len, chunks))))
    if ends[0] < 0:  # the dummy space is not there
        ends = [max(end, 0) for end in ends]
    return list(pairwise(ends))


def _as_they_are(text: bytes, pieces: Sequence[str]) -> list[bytes] | None:
    """The bytes of each piece in the alphabet that spells the text, if one does."""
    for decode in ALPHABETS:
        chunks = list(map(decode, pieces))
        if b"".join(chunks) in (text, b" " + text):
            return chunks
    return None


def _with_added(text: bytes, pieces: Sequence[str]) -> list[bytes] | None:
    """The bytes of each piece where some are added tokens, which are stored as plain text: ``Zürich``, not ``ZÃ¼rich``.

    Which of two readings a piece has shows from the text alone, at the place that the pieces before it have reached.
    """
    for decode, spelled in product(ALPHABETS, (text, b" " + text)):
        # By each place that the pieces so far may have reached, the last chunk on the way and all before it.
        ways: dict[int, Any] = {0: None}
        for piece in pieces:
            readings = dict.fromkeys((decode(piece), piece.encode()))
            ways = {
                place + len(chunk): (chunk, way)
                for place, way in ways.items()
                for chunk in readings
                if spelled.startswith(chunk, place)
            }
        if len(spelled) in ways:
            chunks: list[bytes] = []
            way = ways[len(spelled)]
            while way is not None:
                chunk, way = way
                chunks.append(chunk)
            return chunks[::-1]
    return None


def _unnormalise(text: str, form: NormalForm, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Map spans of the normal form back to the text. A span that has part of a changed segment gets all of it."""
    starts: list[int] = []  # for each byte of the normal form: where its source begins and ends in the text
    ends: list[int] = []
    position = 0
    for segment in _segments(text, form):
        source, normal = segment.encode(), unicodedata.normalize(form, segment).encode()
        for offset in range(len(normal)):
            unchanged = source == normal
            starts.append(position + (offset if unchanged else 0))
            ends.append(position + (offset + 1 if unchanged else len(source)))
        position += len(source)
    for start, end in spans:
        if start < end:
            yield starts[start], ends[end - 1]
        else:
            here = starts[start] if start < len(starts) else position
            yield here, here


def _segments(text: str, form: NormalForm) -> Iterator[str]:
    """Cut a text into parts whose normal forms, put together, are the normal form of the whole."""
    begin = 0
    for index in range(1, len(text)):
        left, char = text[begin:index], text[index]
        joined = unicodedata.normalize(form, left + char)
        apart = unicodedata.normalize(form, left) + unicodedata.normalize(form, char)
        # A combining mark can join a base across other marks, so never cut before a character that begins with one.
        if joined == apart and not unicodedata.combining(unicodedata.normalize(form, char)[0]):
            yield text[begin:index]
            begin = index
    if text:
        yield text[begin:]


_SYMBOLS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}


def _display(surface: bytes, piece: str) -> str:
    if not surface:  # the dummy space of SentencePiece, or another token without bytes
        return f"⟨{piece.replace('▁', '␣')}⟩"
    chars = surface.decode(errors="surrogateescape")
    shown = "".join(_display_char(char) for char in chars)
    # Use the category, because vowel signs and variation selectors have combining class 0.
    return f"◌{shown}" if unicodedata.category(chars[0]).startswith("M") else shown


def _display_char(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a character that is split between tokens
        return f"⟨{ord(char) - 0xDC00:02X}⟩"
    return _SYMBOLS.get(char, char if char.isprintable() else f"⟨U+{ord(char):04X}⟩")
