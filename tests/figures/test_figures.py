import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image as plt_image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from places import ROOT

from probe.cli.figures import FORMATS, NAMES, STUDY
from probe.cli.figures import main as figures
from probe.figures.every import FIGURES
from probe.figures.mass import SURE
from probe.figures.paper import FAMILIES, PaperTable, numbers, page, save
from probe.figures.saved import COMMANDS, Saved
from probe.maps import AttentionMap
from probe.plots.style import venue_width
from probe.report.document import load_reports

COMMITTED, REPORTS, GOLD = ROOT / "figures", ROOT / "figures" / "saved", ROOT / "alignments" / "gold.tsv"
TABLES = ("results", "arms")
DRAWN = (*NAMES, "arms", "forest", "learning", "dose")
"""What `make figures` draws."""
PICTURES = [name for name in NAMES if name not in TABLES]
SMALLEST = 5.9
"""Points: as small as the notes of most venues may be."""


@pytest.fixture(scope="module")
def saved() -> Saved:
    return Saved(REPORTS, Path("alignments/gold.tsv"))


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows_of(saved: Saved, name: str) -> list[dict[str, str]]:
    """What the CSV file of a figure holds."""
    return list(csv.DictReader(io.StringIO(numbers(FIGURES[name](saved).rows))))


def test_the_command_knows_every_figure():
    assert tuple(FIGURES) == (*NAMES, *STUDY)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """All figures, made by two processes that hash strings differently."""
    places = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    for seed, place in enumerate(places):
        only = [word for name in DRAWN for word in ("--only", name)]
        command = [sys.executable, "-m", "probe.cli.figures", *only, "--out", str(place)]
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
    return places


def names_of(name: str) -> list[str]:
    pictures = [f"{name}.tex"] if name in TABLES else [f"{name}.{suffix}" for suffix in FORMATS]
    return [*pictures, f"{name}.csv", f"{name}-caption.tex"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_equal_reports_give_equal_bytes_in_another_process(rebuilt: tuple[Path, Path], name: str):
    for file in names_of(name):
        assert (rebuilt[0] / file).read_bytes() == (rebuilt[1] / file).read_bytes(), file


def pinned() -> bool:
    """Whether matplotlib and numpy are those that the committed figures were drawn with."""
    pins = dict(re.findall(r"^(matplotlib|numpy)==(.+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    return all(version(name) == pin for name, pin in pins.items()) and len(pins) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_committed_figures_are_those_that_the_command_makes(rebuilt: tuple[Path, Path], name: str):
    """To the byte on one machine; another processor may round the last digit of a bound otherwise."""
    ours, theirs = ([place / file for file in names_of(name)] for place in (rebuilt[0], COMMITTED))
    if [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs]:
        return
    if name not in TABLES:
        drawn, kept = (plt_image.imread(place / f"{name}.png")[..., :3] for place in (rebuilt[0], COMMITTED))
        assert drawn.shape == kept.shape, "run make figures"
        assert np.abs(drawn - kept).mean() < (0.001 if pinned() else 0.02), "run make figures"
    tables = [(place / f"{name}.csv").read_text(encoding="utf-8").split("\n") for place in (rebuilt[0], COMMITTED)]
    for mine, its in zip(*tables, strict=True):
        for cell, other in zip(mine.split(","), its.split(","), strict=True):
            assert cell == other or float(cell) == pytest.approx(float(other), rel=1e-6, abs=1e-9), "run make figures"


def test_the_figures_folder_is_small_and_holds_nothing_else():
    total = sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file())
    assert total < 10_000_000
    known = {file for name in DRAWN for file in names_of(name)} | {"README.md", "cat.pdf", "cat.png"}
    assert {path.name for path in COMMITTED.iterdir() if path.is_file()} == known


def test_drawing_imports_no_torch(tmp_path: Path):
    code = (
        "import sys\nfrom probe.cli.figures import main\n"
        f"assert main(['--only', 'results', '--only', 'repeats', '--format', 'svg', '--out', {str(tmp_path)!r}]) == 0\n"
        "import probe.figures.every\n"
        "print('torch' in sys.modules, 'probe.training' in sys.modules, 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False False"


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("venue", ["acl", "ieee", "neurips"])
def test_a_figure_is_as_wide_as_its_venue_and_nothing_reaches_over_its_edge(saved: Saved, name: str, venue: str):
    figure = FIGURES[name](saved)
    assert not isinstance(figure, PaperTable)
    drawn = figure.draw(venue)
    width, height = drawn.get_size_inches()
    assert width in (pytest.approx(venue_width(venue)), pytest.approx(venue_width(page(venue))))
    FigureCanvasAgg(drawn).draw()
    box = drawn.get_tightbbox()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_is_tiny(saved: Saved, name: str):
    figure = FIGURES[name](saved)
    assert not isinstance(figure, PaperTable)
    texts = figure.draw("ieee").findobj(Text)
    assert min(one.get_fontsize() for one in texts if isinstance(one, Text) and one.get_text()) >= SMALLEST


@pytest.mark.parametrize("name", NAMES)
def test_captions_say_how_many_how_uncertain_and_how_few_seeds(name: str):
    caption = (COMMITTED / f"{name}-caption.tex").read_text(encoding="utf-8")
    label = "tab" if name in TABLES else "fig"
    assert re.fullmatch(
        rf"% probe-figures --only {name}; .+\n\\caption\{{.+\}}\n\\label\{{{label}:{name}\}}\n", caption
    )
    assert "seed" in caption
    if name not in ("maps", "clouds"):
        assert r"95 \%" in caption
    if name != "maps":
        assert re.search(r"\d+ (sentences|held-out|questions)", caption)
    assert len(caption) < 1300


def test_mass_is_that_of_the_report(saved: Saved):
    report = list(load_reports(REPORTS / "align.json.gz").values())[-1]
    assert report.origin.steps == 400
    own = [one for one in rows_of(saved, "mass") if one["method"] == "cma"]
    of_all = [one for one in own if one["phenomenon"] == "all sentences"]
    found = report.destinations.figures[0]
    np.testing.assert_allclose([float(one["share"]) for one in of_all], found.value, rtol=1e-7)
    np.testing.assert_allclose([float(one["low"]) for one in of_all], found.low, rtol=1e-7)
    assert {one["tokens"] for one in of_all} == {str(report.rows)}
    tagged = sum("split" in tags for tags in report.phenomena)
    assert {one["sentences"] for one in own if one["phenomenon"] == "split"} == {str(tagged)}
    for name in {one["phenomenon"] for one in own}:
        assert sum(float(one["share"]) for one in own if one["phenomenon"] == name) == pytest.approx(1)


def test_the_bars_are_as_long_as_the_numbers(saved: Saved):
    found = FIGURES["mass"](saved)
    assert not isinstance(found, PaperTable)
    bars = found.draw("ieee").axes[0].patches
    own = [one for one in found.rows if one.method == "cma"]  # pyright: ignore
    groups = list(dict.fromkeys(one.phenomenon for one in own))  # pyright: ignore
    sure = [one.share for one in own if one.destination == SURE]  # pyright: ignore
    np.testing.assert_allclose([bar.get_width() for bar in bars[: len(groups)]], sure)
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in bars[-len(groups) :]], 1, rtol=1e-6)


def test_repeat_confusion_of_all_tokens_is_that_of_the_report(saved: Saved):
    own = [one for one in rows_of(saved, "repeats") if (one["figure"], one["method"]) == ("mass", "demo-cma")]
    report = load_reports(REPORTS / "align.json.gz")["demo-cma"]
    tokens = np.array([float(one["tokens"]) for one in own])
    mass = np.array([float(one["value"]) for one in own])
    assert tokens.sum() == report.rows
    kinds = report.destinations.figures.value[0]
    assert (tokens * mass).sum() / tokens.sum() == pytest.approx(kinds[2], rel=1e-5)  # same token elsewhere


def test_points_of_the_repeats_are_drawn_where_the_numbers_say(saved: Saved):
    found = FIGURES["repeats"](saved)
    assert not isinstance(found, PaperTable)
    axes = found.draw("ieee").axes[1]
    wanted = [
        100 * float(one["value"])
        for one in rows_of(saved, "repeats")
        if (one["figure"], one["method"]) == ("misplaced", "demo-cma-ga")
    ]
    drawn = [list(line.get_ydata()) for line in axes.lines]
    assert any(np.allclose(y, wanted) for y in drawn if len(y) == len(wanted))


def test_distances_and_top_1_are_those_of_the_reports(saved: Saved):
    table = rows_of(saved, "mismatch")
    first = saved.keyquery.analyses[0]
    (one,) = [r for r in table if (r["checkpoint"], r["figure"]) == (first.checkpoint, "Fréchet")]
    wanted = first.measurement("forward", "Fréchet")
    for column, value in (("value", wanted.pair.value), ("low", wanted.pair.low), ("floor", wanted.floor)):
        assert value is not None
        assert float(one[column]) == pytest.approx(value, rel=1e-7)
    tops = {r["checkpoint"]: float(r["value"]) for r in table if r["figure"] == "top-1"}
    run = {name: pytest.approx(report.intervals.value[0, 0]) for name, report in saved.run.items()}
    # The key-query report has top-1 of the same attention on the same links; it is all there is of the others.
    (last,) = [one for one in saved.keyquery.analyses if one.checkpoint == "demo-cma"]
    assert next(one.top_1 for one in last.interventions if one.name == "trained") == run["demo-cma"]
    assert {name: tops[name] for name in run} == run
    assert set(tops) - set(run) == {"demo-cma-ga", "demo-cma-ga-released"}


def test_weights_of_the_panel_are_those_of_the_saved_map(saved: Saved):
    own = [one for one in rows_of(saved, "maps") if one["map"] == "demo-cma-ga"]
    map_ = AttentionMap.load(REPORTS / "maps" / "demo-cma-ga" / "demo-043.npz")
    np.testing.assert_allclose([float(one["weight"]) for one in own], map_.weights.ravel(), rtol=1e-6)


def reproduction() -> dict[str, object]:
    return json.loads(gzip.decompress((REPORTS / "reproduction.json.gz").read_bytes()))


def test_progress_and_results_are_those_of_the_reproduction(saved: Saved):
    document: dict = reproduction()
    table = {one["system"]: one for one in rows_of(saved, "results")}
    systems = document["evaluation"]["systems"]
    assert set(systems) <= set(table)
    for name, system in systems.items():
        figures_ = next(iter(system["sets"].values()))
        assert float(table[name]["rouge_l"]) == pytest.approx(figures_["rouge_l"]["mean"], rel=1e-7)
        assert float(table[name]["bits_per_byte"]) == pytest.approx(figures_["bits_per_byte"]["mean"], rel=1e-7)
    points = rows_of(saved, "progress")
    for name, of_seeds in document["probes"].items():
        for seed, report in of_seeds.items():
            ours = [p for p in points if (p["method"], p["seed"], p["step"]) == (name, seed, "")]
            top = next(iter(report["figures"].values()))["top-1"]
            assert [float(p["top_1"]) for p in ours] == [pytest.approx(top["value"])] * len(ours)
            assert len(ours) == (name in systems)


def test_a_missing_input_is_named_with_what_makes_it_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "align.json.gz").write_bytes((REPORTS / "align.json.gz").read_bytes())
    (tmp_path / "out").mkdir()
    given = ["--reports", str(tmp_path / "saved"), "--out", str(tmp_path / "out"), "--only", "mass", "--only"]
    assert figures([*given, "clouds"]) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path}/saved/keyquery.json: expected" in told
    assert "Make it: probe-keyquery --pairs" in told
    assert list((tmp_path / "out").iterdir()) == []
    for only in ("maps", "progress", "results"):
        assert figures([*given, only]) == 2
    assert "Make it: probe-align --pairs GOLD --checkpoint NAME … --save-maps" in capsys.readouterr().err


def test_every_input_has_a_command_and_every_command_is_one():
    for command in COMMANDS.values():
        assert command.split()[0] in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("name", "only", "schema"),
    [("align.json", "mass", 2), ("keyquery.json", "mismatch", 2), ("reproduction.json", "results", 2)],
)
def test_reports_of_an_old_schema_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, only: str, schema: int
):
    document = json.loads(gzip.decompress((REPORTS / f"{name}.gz").read_bytes()))
    (tmp_path / name).write_text(json.dumps({**document, "schema": schema}), encoding="utf-8")
    (tmp_path / "out").mkdir()
    assert figures(["--reports", str(tmp_path), "--only", only, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert f"{name}: expected" in told
    assert f"got schema {schema}" in told
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_archive_and_an_unknown_venue_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole = (REPORTS / "align.json.gz").read_bytes()
    (tmp_path / "align.json.gz").write_bytes(whole[: len(whole) // 2])
    assert figures(["--reports", str(tmp_path), "--only", "mass", "--out", str(tmp_path)]) == 2
    assert "align.json.gz: expected a report" in capsys.readouterr().err
    assert figures(["--venue", "nature", "--out", str(tmp_path)]) == 2
    assert all(name in capsys.readouterr().err for name in FAMILIES[:1])


def test_another_sentence_can_be_chosen_for_the_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = ["--only", "maps", "--format", "svg", "--out", str(tmp_path), "--row"]
    assert figures([*given, "demo-002"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps-caption.tex", "maps.csv", "maps.svg"]
    assert "Open the file" in (tmp_path / "maps-caption.tex").read_text(encoding="utf-8")
    weights = [float(one["weight"]) for one in lines(tmp_path / "maps.csv") if one["map"] == "chunk oracle"]
    assert sum(weights) == pytest.approx(14)
    assert figures([*given, "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_pdf_and_svg_hold_real_text():
    for name in PICTURES:
        pdf = (COMMITTED / f"{name}.pdf").read_bytes()
        assert b"/FontType 42" in pdf or b"/CIDFontType2" in pdf
        assert b"CreationDate" not in pdf
        assert "<text" in (COMMITTED / f"{name}.svg").read_text(encoding="utf-8")


def test_save_says_what_it_wrote(saved: Saved, tmp_path: Path):
    written = save("results", FIGURES["results"](saved), tmp_path, venue="ieee")
    assert {path.name for path in written} == set(names_of("results")) == {path.name for path in tmp_path.iterdir()}
    table = (tmp_path / "results.tex").read_text(encoding="utf-8")
    columns = table.count("&") / sum(line.endswith(r"\\") for line in table.splitlines())
    assert columns == 6
