"""Texts sampled from two vocabularies, so that every token and every script occurs, which no corpus of a pair promises.

A text is a string of tokens of either vocabulary that spell whole characters. Most are of one script, so that their
neighbours tell something of them; one in five is a token that came before, one in ten is made of digits, punctuation
or line breaks, and one in ten is Latin. Scripts are drawn by the square root of the number of their tokens.

Tokens that are held out occur in no text. They are of at least two characters, because every text needs the others.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from probe.models.tokenizer import Tokenizer
from probe.tokens import text_of
from probe.training.vocabulary_map import Vocabulary

LATIN, NO_LETTERS, MARKS = "LATIN", "no letters", "ASCII without letters"
SHORTEST, LONGEST = 6, 40
"""Tokens of a text, as they are drawn."""
AGAIN, OWN_SCRIPT, OF_MARKS = 0.2, 0.6, 0.1
"""Shares of a text: tokens that came before, tokens of its script, and marks. The rest is Latin."""
AT_ONCE = 1 << 14
"""Tokens that are cut at once, to see which held-out tokens they contain."""

ByScript = Mapping[str, Sequence[str]]


class HeldOut(NamedTuple):
    """Tokens of both vocabularies, by id, that occur in no training text."""

    student: frozenset[int]
    teacher: frozenset[int]


def held_out(vocabularies: tuple[Vocabulary, Vocabulary], share: float, seed: int) -> HeldOut:
    """A share of the tokens of each vocabulary that spell at least two characters; a function of the seed."""
    rng = np.random.default_rng((seed, 2))
    drawn: list[frozenset[int]] = []
    for vocabulary in vocabularies:
        texts = {id_: text_of(surface) for id_, surface in vocabulary.surfaces.items()}
        ids = np.array([id_ for id_, text in texts.items() if text and len(text.strip()) > 1], dtype=np.int64)
        drawn.append(frozenset(rng.choice(ids, round(share * len(ids)), replace=False).tolist()))
    return HeldOut(*drawn)


def by_script(vocabulary: Vocabulary) -> ByScript:
    """The texts of a vocabulary's tokens that spell whole characters, by the script of their first letter."""
    found: dict[str, set[str]] = defaultdict(set)
    for surface in vocabulary.surfaces.values():
        if text := text_of(surface):
            found[_script(text)].add(text)
            if text.isascii() and _script(text) == NO_LETTERS:
                found[MARKS].add(text)
    return {script: sorted(texts) for script, texts in sorted(found.items())}


def without(texts: ByScript, tokenizers: tuple[Tokenizer, Tokenizer], held: HeldOut) -> ByScript:
    """The texts that neither tokenizer cuts into a token that is held out."""
    if not any(held):
        return texts
    flat = [(script, text) for script, some in texts.items() for text in some]
    kept: dict[str, list[str]] = defaultdict(list)
    for begin in range(0, len(flat), AT_ONCE):
        part = flat[begin : begin + AT_ONCE]
        clean = np.ones(len(part), dtype=bool)
        for tokenizer, ids in zip(tokenizers, held, strict=True):
            cut = tokenizer.backend.encode_batch([text for _, text in part], add_special_tokens=False)
            clean &= [ids.isdisjoint(one.ids) for one in cut]
        for (script, text), is_clean in zip(part, clean, strict=True):
            if is_clean:
                kept[script].append(text)
    return kept


def sample_texts(sides: tuple[ByScript, ByScript], count: int, seed: int) -> list[str]:
    """So many texts; a function of the seed and of the tokens by script of both sides."""
    rng = np.random.default_rng((seed, 1))
    scripts = sorted((sides[0].keys() | sides[1].keys()) - {MARKS})
    sizes = np.array([sum(len(side.get(script, ())) for side in sides) for script in scripts], dtype=float)
    shares = np.sqrt(sizes) / np.sqrt(sizes).sum()
    chosen = rng.choice(len(scripts), count, p=shares).tolist()
    return [_text(sides, scripts[one], rng) for one in chosen]


def _text(sides: tuple[ByScript, ByScript], script: str, rng: np.random.Generator) -> str:
    tokens: list[str] = []
    for _ in range(rng.integers(SHORTEST, LONGEST)):
        drawn = rng.random()
        if tokens and drawn < AGAIN:
            tokens.append(tokens[int(rng.integers(len(tokens)))])
            continue
        kind = script if drawn < AGAIN + OWN_SCRIPT else MARKS if drawn < AGAIN + OWN_SCRIPT + OF_MARKS else LATIN
        one, other = sides if rng.random() < 0.5 else sides[::-1]
        some = one.get(kind) or other.get(kind) or one.get(script) or other[script]
        tokens.append(some[int(rng.integers(len(some)))])
    return "".join(tokens)


def _script(text: str) -> str:
    """The first word of the Unicode name of the first letter, which is that of its script."""
    letter = next((char for char in text if char.isalpha()), None)
    return NO_LETTERS if letter is None else unicodedata.name(letter, NO_LETTERS).partition(" ")[0]
