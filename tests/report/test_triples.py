"""Minimal triples: which rows they are, and the differences that are planted in them."""

import numpy as np
import pytest
from rich.console import Console

from probe.gold.triples import KINDS, Mark, mark_of
from probe.report.triples import score_triples, table
from probe.scoring.scores import COUNTS

ROWS, TOP_1 = COUNTS.index("rows"), COUNTS.index("top-1")


@pytest.mark.parametrize(
    ("note", "mark"),
    [
        ("triple T07 same.", Mark("T07", "same")),
        ("triple T07 synonym. 3-2 is sure: a line break", Mark("T07", "synonym")),
        ("", None),
        ("see triple T07 same.", None),
        ("triple T07 first.", None),
    ],
)
def test_a_note_says_which_sentence_of_which_triple_a_row_is(note: str, mark: Mark | None):
    assert mark_of(note) == mark


def planted(triples: int) -> tuple[list[Mark | None], np.ndarray]:
    """Twenty rows a sentence; the first method has 12, 14 and 16 hits in each triple, the second always 10."""
    marks: list[Mark | None] = []
    counts: list[np.ndarray] = []
    for number in range(triples):
        for kind, hits in zip(KINDS, (12, 14, 16), strict=True):
            marks.append(Mark(f"T{number}", kind))
            both = np.zeros((2, len(COUNTS)))
            both[:, ROWS], both[:, TOP_1] = 20, (hits, 10)
            counts.append(both)
    return marks, np.stack(counts)


def test_planted_differences_come_out():
    first, second = score_triples(*_with_methods(12))
    assert (first.method, first.triples) == ("cma", 12)
    np.testing.assert_allclose(first.top_1, [0.6, 0.7, 0.8])
    np.testing.assert_allclose([list(step) for step in first.steps], [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]])
    np.testing.assert_allclose([list(step) for step in second.steps], np.zeros((2, 3)))


def test_the_order_of_rows_does_not_matter():
    marks, methods, counts = _with_methods(12)
    order = np.random.default_rng(0).permutation(len(marks))
    (shuffled, _), (ordered, _) = (
        score_triples([marks[i] for i in order], methods, counts[order]),
        score_triples(marks, methods, counts),
    )
    np.testing.assert_array_equal(shuffled.top_1, ordered.top_1)


def test_bounds_are_over_triples():
    marks, methods, counts = _with_methods(30)
    lucky = [n for n, mark in enumerate(marks) if mark is not None and mark.kind == "other"][:15]
    counts[lucky, 0, TOP_1] += 2
    value, low, high = score_triples(marks, methods, counts)[0].steps[0]
    assert value == pytest.approx(0.15)
    # Half of the triples at .1 and half at .2: the standard error is .05 / sqrt(30).
    assert low == pytest.approx(0.15 - 1.96 * 0.05 / 30**0.5, abs=0.004)
    assert high == pytest.approx(0.15 + 1.96 * 0.05 / 30**0.5, abs=0.004)


def test_a_triple_that_lacks_a_sentence_does_not_count():
    marks, methods, counts = _with_methods(12)
    assert score_triples([None, *marks[1:]], methods, counts)[0].triples == 11
    assert score_triples([None] * len(marks), methods, counts) == []


def test_few_triples_have_no_bounds():
    assert {step.low for step in score_triples(*_with_methods(3))[0].steps} == {None}


def test_the_table_fits_80_columns():
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table(score_triples(*_with_methods(12))))
    assert "cma" in capture.get()
    assert "…" not in capture.get()
    assert "+10.0 [+10.0, +10.0]" in capture.get()


def _with_methods(triples: int) -> tuple[list[Mark | None], list[str], np.ndarray]:
    marks, counts = planted(triples)
    return marks, ["cma", "lexical"], counts
