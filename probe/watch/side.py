"""One side of somebody else's run: what its tokenizer knows beside the tokens of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from probe.alignment.token_alignment import reader_named
from probe.checkpoints.open_model import named_tokenizer
from probe.errors import ArgumentError
from probe.models.token_readers import LibraryReader, TokenReader
from probe.models.tokenizer import Tokenizer


@dataclass(frozen=True)
class Side:
    """A tokenizer, and its role for messages."""

    tokenizer: Any
    """An object of another library, or one of this package where a name was given."""
    role: str
    """``student`` or ``teacher``."""

    @classmethod
    def of(cls, tokenizer: object, role: str) -> "Side":
        """The side of a tokenizer, or of a name of one.

        Raises:
            ArgumentError: it is no tokenizer.
            CheckpointError: there is none of this name.
        """
        if tokenizer and isinstance(tokenizer, str | Path):
            return cls(named_tokenizer(str(tokenizer)), role)
        found = cls(tokenizer, role)
        _ = found.reader
        return found

    @cached_property
    def reader(self) -> TokenReader:
        """What cuts texts."""
        return reader_named(self.tokenizer, f"{self.role}_tokenizer")

    @cached_property
    def special(self) -> dict[int, str]:
        """The marks of its vocabulary, as ``<|im_start|>``, by id."""
        reader = self.reader
        if isinstance(reader, LibraryReader):
            added: dict[int, Any] = reader.backend.get_added_tokens_decoder()
            return {id_: token.content for id_, token in added.items() if token.special}
        if ids := getattr(self.tokenizer, "all_special_ids", None):  # one of transformers, written in Python
            return {id_: str(self.tokenizer.convert_ids_to_tokens(id_)) for id_ in ids}
        marks: Sequence[str] = sorted(getattr(self.tokenizer, "special_tokens_set", ()))  # one in the form of tiktoken
        return {self.tokenizer.encode_single_token(mark): mark for mark in marks}

    @property
    def bos_id(self) -> int | None:
        """Id of the token that begins a sequence, if it says so."""
        id_ = getattr(self.tokenizer, "bos_token_id", None)
        return id_ if isinstance(id_, int) else None

    @property
    def eos_id(self) -> int:
        """Id of the token that ends a sequence.

        Raises:
            ArgumentError: it does not say which.
        """
        if isinstance(self.tokenizer, Tokenizer):
            return self.tokenizer.eos_id
        id_ = getattr(self.tokenizer, "eos_token_id", getattr(self.tokenizer, "eot_token", None))
        if not isinstance(id_, int):
            remedy = "Give the tokenizer of transformers, AutoTokenizer.from_pretrained(name)."
            raise ArgumentError.of(f"{self.role}_tokenizer", "a tokenizer with an eos_token_id", self.tokenizer, remedy)
        return id_

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, marks included."""
        reader = self.reader
        if isinstance(reader, LibraryReader):
            return reader.backend.decode(list(ids), skip_special_tokens=False)
        return self.tokenizer.decode(list(ids))
