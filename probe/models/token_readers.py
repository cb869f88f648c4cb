"""Tokenizer objects of other libraries, read alike: pieces and ids of texts, and what stands around each text.

Known are `tokenizers.Tokenizer` and what wraps one (transformers), encodings in the form of tiktoken, and tokenizers of
transformers that are written in Python. Objects are known by what they have, so no library is imported for them.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from probe.errors import ArgumentError, Problem, TokenError
from probe.models.tokenizer import WORD, Tokenizer
from probe.tokens import beginning, byte_of_char

Place = tuple[int, int]
BEGINS = ("bos_token_id", "cls_token_id")
ENDS = ("eos_token_id", "sep_token_id")
FORMS = "a tokenizer: of tokenizers, transformers or tiktoken, its directory or tokenizer.json, or a name"


@dataclass(frozen=True, slots=True)
class Cut:
    """The tokens of one text, as pieces of the vocabulary and ids.

    The tokenizer put the first `front` and the last `behind` tokens around the text. `begin` and `end` are the places
    of the token that begins a sequence and of the one that ends it, if these are among them.
    """

    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    front: int = 0
    behind: int = 0
    begin: int | None = None
    end: int | None = None


@runtime_checkable
class TokenReader(Protocol):
    """Cuts texts by one tokenizer."""

    def cut(self, texts: Sequence[str], add_special_tokens: bool) -> list[Cut]:
        """The tokens of each text; those that the tokenizer puts around texts only where they are wanted."""
        ...

    def places(self, text: str, cut: Cut) -> dict[int, Place]:
        """By number of the token, the characters ``[start, end)`` of each added token that stands in the text."""
        ...


def reader_of(tokenizer: object, where: str) -> TokenReader:
    """What reads an object.

    Args:
        tokenizer: an object of another library, or one of this package.
        where: the argument, for the message.

    Raises:
        ArgumentError: it is no tokenizer that is known.
    """
    import tokenizers

    if isinstance(tokenizer, Tokenizer):
        return LibraryReader(tokenizer.backend)
    for inner in (tokenizer, getattr(tokenizer, "backend_tokenizer", None), getattr(tokenizer, "_tokenizer", None)):
        if isinstance(inner, tokenizers.Tokenizer):
            split = getattr(tokenizer, "split_special_tokens", None)
            return LibraryReader(inner, _named(tokenizer, BEGINS), _named(tokenizer, ENDS), split)
    if _has(tokenizer, "encode", "encode_ordinary", "decode_single_token_bytes"):
        return EncodingReader(tokenizer)
    if _has(tokenizer, "encode", "convert_ids_to_tokens"):
        return PythonReader(tokenizer, _named(tokenizer, BEGINS), _named(tokenizer, ENDS))
    remedy = "Write align_tokens(text, student_tokenizer, teacher_tokenizer)."
    if _has(tokenizer, "forward") or _has(tokenizer, "generate"):
        remedy = "This is a model: give its tokenizer, AutoTokenizer.from_pretrained(name)."
    raise ArgumentError.of(where, FORMS, tokenizer, remedy)


def _has(candidate: object, *names: str) -> bool:
    return all(callable(getattr(candidate, name, None)) for name in names)


def _named(tokenizer: object, names: Sequence[str]) -> frozenset[int]:
    """Ids of the special tokens of a role."""
    ids = [getattr(tokenizer, name, None) for name in names]
    return frozenset(id_ for id_ in ids if isinstance(id_, int))


@dataclass(frozen=True)
class LibraryReader:
    """A tokenizer of the tokenizers library. Where its object wraps it, that says how special tokens are called."""

    backend: Any
    begins: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()
    split: bool | None = None

    def cut(self, texts: Sequence[str], add_special_tokens: bool) -> list[Cut]:
        """See `TokenReader`."""
        with self._whole():
            found = self.backend.encode_batch(list(texts), add_special_tokens=add_special_tokens)
            # The library marks what its post-processor adds. The same tokens inside of a text are not marked.
            masks = [one.special_tokens_mask for one in found]
            of_empty = _leading(self.backend.encode(WORD).special_tokens_mask) if any(map(_all_special, masks)) else 0
        cuts: list[Cut] = []
        for one, mask in zip(found, masks, strict=True):
            front, behind = _leading(mask), _leading(mask[::-1])
            if front == len(mask):  # nothing between them shows where they part
                front, behind = of_empty, len(mask) - of_empty
            cuts.append(_in_roles(one.tokens, one.ids, (front, behind), self.begins, self.ends))
        return cuts

    def places(self, text: str, cut: Cut) -> dict[int, Place]:
        """See `TokenReader`."""
        added = self.backend.get_added_tokens_decoder()
        with self._whole():
            offsets = self.backend.encode(text, add_special_tokens=False).offsets
        inside = cut.ids[cut.front : len(cut.ids) - cut.behind]
        return {cut.front + n: offsets[n] for n, id_ in enumerate(inside) if id_ in added}

    @contextmanager
    def _whole(self) -> Generator[None]:
        """Switch off for now what pads, shortens or cuts at random; the object belongs to somebody else."""
        backend = self.backend
        padding, truncation, split = backend.padding, backend.truncation, backend.encode_special_tokens
        dropout = getattr(backend.model, "dropout", None)
        try:
            if padding:
                backend.no_padding()
            if truncation:
                backend.no_truncation()
            if dropout:
                backend.model.dropout = None
            if self.split is not None and self.split != split:
                backend.encode_special_tokens = self.split
            yield
        finally:
            if padding:
                backend.enable_padding(**padding)
            if truncation:
                backend.enable_truncation(**truncation)
            if dropout:
                backend.model.dropout = dropout
            if backend.encode_special_tokens != split:
                backend.encode_special_tokens = split


def _leading(mask: Sequence[int]) -> int:
    return list(mask).index(0) if 0 in mask else len(mask)


def _all_special(mask: Sequence[int]) -> bool:
    return len(mask) > 0 and 0 not in mask


def _in_roles(
    pieces: Sequence[str],
    ids: Sequence[int],
    around: tuple[int, int],
    begins: frozenset[int],
    ends: frozenset[int],
) -> Cut:
    """Find the tokens of both roles: by name, else the first in front of the text and the last behind it."""
    front, behind = around
    first = [n for n in range(front) if ids[n] in begins] or list(range(front))
    last = [n for n in range(len(ids) - behind, len(ids)) if ids[n] in ends] or list(range(len(ids) - behind, len(ids)))
    return Cut(tuple(pieces), tuple(ids), front, behind, first[0] if first else None, last[-1] if last else None)


@dataclass(frozen=True)
class EncodingReader:
    """An encoding in the form of tiktoken. It adds nothing around texts, and knows each token by its bytes."""

    encoding: Any

    def cut(self, texts: Sequence[str], add_special_tokens: bool) -> list[Cut]:
        """See `TokenReader`."""
        chars = {byte: char for char, byte in byte_of_char().items()}
        piece: dict[int, str] = {}
        cuts: list[Cut] = []
        for text in texts:
            ids = self._ids(text)
            for id_ in ids:
                if id_ not in piece:
                    # Spelled as byte-level vocabularies do, bytes that are no characters are pieces too.
                    piece[id_] = "".join(chars[byte] for byte in self.encoding.decode_single_token_bytes(id_))
            cuts.append(Cut(tuple(piece[id_] for id_ in ids), tuple(ids)))
        return cuts

    def _ids(self, text: str) -> list[int]:
        try:
            return self.encoding.encode(text, allowed_special="all")
        except TypeError:  # an encoding without special tokens
            return self.encoding.encode_ordinary(text)

    def places(self, text: str, cut: Cut) -> dict[int, Place]:
        """See `TokenReader`. None: special tokens are bytes as all others."""
        return {}


@dataclass(frozen=True)
class PythonReader:
    """A tokenizer of transformers that is written in Python, which keeps no offsets."""

    tokenizer: Any
    begins: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()

    def cut(self, texts: Sequence[str], add_special_tokens: bool) -> list[Cut]:
        """See `TokenReader`.

        Raises:
            TokenError: it adds tokens inside of texts.
        """
        front = self._front() if add_special_tokens else 0
        cuts: list[Cut] = []
        for text in texts:
            plain = self._ids(text, False)
            ids = self._ids(text, True) if add_special_tokens else plain
            if ids[front : front + len(plain)] != plain:
                got = f"{ids} for a text of the tokens {plain}"
                remedy = "Pass add_special_tokens=False."
                raise TokenError(Problem(beginning(text), "special tokens before or behind a text", got, remedy))
            pieces = [str(piece) for piece in self.tokenizer.convert_ids_to_tokens(ids)]
            around = front, len(ids) - front - len(plain)
            cuts.append(_in_roles(pieces, ids, around, self.begins, self.ends))
        return cuts

    def _ids(self, text: str, add_special_tokens: bool) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def _front(self) -> int:
        """How many special tokens it puts before any text."""
        plain, around = self._ids(WORD, False), self._ids(WORD, True)
        starts = range(len(around) - len(plain) + 1)
        return next((n for n in starts if around[n : n + len(plain)] == plain), 0)

    def places(self, text: str, cut: Cut) -> dict[int, Place]:
        """See `TokenReader`. Each added token is sought behind the one before it."""
        added: Mapping[int, Any] = getattr(self.tokenizer, "added_tokens_decoder", {})
        found: dict[int, Place] = {}
        reached = 0
        for n in range(cut.front, len(cut.ids) - cut.behind):
            token = added.get(cut.ids[n])
            start = text.find(str(token), reached) if token is not None else -1
            if start >= 0:
                end = start + len(str(token))
                if getattr(token, "lstrip", False):  # it takes the white space beside it
                    start = reached + len(text[reached:start].rstrip())
                if getattr(token, "rstrip", False):
                    end = len(text) - len(text[end:].lstrip())
                found[n] = (start, end)
                reached = end
        return found
