"""Minimal triples: which rows they are, and the differences that are planted in them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from probe.alignment.align import align
from probe.checkpoints.loading import load
from probe.gold.triples import KINDS, Mark, mark_of
from probe.report.comparison import compare_all
from probe.report.method_comparison import compare_methods
from probe.report.report import ProbeReport
from probe.report.steps import by_steps
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


@pytest.fixture(scope="module")
def report(few_gold: Path) -> ProbeReport:
    return align(load("demo"), few_gold)


def in_threes(report: ProbeReport) -> ProbeReport:
    """The same with each sentence three times, as if it were the three of a triple: no more is known than from one."""
    marks = [Mark(f"T{n}", kind) for n in range(len(report.sentences)) for kind in KINDS]
    names = "counts", "slices", "mass", "backward", "links"
    return replace(
        report,
        sentences=tuple(f"{id_}-{kind}" for id_ in report.sentences for kind in KINDS),
        lengths=tuple(np.repeat(report.lengths, 3).tolist()),
        phenomena=tuple(tags for tags in report.phenomena for _ in KINDS),
        triples=tuple(marks),
        **{name: np.repeat(getattr(report, name), 3, axis=0) for name in names},
    )


def figures(report: ProbeReport) -> dict[str, np.ndarray]:
    """Every figure with its interval, by table."""
    worse = replace(report, counts=report.counts * np.where(np.arange(len(COUNTS)) == TOP_1, 0.8, 1))
    later = replace(worse, origin=replace(report.origin, steps=1, files=()))
    sooner = replace(report, origin=replace(report.origin, steps=0, files=()))
    (two,) = compare_all({"one": report, "other": worse})
    (methods,) = compare_methods({"a": {"1": sooner, "2": sooner}, "b": {"3": later, "4": later}})
    groups = [*report.by_phenomenon, *report.by_length, *report.by_slice, *report.by_aligner, report.destinations]
    arrays = [report.intervals, report.differences, report.backward_intervals, report.backward_differences]
    found = {f"figures {k}": [one.value, one.low, one.high] for k, one in enumerate(arrays)}
    found |= {one.name: [one.figures.value[0], one.figures.low[0], one.figures.high[0]] for one in groups}
    found |= {f"against {name}": [list(one)] for name, one in report.against("token", "diagonal").items()}
    found |= {f"compared {one.figure}": [list(one.difference)] for one in (*two.figures, *two.phenomena)}
    found |= {f"p {one.figure}": [one.p] for one in two.figures}
    found |= {f"methods {one.figure}": [list(one.difference)] for one in methods.figures}
    found |= {"steps": [list(one.change) for one in by_steps({"a": sooner, "b": later})]}
    found |= {"target minus input": [list(report.targets_minus_inputs)]}
    return {name: np.array(one, dtype=np.float64) for name, one in found.items()}


def test_the_sentences_of_a_triple_are_resampled_together_in_every_table(report: ProbeReport):
    once, thrice = figures(report), figures(in_threes(report))
    assert once.keys() == thrice.keys()
    for name, found in once.items():
        np.testing.assert_allclose(thrice[name], found, rtol=1e-6, atol=1e-9, err_msg=name)
    assert in_threes(report).verdict == report.verdict


def _with_methods(triples: int) -> tuple[list[Mark | None], list[str], np.ndarray]:
    marks, counts = planted(triples)
    return marks, ["cma", "lexical"], counts
