"""Figures by phenomenon: of the rows with the tag, and of no others."""

import json

import numpy as np
import pytest
from places import GOLD
from rich.console import Console

from probe.gold.pairs import read_pairs
from probe.gold.rows import PHENOMENA
from probe.report.document import to_json
from probe.report.report import ProbeReport
from probe.report.tables import phenomena_table
from probe.scoring.scores import COUNTS, METRICS, metrics
from probe.stats import FEW


@pytest.fixture(scope="module")
def report(demo_report: ProbeReport) -> ProbeReport:
    return demo_report


def test_each_phenomenon_is_counted_over_its_own_rows(report: ProbeReport):
    rows = {row.id: row for row in read_pairs(GOLD).rows}
    assert [one.name for one in report.by_phenomenon] == list(PHENOMENA)
    for one in report.by_phenomenon:
        own = [n for n, id_ in enumerate(report.sentences) if one.name in rows[id_].phenomena]
        assert 0 < len(own) < len(report.sentences)
        assert one.sentences == len(own)
        assert one.rows == sum(report.counts[n, 0, COUNTS.index("rows")] for n in own)
        np.testing.assert_allclose(one.figures.value, metrics(report.counts[own].sum(axis=0)))
        if one.sentences < FEW:
            assert np.isnan([one.figures.low, one.figures.high]).all()
        else:
            top_1 = one.figures.at(0, METRICS.index("top-1"))
            assert top_1.low < top_1.value < top_1.high  # pyright: ignore


def test_the_table_fits_a_terminal_of_80_columns(report: ProbeReport):
    console = Console(width=80)
    with console.capture() as capture:
        console.print(phenomena_table(report))
    lines = capture.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in capture.get()
    for one in report.by_phenomenon:
        (line,) = (line for line in lines if line.split()[:1] == [one.name])
        assert line.split()[1:4] == [str(one.sentences), str(one.rows), f"{100 * one.figures.value[0, 0]:.1f}"]


def test_json_has_them(report: ProbeReport):
    document = json.loads(to_json(report))["phenomena"]
    assert list(document) == list(PHENOMENA)
    for one in report.by_phenomenon:
        stored = document[one.name]
        assert (stored["sentences"], stored["rows"]) == (one.sentences, one.rows)
        place = report.methods.index("lexical"), METRICS.index("MRR")
        assert stored["figures"]["lexical"]["MRR"] == one.figures.value[place]
