"""The tokenizer of a model directory: its ``tokenizer.json``, read by the ``tokenizers`` library.

Frameworks that rebuild a tokenizer from its class may cut text differently, so probe, gold and training all use this.
The file may also carry settings of whoever saved it last: padding, truncation, dropout, special tokens behind a text.
They are no part of the vocabulary, and are switched off here, in one place.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from probe.errors import CheckpointError, Problem
from probe.models import encodings
from probe.models.digests import remembered
from probe.models.encodings import Encoding
from probe.models.table_files import DAMAGED
from probe.output.reading import Wanted, read_object
from probe.tokens import NormalForm, TokenizedText, check_characters

FILE = "tokenizer.json"
QWEN_EOS_ID = 151643
"""DSKD forces this id for Qwen, whose chat models would name ``<|im_end|>``."""
RANK = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n?")
"""A line of a file of tiktoken."""
WORD = "a"
"""Any text: what is put around it is put around all."""


@dataclass(frozen=True)
class Tokenizer:
    """Pieces and ids of one vocabulary. It is read on first use, because a large one takes longer than probing."""

    path: Path
    _seen: dict[str, int] = field(default_factory=dict[str, int], repr=False)

    @classmethod
    def load(cls, directory: Path) -> "Tokenizer":
        """The tokenizer of a directory.

        Raises:
            CheckpointError: there is none.
        """
        if not (directory / FILE).is_file():
            if (ranks := _tiktoken_file(directory)) is not None:
                remedy = (
                    f'Convert them once, with the package tiktoken: TikTokenConverter("{ranks}", pattern=…, '
                    f'extra_special_tokens=[…]).converted().save("{FILE}") of transformers.convert_slow_tokenizer. '
                    "The pattern and the special tokens, in the order of their ids, stand in the Python file of the "
                    "tokenizer. probe.align_tokens takes the encoding itself."
                )
                raise CheckpointError(Problem(str(directory), f"a {FILE}", f"ranks of tiktoken in {ranks}", remedy))
            remedy = "Save the fast tokenizer there: AutoTokenizer.from_pretrained(...).save_pretrained(directory)."
            raise CheckpointError(Problem(str(directory), f"a {FILE}", "none", remedy))
        return cls(directory / FILE)

    @cached_property
    def backend(self) -> Any:
        """The library's tokenizer, without what a past call left in the file.

        Raises:
            CheckpointError: the library cannot read it.
        """
        import tokenizers

        try:
            read = tokenizers.Tokenizer.from_file(str(self.path))
        # The library raises bare Exception for malformed files, and for some of them panics, which is no Exception.
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise CheckpointError(
                Problem(
                    str(self.path), "a tokenizer that the tokenizers library can read", str(error), "Save it again."
                )
            ) from error
        # Saved after a call with padding or truncation, the file keeps them, and they would be obeyed at every call.
        read.no_padding()
        read.no_truncation()
        # With dropout the same text is cut otherwise each time. It is a way to train, not a property of a vocabulary.
        if getattr(read.model, "dropout", None):
            read.model.dropout = None
        return read

    @property
    def normal_form(self) -> NormalForm | None:
        """The Unicode normal form to which it converts text before it cuts it; None if it is neither NFC nor NFKC."""
        if self.backend.normalizer is None:
            return None
        changed = self.backend.normalizer.normalize_str("e\u0301\ufb01")
        return None if "\u00e9" not in changed else "NFC" if "\ufb01" in changed else "NFKC"

    @cached_property
    def eos_id(self) -> int:
        """Id of the end-of-sequence token, from the configuration files beside the tokenizer.

        Raises:
            CheckpointError: no configuration names one.
        """
        named = _json(self.path.with_name("tokenizer_config.json")).get("eos_token")
        if isinstance(named, dict):  # older files have the whole AddedToken
            named = named.get("content")
        id_ = (
            self.backend.token_to_id(str(named))
            if named
            else _json(self.path.with_name("config.json")).get("eos_token_id")
        )
        id_ = id_[0] if isinstance(id_, list) and id_ else id_
        if id_ is None or type(id_) is not int:
            remedy = "Add eos_token_id to the config.json in the same directory."
            raise CheckpointError(
                Problem(str(self.path), "an end-of-sequence token", "none" if id_ is None else repr(id_), remedy)
            )
        return id_

    @property
    def dskd_eos_id(self) -> int:
        """The id that DSKD ends responses with: Qwen's ``<|endoftext|>`` where there is one, else the tokenizer's."""
        is_qwen = self.backend.token_to_id("<|endoftext|>") == QWEN_EOS_ID
        return QWEN_EOS_ID if is_qwen else self.eos_id

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        check_characters(text)
        return list(self.backend.encode(text, add_special_tokens=False).ids)

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of a text with the special tokens that the model was pre-trained to see in front of it, such as BOS.

        A response follows, so tokens that the file puts behind a text, such as EOS, are left out.
        """
        return [*self._in_front, *self.encode(text)]

    @cached_property
    def _in_front(self) -> list[int]:
        """Special tokens that the file puts before any text.

        Raises:
            CheckpointError: it adds tokens inside of texts.
        """
        plain = self.encode(WORD)
        around: list[int] = list(self.backend.encode(WORD, add_special_tokens=True).ids)
        for place in range(len(around) - len(plain) + 1):
            if around[place : place + len(plain)] == plain:
                return around[:place]
        got = f"{around} for a text of the tokens {plain}"
        remedy = "Save it without its post-processor."
        raise CheckpointError(Problem(str(self.path), "special tokens before or behind a text", got, remedy))

    def pieces(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Pieces of several texts, without special tokens. What was cut once with this file is remembered on disk."""
        for text in texts:
            check_characters(text)
        # Once the vocabulary is in memory, cutting is faster than looking up.
        found = None if "backend" in self.__dict__ else encodings.read(self.path, texts)
        if found is None:
            remember = "backend" not in self.__dict__
            cut = self.backend.encode_batch(list(texts), add_special_tokens=False)
            found = [Encoding(tuple(one.tokens), tuple(one.ids)) for one in cut]
            if remember:
                encodings.write(self.path, texts, found)
        for encoding in found:
            self._seen.update(zip(encoding.pieces, encoding.ids, strict=True))
        return [encoding.pieces for encoding in found]

    def tokenize(self, text: str) -> TokenizedText:
        """A text with its tokens and their bytes."""
        return TokenizedText.from_pieces(text, self.pieces([text])[0])

    def ids(self, pieces: Sequence[str]) -> list[int]:
        """Ids of pieces of this vocabulary.

        Raises:
            CheckpointError: a piece is not in the vocabulary.
        """
        for piece in pieces:
            if piece not in self._seen:
                id_ = self.backend.token_to_id(piece)
                if id_ is None:
                    remedy = "Tokenise with this tokenizer."
                    raise CheckpointError(Problem(str(self.path), "tokens of its vocabulary", repr(piece), remedy))
                self._seen[piece] = id_
        return [self._seen[piece] for piece in pieces]

    def vocabulary_sha256(self) -> str:
        """SHA-256 over the lines ``id<TAB>piece``, sorted by id: the name under which gold files know a tokenizer."""
        return remembered(self.path, "vocabulary", self._vocabulary_sha256)

    def _vocabulary_sha256(self) -> str:
        vocabulary: dict[str, int] = self.backend.get_vocab(with_added_tokens=True)
        lines = (f"{id_}\t{piece}\n" for piece, id_ in sorted(vocabulary.items(), key=lambda item: item[1]))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def _tiktoken_file(directory: Path) -> str | None:
    """The file of a directory that has ranks in the form of tiktoken: on each line a piece in base64 and its rank."""
    places = sorted(directory.glob("*.tiktoken")) if directory.is_dir() else []
    for path in (*places, directory / "tokenizer.model"):  # Llama 3 has it there, others have SentencePiece
        if path.is_file():
            with path.open("rb") as file:
                if RANK.fullmatch(file.readline(1000)):
                    return path.name
    return None


def _json(path: Path) -> dict[str, Any]:
    """The settings in a file beside the tokenizer; none where there is no file."""
    return read_object(path, Wanted("a JSON object", DAMAGED, CheckpointError)) if path.is_file() else {}
