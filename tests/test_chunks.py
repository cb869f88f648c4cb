from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cuts, pairs_of_sides, pieces_of, texts

from probe.chunks import Chunk, chunk_mask, content_mask, overlap_mask, shared_chunks
from probe.errors import TokenError
from probe.tokens import Token, TokenizedText

Sides = tuple[TokenizedText, TokenizedText]


def sides(text: str, student: Sequence[str], teacher: Sequence[str]) -> Sides:
    return TokenizedText.from_pieces(text, student), TokenizedText.from_pieces(text, teacher)


def chunks(text: str, student: Sequence[str], teacher: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    return [(list(chunk.student), list(chunk.teacher)) for chunk in shared_chunks(*sides(text, student, teacher))]


# A slow oracle, from the definition alone


def divides(tokens: Sequence[Token], count: int, byte: int) -> bool:
    """Whether the first ``count`` tokens end at or before a byte, and the others begin at or after it."""
    return all(t.end <= byte for t in tokens[:count]) and all(t.start >= byte for t in tokens[count:])


def slow_boundaries(student: TokenizedText, teacher: TokenizedText) -> list[tuple[int, int]]:
    """Pairs of token counts, one for each byte at which both sides can be cut, with no side of a cut empty."""
    found: list[tuple[int, int]] = []
    for byte in range(len(student.text.encode()) + 1):
        counts = [
            next((n for n in range(1, len(side.tokens)) if divides(side.tokens, n, byte)), None)
            for side in (student, teacher)
        ]
        if counts[0] is not None and counts[1] is not None:
            found.append((counts[0], counts[1]))
    return sorted(set(found))


def slow_chunks(student: TokenizedText, teacher: TokenizedText) -> tuple[Chunk, ...]:
    ends = [(0, 0), *slow_boundaries(student, teacher), (len(student.tokens), len(teacher.tokens))]
    return tuple(Chunk(range(a, c), range(b, d)) for (a, b), (c, d) in pairwise(ends))


def slow_shared(student: TokenizedText, teacher: TokenizedText, *, content: bool) -> np.ndarray:
    """Which tokens share a byte, or with ``content`` a byte of a character that Unicode calls no white space."""
    white: set[int] = set()
    for n, char in enumerate(student.text):
        if content and char in "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + SPACES_OF_WIDTH:
            at = len(student.text[:n].encode())
            white |= set(range(at, at + len(char.encode())))
    under = [[set(range(t.start, t.end)) - white for t in side.tokens] for side in (student, teacher)]
    return np.array([[bool(s & t) for t in under[1]] for s in under[0]]).reshape(len(under[0]), len(under[1]))


SPACES_OF_WIDTH = "".join(chr(code) for code in range(0x2000, 0x200B))


# Properties


@given(pairs_of_sides())
@settings(deadline=None, max_examples=150)
def test_chunks_are_those_of_the_definition(both: Sides) -> None:
    assert shared_chunks(*both) == slow_chunks(*both)


@given(pairs_of_sides())
@settings(deadline=None, max_examples=100)
def test_chunks_cover_every_token_once_and_in_order(both: Sides) -> None:
    found = shared_chunks(*both)
    assert [i for chunk in found for i in chunk.student] == list(range(len(both[0].tokens)))
    assert [j for chunk in found for j in chunk.teacher] == list(range(len(both[1].tokens)))
    assert all(chunk.student and chunk.teacher for chunk in found)


@given(pairs_of_sides())
@settings(deadline=None, max_examples=100)
def test_chunks_meet_at_shared_bytes(both: Sides) -> None:
    students, teachers = both[0].tokens, both[1].tokens
    for chunk in shared_chunks(*both):
        assert {students[i].start for i in chunk.student[:1]} == {teachers[j].start for j in chunk.teacher[:1]}
        assert max(students[i].end for i in chunk.student) == max(teachers[j].end for j in chunk.teacher)


@given(pairs_of_sides())
@settings(deadline=None, max_examples=100)
def test_masks_contain_each_other(both: Sides) -> None:
    chunk, overlap, content = chunk_mask(*both), overlap_mask(*both), content_mask(*both)
    assert not (overlap & ~chunk).any()
    assert not (content & ~overlap).any()
    np.testing.assert_array_equal(overlap, slow_shared(*both, content=False))
    np.testing.assert_array_equal(content, slow_shared(*both, content=True))


@given(pairs_of_sides())
@settings(deadline=None, max_examples=100)
def test_swapping_sides_transposes(both: Sides) -> None:
    student, teacher = both
    swapped = [Chunk(chunk.teacher, chunk.student) for chunk in shared_chunks(student, teacher)]
    assert shared_chunks(teacher, student) == tuple(swapped)
    for mask in (chunk_mask, overlap_mask, content_mask):
        np.testing.assert_array_equal(mask(teacher, student), mask(student, teacher).T)


@given(st.data(), texts(min_size=1))
@settings(deadline=None, max_examples=100)
def test_equal_tokenisations_are_linked_one_to_one(data: st.DataObject, text: str) -> None:
    side = TokenizedText.from_pieces(text, data.draw(cuts(text.replace(" ", "▁"))))
    assert shared_chunks(side, side) == tuple(Chunk(range(i, i + 1), range(i, i + 1)) for i in range(len(side.tokens)))
    np.testing.assert_array_equal(chunk_mask(side, side), np.eye(len(side.tokens), dtype=bool))


@given(st.data(), texts(min_size=1))
@settings(deadline=None, max_examples=100)
def test_a_whole_text_is_one_chunk_with_anything(data: st.DataObject, text: str) -> None:
    whole = TokenizedText.from_pieces(text, [text.replace(" ", "▁")])
    other = TokenizedText.from_pieces(text, data.draw(pieces_of(text)))
    assert shared_chunks(whole, other) == (Chunk(range(1), range(len(other.tokens))),)


# By hand


def test_crossing_cuts_are_one_chunk() -> None:
    both = sides("unbelievable", ["unbelie", "vable"], ["un", "believable"])
    assert shared_chunks(*both) == (Chunk(range(2), range(2)),)
    np.testing.assert_array_equal(overlap_mask(*both), [[True, True], [False, True]])


@pytest.mark.parametrize(
    ("text", "student", "teacher", "expected"),
    [
        pytest.param("a cat", ["a", "Ġcat"], ["▁a", "▁cat"], [([0], [0]), ([1], [1])], id="leading spaces"),
        pytest.param("a cat", ["a", "Ġ", "cat"], ["a", "▁cat"], [([0], [0]), ([1, 2], [1])], id="space on its own"),
        pytest.param("a cat", ["aĠ", "cat"], ["a", "▁cat"], [([0, 1], [0, 1])], id="space on either side"),
        pytest.param("cat", ["cat"], ["▁", "cat"], [([0], [0, 1])], id="dummy prefix on one side"),
        pytest.param("cat", ["▁", "cat"], ["▁", "cat"], [([0], [0]), ([1], [1])], id="dummy prefix on both"),
        pytest.param("cat", ["▁", "c", "at"], ["▁c", "at"], [([0, 1], [0]), ([2], [1])], id="dummy prefix and a split"),
        pytest.param("ab", ["a", "", "b"], ["a", "b"], [([0], [0]), ([1, 2], [1])], id="empty piece within"),
        pytest.param("ab", ["a", "b", ""], ["a", "b"], [([0], [0]), ([1, 2], [1])], id="empty piece at the end"),
        pytest.param("京a", ["äº", "¬", "a"], ["京", "a"], [([0, 1], [0]), ([2], [1])], id="part of a character"),
        pytest.param(
            "京", ["<0xE4>", "<0xBA>", "<0xAC>"], ["äº", "¬"], [([0, 1], [0]), ([2], [1])], id="parts on both sides"
        ),
        pytest.param("ﬁn", ["f", "in"], ["ﬁ", "n"], [([0, 1], [0, 1])], id="a normalised piece reaches over the cut"),
        pytest.param("ﬁn", ["f", "i", "n"], ["ﬁ", "n"], [([0, 1], [0]), ([2], [1])], id="a normalised piece does not"),
        pytest.param("e\u0301x", ["é", "x"], ["e", "\u0301", "x"], [([0], [0, 1]), ([1], [2])], id="composed"),
    ],
)
def test_chunks(text: str, student: list[str], teacher: list[str], expected: list[tuple[list[int], list[int]]]) -> None:
    assert chunks(text, student, teacher) == expected


def test_tokens_of_one_normalised_segment_stay_together() -> None:
    # Both sides cut the ligature after its f, which is no boundary in the text.
    assert chunks("ﬁn", ["f", "i", "n"], ["f", "in"]) == [([0, 1, 2], [0, 1])]
    assert chunks("aﬁ", ["a", "f", "i"], ["a", "f", "i"]) == [([0], [0]), ([1, 2], [1, 2])]


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r", "\x0b", "\x85", "\xa0", "\u2009", "\u2028", "\u3000"])
def test_white_space_is_no_content(space: str) -> None:
    piece = space.replace(" ", "▁")
    both = sides(f"a{space}b", ["a", piece, "b"], [f"a{piece}", "b"])
    np.testing.assert_array_equal(overlap_mask(*both), [[True, False], [True, False], [False, True]])
    np.testing.assert_array_equal(content_mask(*both), [[True, False], [False, False], [False, True]])


@pytest.mark.parametrize("char", ["\u200b", "\u200d", "\ufeff", "\x00", "\u0301", "_"])
def test_what_only_looks_like_white_space_is_content(char: str) -> None:
    both = sides(f"a{char}b", ["a", char, "b"], [f"a{char}", "b"])
    np.testing.assert_array_equal(content_mask(*both), [[True, False], [True, False], [False, True]])


def test_part_of_a_wide_space_is_no_content() -> None:
    both = sides("a\u3000b", ["aã", "ĢĢ", "b"], ["a\u3000", "b"])
    np.testing.assert_array_equal(content_mask(*both), [[True, False], [False, False], [False, True]])


def test_no_text() -> None:
    empty = TokenizedText.from_pieces("", [])
    assert shared_chunks(empty, empty) == ()
    for mask in (chunk_mask, overlap_mask, content_mask):
        assert mask(empty, empty).shape == (0, 0)


def test_dummy_prefixes_of_no_text() -> None:
    assert chunks("", ["▁"], ["▁"]) == [([0], [0])]


def test_one_side_without_tokens_is_refused() -> None:
    for pair in (sides("", [], ["▁"]), sides("", ["▁"], [])):
        with pytest.raises(TokenError, match=r"tokens on both sides; got (0 and 1|1 and 0)"):
            shared_chunks(*pair)


@pytest.mark.parametrize("function", [shared_chunks, chunk_mask, overlap_mask, content_mask])
def test_two_texts_are_refused(function: object) -> None:
    assert callable(function)
    with pytest.raises(TokenError, match="one sentence on both sides; got 'cat' and 'bat'"):
        function(TokenizedText.from_pieces("cat", ["cat"]), TokenizedText.from_pieces("bat", ["bat"]))
