"""The tokenizer of a model directory: its ``tokenizer.json``, read by the ``tokenizers`` library.

Frameworks that rebuild a tokenizer from its class may cut text differently. So probing, gold data and training all use
this file.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from probe.errors import CheckpointError, Problem
from probe.models import encodings
from probe.models.encodings import Encoding
from probe.tokens import TokenizedText

FILE = "tokenizer.json"
QWEN_EOS_ID = 151643
"""DSKD uses this id for all Qwen models; the chat models themselves name ``<|im_end|>``."""


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
            remedy = "Save the fast tokenizer there: AutoTokenizer.from_pretrained(...).save_pretrained(directory)."
            raise CheckpointError(Problem(str(directory), f"a {FILE}", "none", remedy))
        return cls(directory / FILE)

    @cached_property
    def _backend(self) -> Any:
        import tokenizers

        try:
            return tokenizers.Tokenizer.from_file(str(self.path))
        except Exception as error:  # the library raises bare Exception for malformed files
            raise CheckpointError(
                Problem(
                    str(self.path), "a tokenizer that the tokenizers library can read", str(error), "Save it again."
                )
            ) from error

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
            self._backend.token_to_id(named) if named else _json(self.path.with_name("config.json")).get("eos_token_id")
        )
        id_ = id_[0] if isinstance(id_, list) else id_
        if id_ is None:
            remedy = "Add eos_token_id to the config.json in the same directory."
            raise CheckpointError(Problem(str(self.path), "an end-of-sequence token", "none", remedy))
        return id_

    @property
    def dskd_eos_id(self) -> int:
        """The id with which DSKD ends responses: ``<|endoftext|>`` for Qwen, else that of the tokenizer."""
        is_qwen = self._backend.token_to_id("<|endoftext|>") == QWEN_EOS_ID
        return QWEN_EOS_ID if is_qwen else self.eos_id

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of a text with the special tokens that the model expects in front of it, such as begin of sequence."""
        return list(self._backend.encode(text, add_special_tokens=True).ids)

    def pieces(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The tokens of several texts, without special tokens. They are stored on disk for the next run."""
        # Once the vocabulary is in memory, tokenising is faster than the cache.
        found = None if "_backend" in self.__dict__ else encodings.read(self.path, texts)
        if found is None:
            remember = "_backend" not in self.__dict__
            cut = self._backend.encode_batch(list(texts), add_special_tokens=False)
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
                id_ = self._backend.token_to_id(piece)
                if id_ is None:
                    remedy = "Tokenise with this tokenizer."
                    raise CheckpointError(Problem(str(self.path), "tokens of its vocabulary", repr(piece), remedy))
                self._seen[piece] = id_
        return [self._seen[piece] for piece in pieces]

    def vocabulary_sha256(self) -> str:
        """SHA-256 of the lines ``id<TAB>piece``, sorted by id, by which gold files identify a tokenizer."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        lines = (f"{id_}\t{piece}\n" for piece, id_ in sorted(vocabulary.items(), key=lambda item: item[1]))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
