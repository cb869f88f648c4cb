"""What a notebook shows of maps, rows, reports and checkpoints."""

import re
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from places import GOLD

import probe
from probe.plots import notebook_html
from probe.plots.displays import SHOWN, register


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    """A session of IPython as a notebook has one."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def shown(shell: InteractiveShell) -> dict[str, str]:
    """The HTML of each, as the session makes it."""
    register()
    opened, gold = probe.load("demo"), probe.read_pairs(GOLD)
    few = probe.GoldFile(gold.rows[:12], gold.comments)
    values = {
        "map": opened.map("Return the <b>path</b>."),
        "row": gold["sg-003"],
        "report": probe.align(opened, few, methods=["uniform", "diagonal"]),
        "checkpoint": opened,
        "long": opened.map("Return the path. " * 30),
    }
    return {name: shell.display_formatter.format(value)[0]["text/html"] for name, value in values.items()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("map", ["Return", "the largest weight of each token"]),
        ("row", ["sg-003, smollm2~gemma3", "repeat-same-context", "its links"]),
        ("report", ["demo aligns better than", "Top-1 is", "the figures of all methods", "diagonal"]),
        ("long", ["The first 64 of ", "student tokens."]),
        ("checkpoint", ["bundled:demo/student", "3000", "key scale", "0.1243"]),
    ],
)
def test_a_table_and_a_picture_are_shown_without_network(shown: dict[str, str], name: str, words: list[str]):
    assert [word for word in words if word not in shown[name]] == []
    assert 'src="data:image/png;base64,' in shown[name]
    assert "<table" in shown[name]
    assert re.search(r"https?://|<script", shown[name]) is None


def test_the_text_of_a_sentence_is_no_markup(shown: dict[str, str]):
    assert "<b>" not in shown["map"]


def test_what_is_shown_is_there_by_these_names():
    for path, function in SHOWN.items():
        name = path.rpartition(".")[2]
        assert f"{getattr(probe, name).__module__}.{name}" == path
        assert callable(getattr(notebook_html, function))
