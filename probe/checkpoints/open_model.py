"""The two models of a checkpoint, as probing needs them: only the embedding table and the tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from probe.attention import bigrams
from probe.checkpoints.checkpoint import ModelRecord
from probe.errors import CheckpointError, Problem, option
from probe.models.embeddings import EmbeddingTable, open_table
from probe.models.sources import CACHE, resolve
from probe.models.table_sources import find_source
from probe.models.tokenizer import FILE, Tokenizer
from probe.tokens import TokenizedText


@dataclass(frozen=True)
class OpenModel:
    """The table and tokenizer of a student or teacher, the last token of the prompt, and the end of sequence (EOS)."""

    source: str
    table: EmbeddingTable
    tokenizer: Tokenizer
    prompt_end_id: int
    eos_id: int

    def ids(self, text: TokenizedText) -> Int[np.ndarray, " positions_and_one"]:
        """The tokens of a sentence between the end of the prompt and the end of sequence."""
        return np.array([self.prompt_end_id, *self.tokenizer.ids(text.pieces), self.eos_id], dtype=np.int64)

    def pairs(self, text: TokenizedText) -> tuple[Int[np.ndarray, " positions"], Int[np.ndarray, "distinct 2"]]:
        """The distinct pairs of input and target of a sentence, and the number of the pair at each position.

        The first position has the first token of the sentence as its target, the last one the end of sequence.
        """
        ids = self.ids(text)
        # As one number, for numpy sorts numbers many times faster than rows; the order is the same.
        size = int(ids.max()) + 1
        found, which = np.unique(ids[:-1] * size + ids[1:], return_inverse=True)
        return which, np.stack(np.divmod(found, size), axis=1)

    def bigrams(
        self, text: TokenizedText
    ) -> tuple[Int[np.ndarray, " positions"], Float[np.ndarray, "distinct two_widths"]]:
        """The same with the embeddings of input and target in the place of each pair."""
        which, pairs = self.pairs(text)
        return which, bigrams(self.table.take(pairs[:, 0]), self.table.take(pairs[:, 1]))

    def finite_rows(self, ids: Int[np.ndarray, " tokens"]) -> Float[np.ndarray, "tokens width"]:
        """The embeddings of some tokens.

        Raises:
            CheckpointError: one is not finite.
        """
        rows = self.table.take(ids)
        if not np.isfinite(rows).all():
            remedy = "Training diverged, or the file is damaged: name another copy."
            raise CheckpointError(Problem(self.source, "finite embeddings", "others", remedy))
        return rows

    def produces(self, texts: Sequence[TokenizedText]) -> list[bool]:
        """For each sentence, whether this tokenizer cuts it into exactly these tokens."""
        pieces = self.tokenizer.pieces([text.text for text in texts])
        return [text.pieces == own for text, own in zip(texts, pieces, strict=True)]


def open_model(record: ModelRecord, role: str, *, directory: Path, override: str | None = None) -> OpenModel:
    """Open a model from its first source that exists, or from the one that the user names.

    Args:
        record: what the checkpoint says about the model.
        role: ``student`` or ``teacher``, for messages.
        directory: the directory of the checkpoint, to which relative sources refer.
        override: a directory, ``.gguf`` file or hub id that the user names.

    Raises:
        CheckpointError: no source exists, or the projectors were trained with another table or vocabulary.
        TableError: a source exists and cannot be read.
    """
    source = override or _available(record, role, directory)
    found = resolve(source, directory if override is None else Path.cwd())
    # The factor that training saw, whatever this copy's configuration says: the identity is of unscaled rows.
    table = open_table(found, scale=record.embedding_scale)
    _check_identity(record, role, table)
    tokenizer = tokenizer_of(found)
    _check_vocabulary(record, role, tokenizer)
    return OpenModel(source, table, tokenizer, record.prompt_end_id, record.eos_id)


def _available(record: ModelRecord, role: str, directory: Path) -> str:
    for verified in record.sources:
        found = resolve(verified.source, directory)
        if isinstance(found, str) or found.exists():
            return verified.source
    names = [verified.source for verified in record.sources]
    cached = [name.removeprefix(CACHE).partition("/")[0] for name in names if name.startswith(CACHE)]
    fetch = f"Run `probe-models fetch {cached[0]}`, or name a copy" if cached else "Name a copy"
    raise CheckpointError(
        Problem(
            f"{role} {record.name}",
            f"the model in {' or '.join(names)}",
            "no such model",
            f"{fetch} with {option(f'--{role}')}.",
        )
    )


def _check_identity(record: ModelRecord, role: str, table: EmbeddingTable) -> None:
    identity = table.identity()
    accepted = {verified.sha256 for verified in record.sources}
    if (identity.rows, identity.width) == (record.rows, record.width) and identity.sha256 in accepted:
        return
    raise CheckpointError(
        Problem(
            f"{role} {table.source}",
            f"the embedding table of {record.name}: {record.rows} × {record.width}, "
            f"sha256 {' or '.join(sha[:12] for sha in sorted(accepted))}…",
            f"{identity.rows} × {identity.width}, sha256 {identity.sha256[:12]}…",
            f"Use the {role} with which the projectors were trained.",
        )
    )


def _check_vocabulary(record: ModelRecord, role: str, tokenizer: Tokenizer) -> None:
    """Refuse other ids: the table would give each token the row of another one."""
    found = tokenizer.vocabulary_sha256()
    if found == record.vocabulary_sha256:
        return
    expected = f"the vocabulary of {record.name}, sha256 {record.vocabulary_sha256[:12]}…"
    remedy = f"Put the tokenizer with which the projectors were trained beside the {role}."
    raise CheckpointError(Problem(f"{role} {tokenizer.path}", expected, f"sha256 {found[:12]}…", remedy))


def named_tokenizer(source: str) -> Tokenizer:
    """The tokenizer that somebody names: a model directory, a JSON file, a hub id or a bundled model.

    Raises:
        CheckpointError: there is none.
    """
    return tokenizer_of(resolve(source, Path.cwd()))


def tokenizer_of(found: Path | str) -> Tokenizer:
    """The tokenizer beside a table: in its directory, beside its ``.gguf`` file, or in its repository on the hub.

    Raises:
        CheckpointError: there is none.
    """
    if isinstance(found, Path):
        if found.suffix == ".json" and found.is_file():
            return Tokenizer(found)
        return Tokenizer.load(found if found.is_dir() else found.parent)
    files = find_source(found, where=found, download=None)
    for name in ("config.json", "tokenizer_config.json"):
        files.fetch(name)
    path = files.fetch(FILE)
    if path is None:
        raise files.missing(FILE)
    return Tokenizer.load(path.parent)  # the hub's cache keeps the files of one revision together
