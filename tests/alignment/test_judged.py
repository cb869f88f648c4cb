"""`probe-align --judged`: heads and roles apart from all else, on rows of the checkpoint's tokenizers alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from probe.alignment.judged import judged_scores
from probe.checkpoints.loading import load
from probe.cli.align import main
from probe.errors import PairsError
from probe.gold.pairs import GoldFile, read_pairs, write_pairs
from probe.gold.rows import HEADS, ROLES, GoldRow
from probe.gold.rules import rule_links
from probe.tokens import TokenizedText


@pytest.fixture(scope="module")
def judged() -> GoldFile:
    """A word with a head, one without, and a dialogue of the demo's tokenizers; and a word of others."""
    opened = load("demo")

    def word(id_: str, text: str, pair: str = "demo~demo-teacher", headed: bool = True) -> GoldRow:
        sides = opened.tokenize(text)
        links = rule_links(*sides)
        heads = frozenset([min(links.sure)] if headed else [])
        return GoldRow(id_, pair, *sides, links.sure, links.possible, (HEADS,), "", heads)

    student, teacher = opened.tokenize("[ file")
    sides = [TokenizedText.unplaced("file", side.pieces) for side in (student, teacher)]
    roles = frozenset({(0, 0)})
    dialogue = GoldRow("r-1", "demo~demo-teacher", *sides, frozenset(), frozenset(), (ROLES,), "", roles=roles)
    rows = word("h-1", "unreadable"), word("h-2", "Nothing", headed=False), dialogue
    return GoldFile((*rows, word("h-3", "unreadable", pair="gpt2~qwen1.5")), read_pairs().comments)


def test_only_rows_of_the_checkpoint_s_tokenizers_are_scored(judged: GoldFile):
    found = judged_scores(load("demo"), judged)
    assert (len(found.heads), found.without_head, len(found.roles), found.others) == (1, 1, 1, 1)
    assert found.heads.any()
    assert found.roles[0, :, 0].tolist() == [1, 1]


def test_rows_of_one_dialogue_are_resampled_together(judged: GoldFile):
    again = [replace(row, id=f"{row.id}-again") for row in judged]
    found = judged_scores(load("demo"), GoldFile((*judged, *again), judged.comments))
    assert (len(found.heads), len(found.roles)) == (2, 1)
    assert found.roles[0, :, 0].tolist() == [2, 2]


def test_a_file_without_such_rows_is_refused():
    with pytest.raises(PairsError, match="judged heads or roles for the tokenizers of demo"):
        judged_scores(load("demo"), read_pairs())


def test_they_are_printed_apart_and_change_nothing_else(
    tmp_path: Path, judged: GoldFile, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "judged.tsv"
    write_pairs(path, judged.rows, judged.comments)
    assert main(["--methods", "uniform"]) == 0
    alone = capsys.readouterr().out
    assert main(["--methods", "uniform", "--judged", str(path)]) == 0
    both = capsys.readouterr().out
    assert both.startswith(alone)
    assert "1 words with a head, 1 without" in " ".join(both[len(alone) :].split())
    assert "roles, over teacher" in both


def test_maps_alone_cannot_be_scored_on_judged_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--judged", "judged.tsv", "--maps", str(tmp_path / "m.npz")]) == 2
    assert "--judged: expected a checkpoint" in capsys.readouterr().err
