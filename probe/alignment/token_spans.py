"""Where in the text each token of a sequence lies, found for many texts at once.

Most texts are spelled by their tokens byte for byte. There the ends of the tokens are a sum of their lengths. All other
texts go through `TokenizedText.from_pieces`, one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from probe.errors import Problem, TokenError
from probe.models.token_readers import Cut, TokenReader
from probe.tokens import ALPHABETS, Spans, Token, TokenizedText, beginning, check_characters

SPACE_MARK = "▁"
MARK_EXTRA = len(SPACE_MARK.encode()) - 1
SHOWN = 20


@dataclass(frozen=True, eq=False)
class TokenSpans:
    """The tokens of one side, special ones too, and the part of the text ``[start, end)`` that each of them covers.

    Attributes:
        text: all of it.
        ids: of the vocabulary, as the tokenizer gives them.
        pieces: of the vocabulary; for an encoding in the form of tiktoken, bytes in the alphabet of GPT-2.
        byte_spans: of the text in UTF-8, shape (tokens, 2). A token that the tokenizer put around the text has none.
        begin: place of the token that begins the sequence (BOS); None if the tokenizer adds none.
        end: place of the token that ends it (EOS); None if the tokenizer adds none.
        content: places of the tokens of the text, without those around it.
    """

    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    byte_spans: Spans
    begin: int | None
    end: int | None
    content: range

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self.ids)

    def __repr__(self) -> str:
        """The number of tokens, and the beginning of the text."""
        return f"<TokenSpans {len(self)} tokens: {beginning(self.text)}>"

    @cached_property
    def char_spans(self) -> Spans:
        """Characters of the text, shape (tokens, 2). A token with a part of a character has all of it."""
        raw = np.frombuffer(self.text.encode(), dtype=np.uint8)
        begun = np.concatenate([[0], np.cumsum((raw & 0xC0) != 0x80)])  # characters that begin before each byte
        starts, ends = self.byte_spans.T
        inside = starts < ends
        first = np.where(inside, begun[np.minimum(starts + 1, len(raw))] - 1, begun[starts])
        return frozen(np.stack([first, begun[ends]], axis=1))

    def tokenized(self) -> TokenizedText:
        """The text and the tokens in it, without those around it."""
        spans = self.byte_spans[self.content.start : self.content.stop].tolist()
        pieces = self.pieces[self.content.start : self.content.stop]
        return TokenizedText(self.text, tuple(Token(p, *span) for p, span in zip(pieces, spans, strict=True)))


def frozen(spans: Spans) -> Spans:
    """The same array, which nobody can write to any more."""
    spans.flags.writeable = False
    return spans


def _single_bytes(piece: str) -> bytes:
    """A piece of a vocabulary of bytes (ByT5): the character of that number."""
    return piece.encode("latin-1", errors="replace")


def token_spans(texts: Sequence[str], reader: TokenReader, where: str, add_special_tokens: bool) -> list[TokenSpans]:
    """The tokens of several texts and where they lie.

    Raises:
        TokenError: the tokenizer changes a text otherwise than by NFC or NFKC.
    """
    for text in texts:
        check_characters(text)
    found: list[TokenSpans] = []
    for text, cut in zip(texts, reader.cut(texts, add_special_tokens), strict=True):
        content = range(cut.front, len(cut.ids) - cut.behind)
        pieces = cut.pieces[content.start : content.stop]
        size = len(text.encode())
        spans = _exact(text.encode(), pieces)
        if spans is None:
            spans = _careful(text, cut, reader, where)
        if cut.front or cut.behind:
            spans = np.concatenate([np.zeros((cut.front, 2), int), spans, np.full((cut.behind, 2), size)])
        found.append(TokenSpans(text, cut.ids, cut.pieces, frozen(spans), cut.begin, cut.end, content))
    return found


def _exact(raw: bytes, pieces: Sequence[str]) -> Spans | None:
    """Spans if the pieces spell the text, perhaps after the dummy space of SentencePiece; else None."""
    for alphabet in (*ALPHABETS, _single_bytes):
        chunks = list(map(alphabet, pieces))
        spelled = b"".join(chunks)
        if spelled == raw or spelled == b" " + raw:
            bounds = np.zeros(len(chunks) + 1, dtype=np.int64)
            np.cumsum(np.fromiter(map(len, chunks), np.int64, len(chunks)), out=bounds[1:])
            bounds = np.maximum(bounds - (len(spelled) - len(raw)), 0)
            return np.array([bounds[:-1], bounds[1:]]).T
    return None


def _careful(text: str, cut: Cut, reader: TokenReader, where: str) -> Spans:
    """Spans of a text that its tokens do not spell as it stands.

    Around an added token, such as ``<|im_end|>``, SentencePiece begins a text anew, with another dummy space. So if
    the whole text cannot be read, each part between added tokens is.
    """
    pieces = cut.pieces[cut.front : len(cut.pieces) - cut.behind]
    try:
        return _normalised(text, pieces)
    except TokenError:
        places = reader.places(text, cut)
    spans: list[Spans] = []
    begin, reached = 0, 0  # in tokens, and in characters of the text
    for place, (start, end) in [*places.items(), (cut.front + len(pieces), (len(text), len(text)))]:
        here = place - cut.front
        part, offset = text[reached:start], len(text[:reached].encode())
        try:
            exact = _exact(part.encode(), pieces[begin:here])
            spans.append((_normalised(part, pieces[begin:here]) if exact is None else exact) + offset)
        except TokenError:
            raise TokenError(_difference(text, reached, part, pieces[begin:here], where)) from None
        if here < len(pieces):
            offset += len(part.encode())
            spans.append(np.array([[offset, offset + len(text[start:end].encode())]]))
        begin, reached = here + 1, end
    return np.concatenate(spans)


def _normalised(text: str, pieces: Sequence[str]) -> Spans:
    """Spans by the careful path. SentencePiece spells a ``▁`` of the text as a space, which has fewer bytes."""
    try:
        return _spans_of(TokenizedText.from_pieces(text, pieces))
    except TokenError:
        if SPACE_MARK not in text:
            raise
    spans = _spans_of(TokenizedText.from_pieces(text.replace(SPACE_MARK, " "), pieces))
    marks = [char == SPACE_MARK for char in text]
    sizes = [1 if char == SPACE_MARK else len(char.encode()) for char in text]
    before = np.concatenate([[0], np.cumsum(np.repeat(marks, sizes))])
    return spans + MARK_EXTRA * before[spans]


def _spans_of(side: TokenizedText) -> Spans:
    return np.array([(token.start, token.end) for token in side.tokens], dtype=np.int64).reshape(-1, 2)


def _difference(text: str, reached: int, part: str, pieces: Sequence[str], where: str) -> Problem:
    """Where the tokens of a part of the text, which begins at the character `reached`, begin to spell another one."""
    spellings = [b"".join(map(decode, pieces)).decode(errors="replace") for decode in ALPHABETS]
    spellings += [spelled.removeprefix(" ") for spelled in spellings]
    agreed, spelled = max((_agreement(part, spelled), spelled) for spelled in spellings)
    theirs, ours = spelled[agreed : agreed + SHOWN], part[agreed : agreed + SHOWN]
    return Problem(
        f"{where} on {beginning(text)}",
        f"tokens that spell {repr(ours) if ours else 'nothing more'} at character {reached + agreed}",
        repr(theirs) if theirs else "nothing more",
        "It changes texts (case, accents, white space, unknown characters): use a tokenizer that keeps them.",
    )


def _agreement(text: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    pairs = enumerate(zip(text, other, strict=False))
    return next((n for n, (left, right) in pairs if left != right), min(len(text), len(other)))
