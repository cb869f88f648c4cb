"""The public door to the paper figures gives what ``probe-figures`` writes."""

from pathlib import Path

import pytest
from places import ROOT

import probe
from probe.cli.figures import NAMES, STUDY
from probe.cli.figures import main as figures
from probe.plots.style import venue_width


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", ["repeats", "results"])
def test_it_saves_the_very_files_of_the_command(name: str, tmp_path: Path):
    (tmp_path / "command").mkdir()
    (tmp_path / "python").mkdir()
    assert figures(["--only", name, "--venue", "acl", "--out", str(tmp_path / "command")]) == 0
    written = probe.paper_figure(name).save(tmp_path / "python", "acl")
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "command").iterdir())
    for path in written:
        assert path.read_bytes() == (tmp_path / "command" / path.name).read_bytes()


def test_it_holds_caption_numbers_and_picture():
    figure = probe.paper_figure("mass", "figures/saved", "alignments/gold.tsv")
    assert repr(figure) == "<paper figure mass>"
    assert figure.caption.startswith("Where the attention mass")
    assert {"phenomenon", "destination", "share", "low", "high"} <= set(figure.frame().columns)
    assert len(figure.frame()) == len(figure.made.rows)
    assert figure.draw("acl").get_figwidth() == pytest.approx(venue_width("acl"))


def test_a_table_is_latex_and_a_figure_is_drawn():
    table = probe.paper_figure("results")
    assert r"\toprule" in table.latex
    with pytest.raises(
        probe.ArgumentError, match=r'got NamedFigure <paper table results>. Write paper_figure\("results'
    ):
        table.draw()
    with pytest.raises(probe.ArgumentError, match=r'Write paper_figure\("mass"\)\.draw\(\)'):
        _ = probe.paper_figure("mass").latex


def test_what_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(probe.ArgumentError, match=f"Choose one of {', '.join((*NAMES, *STUDY))}"):
        probe.paper_figure("masses")
    with pytest.raises(probe.ProbeError, match=r"align\.json.+Make it: probe-align"):
        probe.paper_figure("mass", tmp_path)
    figure = probe.paper_figure("mass")
    for wrong in (lambda: figure.draw("nature"), lambda: figure.save(tmp_path, "nature")):
        with pytest.raises(probe.ProbeError, match="venue: expected one of acl"):
            wrong()
    with pytest.raises(probe.ProbeError, match="nowhere"):
        figure.save(tmp_path / "nowhere")
