"""How the judged rows were drawn: words whole and each once, dialogues placed by their words, tokenizers repeatable."""

import random

import pytest
from places import GOLD

from alignments.drawing.heads import CLASSES, MOST_NUMBERS, Word, cut_out, drawn, words_of_gold
from alignments.drawing.overlap import SMALL, TEXTS, small_tokenizers
from alignments.drawing.roles import DIALOGUES, TEMPLATES, WITHOUT_TOOLS, chatml, side_of, with_added
from probe.gold.check import check_rows
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import HEADS
from probe.models.sources import bundled_dir
from probe.models.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def words() -> list[Word]:
    """Of every fifth row."""
    return list(words_of_gold(read_pairs(GOLD)[::5]))


def test_words_of_gold_are_whole_and_ask_something(words: list[Word]):
    gold = read_pairs(GOLD)
    assert len(words) > 40
    assert len({(word.pair, word.student.text.lower()) for word in words}) == len(words)
    rows = tuple(word.row(f"h-{number}") for number, word in enumerate(words))
    assert all(row.judged == HEADS and max(row.sizes) > 1 and not row.heads for row in rows)
    assert check_rows(GoldFile(rows, gold.comments), "f") == ()


def test_a_word_that_shares_a_token_with_what_is_around_it_is_left_out():
    row = read_pairs(GOLD)["sg-009"]
    start = row.text.index("unbelievable")
    assert cut_out(row, "unbelievable", start, "", "") is not None
    assert cut_out(row, "unbel", start, "", "") is None
    assert cut_out(row, "believable", start + 2, "", "") is None


def test_a_draw_is_even_by_class_and_the_same_for_a_seed(words: list[Word]):
    spelled = [word for word in words if not word.student.text[0].isdigit()]
    first, second = (drawn(spelled, 9, random.Random(7)) for _ in range(2))
    assert first == second
    there = [sum(word.kind == kind for word in spelled) for kind in CLASSES]
    assert [sum(word.kind == kind for word in first) for kind in CLASSES[1:]] >= [3, 3]
    assert min(there[0], 3) == sum(word.kind == "1-n" for word in first)


def test_few_numbers_are_drawn(words: list[Word]):
    numbers = [word for word in words if word.student.text[0].isdigit()]
    assert len(numbers) > MOST_NUMBERS // 2
    assert len(drawn(numbers, 50, random.Random(0))) == MOST_NUMBERS // 2


def test_every_template_places_the_words_of_every_dialogue():
    backend = Tokenizer.load(bundled_dir() / "demo" / "student").backend
    for messages in DIALOGUES.values():
        text = "\n".join(said for _, said in messages)
        calls = any(who == "call" for who, _ in messages)
        for template in [one for name, one in TEMPLATES.items() if not (calls and name in WITHOUT_TOOLS)]:
            side = side_of(template(messages), backend, text)
            spelled = b"".join(side.words.surfaces())
            assert spelled.split() == text.replace("\n", "").encode().split()
            # What covers nothing of the text is the template's.
            pieces = zip(side.words.tokens, side.is_template, strict=True)
            assert all(mine for token, mine in pieces if token.start == token.end)


def test_special_tokens_are_added_to_a_copy():
    backend = Tokenizer.load(bundled_dir() / "demo" / "student").backend
    size = backend.get_vocab_size()
    added = with_added(backend, ["<|im_start|>", "<|im_end|>"])
    side = side_of(chatml(DIALOGUES["one turn"]), added, "Name a river.\nThe Elbe.")
    assert side.words.pieces[0] == "<|im_start|>"
    assert side.is_template[0]
    assert (backend.get_vocab_size(), added.get_vocab_size()) == (size, size + 2)


def test_small_tokenizers_are_the_same_in_each_run_and_change_texts():
    texts = read_pairs(GOLD).texts
    first, second = small_tokenizers(texts), small_tokenizers(texts)
    assert {name: one.pieces for name, one in first.items()} == {name: one.pieces for name, one in second.items()}
    assert list(first) == list(SMALL)
    lower, plain, folded = first.values()
    assert lower.cut("Café")[0] == "cafe"
    assert "[UNK]" in lower.cut("say ᚠᚢᚦ aloud")
    assert "".join(plain.cut("ﬁne")) == "▁fine"
    assert "".join(folded.cut("README")) == "▁readme"
    assert len({text for texts in TEXTS.values() for text in texts}) >= 60
