"""Reports as JSON and back, and what is refused."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import GOLD, demo_gold, map_of, random_map

from probe.alignment.align import align, align_maps
from probe.cli.align import main
from probe.errors import ReportError
from probe.exchange.given_maps import given_maps
from probe.gold.pairs import read_pairs, write_pairs
from probe.report.document import LAYOUT, from_json, load_report, load_reports, save_report, to_json
from probe.report.report import ProbeReport

FILE = demo_gold(12)


@pytest.fixture(scope="module")
def report() -> ProbeReport:
    found = align("demo", FILE, methods=["lexical", "random"])
    return replace(found, origin=replace(found.origin, command="probe-align --pairs x"))


@pytest.fixture(scope="module")
def one_way(tmp_path_factory: pytest.TempPathFactory) -> ProbeReport:
    """Of maps without backward attention."""
    place = tmp_path_factory.mktemp("maps")
    for k, row in enumerate(FILE.rows):
        map_of(row, random_map(row, k).weights).save(place / f"{k}.npz")
    return align_maps(given_maps(place, FILE), FILE, ["lexical"])


def test_a_report_that_was_written_is_read_as_it_was(report: ProbeReport, tmp_path: Path):
    save_report(report, tmp_path / "report.json")
    again = load_report(tmp_path / "report.json")
    for name in ("origin", "sentences", "other_sentences", "lengths", "phenomena", "triples", "methods", "rows"):
        assert getattr(again, name) == getattr(report, name), name
    for name in LAYOUT:
        np.testing.assert_allclose(getattr(again, name), getattr(report, name), rtol=1e-8, atol=1e-12)
    for field in ("value", "low", "high"):
        for found in ("intervals", "differences", "backward_intervals", "backward_differences"):
            ours, theirs = (getattr(getattr(one, found), field) for one in (report, again))
            np.testing.assert_allclose(theirs, ours, rtol=1e-7, atol=1e-8)
    for groups in ("by_slice", "by_phenomenon", "by_length", "by_aligner"):
        for ours, theirs in zip(getattr(report, groups), getattr(again, groups), strict=True):
            assert (ours.name, ours.sentences, ours.rows) == (theirs.name, theirs.sentences, theirs.rows)
            np.testing.assert_allclose(theirs.figures.value, ours.figures.value, rtol=1e-7, atol=1e-8)
    ours, theirs = (one.destinations.figures.value for one in (report, again))
    np.testing.assert_allclose(theirs, ours, rtol=1e-7, atol=1e-8)


def test_a_report_is_shown_in_a_line(report: ProbeReport):
    top_1 = "top-1 57.9 % [52.0, 65.8], 12 sentences"
    assert repr(report) == f"<ProbeReport of demo (demo/student ← demo/teacher), 12 rows: {top_1}>"


def test_a_packed_report_is_the_same_and_packs_to_the_same_bytes(report: ProbeReport, tmp_path: Path):
    for name in ("a.json.gz", "b.json.gz", "c.json"):
        save_report(report, tmp_path / name)
    packed = (tmp_path / "a.json.gz").read_bytes()
    assert packed == (tmp_path / "b.json.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "c.json").read_bytes()
    assert to_json(load_report(tmp_path / "a.json.gz")) == to_json(load_report(tmp_path / "c.json"))


def test_it_says_where_its_numbers_come_from(report: ProbeReport):
    origin = json.loads(to_json(report))["origin"]
    assert origin["command"] == "probe-align --pairs x"
    assert origin["random_seeds"] == [0, 1, 2]
    assert set(origin["scales"]) == {"key", "hidden", "target"}
    assert all(len(digest) == 64 for digest in (origin["gold_sha256"], *origin["files"].values()))


def test_what_is_unknown_is_null_and_comes_back_unknown(one_way: ProbeReport):
    text = to_json(one_way)
    assert "NaN" not in text
    document = json.loads(text)
    assert document["backward figures"][one_way.methods[0]]["top-1"]["value"] is None
    assert document["backward figures"]["lexical"]["top-1"]["value"] is not None
    assert document["aligners"]["itermax"]["figures"][one_way.methods[0]]["F1"] is None
    again = from_json(text)
    for name in LAYOUT:
        np.testing.assert_array_equal(np.isnan(getattr(again, name)), np.isnan(getattr(one_way, name)))
    assert np.isnan(again.backward[:, 0]).all()
    assert np.isfinite(again.intervals.value[0, :6]).all()


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda document: {k: v for k, v in document.items() if k != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {**d, "schema": 1}, "got schema 1"),
        (without("schema"), "got schema None"),
        (lambda d: [d], "got schema None"),
        (without("by_sentence"), "none called 'by_sentence'"),
        (without("origin"), "none called 'origin'"),
        (lambda d: {**d, "columns": {**d["columns"], "counts": [["rows"]]}}, "columns of another version"),
        (lambda d: {**d, "by_sentence": []}, "the keys of schema"),
        (lambda d: {**d, "by_sentence": 5}, "the keys of schema"),
        (lambda d: {**d, "by_sentence": [without("mass")(d["by_sentence"][0])]}, "none called 'mass'"),
        (
            lambda d: {**d, "by_sentence": [{**d["by_sentence"][0], "mass": {"at": [10**6], "value": [1]}}]},
            "the keys of schema",
        ),
    ],
)
def test_another_document_is_refused(report: ProbeReport, change: Callable[[Any], Any], message: str):
    text = json.dumps(change(json.loads(to_json(report))))
    with pytest.raises(ReportError, match=message) as caught:
        from_json(text, "x.json")
    assert str(caught.value).startswith("x.json: expected ")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 2', b"\xff\xfe", None])
def test_a_file_that_is_broken_or_missing_is_refused(content: bytes | None, tmp_path: Path):
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ReportError) as caught:
        load_report(tmp_path / "x.json")
    assert len(caught.value.problems) == 1
    assert "x.json" in str(caught.value)


def test_reports_on_several_are_read_back_by_name(tmp_path: Path):
    gold = read_pairs(GOLD)
    few = tmp_path / "few.tsv"
    write_pairs(few, [row for row in gold.rows if row.pair.startswith("demo~")][:2], gold.comments)
    both = ["--checkpoint", "demo", "--checkpoint", "demo-cma"]
    assert main(["--pairs", str(few), *both, "--methods", "lexical", "--json", str(tmp_path / "all.json")]) == 0
    found = load_reports(tmp_path / "all.json")
    assert {name: report.checkpoint for name, report in found.items()} == {"demo": "demo", "demo-cma": "demo-cma"}
    with pytest.raises(ReportError, match=r"got 2 of them\. Read them with probe\.load_reports"):
        load_report(tmp_path / "all.json")
    assert main(["--pairs", str(few), "--methods", "lexical", "--json", str(tmp_path / "one.json")]) == 0
    assert list(load_reports(tmp_path / "one.json")) == ["demo"]
