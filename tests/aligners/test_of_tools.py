"""The aligners of published tools, by hand, by brute force and by what the tools themselves gave."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import GOLD
from planted import row_of
from strategies import byte_alphabet, cuts, pairs_of_sides, random_undone, texts

from probe.aligners.byte_chunks import byte_chunk_links
from probe.aligners.exact_tokens import exact_string_links
from probe.aligners.gold_strings import equal_strings, gold_string_links, increments
from probe.aligners.of_tools import TOOL_ALIGNERS, Pairs
from probe.chunks import shared_chunks
from probe.gold.pairs import read_pairs
from probe.tokens import Token, TokenizedText

Sides = tuple[TokenizedText, TokenizedText]
BY_NAME = {aligner.name: aligner.links for aligner in TOOL_ALIGNERS}
each = pytest.mark.parametrize("name", BY_NAME)


def sides(text: str, student: str, teacher: str) -> Sides:
    row = row_of(text, student, teacher)
    return row.student, row.teacher


def block(students: Sequence[int], teachers: Sequence[int]) -> Pairs:
    return frozenset((i, j) for i in students for j in teachers)


def diagonal(count: int) -> Pairs:
    return frozenset((i, i) for i in range(count))


# By hand


def test_the_table_is_in_the_order_that_reports_show():
    expected = ["byte chunks", "exact tokens, bytes", "exact tokens, strings"]
    assert list(BY_NAME) == [*expected, "time warping", "edit distance", "GOLD strings"]
    assert all(aligner.used_by and aligner.note for aligner in TOOL_ALIGNERS)


# un | happy | Ġcat | Ġsat against ▁unh | appy | ▁c | at | ▁sat
CROSSED = block((0, 1), (0, 1))


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("byte chunks", CROSSED | block([2], (2, 3)) | {(3, 4)}),
        ("exact tokens, bytes", {(3, 4)}),
        ("exact tokens, strings", {(3, 4)}),
        ("time warping", {(0, 0), (1, 1), (2, 2), (2, 3), (3, 4)}),
        ("edit distance", (CROSSED - {(0, 1)}) | block([2], (2, 3)) | {(3, 4)}),
        ("GOLD strings", CROSSED | block([2], (2, 3)) | {(3, 4)}),
    ],
)
def test_plain_words(name: str, links: Pairs):
    assert BY_NAME[name](*sides("unhappy cat sat", "un happy Ġcat Ġsat", "▁unh appy ▁c at ▁sat")) == links


# The letter and the emoji are cut inside: F0 9F 98 | 80 on one side, byte by byte on the other.
HARD = "naïve 😀 ok"
FIRST, LAST = byte_alphabet(" 😀")[:-1], byte_alphabet("😀")[-1]
STUDENT, TEACHER = f"na {byte_alphabet('ï')} ve {FIRST} {LAST} Ġok", "▁na ï ve ▁ <0xF0> <0x9F> <0x98> <0x80> ▁ok"
BYTES = diagonal(3) | block([3], (3, 4, 5, 6)) | {(4, 7), (5, 8)}


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("byte chunks", BYTES),
        ("exact tokens, bytes", diagonal(3) | {(4, 7), (5, 8)}),
        ("exact tokens, strings", {(0, 0)}),
        ("edit distance", BYTES),
        ("GOLD strings", diagonal(3) | block([3], (3, 4)) | block((4, 5), (5, 6, 7, 8))),
    ],
)
def test_partial_characters_and_two_alphabets(name: str, links: Pairs):
    assert BY_NAME[name](*sides(HARD, STUDENT, TEACHER)) == links


def test_what_decoding_gains_by_a_byte_is_not_taken_back():
    student, teacher = sides(HARD, STUDENT, TEACHER)
    assert increments(student) == ["na", "ï", "ve", " �", "", " ok"]
    assert increments(teacher) == ["na", "ï", "ve", " ", "�", "�", "�", "", " ok"]


def test_one_accent_upsets_all_strings_after_it_but_no_bytes():
    given_sides = sides("the café is nice", f"the Ġcaf {byte_alphabet('é')} Ġis Ġnice", "▁the ▁caf é ▁is ▁nice")
    assert BY_NAME["exact tokens, bytes"](*given_sides) == diagonal(5)
    assert BY_NAME["exact tokens, strings"](*given_sides) == diagonal(2)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("byte chunks", {(0, 0), (0, 1)}),
        ("exact tokens, bytes", set()),
        ("exact tokens, strings", set()),
        ("time warping", {(0, 0), (0, 1)}),
        ("edit distance", {(0, 1)}),
        ("GOLD strings", {(0, 0), (0, 1)}),
    ],
)
def test_a_dummy_space_without_bytes(name: str, first: set[tuple[int, int]]):
    student, teacher = sides("one two", "one Ġtwo", "▁ one ▁two")
    assert BY_NAME[name](student, teacher) == first | {(1, 2)}
    assert BY_NAME[name](teacher, student) == {(j, i) for i, j in first | {(1, 2)}}


def test_spaces_of_the_text_are_not_taken_for_the_dummy():
    student, teacher = sides(" a b", "Ġa Ġb", "▁▁a ▁b")
    assert increments(student) == increments(teacher) == [" a", " b"]
    assert increments(sides(" a b", "Ġa Ġb", "▁a ▁b")[1]) == [" a", " b"]  # a tokenizer without a dummy


def test_a_normalised_letter_is_decoded_as_it_was_written():
    text = "cafe\u0301 noir"
    student = TokenizedText.from_pieces(text, [byte_alphabet("cafe\u0301"), "Ġnoir"])
    teacher = TokenizedText.from_pieces(text, [byte_alphabet("café"), "Ġnoir"])
    assert increments(teacher) == ["café", " noir"]
    assert gold_string_links(student, teacher) == block((0, 1), (0, 1))  # the strings never meet again
    assert byte_chunk_links(student, teacher) == diagonal(2)


def test_sentencepiece_may_normalise_as_well():
    side = TokenizedText.from_pieces("ﬁne ﬁle", ["▁fine", "▁fi", "le"])
    assert increments(side) == ["fine", " fi", "le"]


def test_a_text_with_an_added_token_is_still_byte_level():
    side = TokenizedText.from_pieces("in Zürich", ["in", "Ġ", "Zürich"])  # not `ZÃ¼rich`
    assert increments(side)[:2] == ["in", " "]


@each
def test_a_side_without_tokens_has_no_links(name: str):
    nothing, dummy = TokenizedText("", ()), TokenizedText.from_pieces("", ["▁"])
    for student, teacher in ((nothing, nothing), (nothing, dummy), (dummy, nothing)):
        assert BY_NAME[name](student, teacher) == frozenset()


# Any texts


@each
@given(pairs=pairs_of_sides())
def test_links_are_of_tokens_that_are_there(name: str, pairs: Sides):
    student, teacher = pairs
    with random_undone():
        links = BY_NAME[name](student, teacher)
    assert all(0 <= i < len(student.tokens) and 0 <= j < len(teacher.tokens) for i, j in links)


@st.composite
def whole_characters(draw: st.DrawFn) -> TokenizedText:
    """Pieces of one or more characters; none is a byte, and there is no dummy."""
    text = draw(texts(min_size=1).filter(lambda text: "<" not in text))
    pieces = [run.replace(" ", "▁") for run in draw(cuts(text))]
    with random_undone():
        return TokenizedText.from_pieces(text, pieces)


@each
@given(side=whole_characters())
def test_equal_tokens_are_linked_one_to_one(name: str, side: TokenizedText):
    with random_undone():
        assert BY_NAME[name](side, side) == diagonal(len(side.tokens))


WORDS = st.text("ab", min_size=1, max_size=12)


@given(st.data())
def test_exact_strings_are_those_after_equal_strings(data: st.DataObject):
    text = data.draw(WORDS)
    student, teacher = data.draw(cuts(text)), data.draw(cuts(text))
    before = [["", *accumulate(side)] for side in (student, teacher)]
    expected = {
        (i, j)
        for i, ours in enumerate(student)
        for j, theirs in enumerate(teacher)
        if ours == theirs and before[0][i] == before[1][j]
    }
    with random_undone():
        found = exact_string_links(*(TokenizedText.from_pieces(text, side) for side in (student, teacher)))
    assert found == expected


@given(st.data())
def test_groups_of_equal_strings_end_where_both_sides_end(data: st.DataObject):
    text = data.draw(WORDS)
    student, teacher = data.draw(cuts(text)), data.draw(cuts(text))
    ends = [[len(read) for read in accumulate(side)] for side in (student, teacher)]
    shared = sorted(set(ends[0]) & set(ends[1]))
    found = equal_strings(student, teacher)
    assert [(ours.stop, theirs.stop) for ours, theirs in found] == [
        (ends[0].index(end) + 1, ends[1].index(end) + 1) for end in shared
    ]


@given(*2 * [st.lists(st.text("ab�", max_size=2), max_size=8)])
def test_each_token_is_in_one_group_of_strings(student: list[str], teacher: list[str]):
    groups = equal_strings(student, teacher)
    assert [i for ours, _ in groups for i in ours] == list(range(len(student)))
    assert [j for _, theirs in groups for j in theirs] == list(range(len(teacher)))
    for ours, theirs in groups[:-1]:
        assert "".join(student[ours.start : ours.stop]) == "".join(teacher[theirs.start : theirs.stop]) != ""


# TRL


def walk(student: TokenizedText, teacher: TokenizedText) -> list[tuple[range, range]]:
    """The rule of TRL in its own terms: a group closes where the ends of the next two tokens are equal."""
    groups: list[tuple[range, range]] = []
    begin, here = (0, 0), [0, 0]
    ends = [[token.end for token in side.tokens] for side in (student, teacher)]
    while here[0] < len(ends[0]) and here[1] < len(ends[1]):
        ours, theirs = ends[0][here[0]], ends[1][here[1]]
        here[0] += ours <= theirs
        here[1] += theirs <= ours
        if ours == theirs:
            groups.append((range(begin[0], here[0]), range(begin[1], here[1])))
            begin = here[0], here[1]
    rest = range(begin[0], len(ends[0])), range(begin[1], len(ends[1]))
    return [*groups, rest] if rest[0] or rest[1] else groups


def links_of(groups: list[tuple[range, range]]) -> Pairs:
    return frozenset(pair for ours, theirs in groups for pair in block(ours, theirs))


def test_byte_chunks_are_those_of_trl_where_tokens_have_bytes_of_their_own():
    pairs = [(row.student, row.teacher) for row in read_pairs(GOLD).rows]
    differ = [i for i, pair in enumerate(pairs) if links_of(walk(*pair)) != byte_chunk_links(*pair)]
    assert len(pairs) - len(differ) == 393  # in the one, two tokens are of one letter that a normal form changed


def test_trl_drops_a_token_without_bytes_at_the_end():
    student = TokenizedText("ab", (Token("ab", 0, 2), Token("", 2, 2)))
    teacher = TokenizedText("ab", (Token("a", 0, 1), Token("b", 1, 2)))
    assert walk(student, teacher) == [(range(1), range(2)), (range(1, 2), range(2, 2))]
    assert links_of(walk(student, teacher)) == block([0], (0, 1))
    assert byte_chunk_links(student, teacher) == block((0, 1), (0, 1))


def test_trl_parts_two_tokens_of_one_normalised_letter():
    # Both student tokens have the three bytes of `e` and its accent, as a tokenizer that normalises gives them.
    student = TokenizedText("e\u0301!", (Token("Ã", 0, 3), Token("©", 0, 3), Token("!", 3, 4)))
    teacher = TokenizedText("e\u0301!", (Token("eÌģ", 0, 3), Token("!", 3, 4)))
    assert walk(student, teacher)[0] == (range(1), range(1))
    assert byte_chunk_links(student, teacher) == block((0, 1), [0]) | {(2, 1)}


class Given(NamedTuple):
    """What TRL returned for a row, by `benchmarks/aligners_of_tools.py`."""

    row: str
    string_groups: int
    last: tuple[int, int]
    """Tokens of each side in the last group of strings."""
    string_links: int
    byte_groups: int
    byte_links: int


GIVEN = (
    Given("demo-029", 5, (21, 14), 298, 18, 25),
    Given("sg-054", 4, (14, 10), 143, 11, 23),
    Given("sg-126", 1, (81, 21), 1701, 21, 81),
    Given("gq-020", 16, (1, 1), 17, 16, 17),
    Given("gq-121", 1, (25, 21), 525, 18, 28),
    Given("tm-042", 2, (34, 26), 888, 28, 36),
)


@pytest.mark.parametrize("given_", GIVEN, ids=lambda given_: given_.row)
def test_rows_have_the_groups_that_trl_gave(given_: Given):
    """`_build_alignment_groups_from_ids` of TRL 1.5.1, and `_align_by_byte_offsets` of 1.16.0."""
    row = read_pairs(GOLD)[given_.row]
    strings = equal_strings(increments(row.student), increments(row.teacher))
    assert (len(strings), (len(strings[-1][0]), len(strings[-1][1]))) == (given_.string_groups, given_.last)
    assert len(gold_string_links(row.student, row.teacher)) == given_.string_links
    assert len(shared_chunks(row.student, row.teacher)) == given_.byte_groups
    assert len(byte_chunk_links(row.student, row.teacher)) == given_.byte_links
