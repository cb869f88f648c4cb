import json
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import byte_level_pieces, cuts, pieces_of, sentencepiece_pieces, texts
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from probe.errors import TokenError
from probe.tokens import NormalForm, TokenizedText

FORMS: tuple[NormalForm, ...] = ("NFC", "NFKC")


def spans(text: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
    tokenized = TokenizedText.from_pieces(text, pieces)
    assert tokenized.pieces == tuple(pieces)
    return [(token.start, token.end) for token in tokenized.tokens]


def surfaces(text: str, pieces: Sequence[str]) -> list[bytes]:
    tokenized = TokenizedText.from_pieces(text, pieces)
    return [tokenized.surface(i) for i in range(len(pieces))]


def shown(text: str, pieces: Sequence[str]) -> tuple[str, ...]:
    return TokenizedText.from_pieces(text, pieces).display()


# Spans


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        pytest.param("The cat", ["The", "Ġcat"], [b"The", b" cat"], id="byte-level"),
        pytest.param("The cat", ["ĠThe", "Ġcat"], [b"The", b" cat"], id="byte-level with a dummy prefix"),
        pytest.param("The cat", ["▁The", "▁cat"], [b"The", b" cat"], id="SentencePiece with a dummy prefix"),
        pytest.param("The cat", ["The", "▁cat"], [b"The", b" cat"], id="SentencePiece without"),
        pytest.param("cat", ["▁", "cat"], [b"", b"cat"], id="dummy prefix as a piece"),
        pytest.param("cat", ["<0x20>", "c", "at"], [b"", b"c", b"at"], id="dummy prefix as a byte"),
        pytest.param(" cat", ["▁", "▁cat"], [b"", b" cat"], id="dummy prefix before a space"),
        pytest.param(" cat", ["▁cat"], [b" cat"], id="leading space of the text's own"),
        pytest.param("  cat", ["▁▁", "▁cat"], [b" ", b" cat"], id="dummy prefix within a run of spaces"),
        pytest.param("京a", ["äº", "¬", "a"], [b"\xe4\xba", b"\xac", b"a"], id="byte-level split character"),
        pytest.param("京a", ["<0xE4>", "<0xBA>", "<0xAC>", "a"], [b"\xe4", b"\xba", b"\xac", b"a"], id="byte fallback"),
        pytest.param("<0x41>", ["<0", "x4", "1>"], [b"<0", b"x4", b"1>"], id="text that looks like a byte piece"),
        pytest.param("<0x4g>A", ["<0x4g>", "A"], [b"<0x4g>", b"A"], id="no hexadecimal"),
        pytest.param("a  b", ["a", "  ", "b"], [b"a", b"  ", b"b"], id="added token with literal spaces"),
        pytest.param("a   b", ["a", "  ", "Ġb"], [b"a", b"  ", b" b"], id="literal spaces beside the alphabet"),
        pytest.param("aéa", ["a", "é", "a"], [b"a", "é".encode(), b"a"], id="Latin-1 in SentencePiece"),
        pytest.param("aéa", ["a", "Ã", "©a"], [b"a", b"\xc3", b"\xa9a"], id="Latin-1 in bytes"),
        pytest.param("Ġ", ["Ġ"], ["Ġ".encode()], id="a letter that is a space elsewhere"),
        pytest.param("Ġ", ["Ä", "ł"], [b"\xc4", b"\xa0"], id="the same letter in bytes"),
        pytest.param("a\u2028b", ["a", "\u2028", "b"], [b"a", b"\xe2\x80\xa8", b"b"], id="line separator"),
        pytest.param("a\u2028b", ["a", "âĢ", "¨", "b"], [b"a", b"\xe2\x80", b"\xa8", b"b"], id="its bytes"),
        pytest.param("a\u00a0b", ["a\u00a0", "b"], [b"a\xc2\xa0", b"b"], id="no-break space"),
        pytest.param("a\u00a0b", ["aÂł", "b"], [b"a\xc2\xa0", b"b"], id="its bytes"),
        pytest.param("a\nb\tc", ["a", "Ċ", "b", "ĉ", "c"], [b"a", b"\n", b"b", b"\t", b"c"], id="byte-level controls"),
        pytest.param("a\nb", ["a", "\n", "b"], [b"a", b"\n", b"b"], id="SentencePiece line break"),
        pytest.param("", [], [], id="empty"),
        pytest.param("", ["▁"], [b""], id="empty with a dummy prefix"),
    ],
)
def test_surface_of_each_piece(text: str, pieces: list[str], expected: list[bytes]) -> None:
    assert surfaces(text, pieces) == expected


@given(st.data(), texts())
@settings(deadline=None, max_examples=100)
def test_byte_level_pieces_partition_the_bytes(data: st.DataObject, text: str) -> None:
    pieces = data.draw(byte_level_pieces(text))
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    assert spans(text, pieces) == list(pairwise([0, *ends]))


@given(st.data(), texts(), st.booleans())
@settings(deadline=None, max_examples=100)
def test_sentencepiece_pieces_partition_the_bytes(data: st.DataObject, text: str, dummy: bool) -> None:
    pieces = data.draw(sentencepiece_pieces(text, dummy=dummy))
    sizes = [1 if piece.startswith("<0x") else len(piece.replace("▁", " ").encode()) for piece in pieces]
    ends = [max(sum(sizes[: i + 1]) - dummy, 0) for i in range(len(pieces))]
    assert spans(text, pieces) == list(pairwise([0, *ends]))
    assert b"".join(surfaces(text, pieces)) == text.encode()


# Pieces that do not spell the text


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        pytest.param("The cat", ["The", "cat"], id="a space is missing"),
        pytest.param("The cat", ["The", "▁", "▁cat"], id="a space too many"),
        pytest.param("cat", ["▁▁cat"], id="two dummy spaces"),
        pytest.param("cat", ["cat", "▁"], id="a trailing space"),
        pytest.param("The cat", ["the", "▁cat"], id="another case"),
        pytest.param("The cat", ["The", "▁cat", "</s>"], id="a special token"),
        pytest.param("The cat", ["The"], id="too short"),
        pytest.param("The cat", [], id="nothing"),
        pytest.param("", ["a"], id="pieces of no text"),
        pytest.param("a  b", ["▁a", "▁b"], id="collapsed spaces"),
        pytest.param("京", ["<0xE4>", "<0xBA>"], id="a byte is missing"),
        pytest.param("cat", ["▁c", "<unk>", "t"], id="unknown token"),
        pytest.param("café", ["cafe\u0301"], id="a decomposed form"),
        pytest.param("ab", ["Ġa", "▁b"], id="two alphabets"),
    ],
)
def test_other_pieces_are_refused(text: str, pieces: list[str]) -> None:
    with pytest.raises(TokenError) as caught:
        TokenizedText.from_pieces(text, pieces)
    (problem,) = caught.value.problems
    assert problem.where == repr(text)
    assert "spell this sentence" in problem.expected
    assert problem.got == " ".join(pieces)
    assert "without special tokens" in problem.remedy


@given(st.data(), texts(min_size=1))
@settings(deadline=None, max_examples=100)
def test_a_piece_more_or_less_is_refused(data: st.DataObject, text: str) -> None:
    pieces = data.draw(sentencepiece_pieces(text, dummy=False))
    index = data.draw(st.integers(0, len(pieces) - 1))
    for other in ([*pieces[:index], *pieces[index + 1 :]], [*pieces[:index], "x", *pieces[index:]]):
        with pytest.raises(TokenError):
            TokenizedText.from_pieces(text, other)


@pytest.mark.parametrize("form", ["text", "piece"])
def test_half_of_a_surrogate_pair_is_refused(form: str) -> None:
    with pytest.raises(TokenError, match="surrogate"):
        TokenizedText.from_pieces("a\ud83d" if form == "text" else "ab", ["a\ud83d"])


# Normalised text


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        pytest.param("cafe\u0301s", ["caf", "é", "s"], [(0, 3), (3, 6), (6, 7)], id="composed"),
        pytest.param("cafe\u0301s", ["caf", "Ã", "©", "s"], [(0, 3), (3, 6), (3, 6), (6, 7)], id="composed, in bytes"),
        pytest.param("cafe\u0301 x", ["▁café", "▁x"], [(0, 6), (6, 8)], id="dummy prefix"),
        pytest.param("e\u0301", ["▁", "é"], [(0, 0), (0, 3)], id="dummy prefix as a piece"),
        pytest.param("a\u0323\u0302b", ["ậ", "b"], [(0, 5), (5, 6)], id="two marks"),
        pytest.param("a\u0302\u0323b", ["ậ", "b"], [(0, 5), (5, 6)], id="two marks in the other order"),
        pytest.param("q\u0302\u0323", ["q", "\u0323", "\u0302"], [(0, 5)] * 3, id="marks that change places"),
        pytest.param("\u1112\u1161\u11ab국", ["한", "국"], [(0, 9), (9, 12)], id="Hangul of three letters"),
        pytest.param("ﬁn", ["f", "in"], [(0, 3), (0, 4)], id="ligature cut in two"),
        pytest.param("ﬁn", ["fi", "n"], [(0, 3), (3, 4)], id="ligature"),
        pytest.param("x½y", ["x1", "⁄", "2", "y"], [(0, 3), (1, 3), (1, 3), (3, 4)], id="fraction"),
        pytest.param("Ａ１", ["A", "1"], [(0, 3), (3, 6)], id="full width"),
        pytest.param("a\u3000b\u00a0c", ["a", "▁b", "▁c"], [(0, 1), (1, 5), (5, 8)], id="other spaces"),
        pytest.param("ｶﾞa", ["ガ", "a"], [(0, 6), (6, 7)], id="half-width kana and voicing mark"),
        pytest.param("①é", ["1", "é"], [(0, 3), (3, 5)], id="one changed, one not"),
    ],
)
def test_normalised_text_is_mapped_back(text: str, pieces: list[str], expected: list[tuple[int, int]]) -> None:
    assert spans(text, pieces) == expected


# Segments that a normal form changes in known ways and that do not act on each other.
ATOMS = ("a", "b", " ", "é", "e\u0301", "o\u0302\u0323", "\u212b", "京", "\u1112\u1161\u11ab", "👍", "か\u3099")
COMPATIBLE = ("ﬁ", "½", "①", "\u3000", "Ａ", "ｶﾞ")


@given(st.data(), st.sampled_from(FORMS))
@settings(deadline=None, max_examples=100)
def test_changed_segments_are_covered_whole(data: st.DataObject, form: NormalForm) -> None:
    atoms = data.draw(st.lists(st.sampled_from(ATOMS + COMPATIBLE * (form == "NFKC")), max_size=6))
    text = "".join(atoms)
    covers: list[tuple[int, int]] = []  # for each byte of the normal form, its source
    at = 0
    for atom in atoms:
        source, normal = atom.encode(), unicodedata.normalize(form, atom).encode()
        whole = (at, at + len(source))
        covers += [whole if source != normal else (at + n, at + n + 1) for n in range(len(normal))]
        at += len(source)
    assert len(covers) == len(unicodedata.normalize(form, text).encode())
    pieces = data.draw(byte_level_pieces(unicodedata.normalize(form, text)))
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    expected = [(covers[a][0], covers[b - 1][1]) for a, b in pairwise([0, *ends])]
    assert spans(text, pieces) == expected


# Characters that combine over each other, some without being marks themselves.
JOINING = "ae \u00ea\u0301\u0323\u0344\u0f71\u0f73\u0f75\uff76\uff9e\u304b\u3099\u1100\u1161\u11a8\uac00\u09c7\u09be"


@given(st.data(), st.sampled_from(FORMS))
@settings(deadline=None, max_examples=150)
def test_spans_of_normalised_text_never_drift(data: st.DataObject, form: NormalForm) -> None:
    text = data.draw(st.text(st.sampled_from(JOINING), min_size=1, max_size=5))
    normal = unicodedata.normalize(form, text)
    pieces = data.draw(cuts(normal))
    found = spans(text, [piece.replace(" ", "▁") for piece in pieces])
    assert (found[0][0], found[-1][1]) == (0, len(text.encode()))
    for (start, end), (next_start, next_end) in pairwise(found):
        assert start <= next_start <= end <= next_end
    for (start, end), piece in zip(found, pieces, strict=True):
        assert piece in unicodedata.normalize(form, text.encode()[start:end].decode())


def test_a_mark_behind_a_letter_that_decomposes_into_marks() -> None:
    # U+0F73 is no mark itself, yet it becomes two that let the accent pass through to the base.
    text = "a\u0f73\u0301b"
    assert spans(text, ["á", "\u0f71\u0f72", "b"]) == [(0, 6), (0, 6), (6, 7)]


# Against the tokenizers library

CORPUS = ["The café serves crème brûlée.", "He said: naïve café, 3½ cups ﬁne.", "人工智能 and 京都 👍🏽", "a  b\n\tc"]
ACCENTED = [
    "The café is naïve.",
    "The cafe\u0301 is nai\u0308ve: o\u0302\u0323.",
    " ﬁne ½ Ａ１ ① cre\u0300me",
    "ｶﾞ か\u3099 \u1112\u1161\u11ab",
    "a\u3000b\u00a0c\u2028d",
    "日本 👩🏽\u200d🔬 x",
]


def byte_level_bpe(normalizer: normalizers.Normalizer | None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sentencepiece_bpe(normalizer: normalizers.Normalizer | None) -> Tokenizer:
    """With byte fallback, and a dummy prefix unless the text begins with a space, as Metaspace does it."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(["The cafe is fine and naive."] * 3, trainers.BpeTrainer(vocab_size=60))
    learned = json.loads(learner.to_str())["model"]
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = {piece: id_ for id_, piece in enumerate([*fallback, *learned["vocab"]])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(pair) for pair in learned["merges"]], byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def whole_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """Characters that these bytes touch."""
    bounds = [len(text[:n].encode()) for n in range(len(text) + 1)]
    return max(n for n, byte in enumerate(bounds) if byte <= start), min(n for n, at in enumerate(bounds) if at >= end)


@pytest.mark.parametrize("text", ACCENTED)
@pytest.mark.parametrize("form", [None, *FORMS])
@pytest.mark.parametrize("build", [byte_level_bpe, sentencepiece_bpe])
def test_spans_agree_with_the_offsets_of_the_library(
    build: Callable[[normalizers.Normalizer | None], Tokenizer], form: NormalForm | None, text: str
) -> None:
    normalizer = {None: None, "NFC": normalizers.NFC(), "NFKC": normalizers.NFKC()}[form]
    encoding = build(normalizer).encode(text)
    assert encoding.tokens
    tokenized = TokenizedText.from_pieces(text, encoding.tokens)
    for token, (begin, end) in zip(tokenized.tokens, encoding.offsets, strict=True):
        if token.start == token.end:
            assert token.piece == "▁"  # the dummy prefix, for which the library names the first character
            continue
        first, last = whole_characters(text, token.start, token.end)
        assert first == begin
        # The library leaves a mark out that a base swallowed, so there its end says less than ours.
        assert last == end or (form and len(unicodedata.normalize(form, text[end - 1 : last])) == 1)


@pytest.mark.parametrize("text", ["a  b", "a   b", "    x", "a\n\n  b", "<b>a</b>", "a <b> c"])
def test_added_tokens_are_stored_as_themselves(text: str) -> None:
    tokenizer = byte_level_bpe(None)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ("  ", "    ", "\n\n", "<b>")])
    encoding = tokenizer.encode(text)
    assert any(piece in ("  ", "    ", "\n\n", "<b>") for piece in encoding.tokens)
    assert spans(text, encoding.tokens) == encoding.offsets


# Display


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        pytest.param("a cat", ["▁a", "▁cat"], ("a", "␣cat"), id="space"),
        pytest.param("a  ", ["a", "Ġ", "Ġ"], ("a", "␣", "␣"), id="spaces alone"),
        pytest.param("a\n\tb\r", ["aĊ", "ĉb", "č"], ("a⏎", "⇥b", "␍"), id="line break, tab, carriage return"),
        pytest.param("a\u00a0b", ["a", "\u00a0b"], ("a", "⍽b"), id="no-break space"),
        pytest.param("a\u2028b\u3000", ["a", "\u2028b", "\u3000"], ("a", "⟨U+2028⟩b", "⟨U+3000⟩"), id="other spaces"),
        pytest.param("京a", ["<0xE4>", "<0xBA>", "<0xAC>", "a"], ("⟨E4⟩", "⟨BA⟩", "⟨AC⟩", "a"), id="byte pieces"),
        pytest.param(" 京é", ["Ġäº", "¬Ã©"], ("␣⟨E4⟩⟨BA⟩", "⟨AC⟩é"), id="parts of a character beside whole ones"),
        pytest.param("é", ["Ã©"], ("é",), id="a whole character in bytes"),
        pytest.param("e\u0301", ["e", "\u0301"], ("e", "◌\u0301"), id="accent alone"),
        pytest.param("e\u0301", ["e\u0301"], ("e\u0301",), id="accent on its base"),
        pytest.param("कि", ["क", "ि"], ("क", "◌ि"), id="vowel sign alone"),
        pytest.param("\U0001f3f3\ufe0f", ["\U0001f3f3", "\ufe0f"], ("\U0001f3f3", "◌\ufe0f"), id="variation selector"),
        pytest.param("👩\u200d🔬", ["👩", "\u200d", "🔬"], ("👩", "⟨U+200D⟩", "🔬"), id="joiner"),
        pytest.param("\x00\x1b\u202e\U000e0061", ["\x00\x1b\u202e\U000e0061"], ("⟨U+0000⟩⟨U+001B⟩⟨U+202E⟩⟨U+E0061⟩",)),
        pytest.param("a", ["▁", "a"], ("⟨␣⟩", "a"), id="dummy prefix"),
        pytest.param("a", ["▁a"], ("a",), id="dummy prefix within a piece"),
        pytest.param("ﬁ", ["f", "i"], ("ﬁ", "ﬁ"), id="both halves of a ligature"),
    ],
)
def test_display(text: str, pieces: list[str], expected: tuple[str, ...]) -> None:
    assert shown(text, pieces) == expected


@given(st.data(), texts(min_size=1))
@settings(deadline=None, max_examples=100)
def test_display_is_visible_and_on_one_line(data: st.DataObject, text: str) -> None:
    labels = shown(text, data.draw(pieces_of(text)))
    assert all(label and label.isprintable() and " " not in label for label in labels)
    assert not any(unicodedata.category(label[0]).startswith("M") for label in labels)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("in Zürich, façade", ["in", "Ġ", "Zürich", ",", "Ġfa", "Ã§", "ade"]),
        ("Zürich", ["Zürich"]),
        (" Ã é", ["Ġ", "Ã", "Ġ", "Ã", "©"]),
        ("日本 Zürich", ["æĹ¥æľ¬", "Ġ", "Zürich"]),
    ],
)
def test_added_tokens_are_plain_text_among_byte_level_pieces(text: str, pieces: list[str]):
    tokenized = TokenizedText.from_pieces(text, pieces)
    assert b"".join(tokenized.surface(i) for i in range(len(pieces))).decode() == text


def test_a_tokenizer_refuses_half_a_character():
    import probe

    with pytest.raises(TokenError, match="half of a surrogate pair"):
        probe.load("demo").tokenize("a\ud800b")
