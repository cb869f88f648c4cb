"""Links, groups and spans of two tokenizers, against hand-written expectations and the careful path."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import GOLD
from strategies import pieces_of, texts
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import probe
from probe.alignment.token_alignment import TokenAlignment
from probe.alignment.token_spans import token_spans
from probe.chunks import byte_links, common_bounds, overlap_mask, shared_chunks
from probe.errors import ArgumentError, CheckpointError, TokenError
from probe.models.token_readers import Cut
from probe.tokens import TokenizedText, byte_of_char

DEMO = "bundled:demo/student", "bundled:demo/teacher"
CHAR = {byte: char for char, byte in byte_of_char().items()}


def byte_level(*words: str, special: Sequence[str] = ()) -> Tokenizer:
    """Byte-level BPE of all single bytes and of words, as ``Ġcat``, which are built from the left."""
    vocabulary = {char: n for n, char in enumerate(CHAR.values())}
    merges: list[tuple[str, str]] = []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in special])
    return made


def sentencepiece(*words: str, around: tuple[str, str] | None = None, form: Any = None) -> Tokenizer:
    """Like that of Llama: a dummy space at the beginning and after each special token, and bytes as ``<0xE6>``."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    merges: list[tuple[str, str]] = []
    for word in words:
        for end in range(1, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                if end > 1:
                    vocabulary.setdefault(word[end - 1], len(vocabulary))
                    merges.append((word[: end - 1], word[end - 1]))
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    made.normalizer = normalizers.Sequence([form, *steps] if form else steps)
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in ("<s>", "</s>")])
    if around:
        made.post_processor = processors.TemplateProcessing(
            single=f"{around[0]} $A {around[1]}".strip(), special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return made


def wordpiece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(["the cat sat"], trainers.WordPieceTrainer(special_tokens=["[UNK]"], show_progress=False))
    return made


class Encoding:
    """In the form of tiktoken: the longest known token first, else single bytes."""

    def __init__(self, *words: bytes, special: Sequence[str] = ()) -> None:
        self.tokens = [*(bytes([byte]) for byte in range(256)), *words, *(one.encode() for one in special)]
        self.special = special

    def encode(self, text: str, *, allowed_special: str | set[str] = frozenset()) -> list[int]:
        if found := [one for one in self.special if one in text and allowed_special != "all"]:
            raise ValueError(found)
        return self._longest(text.encode(), self.tokens)

    def encode_ordinary(self, text: str) -> list[int]:
        return self._longest(text.encode(), self.tokens[: len(self.tokens) - len(self.special)])

    def decode_single_token_bytes(self, token: int) -> bytes:
        return self.tokens[token]

    @staticmethod
    def _longest(raw: bytes, tokens: list[bytes]) -> list[int]:
        ids: list[int] = []
        while raw:
            best = max((token for token in tokens if raw.startswith(token)), key=len)
            ids.append(tokens.index(best))
            raw = raw[len(best) :]
        return ids


def ranges(found: TokenAlignment) -> list[tuple[int, int, int, int]]:
    return [(ours.start, ours.stop, theirs.start, theirs.stop) for ours, theirs in found.groups]


def test_words_are_linked_by_their_bytes_and_grouped_at_common_ends():
    found = probe.align_tokens(
        "a cat sat", byte_level("Ġca", "Ġsat"), byte_level("Ġcat", "Ġsa"), add_special_tokens=True
    )
    assert found.student.pieces == ("a", "Ġca", "t", "Ġsat")
    assert found.teacher.pieces == ("a", "Ġcat", "Ġsa", "t")
    assert found.links == ((0, 0), (1, 1), (2, 1), (3, 2), (3, 3))
    assert ranges(found) == [(0, 1, 0, 1), (1, 3, 1, 2), (3, 4, 2, 4)]
    assert found.student.byte_spans.tolist() == [[0, 1], [1, 4], [4, 5], [5, 9]]
    assert found.student.ids == tuple(byte_level("Ġca", "Ġsat").encode("a cat sat").ids)
    assert repr(found) == "<TokenAlignment 4 student × 4 teacher tokens, 5 links, 3 groups: 'a cat sat'>"
    assert repr(found.student) == "<TokenSpans 4 tokens: 'a cat sat'>"


def test_parts_of_a_character_have_their_own_bytes_and_the_whole_character():
    student, teacher = byte_level("x" + CHAR[0xE4]), byte_level(CHAR[0xE4] + CHAR[0xBA])  # 京 is E4 BA AC
    found = probe.align_tokens("x京y", student, teacher)
    assert found.student.byte_spans.tolist() == [[0, 2], [2, 3], [3, 4], [4, 5]]
    assert found.student.char_spans.tolist() == [[0, 2], [1, 2], [1, 2], [2, 3]]
    assert found.teacher.byte_spans.tolist() == [[0, 1], [1, 3], [3, 4], [4, 5]]
    assert found.links == ((0, 0), (0, 1), (1, 1), (2, 2), (3, 3))
    assert ranges(found) == [(0, 2, 0, 2), (2, 3, 2, 3), (3, 4, 3, 4)]


def test_byte_fallback_and_a_dummy_space_against_whole_bytes():
    found = probe.align_tokens("a 京", sentencepiece("▁a"), byte_level("Ġ" + CHAR[0xE4] + CHAR[0xBA]))
    assert (
        found.student.pieces
        == ("▁a", "<0xE2>", "<0x96>", "<0x81>", "<0xE4>", "<0xBA>", "<0xAC>")[:1] + (found.student.pieces[1:])
    )
    assert [found.student.text.encode()[a:b] for a, b in found.student.byte_spans] == [
        *(b"a", b" ", b"\xe4", b"\xba", b"\xac")
    ]
    assert found.links == ((0, 0), (1, 1), (2, 1), (3, 1), (4, 2))
    assert ranges(found) == [(0, 1, 0, 1), (1, 4, 1, 2), (4, 5, 2, 3)]


def test_special_tokens_are_linked_by_role():
    both, begin, end = (sentencepiece("▁a", around=one) for one in (("<s>", "</s>"), ("<s>", ""), ("", "</s>")))
    found = probe.align_tokens("a", both, both)
    assert found.student.pieces == ("<s>", "▁a", "</s>")
    assert found.student.byte_spans.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert (found.student.begin, found.student.end, found.student.content) == (0, 2, range(1, 2))
    assert found.links == ((0, 0), (1, 1), (2, 2))
    assert ranges(found) == [(0, 1, 0, 1), (1, 2, 1, 2), (2, 3, 2, 3)]
    assert probe.align_tokens("a", both, begin).links == ((0, 0), (1, 1))
    assert probe.align_tokens("a", both, end).links == ((1, 0), (2, 1))
    assert probe.align_tokens("a", begin, end).links == ((1, 0),)
    assert probe.align_tokens("", end, both).links == ((0, 1),)
    assert probe.align_tokens("a", both, both, add_special_tokens=False).links == ((0, 0),)
    assert probe.align_tokens("a", both, both, "rules").links == ((0, 0), (1, 1), (2, 2))


def test_a_role_is_found_by_name_among_several_special_tokens():
    from transformers import PreTrainedTokenizerFast

    made = byte_level(special=["[L]", "[B]", "[E]"])
    made.post_processor = processors.TemplateProcessing(
        single="[L] [B] $A [E] [L]", special_tokens=[(one, made.token_to_id(one)) for one in ("[L]", "[B]", "[E]")]
    )
    named = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="[B]", eos_token="[E]")
    found = probe.align_tokens("ab", named, sentencepiece("▁ab", around=("<s>", "</s>")))
    assert found.links == ((1, 0), (2, 1), (3, 1), (4, 2))
    assert probe.align_tokens("", made, made).links == ((0, 0), (3, 3))  # without names: the outermost
    assert found.student.ids == tuple(named("ab")["input_ids"])
    assert probe.align_tokens("", made, made).student.content.start == 2  # empty ranges are all equal


def test_a_special_token_of_the_text_is_bytes_on_both_sides():
    student, teacher = byte_level(special=["<|im_end|>"]), sentencepiece("▁a", "▁b", "b", around=("<s>", ""))
    found = probe.align_tokens("a<|im_end|>b", student, teacher)
    assert found.student.pieces == ("a", "<|im_end|>", "b")
    assert found.student.byte_spans.tolist() == [[0, 1], [1, 11], [11, 12]]
    assert ranges(found) == [(0, 1, 1, 2), (1, 2, 2, 12), (2, 3, 12, 13)]
    assert [j for i, j in found.links if i == 1] == list(range(2, 12))


def test_after_a_special_token_of_the_text_sentencepiece_begins_anew():
    teacher = sentencepiece("▁a", "▁b", around=("<s>", "</s>"))
    found = probe.align_tokens("<s>a</s>b é", byte_level(), teacher)
    assert found.teacher.pieces[:5] == ("<s>", "<s>", "▁a", "</s>", "▁b")  # the first is not of the text
    assert found.teacher.byte_spans.tolist()[:5] == [[0, 0], [0, 3], [3, 4], [4, 8], [8, 9]]
    assert found.teacher.byte_spans.tolist()[5:] == [[9, 10], [10, 11], [11, 12], [12, 12]]
    assert ranges(found)[:4] == [(0, 3, 1, 2), (3, 4, 2, 3), (4, 8, 3, 4), (8, 9, 4, 5)]


def test_normal_forms_are_mapped_back():
    text = "cafe\u0301 ﬁn"
    found = probe.align_tokens(text, sentencepiece("▁caf", "fin", form=normalizers.NFKC()), byte_level())
    spans = found.student.byte_spans.tolist()
    assert [0, 3] in spans
    assert [text.encode()[a:b].decode() for a, b in spans[1:3]] == ["e\u0301", "e\u0301"]  # é is two bytes
    assert text.encode()[slice(*spans[-1])].decode() == "ﬁn"
    assert found.student.char_spans.tolist()[-1] == [6, 8]


def test_a_mark_of_sentencepiece_in_the_text_is_not_a_space():
    found = probe.align_tokens("a▁a é", sentencepiece("▁a"), byte_level())
    assert found.student.byte_spans.tolist() == [[0, 1], [1, 5], [5, 6], [6, 7], [7, 8]]
    assert found.student.char_spans.tolist() == [[0, 1], [1, 3], [3, 4], [4, 5], [4, 5]]
    both = probe.align_tokens("a ▁京▁ a", sentencepiece("▁a", "▁▁"), byte_level())
    assert both.student.pieces[:3] == ("▁a", "▁▁", "<0xE4>")  # a space, and a mark of the text
    assert both.student.byte_spans.tolist() == [[0, 1], [1, 5], [5, 6], [6, 7], [7, 8], [8, 11], [11, 13]]


def test_an_encoding_like_tiktoken():
    encoding = Encoding(b" cat", b"\xe4\xba", special=["<|im_end|>"])
    found = probe.align_tokens("a cat京<|im_end|>", encoding, byte_level("Ġca", CHAR[0xBA] + CHAR[0xAC]))
    assert found.student.ids == (97, 256, 257, 0xAC, 258)
    assert found.student.byte_spans.tolist() == [[0, 1], [1, 5], [5, 7], [7, 8], [8, 18]]
    assert found.links[:7] == ((0, 0), (1, 1), (1, 2), (2, 3), (2, 4), (3, 4), (4, 5))
    assert ranges(found)[2] == (2, 4, 3, 5)
    assert found.student.begin is found.student.end is None


def test_an_encoding_without_special_tokens():
    class Ordinary(Encoding):
        def encode(self, text: str) -> list[int]:  # type: ignore[override]
            return self.encode_ordinary(text)

    assert probe.align_tokens("ab", Ordinary(b"ab"), byte_level()).links == ((0, 0), (0, 1))


def test_tokenizers_of_transformers():
    from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

    made = sentencepiece("▁a", around=("<s>", "</s>"))
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    slow = ByT5Tokenizer()  # it adds </s> alone
    text = "a à </s> b"  # à is C3 A0; slow gives the spaces beside </s> to it
    found = probe.align_tokens(text, fast, slow)
    assert found.student.ids == tuple(fast(text)["input_ids"])
    assert found.teacher.ids == tuple(slow(text)["input_ids"])
    assert found.teacher.byte_spans.tolist() == [
        *(spans := [[n, n + 1] for n in range(4)]),
        [4, 10],
        [10, 11],
        [11, 11],
    ]
    assert found.student.byte_spans.tolist() == [[0, 0], *spans, [4, 5], [5, 9], [9, 9], [9, 10], [10, 11], [11, 11]]
    assert found.links == ((1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 4), (8, 4), (9, 5), (10, 6))
    assert probe.align_tokens("à", slow, fast).links == ((0, 2), (1, 3), (2, 4))  # after a dummy space
    assert probe.align_tokens("", fast, slow).links == ((1, 0),)
    whole = PreTrainedTokenizerFast(tokenizer_object=made, split_special_tokens=True)
    whole.backend_tokenizer.encode_special_tokens = False  # set at each call
    found = probe.align_tokens("</s>", whole, fast)
    assert not whole.backend_tokenizer.encode_special_tokens
    assert found.student.ids == tuple(whole("</s>")["input_ids"])
    assert len(found.student) > len(found.teacher) == 3


class Written:
    """A tokenizer in Python of the characters of a text, which puts [B] before and [E] behind it, or in the middle."""

    added_tokens_decoder: dict[int, str] = {1: "[B]", 2: "[E]"}  # noqa: RUF012
    bos_token_id, eos_token_id = 1, 2

    def __init__(self, inside: bool = False) -> None:
        self.inside = inside

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids = [{"[B]": 1, "[E]": 2}.get(part) or ord(part) for part in re.findall(r"\[[BE]\]|.", text)]
        if add_special_tokens and self.inside:
            return [*ids[:1], 1, *ids[1:]]
        return [1, *ids, 2] if add_special_tokens else ids

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.added_tokens_decoder.get(id_) or chr(id_) for id_ in ids]


def test_a_tokenizer_in_python():
    made = sentencepiece("▁a", around=("<s>", "</s>"))
    for text, links in (("", [(0, 0), (1, 1)]), ("a", [(0, 0), (1, 1), (2, 2)]), ("[B]", None), ("[E]", None)):
        found = probe.align_tokens(text, Written(), made)
        assert found.student.content == range(1, len(found.student) - 1)
        assert links is None or found.links == tuple(links)
    with pytest.raises(TokenError, match="special tokens before or behind a text"):
        probe.align_tokens("bcd", Written(inside=True), made)


def test_a_tokenizer_of_transformers_that_changes_texts_is_refused(tmp_path: Path):
    from transformers import BertJapaneseTokenizer

    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\nthe\n")
    slow = BertJapaneseTokenizer(str(tmp_path / "vocab.txt"), word_tokenizer_type="basic", do_lower_case=True)
    with pytest.raises(TokenError, match="teacher_tokenizer on 'The'"):
        probe.align_tokens("The", byte_level(), slow)


def test_padding_truncation_and_dropout_of_an_object_are_off_and_stay_as_they_were():
    made = byte_level("Ġcat")
    made.enable_padding(length=30)
    made.enable_truncation(2)
    made.model.dropout = 0.5
    before = made.padding, made.truncation
    for _ in range(20):
        assert probe.align_tokens("a cat a", made, made).student.pieces == ("a", "Ġcat", "Ġ", "a")
    assert (made.padding, made.truncation, made.model.dropout) == (*before, 0.5)
    with pytest.raises(TokenError):
        probe.align_tokens("\ud800", made, made)


def test_a_tokenizer_that_lower_cases_is_refused_and_what_differs_is_named():
    with pytest.raises(TokenError) as raised:
        probe.align_tokens(["the", "the Cat"], byte_level(), wordpiece())
    assert str(raised.value) == (
        "teacher_tokenizer on 'the Cat': expected tokens that spell ' Cat' at character 3; got 'cat'. It changes texts "
        "(case, accents, white space, unknown characters): use a tokenizer that keeps them."
    )
    lower = sentencepiece("▁a", "a", form=normalizers.Lowercase(), around=("<s>", ""))
    with pytest.raises(TokenError, match="expected tokens that spell 'A' at character 7; got 'a'"):
        probe.align_tokens("a</s>aaA", lower, byte_level())


def test_wrong_arguments_are_named():
    class Model:
        def forward(self) -> None: ...

    made = byte_level()
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("a", Model(), made), "student_tokenizer: expected a tokenizer.*This is a model: give its tokenizer"),
        (("a", made, None), "teacher_tokenizer: expected a tokenizer.*; got None. Write align_tokens"),
        (("bundled:demo/student", "A cat sat.", made), "student_tokenizer: expected a tokenizer.*got str 'A cat sat.'"),
        (("a", made, ""), "teacher_tokenizer: expected"),
    ]
    for arguments, message in cases:
        with pytest.raises(ArgumentError, match=message):
            probe.align_tokens(*arguments)
    with pytest.raises(CheckpointError, match=re.escape("tokenizer.json")):
        probe.align_tokens("a", made, Path("/nowhere"))


def test_paths_names_and_objects_are_one_tokenizer(tmp_path: Path):
    made = byte_level("Ġcat")
    made.save(str(tmp_path / "tokenizer.json"))
    made.save(str(tmp_path / "other.json"))
    byte_level().save(str(tmp_path / "bytes.json"))
    whole = probe.align_tokens("a cat", made, DEMO[1]).links
    for source in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json", str(tmp_path / "other.json")):
        assert probe.align_tokens("a cat", source, DEMO[1]).links == whole
    assert len(probe.align_tokens("a cat", tmp_path / "bytes.json", DEMO[1]).student) == 5
    byte_level().save(str(tmp_path / "other.json"))  # a changed file is read again
    assert len(probe.align_tokens("a cat", tmp_path / "other.json", DEMO[1]).student) == 5


def test_several_texts_at_once_are_each_text_alone():
    some = ["Return the maximum.", "", "naïve 京都 ✓", " ", "the"]
    for method in ("bytes", "rules"):
        together = probe.align_tokens(some, *DEMO, method)
        alone = [probe.align_tokens(text, *DEMO, method) for text in some]
        assert [(one.links, one.groups) for one in together] == [(one.links, one.groups) for one in alone]
    assert probe.align_tokens([], *DEMO) == []
    assert probe.align_tokens("", *DEMO).groups == ()


def test_links_by_rule_are_the_sure_ones_of_the_guidelines():
    text = "Rate us: ⭐⭐⭐⭐☆ or 😡?"
    by_bytes, by_rule = (probe.align_tokens(text, *DEMO, method) for method in ("bytes", "rules"))
    assert set(by_bytes.links) - set(by_rule.links) == {(2, 4)}
    assert by_bytes.groups == by_rule.groups
    sure = probe.link(text, student=DEMO[0], teacher=DEMO[1])[0].sure
    assert by_rule.links == tuple(sorted((i, j + 1) for i, j in sure))  # the teacher puts <s> in front


def test_spans_cannot_be_written_to():
    found = probe.align_tokens("a", *DEMO)
    for spans in (found.student.byte_spans, found.teacher.char_spans):
        with pytest.raises(ValueError, match="read-only"):
            spans[0, 0] = 1


class Given:
    """A reader whose tokens are given."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)

    def cut(self, texts: Sequence[str], add_special_tokens: bool) -> list[Cut]:
        return [Cut(self.pieces, tuple(range(len(self.pieces)))) for _ in texts]

    def places(self, text: str, cut: Cut) -> dict[int, tuple[int, int]]:
        return {}


@given(st.data())
def test_the_fast_path_is_the_careful_path(data: st.DataObject):
    text = data.draw(texts(min_size=1))
    pieces = [data.draw(pieces_of(text)) for _ in range(2)]
    careful = [TokenizedText.from_pieces(text, some) for some in pieces]
    fast = [token_spans([text], Given(some), "student_tokenizer", True)[0] for some in pieces]
    assert [side.tokenized() for side in fast] == careful
    held_to_careful(fast, careful)


def held_to_careful(fast: Sequence[Any], careful: Sequence[TokenizedText]):
    links = byte_links(*(side.byte_spans for side in fast))
    np.testing.assert_array_equal(links, np.argwhere(overlap_mask(*careful)))
    bounds = common_bounds(*(side.byte_spans for side in fast)).tolist()
    chunks = shared_chunks(*careful)
    assert bounds == [[0, 0], *([chunk.student.stop, chunk.teacher.stop] for chunk in chunks)]
    for side in fast:
        places = np.cumsum([0, *(len(char.encode()) for char in side.text)])
        for (start, end), (first, last) in zip(side.byte_spans.tolist(), side.char_spans.tolist(), strict=True):
            if start < end:  # the fewest characters that have all of the bytes
                assert places[first] <= start < places[first + 1]
                assert places[last - 1] < end <= places[last]


def test_real_texts_are_aligned_as_by_the_careful_path():
    some = sorted({row.text for row in probe.read_pairs(GOLD)})
    for text, one in zip(some, probe.align_tokens(some, *DEMO, add_special_tokens=False), strict=True):
        careful = [TokenizedText.from_pieces(text, side.pieces) for side in (one.student, one.teacher)]
        held_to_careful((one.student, one.teacher), careful)
        assert one.links == tuple(map(tuple, np.argwhere(overlap_mask(*careful)).tolist()))
        assert one.groups == tuple((chunk.student, chunk.teacher) for chunk in shared_chunks(*careful))
