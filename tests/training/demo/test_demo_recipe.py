import json
from pathlib import Path

import pytest

from probe.checkpoints.checkpoint import load_checkpoint
from probe.checkpoints.opened import open_checkpoint
from probe.models.tokenizer import Tokenizer
from probe.training.data.docstrings import docstring_examples
from probe.training.demo.__main__ import main
from probe.training.demo.tokenizers import train_student_tokenizer
from probe.training.examples import Example

MODULE = '''"""Words about the module itself.

And more of them.
"""

class Box:
    """A box that holds
    several things."""

    def open(self):
        """Open the box and look inside."""

def short():
    """Too short."""

def silent():
    pass
'''


def test_rows_are_first_paragraphs_of_docstrings_and_nothing_is_imported(tmp_path: Path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text('raise SystemExit("imported")\n')
    (tmp_path / "pack" / "module.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("def broken(:\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test_it.py").write_text('"""Tests are not part of the corpus."""\n')
    prompts = "### Instruction:\nWhat does {} do?\n\n### Response:\n".format
    assert docstring_examples(tmp_path) == [
        Example(prompts("pack.module"), "Words about the module itself."),
        Example(prompts("pack.module.Box"), "A box that holds several things."),
        Example(prompts("pack.module.Box.open"), "Open the box and look inside."),
    ]


def test_a_response_is_used_once(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text('"""The same words in two places."""\n')
    assert [example.prompt.split()[4] for example in docstring_examples(tmp_path)] == ["a"]


def test_the_student_tokenizer_is_the_same_every_time(tmp_path: Path):
    texts = [f"Return the value of key {n}; raise an error if it is missing." for n in range(200)]
    for name in ("first", "second"):
        train_student_tokenizer(texts, tmp_path / name)
    first, second = (Tokenizer.load(tmp_path / name) for name in ("first", "second"))
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.tokenize(" naïve 日本").text == " naïve 日本"  # every byte has a piece


@pytest.mark.slow
def test_the_whole_recipe_ends_in_a_checkpoint_that_can_be_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["demo", str(tmp_path), "--epochs", "1", "--steps", "60"])
    assert main() == 0, capsys.readouterr().err
    assert (tmp_path / "dev.jsonl").read_text().count("\n") == 100
    opened = open_checkpoint(load_checkpoint(tmp_path / "projectors" / "checkpoint"))
    student, teacher = opened.tokenize("Return the path of the file, or None: naïve, 日本.")
    weights = opened.map(student, teacher).weights
    assert weights.shape == (len(student.tokens) + 1, len(teacher.tokens) + 1)
    assert student.pieces != teacher.pieces
    log = [json.loads(line) for line in (tmp_path / "projectors" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["t2s_ce"] < log[0]["t2s_ce"]
    assert main() == 0  # what is there is kept
    assert capsys.readouterr().err == ""
