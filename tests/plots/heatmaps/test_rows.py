"""Pictures of some rows of a long text, of which no whole map is made."""

import tracemalloc
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from probe.checkpoints import opened as opened_module
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint
from probe.cli.heatmap import main
from probe.errors import MapError
from probe.maps import AttentionMap
from probe.plots.heatmaps.heatmap import save_heatmap
from probe.plots.heatmaps.panels import Window, picture

TEXT = "The cat sat on the mat because the cat was tired. "
OPENED = load("demo")


@pytest.mark.parametrize("rows", [(0, 4), (7, 20), (9, None)])
def test_it_is_the_picture_of_the_whole_map(rows: tuple[int, int | None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opened_module, "BLOCK", 50)  # so that the columns are summed in several blocks
    whole = OPENED.map(TEXT * 2)
    bounds = rows[0], rows[1] or len(whole.weights)
    part = picture({"": OPENED.map_rows(TEXT * 2, rows=bounds)})
    expected = picture({"": whole}, window=Window(bounds))
    assert (part.rows, part.columns, part.row_labels) == (expected.rows, expected.columns, expected.row_labels)
    for field in fields(expected.panels[0])[1:]:
        found, wanted = (getattr(one.panels[0], field.name) for one in (part, expected))
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_equal_rows_stay_equal():
    map_ = OPENED.map_rows(TEXT * 3, rows=(0, 40))
    pairs = list(zip(map_.student.pieces, map_.student.pieces[1:], strict=False))[:39]  # the targets from 1 on
    again = [(pairs.index(pair), i) for i, pair in enumerate(pairs) if pairs.index(pair) < i]
    assert again
    assert all((map_.weights[1 + i] == map_.weights[1 + j]).all() for i, j in again)


def test_a_window_lies_in_the_rows_that_were_made(tmp_path: Path):
    map_ = OPENED.map_rows(TEXT, rows=(2, 6))
    save_heatmap(map_, tmp_path / "map.svg")
    assert picture({"": map_}, window=Window((3, 5))).panels[0].weights.shape[0] == 2
    with pytest.raises(MapError, match="rows 3:7"):
        picture({"": map_}, window=Window((3, 7)))
    with pytest.raises(MapError, match="within 0:"):
        OPENED.map_rows(TEXT, rows=(2, 1000))


def test_the_command_makes_no_whole_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> AttentionMap:
        raise AssertionError

    monkeypatch.setattr(OpenCheckpoint, "map", refuse)
    assert main([TEXT * 60, "--window", "500:510", "--out", str(tmp_path / "map.svg")]) == 0


def test_its_memory_is_not_that_of_the_whole_map():
    sides = OPENED.tokenize(TEXT * 150)
    size = len(sides[0].tokens) * len(sides[1].tokens) * 4
    tracemalloc.start()
    OPENED.map_rows(*sides, rows=(1000, 1040))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 2
