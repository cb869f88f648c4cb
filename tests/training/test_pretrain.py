"""Projectors from Python: the rows that it takes, what it hands back, and what it says of wrong arguments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from directories import TEXTS
from trainer_runs import save_pair

from probe.alignment.align import align
from probe.checkpoints.checkpoint import load_checkpoint
from probe.errors import ArgumentError, TrainingError
from probe.training.pretrain import pretrain

ROWS = [(f"{n}\n### Response:\n", text) for n, text in enumerate(TEXTS[:6])]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = save_pair(tmp_path_factory.mktemp("pair"))
    return place / "student", place / "teacher"


def test_the_checkpoints_of_a_run_can_be_aligned_as_they_are(models: tuple[Path, Path], tmp_path: Path):
    run = pretrain(*models, rows=ROWS, out=tmp_path / "mine", steps=5, batch_size=2, every=2)
    assert list(run.checkpoints) == [0, 2, 4, 5]
    assert {
        step: align(place, texts=TEXTS[:3], methods=[]).origin.steps for step, place in run.checkpoints.items()
    } == {step: step for step in run.checkpoints}
    assert load_checkpoint(run.last).name == "mine"
    assert repr(run) == "<TrainedRun mine: 5 steps, checkpoints of steps 0, 2, 4, 5>"
    frame: Any = run.frame()
    assert frame.index.tolist() == [1, 2, 3, 4, 5]
    assert (frame["t2s_ce"] > 0).all()


def test_pairs_dictionaries_and_a_file_are_the_same_rows(models: tuple[Path, Path], tmp_path: Path):
    columns = [{"prompt": prompt, "output": output} for prompt, output in ROWS]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in columns))
    runs = [
        pretrain(*models, rows=rows, out=tmp_path / str(n), steps=2, batch_size=2)
        for n, rows in enumerate((ROWS, columns, str(file)))
    ]
    first, *others = (load_checkpoint(run.last) for run in runs)
    for other in others:
        np.testing.assert_array_equal(first.query.tensors["0.weight"], other.query.tensors["0.weight"])
        assert first.recipe["data_sha256"] == other.recipe["data_sha256"]


def test_a_run_goes_on_in_its_directory_and_other_rows_do_not(models: tuple[Path, Path], tmp_path: Path):
    given: Any = {"out": tmp_path, "steps": 2, "batch_size": 2}
    first = pretrain(*models, rows=ROWS, **given)
    assert pretrain(*models, rows=ROWS, **given) == first
    with pytest.raises(TrainingError, match="a run of these models and rows; got other rows"):
        pretrain(*models, rows=ROWS[:4], **given)
    with pytest.raises(TrainingError, match="a run with"):
        pretrain(*models, rows=ROWS, **given | {"steps": 3})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": 3}, r"rows: expected rows to train on; got int 3\. Give a jsonl file"),
        ({"rows": ["text"]}, r"rows\[0\]: expected a prompt and an output; got str 'text'"),
        ({"rows": [("a", "b", "c")]}, r"rows\[0\]: expected a prompt and an output"),
        ({"steps": 0}, r"steps: expected a whole number above 0; got int 0"),
        ({"batch_size": 1.5}, r"batch_size: expected a whole number"),
        ({"every": 0}, r"every: expected a whole number"),
        ({"learning_rate": 0}, r"learning_rate: expected a number above 0"),
        ({"out": 3}, r"out: expected a directory; got int 3"),
        ({"student": None}, r"student: expected a model directory or the name of a model; got None"),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, Any], said: str, tmp_path: Path):
    given: Any = {"rows": ROWS, "out": tmp_path} | wrong
    with pytest.raises(ArgumentError, match=said):
        without_checks(**given)


def test_a_bad_row_is_named_by_its_place(tmp_path: Path):
    rows = [{"prompt": "a", "output": "b"}, {"prompt": "a"}]
    with pytest.raises(TrainingError, match=r"rows\[1\]: expected the field output"):
        pretrain(rows=rows, out=tmp_path)


without_checks: Any = getattr(pretrain, "__wrapped__", pretrain)
"""As users have it: tests check the types of all arguments."""
