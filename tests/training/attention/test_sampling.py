"""Texts sampled from two vocabularies: what occurs in them, and what must not."""

import numpy as np
import pytest

from probe.checkpoints.open_model import named_tokenizer
from probe.models.tokenizer import Tokenizer
from probe.training.attention.sampling import (
    MARKS,
    NO_LETTERS,
    ByScript,
    HeldOut,
    by_script,
    held_out,
    sample_texts,
    without,
)
from probe.training.vocabulary_map import Vocabulary


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    return named_tokenizer("bundled:demo/student"), named_tokenizer("bundled:demo/teacher")


@pytest.fixture(scope="module")
def vocabularies(tokenizers: tuple[Tokenizer, Tokenizer]) -> tuple[Vocabulary, Vocabulary]:
    first, second = (Vocabulary.of(one) for one in tokenizers)
    return first, second


@pytest.fixture(scope="module")
def sides(vocabularies: tuple[Vocabulary, Vocabulary]) -> tuple[ByScript, ByScript]:
    return by_script(vocabularies[0]), by_script(vocabularies[1])


def test_texts_are_those_of_their_seed(sides: tuple[ByScript, ByScript]):
    texts = sample_texts(sides, 20, 7)
    assert texts == sample_texts(sides, 20, 7)
    assert texts != sample_texts(sides, 20, 8)
    assert len(set(texts)) == 20


def test_every_script_occurs_and_only_whole_characters_do():
    sides: tuple[ByScript, ByScript] = (
        {"LATIN": [" the", "un"], MARKS: ["\n", "3"], NO_LETTERS: ["\n", "3"]},
        {"LATIN": [" die"], "CJK": ["东", "京"], "THAI": ["ก"]},
    )
    texts = sample_texts(sides, 300, 1)
    joined = "".join(texts)
    assert {one for side in sides for some in side.values() for one in some} == {
        one for side in sides for some in side.values() for one in some if one in joined
    }
    # Most of a text is of one script: of those with Thai, some have no Chinese.
    assert any("ก" in text and "东" not in text and "京" not in text for text in texts)


def test_tokens_come_again(sides: tuple[ByScript, ByScript], tokenizers: tuple[Tokenizer, Tokenizer]):
    ids = [tokenizers[1].encode(text) for text in sample_texts(sides, 30, 1)]
    assert np.mean([len(set(one)) < len(one) for one in ids]) > 0.8


def test_tokens_by_script_spell_what_their_bytes_are(sides: tuple[ByScript, ByScript]):
    for side in sides:
        assert {"LATIN", MARKS, NO_LETTERS} <= side.keys()
        assert all(text.isascii() and not any(map(str.isalpha, text)) for text in side[MARKS])
        assert "\n" in side[MARKS]
        assert any(text.startswith(" ") for text in side["LATIN"])
        assert not any("\ufffd" in text for some in side.values() for text in some)


def test_held_out_tokens_are_a_share_of_those_with_two_characters(vocabularies: tuple[Vocabulary, Vocabulary]):
    held = held_out(vocabularies, 0.1, 3)
    assert held == held_out(vocabularies, 0.1, 3)
    assert held != held_out(vocabularies, 0.1, 4)
    for ids, vocabulary in zip(held, vocabularies, strict=True):
        assert 0.05 * len(vocabulary.surfaces) < len(ids) < 0.1 * len(vocabulary.surfaces)
        assert all(len(vocabulary.surfaces[id_].strip()) > 1 for id_ in ids)


def test_texts_without_held_out_tokens_are_cut_into_none(
    sides: tuple[ByScript, ByScript],
    tokenizers: tuple[Tokenizer, Tokenizer],
    vocabularies: tuple[Vocabulary, Vocabulary],
):
    held = held_out(vocabularies, 0.1, 3)
    kept = without(sides[1], tokenizers, held)
    assert 0 < len(kept["LATIN"]) < len(sides[1]["LATIN"])
    for text in kept["LATIN"]:
        for ids, tokenizer in zip(held, tokenizers, strict=True):
            assert ids.isdisjoint(tokenizer.encode(text))
    assert without(sides[1], tokenizers, HeldOut(frozenset(), frozenset())) is sides[1]
