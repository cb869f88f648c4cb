"""Each definition on texts that have the phenomenon and on texts that nearly have it."""

import pytest
from places import GOLD

from probe.gold.pairs import read_pairs
from probe.gold.phenomena import MECHANICAL, mechanical_tags, missing_tags, unfounded_tags
from probe.gold.rows import PHENOMENA, GoldRow
from probe.tokens import TokenizedText


def row(student: str, teacher: str, phenomena: tuple[str, ...] = ()) -> GoldRow:
    cuts = student.split("|"), teacher.split("|")
    text = "".join(cuts[0])
    both = TokenizedText.from_pieces(text, cuts[0]), TokenizedText.from_pieces(text, cuts[1])
    return GoldRow("r", "s~t", *both, frozenset(), frozenset(), phenomena, "")


@pytest.mark.parametrize(
    ("tag", "with_it", "without"),
    [
        ("number", ["v2", "٣"], ["two", "½x"]),
        ("punctuation", ["a...", "“a", "a — b", "¿?", "„a"], ["a.", "a-b", "a. b"]),
        ("whitespace", ["a\nb", "a\tb", "a  b", "a\u00a0b"], ["a b"]),
        ("accent", ["crème", "cre\u0300me", "Ά"], ["naive", "й", "が"]),
        ("cjk", ["人", "カ", "글", "𠮷"], ["à", "я"]),
        ("emoji", ["🙂", "☀", "🇫🇷", "⏰"], ["©", "→", "↔", "✓"]),
        ("contraction", ["don't", "l’eau"], ["'a'", "5'6", "dogs' a"]),
        ("casing", ["USA", "iPhone", "May may", "ΑΒ"], ["May", "The the", "A b", "1A"]),
    ],
)
def test_of_the_text(tag: str, with_it: list[str], without: list[str]):
    for texts, expected in ((with_it, True), (without, False)):
        for text in texts:
            pieces = TokenizedText.from_pieces(text, ["▁" + text.replace(" ", "▁")])
            assert (tag in mechanical_tags(pieces, pieces)) == expected, text


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ("un|able", "unable", {"split"}),
        ("unable", "un|able", {"merge"}),
        ("una|ble", "un|able", {"many-to-many"}),
        ("un|able| a|b", "unable| a|b", {"split"}),
        (" |able", " able", set()),  # white space on the finer side does not count
        ("un|able", "un|able", set()),
    ],
)
def test_of_the_chunks(student: str, teacher: str, expected: set[str]):
    made = row(student, teacher)
    assert set(mechanical_tags(made.student, made.teacher)) == expected


def test_empty_pieces_do_not_count():
    cut = TokenizedText.from_pieces("cat", ["▁", "cat"]), TokenizedText.from_pieces("cat", ["cat"])
    assert mechanical_tags(*cut) == mechanical_tags(*reversed(cut)) == ()


@pytest.mark.parametrize(
    ("pieces", "expected"), [(["<0xC3>", "<0xA9>"], True), (["Ã", "©"], True), (["é"], False), (["Ã©"], False)]
)
def test_byte_fallback(pieces: list[str], expected: bool):
    cut, whole = TokenizedText.from_pieces("é", pieces), TokenizedText.from_pieces("é", ["é"])
    for both in ((cut, whole), (whole, cut)):
        assert ("byte-fallback" in mechanical_tags(*both)) == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (" a| bank| or| a| bank", {"repeat-same-context"}),
        ("a| bank| or| a| bank", {"repeat-new-context"}),  # the two neighbours are not the same piece
        ("a| bank| or| the| bank", {"repeat-new-context"}),
        ("a| bank| or| the| Bank", {"repeat-new-context"}),
        ("an| ox| or| the| ox", set()),  # two letters are no word
        (" bank| bank| bank| bank| bank| bank", set()),  # more often than five times
        ("a| file| or| a| pro|file", set()),  # within a longer word: by hand
    ],
)
def test_repeats(pieces: str, expected: set[str]):
    made = row(pieces, pieces)
    assert set(mechanical_tags(made.student, made.teacher)) & set(PHENOMENA[:2]) == expected


def test_a_repeat_by_hand_is_left_alone_where_it_can_be_one():
    same, new = PHENOMENA[:2]
    assert unfounded_tags(row("a| file| or| a| pro|file", "a| file| or| a| pro|file", (new,))) == ()
    # No two pieces come twice in a row, so the context is not the same.
    assert unfounded_tags(row("a| file| or| a| pro|file", "a| file| or| a| pro|file", (same, new))) == (same,)
    assert unfounded_tags(row("a| file| or| a| cat", "a| file| or| a| cat", (new,))) == (new,)
    assert unfounded_tags(row("再见|，|再见", "再见|，|再见", (new,))) == ()


def test_tags_of_the_annotator_are_not_judged():
    made = row("a| cat", "a| cat", ("name", "rare-word", "code", "url", "number"))
    assert (missing_tags(made), unfounded_tags(made)) == ((), ("number",))
    assert missing_tags(row("a| 1", "a| 1")) == ("number",)
    assert set(PHENOMENA) - set(MECHANICAL) == {"name", "rare-word", "code", "url"}


def test_the_gold_file_carries_these_tags():
    for made in read_pairs(GOLD).rows:
        assert (made.id, missing_tags(made), unfounded_tags(made)) == (made.id, (), ())
