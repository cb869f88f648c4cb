"""The tokenizer of a model directory: its ``tokenizer.json``, read by the ``tokenizers`` library and nothing else.

Frameworks that rebuild a tokenizer from its class may cut text differently, so probe, gold and training all use this.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from probe.errors import CheckpointError, Problem
from probe.tokens import TokenizedText

FILE = "tokenizer.json"
QWEN_EOS_ID = 151643
"""DSKD forces this id for Qwen, whose chat models would name ``<|im_end|>``."""


class Tokenizer:
    """Pieces and ids of one vocabulary. Build with `Tokenizer.load`."""

    def __init__(self, backend: Any, eos_id: int | None, where: str) -> None:
        self.where = where
        self._backend = backend
        self._eos_id = eos_id

    @classmethod
    def load(cls, directory: Path) -> "Tokenizer":
        """Read ``tokenizer.json``; the end-of-sequence id comes from the configuration files beside it.

        Raises:
            CheckpointError: the file is missing or malformed.
        """
        import tokenizers

        path = directory / FILE
        if not path.is_file():
            raise CheckpointError(
                Problem(
                    str(directory),
                    f"a {FILE}",
                    "none",
                    "Save the fast tokenizer there: AutoTokenizer.from_pretrained(...).save_pretrained(directory).",
                )
            )
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for malformed files
            raise CheckpointError(
                Problem(str(path), "a tokenizer the tokenizers library can read", str(error), "Save it again.")
            ) from error
        return cls(backend, _eos_id(directory, backend), str(path))

    @property
    def eos_id(self) -> int:
        """Id of the end-of-sequence token.

        Raises:
            CheckpointError: no configuration file names one.
        """
        if self._eos_id is None:
            raise CheckpointError(
                Problem(self.where, "an end-of-sequence token", "none", "Name eos_token_id in config.json beside it.")
            )
        return self._eos_id

    @property
    def dskd_eos_id(self) -> int:
        """The id that DSKD ends responses with: Qwen's ``<|endoftext|>`` where there is one, else the tokenizer's."""
        is_qwen = self._backend.token_to_id("<|endoftext|>") == QWEN_EOS_ID
        return QWEN_EOS_ID if is_qwen else self.eos_id

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of a text with the special tokens that the model was pre-trained to see in front of it, such as BOS."""
        return list(self._backend.encode(text, add_special_tokens=True).ids)

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        """Pieces of several texts, without special tokens."""
        return [list(e.tokens) for e in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    def tokenize(self, text: str) -> TokenizedText:
        """A text with its pieces and their byte spans."""
        return TokenizedText.from_pieces(text, self.pieces([text])[0])

    def ids(self, pieces: Sequence[str]) -> list[int]:
        """Ids of pieces of this vocabulary.

        Raises:
            CheckpointError: a piece is not in the vocabulary.
        """
        ids = [self._backend.token_to_id(piece) for piece in pieces]
        missing = [piece for piece, id_ in zip(pieces, ids, strict=True) if id_ is None]
        if missing:
            raise CheckpointError(
                Problem(self.where, "pieces of its vocabulary", repr(missing[0]), "Tokenise with this tokenizer.")
            )
        return ids

    def vocabulary_sha256(self) -> str:
        """SHA-256 over the lines ``id<TAB>piece``, sorted by id: the name under which gold files know a tokenizer."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        lines = (f"{id_}\t{piece}\n" for piece, id_ in sorted(vocabulary.items(), key=lambda item: item[1]))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def _eos_id(directory: Path, backend: Any) -> int | None:
    named = _json(directory / "tokenizer_config.json").get("eos_token")
    if isinstance(named, dict):  # older files store the whole AddedToken
        named = named.get("content")
    if isinstance(named, str):
        return backend.token_to_id(named)
    id_ = _json(directory / "config.json").get("eos_token_id")
    return id_[0] if isinstance(id_, list) else id_


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
