"""Maps and links of other tools, scored on the rows that they are of."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from planted import demo_gold, random_map

from probe.alignment.align import align_maps
from probe.cli.align import main
from probe.cli.pairs import main as pairs_main
from probe.errors import MapError, PairsError
from probe.exchange.conversion import PHARAOH, written
from probe.exchange.given_maps import given_maps
from probe.gold.pairs import write_pairs
from probe.report.document import load_report
from probe.scoring.scores import METRICS

FILE = demo_gold(5)


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "gold.tsv", FILE.rows, FILE.comments)
    return tmp_path / "gold.tsv"


def test_a_map_and_a_directory_of_maps(tmp_path: Path):
    (tmp_path / "some").mkdir()
    for k, row in enumerate(FILE.rows[:3]):
        random_map(row, k).save(tmp_path / "some" / f"{k}.npz")
    found = given_maps(tmp_path / "some", FILE).maps
    assert list(found) == [row.id for row in FILE.rows[:3]]
    for k, row in enumerate(FILE.rows[:3]):
        np.testing.assert_array_equal(found[row.id].weights, random_map(row, k).weights)
    given = given_maps(tmp_path / "some" / "1.npz", FILE)
    assert list(given.maps) == [FILE.rows[1].id]
    report = align_maps(given, FILE, ["uniform"])
    assert (report.methods, len(report.sentences), report.other_sentences) == (("1", "uniform"), 1, 4)


def test_names_with_a_dot_stay_whole(tmp_path: Path):
    for name in ("cma-diag0.1", "cma-diag0.2"):
        (tmp_path / name).mkdir()
        random_map(FILE.rows[0], 1).save(tmp_path / name / "a.npz")
    (tmp_path / "it0.5.pharaoh").write_text(written(FILE.rows, PHARAOH)[""])
    given = [given_maps(tmp_path / name, FILE).name for name in ("cma-diag0.1", "cma-diag0.2", "it0.5.pharaoh")]
    assert given == ["cma-diag0.1", "cma-diag0.2", "it0.5"]


@pytest.mark.parametrize(
    ("format_", "name"), [("align-jsonl", "x.jsonl"), ("pharaoh", "x.pharaoh"), ("naacl", "x.naacl")]
)
def test_gold_that_was_converted_scores_as_gold(format_: str, name: str, gold: Path, tmp_path: Path):
    assert pairs_main(["convert", str(gold), "--to", format_, "--out", str(tmp_path / name)]) == 0
    report = align_maps(given_maps(tmp_path / name, FILE), FILE, ["gold"])
    own, reference = report.intervals.value[0], report.intervals.value[report.methods.index("gold")]
    assert len(report.sentences) == 5
    kept = [METRICS.index(name) for name in ("top-1", "MRR", "AUC", "attention mass", "EOS top-1")]
    if all(not row.possible for row in FILE.rows) or format_ == "align-jsonl":
        np.testing.assert_allclose(own[kept], reference[kept])
    assert own[METRICS.index("recall")] == 1
    assert own[METRICS.index("precision")] == 1


def test_links_without_tokens_are_of_all_rows_in_order(tmp_path: Path):
    (tmp_path / "x.pharaoh").write_text(written(FILE.rows, PHARAOH)[""])
    found = given_maps(tmp_path / "x.pharaoh", FILE).maps
    assert list(found) == [row.id for row in FILE.rows]
    row = FILE.rows[0]
    links = {(int(i), int(j)) for i, j in zip(*found[row.id].weights[:-1, :-1].nonzero(), strict=True)}
    assert links == row.links.either


def test_links_with_tokens_are_known_by_them(tmp_path: Path):
    for end, text in written(FILE.rows[2:4], PHARAOH).items():
        (tmp_path / f"x.pharaoh{end}").write_text(text)
    assert list(given_maps(tmp_path / "x.pharaoh", FILE).maps) == [row.id for row in FILE.rows[2:4]]
    other = type(FILE)(FILE.rows[:2], FILE.comments)
    with pytest.raises(PairsError, match="only other tokens"):
        given_maps(tmp_path / "x.pharaoh", other)


def line(change: Callable[[np.ndarray], None]) -> str:
    row = FILE.rows[0]
    weights = random_map(row).weights.copy()
    change(weights)
    sides = {"student": ["p", *row.student.pieces], "teacher": ["p", *row.teacher.pieces]}
    return json.dumps({**sides, "alignment": weights.tolist()}) + "\n"


def test_weights_of_a_row_are_made_to_sum_to_one_and_a_row_of_none_is_on_end_of_sequence(tmp_path: Path):
    def change(weights: np.ndarray) -> None:
        weights[0] *= 3
        weights[1] = 0

    (tmp_path / "x.jsonl").write_text(line(change))
    (found,) = given_maps(tmp_path / "x.jsonl", FILE).maps.values()
    np.testing.assert_allclose(found.weights[0], random_map(FILE.rows[0]).weights[0])
    assert found.weights[1, -1] == found.weights[1].sum() == 1


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
def test_weights_that_are_no_weights_are_refused(bad: float, tmp_path: Path):
    def change(weights: np.ndarray) -> None:
        weights[0, 0] = bad

    (tmp_path / "x.jsonl").write_text(line(change))
    with pytest.raises(MapError, match=f"row {FILE.rows[0].id}: expected finite weights"):
        given_maps(tmp_path / "x.jsonl", FILE)


def test_names_that_do_not_say_what_they_hold_and_places_that_hold_nothing(tmp_path: Path):
    (tmp_path / "x.txt").write_text("0-0\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MapError, match=r"ends in \.npz.*got '\.txt'"):
        given_maps(tmp_path / "x.txt", FILE)
    for name in ("empty", "nowhere.npz"):
        with pytest.raises(MapError, match="got nothing"):
            given_maps(tmp_path / name, FILE)


def test_the_command_scores_maps(gold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "gold.jsonl").write_text(written(FILE.rows, "align-jsonl")[""])
    (tmp_path / "few.jsonl").write_text(line(lambda weights: None))
    report = tmp_path / "report.json"
    assert main(["--pairs", str(gold), "--maps", str(tmp_path / "gold.jsonl"), "--json", str(report)]) == 0
    out = capsys.readouterr().out
    assert "gold: maps, as given" in out
    assert "5 sentences" in out
    assert json.loads(report.read_text())["figures"]["gold"]["top-1"]["value"] == 1
    both = ["--maps", str(tmp_path / "gold.jsonl"), "--maps", str(tmp_path / "few.jsonl")]
    assert main(["--pairs", str(gold), *both, "--methods", "uniform", "--json", str(report)]) == 0
    document = json.loads(report.read_text())
    assert list(document["reports"]) == both[1::2]
    (comparison,) = document["comparisons"]
    assert comparison["sentences"] == 1  # which shows nothing of others
    assert {one["p"] for one in comparison["figures"]} == {1}


@pytest.mark.parametrize("name", ["missing.npz", "bad.npz", "foreign.jsonl", "x.txt"])
def test_the_command_refuses_with_one_message(
    name: str, gold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    (tmp_path / "x.txt").write_text("0-0\n")
    foreign = {"student": ["p", "a"], "teacher": ["p", "a"], "alignment": [[1, 0], [0, 1]]}
    (tmp_path / "foreign.jsonl").write_text(json.dumps(foreign) + "\n")
    report = tmp_path / "report.json"
    assert main(["--pairs", str(gold), "--maps", str(tmp_path / name), "--json", str(report)]) == 2
    captured = capsys.readouterr()
    assert not report.exists()
    assert name in captured.err
    assert captured.err.count("expected") == 1
    assert "Traceback" not in captured.err


def test_maps_that_were_kept_score_as_the_checkpoint_did(gold: Path, tmp_path: Path):
    kept, found = tmp_path / "kept", tmp_path / "a.json"
    common = ["--pairs", str(gold), "--methods", "uniform", "--by", "method"]
    assert main([*common, "--save-maps", str(kept), "--json", str(found)]) == 0
    assert sorted(path.name for path in (kept / "demo").iterdir()) == sorted(f"{row.id}.npz" for row in FILE.rows)
    assert main([*common, "--maps", str(kept / "demo"), "--json", str(tmp_path / "b.json")]) == 0
    reports = [load_report(path) for path in (found, tmp_path / "b.json")]
    # A map that is drawn is projected for its sentence alone, one that is scored for all: float32 rounds them apart.
    np.testing.assert_allclose(reports[0].counts, reports[1].counts, rtol=1e-6)
    np.testing.assert_allclose(reports[0].backward, reports[1].backward, rtol=1e-6)
