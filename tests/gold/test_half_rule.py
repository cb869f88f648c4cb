"""The half rule, by the grids of alignments/README.md, and against a count of bytes that is written another way."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from places import GOLD
from strategies import pairs_of_sides

from probe.chunks import WHITE_SPACE, byte_sizes, content_sizes, one_to_one, shared_bytes, shared_content
from probe.gold.half_rule import half_rule_links
from probe.gold.pairs import read_pairs
from probe.tokens import TokenizedText


def sides(student: str, teacher: str) -> tuple[TokenizedText, TokenizedText]:
    """Pieces between bars; the text is what they spell."""
    cuts = student.split("|"), teacher.split("|")
    text = "".join(cuts[0])
    return TokenizedText.from_pieces(text, cuts[0]), TokenizedText.from_pieces(text, cuts[1])


def grid(student: str, teacher: str) -> list[str]:
    both = sides(student, teacher)
    links, (rows, columns) = half_rule_links(*both), (len(side.tokens) for side in both)
    signs = {"sure": "S", "possible": "p", "none": "."}
    return ["".join(signs[links.kind((i, j))] for j in range(columns)) for i in range(rows)]


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        pytest.param("unbelie|vable", "unbelievable", ["S", "S"], id="a piece inside another"),
        pytest.param(" amygdala", " amyg|dala", ["SS"], id="two pieces inside another"),
        pytest.param("pe|zil", "pez|il", ["S.", "pS"], id="z is one of three on either side"),
        pytest.param("unbelie|vable", "un|believable", ["SS", ".S"], id="five of seven letters"),
        pytest.param(
            " ch|oro|ide|rem|ia", " chor|oid|er|emia", ["S...", "Sp..", ".SS.", "..SS", "...S"], id="chains of parts"
        ),
        pytest.param("ser|v|es", "serve|s", ["S.", "S.", "SS"], id="endings are left to the reader"),
        pytest.param(" |File", " File", ["p", "S"], id="a space of its own"),
        pytest.param("\n   | total", "\n|    |total", ["SS.", ".pS"], id="white space among itself"),
        pytest.param(" | | | return", "   | return", ["S.", "S.", "S.", ".S"], id="a run of spaces"),
        pytest.param("\n | *", "\n|  |*", ["SS.", ".pS"], id="half of two spaces"),
        pytest.param(" |2019", " |2|0|1|9", ["S....", ".SSSS"], id="digits by their place"),
        pytest.param('"|].', '"].', ["S", "S"], id="a cluster of marks"),
        pytest.param(":|\n", ":\n", ["S", "p"], id="line breaks are left to the reader"),
        pytest.param("a b", "a| b", ["SS"], id="both hold content"),
        pytest.param("a |b", "a| b", ["Sp", ".S"], id="words that share a space alone"),
    ],
)
def test_grids(student: str, teacher: str, expected: list[str]):
    assert grid(student, teacher) == expected


def test_bytes_of_a_character_are_sure_with_what_holds_them():
    text = " до жд"
    cut = (
        TokenizedText.from_pieces(text, ["ĠÐ´", "Ð¾", "ĠÐ", "¶Ð´"]),
        TokenizedText.from_pieces(text, ["▁до", "▁", "<0xD0>", "<0xB6>", "д"]),
    )
    assert half_rule_links(*cut).sure == {(0, 0), (1, 0), (2, 2), (3, 3), (3, 4)}
    assert half_rule_links(*cut).possible == {(2, 1)}


def test_an_empty_piece_has_no_link():
    text = "cat"
    cut = TokenizedText.from_pieces(text, ["▁", "cat"]), TokenizedText.from_pieces(text, ["▁", "cat"])
    assert half_rule_links(*cut).either == {(1, 1)}


def naive(student: TokenizedText, teacher: TokenizedText) -> dict[tuple[int, int], str]:
    """Sets of bytes, one pair at a time."""
    white = [byte for char in student.text for byte in [char in WHITE_SPACE] * len(char.encode())]
    found: dict[tuple[int, int], str] = {}
    for (i, one), (j, other) in product(enumerate(student.tokens), enumerate(teacher.tokens)):
        whole = [set(range(token.start, token.end)) for token in (one, other)]
        full = [{byte for byte in of if not white[byte]} for of in whole]
        measured = full if any(full) else whole
        shared, smaller = len(measured[0] & measured[1]), min(map(len, measured))
        if whole[0] & whole[1]:
            found[i, j] = "sure" if shared and 2 * shared >= smaller else "possible"
    return found


@given(pairs_of_sides())
@settings(deadline=None, max_examples=200)
def test_any_two_cuts(both: tuple[TokenizedText, TokenizedText]):
    links = half_rule_links(*both)
    assert {link: links.kind(link) for link in links.either} == naive(*both)
    assert links.sure.isdisjoint(links.possible)
    assert (shared_content(*both) <= shared_bytes(*both)).all()
    assert (byte_sizes(both[0]) >= content_sizes(both[0])).all()


def test_a_chunk_of_one_against_one_is_its_own_link():
    both = sides("a| cat| s|at", "a| c|at| sat")
    assert one_to_one(*both) == {(0, 0)}


def test_the_gold_file_departs_only_where_a_note_says_so():
    for row in read_pairs(GOLD).rows:
        rule = half_rule_links(row.student, row.teacher)
        for i, j in rule.either | row.links.either:
            if rule.kind((i, j)) != row.links.kind((i, j)):
                assert f"{i}-{j}" in row.note or f"{i}p{j}" in row.note, row.id


def test_shared_bytes_of_pieces_that_do_not_touch_are_none():
    both = sides("ab|c|d", "a|bcd")
    np.testing.assert_array_equal(shared_bytes(*both), [[1, 1], [0, 1], [0, 1]])
