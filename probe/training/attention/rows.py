"""Training rows of an attention alone: texts as both tokenizers cut them, with their links by rule."""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from probe.errors import Problem, TokenError, TrainingError
from probe.gold.by_rule import read_texts
from probe.gold.pairs import read_pairs
from probe.gold.rules import rule_links
from probe.models.sources import bundled_gold
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText
from probe.training.attention.sampling import HeldOut, by_script, held_out, sample_texts, without
from probe.training.attention_recipe import TextsPart
from probe.training.data.rows import DOCSTRINGS
from probe.training.data.rows import read_rows as read_data
from probe.training.parts import DataPart
from probe.training.vocabulary_map import Vocabulary

MANY = 20
"""Characters from which on a gold text must not stand inside of a training text; a shorter one must not be one."""
AT_ONCE, HELD_OUT = 1000, 100

Tokenizers = tuple[Tokenizer, Tokenizer]


class Ends(NamedTuple):
    """Of one side: the token before a text, which is the prompt's last, and the end of sequence after it."""

    before: int
    after: int


class Row(NamedTuple):
    """One text. Ids have the prompt's last token in front and the end of sequence behind; links join targets."""

    student: Int[np.ndarray, " student_ids"]
    teacher: Int[np.ndarray, " teacher_ids"]
    links: Bool[np.ndarray, "student_targets teacher_targets"]


class Rows(NamedTuple):
    """What the attention learns from."""

    rows: Sequence[Row]
    counts: tuple[int, int]
    """Texts of the source, and sampled ones: without those that hold a gold text or a held-out token, are too long, or
    are not spelled by a tokenizer."""
    sha256: str
    """Of the texts, in order."""
    gold_sha256: str
    """Of the texts of the gold file, none of which is there."""


def read_rows(part: TextsPart, tokenizers: Tokenizers, ends: tuple[Ends, Ends], seed: int) -> Rows:
    """The sampled texts, and those of the source as often as their share wants.

    Raises:
        TrainingError: there is no text that can be used.
        PairsError: the source cannot be read.
    """
    vocabularies = Vocabulary.of(tokenizers[0]), Vocabulary.of(tokenizers[1])
    held = held_out(vocabularies, part.held_out, seed)
    sampled: list[str] = []
    if part.sampled:
        sides = [without(by_script(one), tokenizers, held) for one in vocabularies]
        sampled = sample_texts((sides[0], sides[1]), part.sampled, seed)
    gold = _gold_texts()
    own, sampled = ([text for text in texts if not _holds_gold(text, gold)] for texts in (_own(part), sampled))
    found = [cut(texts, tokenizers, ends, held, part.max_tokens) for texts in (own, sampled)]
    if not any(found):
        remedy = "Raise texts.sampled or texts.max_tokens, name texts.source, or lower texts.held_out."
        raise TrainingError(Problem("texts", "texts to learn from", "none", remedy))
    counts = len(found[0]), len(found[1])
    return Rows([*found[0] * _times(counts, part.share), *found[1]], counts, _digest([*own, *sampled]), _digest(gold))


def _own(part: TextsPart) -> list[str]:
    if part.source is None or part.share == 0:
        return []
    if part.source == DOCSTRINGS:
        held = DataPart(source=DOCSTRINGS, held_out=HELD_OUT)  # those that the bundled demo held out
        return [row.output for row in read_data(held, seed=0).train][: part.max_texts]
    return read_texts(part.source).texts[: part.max_texts]


def _times(counts: tuple[int, int], share: float) -> int:
    """How often each text of the source must be there to be so much of all."""
    own, sampled = counts
    return max(1, round(share / (1 - share) * sampled / own)) if own else 1


def cut(
    texts: Sequence[str], tokenizers: Tokenizers, ends: tuple[Ends, Ends], held: HeldOut, max_tokens: int
) -> list[Row]:
    """The texts that both tokenizers spell, that are no longer than allowed, and that hold no held-out token."""
    rows: list[Row] = []
    for begin in range(0, len(texts), AT_ONCE):
        part = list(texts[begin : begin + AT_ONCE])
        sides = [one.backend.encode_batch(part, add_special_tokens=False) for one in tokenizers]
        for text, student, teacher in zip(part, *sides, strict=True):
            fits = all(0 < len(side.ids) <= max_tokens for side in (student, teacher))
            if not (fits and held.student.isdisjoint(student.ids) and held.teacher.isdisjoint(teacher.ids)):
                continue
            try:
                ours, theirs = (TokenizedText.from_pieces(text, side.tokens) for side in (student, teacher))
            except TokenError:  # counted as left out: the bytes of its tokens are unknown
                continue
            rows.append(
                Row(
                    np.array([ends[0].before, *student.ids, ends[0].after], dtype=np.int64),
                    np.array([ends[1].before, *teacher.ids, ends[1].after], dtype=np.int64),
                    _links(ours, theirs),
                )
            )
    return rows


def _links(student: TokenizedText, teacher: TokenizedText) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    """Sure links by rule, and that of the two ends of sequence."""
    links = np.zeros((len(student.tokens) + 1, len(teacher.tokens) + 1), dtype=bool)
    for link in rule_links(student, teacher).sure:
        links[link] = True
    links[-1, -1] = True
    return links


@cache
def _gold_texts() -> tuple[str, ...]:
    """Read once for all runs of a process: it takes a second."""
    return tuple(sorted({row.text for row in read_pairs(bundled_gold())}))


def _holds_gold(text: str, gold: Sequence[str]) -> bool:
    return any(one in text if len(one) >= MANY else one == text for one in gold)


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
