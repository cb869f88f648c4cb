"""The whole analysis of the bundled demo: through the library, to JSON and back, and through the command."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from places import GOLD

from probe.alignment.fitting import fitting_rows
from probe.checkpoints.loading import load
from probe.cli.keyquery import main
from probe.errors import ArgumentError, ReportError
from probe.gold.pairs import GoldFile, read_pairs, write_pairs
from probe.keyquery import analyse
from probe.keyquery.analyse import key_query
from probe.keyquery.matched import ARGMAX
from probe.keyquery.matched import GOLD as BY_GOLD
from probe.keyquery.measure import DISTANCES
from probe.keyquery.report import PACKAGES, KeyQueryReport, load_report
from probe.keyquery.tables import heading, reading, sections
from probe.keyquery.tables_compared import comparison
from probe.keyquery.values import Analysis, Settings
from probe.keyquery.views import planes, principal_plane
from probe.output.provenance import versions
from probe.stats import Estimate

FEW = Settings(
    components=8, splits=3, untrained_seeds=2, subsample=120, permutations=99, projections=20, classifier_splits=1
)


def few() -> GoldFile:
    """Rows of the demo."""
    return GoldFile(tuple(fitting_rows(load("demo"), read_pairs(GOLD))[:12]), ())


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_a_seed_that_numpy_does_not_take_is_refused_before_work(seed: int):
    with pytest.raises(ArgumentError, match="a whole number from 0 to 4294967295"):
        Settings(seed=seed)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return key_query("demo", few(), settings=FEW).analyses[0]


@pytest.fixture(scope="module")
def report(analysis: Analysis) -> KeyQueryReport:
    return KeyQueryReport(
        "gold.tsv", "0" * 64, FEW, versions(PACKAGES), (analysis, replace(analysis, checkpoint="other"))
    )


def printed(report: KeyQueryReport, capsys: pytest.CaptureFixture[str]) -> list[str]:
    from rich.console import Console

    console = Console(highlight=False, markup=False, width=80)
    for section in sections(report):
        console.print(section)
    return capsys.readouterr().out.splitlines()


def test_every_view_has_every_distance_with_floor_and_reference(analysis: Analysis):
    views = ("raw", "raw shape", "forward", "forward shape", "backward", "backward shape")
    found = [(m.view, m.distance) for m in analysis.measurements]
    assert found == [(view, distance) for view in views for distance in DISTANCES]
    for m in analysis.measurements:
        assert None not in (m.pair.value, m.pair.low, m.pair.high, m.floor, m.untrained)
        assert m.pair.low <= m.pair.value <= m.pair.high
        assert (m.p_value is not None) == (m.distance == "MMD²")


def test_the_demo_has_its_sizes_and_lies_apart(analysis: Analysis):
    assert (analysis.width, analysis.span, analysis.sentences) == (256, 193, 12)
    assert analysis.matched_by == BY_GOLD
    assert 0 < analysis.outside < analysis.outside_untrained
    assert analysis.outside_untrained == pytest.approx(1 - 193 / 256, abs=0.05)
    for view in ("raw", "forward", "backward"):
        for distance in ("Fréchet", "energy", "AUC MLP"):
            found = analysis.measurement(view, distance)
            assert found.pair.value > 1.5 * found.floor
    raw = analysis.clouds[0]
    assert (raw.dimensions, raw.kept_keys) == (256, 1)
    assert [facts.dimensions for facts in analysis.clouds] == [256, 8, 8]
    assert raw.scale_ratio > 3 * raw.scale_ratio_untrained  # training has made the queries larger
    assert list(raw.norms_keys) == sorted(raw.norms_keys)
    assert {name for name, _ in analysis.files} == {"probe.json", "projectors.safetensors"}


def test_matched_tokens_are_nearer_than_others_in_the_trained_checkpoint_alone(analysis: Analysis):
    for facts in analysis.matched:
        assert facts.cosine_difference.low > 0.05 > abs(facts.cosine_difference_untrained)
        assert facts.cosine_matched - facts.cosine_unmatched == pytest.approx(facts.cosine_difference.value)
        assert facts.cka.low < facts.cka.value < facts.cka.high
        assert abs(facts.cka_shuffled) < facts.cka.low


def test_a_report_equals_what_is_read_back(report: KeyQueryReport, tmp_path: Path):
    text = report.to_json()
    assert KeyQueryReport.from_json(text) == report
    (tmp_path / "report.json").write_text(text, encoding="utf-8")
    assert load_report(tmp_path / "report.json") == report
    changed = text.replace('"components": 8', '"components": 9')
    assert KeyQueryReport.from_json(changed) != report
    assert json.loads(text)["versions"]["POT"]


def test_a_report_is_shown_in_a_line(report: KeyQueryReport):
    pair = report.analyses[0].pair
    each = ", ".join(f"{name} ({pair}, 12 sentences)" for name in ("demo", "other"))
    assert repr(report) == f"<KeyQueryReport on gold.tsv: {each}>"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:-20], "a report of probe-keyquery --json in JSON"),
        (lambda text: text.replace('"schema": 3', '"schema": 1'), "of schema 3; got schema 1"),
        (lambda text: "[]", "got schema None"),
        (lambda text: text.replace('"outside":', '"inside":', 1), "none called 'inside, outside'"),
        (lambda text: text.replace('"settings"', '"set"'), "none called 'settings'"),
    ],
)
def test_another_file_is_refused(report: KeyQueryReport, spoil, message: str):
    with pytest.raises(ReportError, match=message):
        KeyQueryReport.from_json(spoil(report.to_json()), "r.json")


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ReportError, match="expected a report of probe-keyquery"):
        load_report(tmp_path / "none.json")


def test_the_page_fits_80_columns_and_compares_checkpoints(report: KeyQueryReport, capsys: pytest.CaptureFixture[str]):
    lines = printed(report, capsys)
    assert max(map(len, lines)) <= 80
    assert max(map(len, [*reading(FEW), *heading(report.analyses[0])])) <= 80  # the console would have broken them
    assert not [line for line in lines if "…" in line and "sha256" not in line]  # no cell is cut
    text = "\n".join(lines)
    for words in ("mean + cov.", "AUC linear", "matched − unmatched", "backward shape", "other", "probe.json, sha256"):
        assert words in text
    assert text.count("Fréchet") >= 3 * 6
    assert comparison(report).row_count == len(report.analyses[0].measurements)


def test_figures_that_are_unknown_are_shown_as_such(report: KeyQueryReport, capsys: pytest.CaptureFixture[str]):
    first = report.analyses[0]
    empty = replace(first.measurements[0], pair=Estimate(None), floor=None)
    spoiled = replace(first, measurements=(empty, *first.measurements[1:]), interventions=())
    lines = printed(replace(report, analyses=(spoiled,)), capsys)
    assert any("raw" in line and "–" in line and "[unknown]" in line for line in lines)
    assert not any("mean + cov." in line for line in lines)


def test_sentences_without_gold_are_matched_by_argmax_and_have_no_interventions():
    found = key_query("demo", texts=[row.text for row in few()], settings=FEW).analyses[0]
    assert found.matched_by == ARGMAX
    assert found.interventions == ()
    assert found.matched[0].cosine_difference.low > 0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(analysis: Analysis):
    heard: list[str] = []
    assert key_query("demo", few(), settings=FEW, progress=heard.append).analyses == (analysis,)
    parts = ["clouds", "view raw", "view forward", "view backward", "interventions"]
    assert heard == [f"demo: {part}" for part in parts]
    other = key_query("demo", few(), settings=replace(FEW, seed=1)).analyses[0]
    assert other.measurements != analysis.measurements


def test_planes_are_principal_components_of_a_subsample(analysis: Analysis):
    assert {plane.method for plane in analysis.planes} == {"PCA"}
    assert [plane.view for plane in analysis.planes] == ["raw", "forward", "backward"]
    for plane in analysis.planes:
        assert len(plane.queries) == len(plane.keys) == FEW.subsample
        assert 0 < plane.explained[1] <= plane.explained[0] < 1


def test_a_plane_has_the_axes_of_most_variance():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 5)) * [1, 5, 0.1, 3, 0.1]
    plane = principal_plane("raw", points, 2 * points)
    spread = np.std(np.array(plane.queries), axis=0)
    np.testing.assert_allclose(spread, [5, 3], rtol=0.1)
    np.testing.assert_allclose(np.array(plane.keys), 2 * np.array(plane.queries), rtol=1e-3)
    assert plane.explained == pytest.approx((25 / 35, 9 / 35), abs=0.05)
    line = points[:, :1]
    assert {y for _, y in principal_plane("raw", line, line).queries} == {0.0}


def test_umap_is_offered_where_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    class Fake:
        def __init__(self, *, random_state: int, n_jobs: int) -> None:
            assert (random_state, n_jobs) == (3, 1)

        def fit_transform(self, points: np.ndarray) -> np.ndarray:
            return points[:, :2] * 10

    module = ModuleType("umap")
    module.UMAP = Fake
    module.__spec__ = importlib.util.spec_from_loader("umap", None)
    points = np.random.default_rng(0).normal(size=(20, 4))
    both = points, points[:15]
    assert [plane.method for plane in planes("forward", *both, seed=3)] == ["PCA"]
    monkeypatch.setitem(sys.modules, "umap", module)
    _, umap = planes("forward", *both, seed=3)
    assert (umap.method, umap.explained, len(umap.queries), len(umap.keys)) == ("UMAP", (), 20, 15)


# The command


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes of the tests in the place of the command's own."""
    original = analyse._analyse
    monkeypatch.setattr(
        analyse,
        "_analyse",
        lambda open_, sides, gold, settings, progress: original(
            open_, sides, gold, replace(FEW, components=settings.components, seed=settings.seed), progress
        ),
    )


@pytest.mark.usefixtures("quick")
def test_the_command_prints_and_keeps_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    gold = read_pairs(GOLD)
    write_pairs(tmp_path / "few.tsv", [r for r in gold.rows if r.pair.startswith("demo")][:11], gold.comments)
    arguments = ["--pairs", str(tmp_path / "few.tsv"), "--components", "4", "--seed", "5"]
    assert main([*arguments, "--json", str(tmp_path / "report.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("demo: cma") for line in lines)
    kept = load_report(tmp_path / "report.json")
    assert (kept.settings.components, kept.settings.seed) == (4, 5)
    assert kept.analyses[0].sentences == 11
    assert len(kept.source_sha256) == 64


@pytest.mark.usefixtures("quick")
def test_the_command_takes_a_text_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lines = [f"Return the path of file {n},\u2028as before." for n in range(10)]
    (tmp_path / "texts.txt").write_text("\n\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    assert main(["--texts", str(tmp_path / "texts.txt")]) == 0
    assert "10 sentences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"one\ntwo\n", "at least 10 of them; got 2"), (b"\xff\n", "texts in UTF-8"), (None, "No such file")],
)
def test_sentences_that_cannot_be_used_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
):
    if content is not None:
        (tmp_path / "texts.txt").write_bytes(content)
    assert main(["--texts", str(tmp_path / "texts.txt")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--pairs", "a", "--texts", "b"], ["--texts", "b", "--components", "0"]])
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "probe-keyquery" in capsys.readouterr().err


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ot" else find_spec(name))
    assert main(["--pairs", str(GOLD)]) == 2
    err = capsys.readouterr().err
    assert "no POT" in err
    assert "cma-probe[analysis]" in err
    assert "scikit-learn" not in err
