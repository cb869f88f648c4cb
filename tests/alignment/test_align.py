"""The bundled demo on the gold file: the main job, through the library and through the command."""

import json
import re
import weakref
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLD

from probe.alignment import align as align_module
from probe.alignment import methods as methods_module
from probe.alignment.align import align, align_rows
from probe.alignment.fitting import fitting_rows, scorable
from probe.alignment.methods import HALVES, REFERENCES, calibration_sample
from probe.attention import softmax
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint
from probe.cli.align import BEYOND_OVERVIEW, SECTIONS, main
from probe.errors import ReportError
from probe.gold.pairs import GoldFile, declared_vocabularies, read_pairs, write_pairs
from probe.maps import AttentionMap
from probe.report.document import load_report
from probe.report.report import ProbeReport
from probe.report.tables import heading
from probe.scoring import ranks as ranks_module
from probe.scoring.scores import COUNTS, METRICS, metrics
from probe.scoring.sharpness import entropy, sharpening_factor
from probe.stats import FEW


@pytest.fixture(scope="module")
def gold() -> GoldFile:
    return read_pairs(GOLD)


@pytest.fixture(scope="module")
def opened() -> OpenCheckpoint:
    return load("demo")


@pytest.fixture(scope="module")
def report(demo_report: ProbeReport) -> ProbeReport:
    return demo_report


def figure(report: ProbeReport, method: str, metric: str) -> float:
    return report.intervals.value[report.methods.index(method), METRICS.index(metric)]


def test_the_table_has_cma_its_floors_baselines_references_and_ceilings(report: ProbeReport):
    assert report.methods == ("cma", "cma-grid", *HALVES, "random", *REFERENCES)
    assert {"uniform", "diagonal", "lexical", "overlap", "chunk", "gold", "bigram"} <= set(report.methods)


def test_rows_are_chosen_by_what_the_tokenizers_produce(opened: OpenCheckpoint, gold: GoldFile):
    rows = fitting_rows(opened, gold)
    assert {row.pair for row in rows} == {"demo~demo-teacher"}
    assert len(rows) == sum(row.pair == "demo~demo-teacher" for row in gold.rows)
    own = opened.checkpoint.student.vocabulary_sha256, opened.checkpoint.teacher.vocabulary_sha256
    declared = declared_vocabularies(gold)
    assert (declared["demo"], declared["demo-teacher"]) == own


def test_the_demo_beats_its_floors_and_stays_below_its_ceiling(report: ProbeReport):
    for metric in ("top-1", "MRR", "AUC"):
        cma = figure(report, "cma", metric)
        assert cma > figure(report, "random", metric)
        assert cma > figure(report, "uniform", metric)
        assert cma < figure(report, "bigram", metric) <= figure(report, "gold", metric) == 1
    assert report.differences.low[report.methods.index("random"), 0] > 0.2


def test_random_is_as_sharp_as_cma(report: ProbeReport):
    assert figure(report, "random", "entropy") == pytest.approx(figure(report, "cma", "entropy"), abs=0.002)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_the_order_of_the_file_changes_nothing(opened: OpenCheckpoint, gold: GoldFile, report: ProbeReport, seed: int):
    order = np.random.default_rng(seed).permutation(len(gold.rows))
    shuffled = replace(gold, rows=tuple(gold.rows[k] for k in order), lines=tuple(gold.lines[k] for k in order))
    other = align(opened, shuffled)
    assert other.sentences == report.sentences
    for one in fields(report.intervals):
        np.testing.assert_array_equal(getattr(other.intervals, one.name), getattr(report.intervals, one.name))
    for name in ("counts", "backward", "slices", "links", "mass"):
        np.testing.assert_array_equal(getattr(other, name), getattr(report, name))
    for ours, theirs in zip(report.by_slice, other.by_slice, strict=True):
        assert str(ours) == str(theirs)  # figures that are not known are no numbers, and not equal to themselves


def test_calibration_sees_scored_rows_of_any_file_alike(monkeypatch: pytest.MonkeyPatch, gold: GoldFile):
    monkeypatch.setattr(methods_module, "SAMPLE", 20)
    drawn = calibration_sample(gold.rows)
    assert len(drawn) == 20
    assert calibration_sample(gold.rows[::-1]) == drawn
    linked = {row.id: sorted({i for i, _ in row.sure}) for row in gold}
    assert drawn == {id_: linked[id_] for id_ in drawn}
    monkeypatch.setattr(methods_module, "SAMPLE_CELLS", 2000)
    fewer = calibration_sample(gold.rows)
    assert all(set(tokens) <= set(linked[id_]) for id_, tokens in fewer.items())
    assert sum(len(tokens) * (gold[id_].sizes[1] + 1) for id_, tokens in fewer.items()) < 2100
    assert calibration_sample(gold.rows[::-1]) == fewer


def test_a_long_sentence_is_scored_in_parts_that_change_nothing(
    monkeypatch: pytest.MonkeyPatch, opened: OpenCheckpoint, gold: GoldFile
):
    rows = GoldFile(gold.rows[:4], gold.comments)
    whole = align(opened, rows)
    live: list[weakref.ref[AttentionMap]] = []
    most, made = 0, AttentionMap.__post_init__

    def watched(map_: AttentionMap) -> None:
        nonlocal most
        made(map_)
        live[:] = [one for one in (*live, weakref.ref(map_)) if one() is not None]
        most = max(most, len(live))

    monkeypatch.setattr(AttentionMap, "__post_init__", watched)
    for module, name, value in ((align_module, "MOST_CELLS", 1), (ranks_module, "BLOCK", 40)):
        monkeypatch.setattr(module, name, value)
    for name in ("counts", "backward", "slices", "links", "mass"):
        np.testing.assert_allclose(getattr(align(opened, rows), name), getattr(whole, name), rtol=1e-12)
    assert most > len(whole.methods)  # short ones are kept, to be made once
    most = 0
    monkeypatch.setattr(align_module, "SAMPLE_CELLS", 1)
    align(opened, rows)
    assert most <= 4  # a map, its halves while it is made, and its reversed one


def test_sharpening_reaches_the_asked_entropy():
    rng = np.random.default_rng(0)
    logits = [rng.normal(size=(5, 9)), rng.normal(size=(7, 4))]
    factor = sharpening_factor(logits, 0.4)
    weights = [softmax(factor * text, axis=1) for text in logits]
    assert np.concatenate([entropy(w) for w in weights]).mean() == pytest.approx(0.4, abs=0.01)


def test_equal_key_bigrams_receive_equal_weight_to_the_last_bit(opened: OpenCheckpoint, gold: GoldFile):
    seen = 0
    for row in fitting_rows(opened, gold):
        weights = opened.map(row.student, row.teacher).weights
        pieces = row.teacher.pieces
        first: dict[tuple[str, str], int] = {}
        for j in range(1, len(pieces)):
            twin = first.setdefault((pieces[j - 1], pieces[j]), j)
            seen += twin != j
            np.testing.assert_array_equal(weights[:, j], weights[:, twin])
    assert seen > 20


def test_intervals_hold_their_value_and_differences_are_differences(report: ProbeReport):
    found, differences = report.intervals, report.differences
    real = ~np.isnan(found.value)
    assert (found.low[real] <= found.value[real] + 1e-12).all()
    assert (found.value[real] <= found.high[real] + 1e-12).all()
    np.testing.assert_allclose(differences.value, found.value[:1] - found.value)
    assert (differences.low[0][real[0]] == 0).all()


def test_a_cla_checkpoint_is_probed_masked_as_well(opened: OpenCheckpoint, gold: GoldFile):
    cla = replace(opened, checkpoint=replace(opened.checkpoint, method="cla"))
    report = align(cla, GoldFile(gold.rows[:6], gold.comments))
    assert report.methods[:3] == ("cma", "cma-grid", "cla mask")
    # Within its chunk a token can hardly miss: all mass is in the chunk, and most chunks are one against one.
    assert figure(report, "cla mask", "attention mass") > 0.8 > figure(report, "cma", "attention mass")


def test_an_estimated_key_scale_is_bracketed(opened: OpenCheckpoint, gold: GoldFile):
    scales = replace(opened.checkpoint.scales, key_is_estimate=True)
    adopted = replace(opened, checkpoint=replace(opened.checkpoint, scales=scales))
    report = align(adopted, GoldFile(gold.rows[:6], gold.comments))
    assert report.methods[:4] == ("cma", "cma-grid", "cma ×0.8", "cma ×1.25")
    for metric in ("top-1", "MRR", "AUC"):
        assert figure(report, "cma ×0.8", metric) == pytest.approx(figure(report, "cma ×1.25", metric))
    entropies = [figure(report, name, "entropy") for name in ("cma ×0.8", "cma", "cma ×1.25")]
    assert entropies == sorted(entropies)
    assert any("estimated" in line for line in heading(report))


def test_one_sentence_has_figures_and_no_interval(
    opened: OpenCheckpoint, gold: GoldFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_pairs(tmp_path / "one.tsv", gold.rows[:1], gold.comments)
    assert main(["--pairs", str(tmp_path / "one.tsv")]) == 0
    out = capsys.readouterr().out
    assert "1 sentence: too few for a 95 % CI, which needs 10" in out
    assert "[+" not in out


def test_json_holds_every_figure_with_bounds_and_the_counts_they_follow_from(tmp_path: Path, report: ProbeReport):
    assert main(["--pairs", str(GOLD), "--json", str(tmp_path / "report.json")]) == 0
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["sentences"] == len(report.sentences)
    cell = read["figures"]["cma"]["top-1"]
    assert cell["95 % CI"][0] < cell["value"] < cell["95 % CI"][1]
    again = load_report(tmp_path / "report.json")
    assert metrics(again.counts.sum(axis=0)[0])[0] == pytest.approx(cell["value"])
    assert again.sentences == report.sentences
    assert read["bootstrap"] == {
        "unit": "sentence, or minimal triple",
        "resamples": 2000,
        "seed": 0,
        "confidence": 0.95,
    }


def test_the_printed_page_fits_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(GOLD.parent)  # a path is printed whole, however long it is
    assert main(["--pairs", GOLD.name, "--by", "all", "--explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines]
    for method in ("cma", "random", *REFERENCES):
        assert any(row[:1] == [method] and len(row) > 8 for row in rows), f"the row of {method} is broken"


def test_several_checkpoints_are_explained_once(few_gold: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--checkpoint", "demo", "--checkpoint", "demo-cma", "--by", "method", "--methods", "lexical"]
    assert main(["--pairs", str(few_gold), *options, "--explain"]) == 0
    out = capsys.readouterr().out
    assert out.count("spelling alone: equal weight") == 1
    assert out.index("demo-cma: cma") < out.index("spelling alone: equal") < out.index("Highest top-1: demo.")


def test_nothing_is_printed_where_a_later_checkpoint_cannot_be_opened(
    few_gold: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--checkpoint", "demo", "--checkpoint", "nope", "--by", "method", "--methods", "lexical"]
    assert main(["--pairs", str(few_gold), *options]) == 2
    captured = capsys.readouterr()
    assert "nope" in captured.err
    assert not captured.out


def test_heatmaps_of_every_sentence_are_drawn(tmp_path: Path, gold: GoldFile):
    few = tmp_path / "few.tsv"
    write_pairs(few, gold.rows[:2], gold.comments)
    (tmp_path / "maps").mkdir()
    assert main(["--pairs", str(few), "--heatmaps", str(tmp_path / "maps")]) == 0
    assert {p.name for p in (tmp_path / "maps").iterdir()} == {f"demo-{row.id}.pdf" for row in gold.rows[:2]}


def test_a_long_path_stays_whole(tmp_path: Path, gold: GoldFile, capsys: pytest.CaptureFixture[str]):
    long = tmp_path / ("x" * 90 + ".tsv")
    write_pairs(long, gold.rows[:1], gold.comments)
    assert main(["--pairs", str(long), "--methods", "bigram"]) == 0
    assert f"{long}: 1 sentence" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x"])
def test_a_key_scale_that_nothing_can_be_divided_by_is_refused(value: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--pairs", str(GOLD), f"--key-scale={value}"])
    assert caught.value.code == 2
    assert f"expected a finite number above 0; got '{value}'" in capsys.readouterr().err


def test_of_few_sentences_no_bounds_are_told(gold: GoldFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    few = [row for row in gold.rows if row.pair == "demo~demo-teacher"][: FEW - 1]
    write_pairs(tmp_path / "few.tsv", few, gold.comments)
    assert main(["--pairs", str(tmp_path / "few.tsv"), "--by", "method", "--by", "mass", "--by", "aligner"]) == 0
    out = capsys.readouterr().out
    assert f"{FEW - 1} sentences: too few for a 95 % CI, which needs {FEW}" in out
    assert not re.search(r"\[[+-]?\d+\.\d|^  95 %", out, re.MULTILINE)


def test_readings_are_explained_where_they_are_printed(few_gold: Path, capsys: pytest.CaptureFixture[str]):
    shown = {}
    for section in ("reading", "method"):
        assert main(["--pairs", str(few_gold), "--by", section, "--methods", "lexical", "--explain"]) == 0
        shown[section] = capsys.readouterr().out
    assert "by input: against the same links" in shown["reading"]
    assert "by input: against the same links" not in shown["method"]


DEPEND_ON_SHARPNESS = ["entropy", "distance", "attention mass at common entropy", "distance at common entropy"]


def test_an_overview_leaves_out_what_it_does_not_tell(gold: GoldFile, opened: OpenCheckpoint):
    found = scorable(opened, GoldFile(gold.rows[:15], gold.comments))
    whole, brief = align_rows(opened, found), align_rows(opened, found, parts=())
    for field in fields(whole):
        ours, theirs = getattr(brief, field.name), getattr(whole, field.name)
        if field.name in ("mass", "backward", "links"):
            assert ours is None
            assert theirs is not None
        elif field.name == "counts":
            told = ~np.isnan(ours)
            np.testing.assert_array_equal(ours[told], theirs[told])
            assert [name for k, name in enumerate(COUNTS) if not told[..., k].all()] == DEPEND_ON_SHARPNESS
        elif isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs
    assert brief.verdict == whole.verdict
    for part in ("destinations", "by_aligner", "backward_intervals", "backward_differences"):
        with pytest.raises(ReportError, match=r"(?s)an overview.*probe\.align"):
            getattr(brief, part)


@pytest.mark.parametrize(
    "more", ["", "--by=method", "--by=mass", "--by=aligner", "--by=backward", "--by=all", "--json", "--csv"]
)
def test_what_is_printed_or_written_was_counted(
    more: str, gold: GoldFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_pairs(tmp_path / "few.tsv", gold.rows[:3], gold.comments)
    others = [f"--by={section}" for section in SECTIONS if section not in BEYOND_OVERVIEW]
    files = [f"--{name}={tmp_path / name}" for name in ("html", "latex", "markdown")]
    asked = [*others, *files, "--explain"] if not more else [more] if "=" in more else [f"{more}={tmp_path / 'file'}"]
    assert main([*asked, "--pairs", str(tmp_path / "few.tsv"), "--methods", "lexical"]) == 0
    assert not capsys.readouterr().err


def test_a_section_alone_says_what_it_says_among_all(
    gold: GoldFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_pairs(tmp_path / "few.tsv", gold.rows[:12], gold.comments)

    def told(section: str) -> set[str]:
        assert main(["--by", section, "--pairs", str(tmp_path / "few.tsv"), "--methods", "lexical"]) == 0
        return {line.rstrip() for line in capsys.readouterr().out.splitlines()}

    every = told("all")
    for section in BEYOND_OVERVIEW:
        assert told(section) <= every, section
