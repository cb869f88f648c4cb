"""What `link` gives is a gold file that can be written, read back and checked."""

from pathlib import Path

import pytest

import probe
from probe.cli.pairs import main as pairs
from probe.gold.pairs import declared_vocabularies

BOTH = {"student": "bundled:demo/student", "teacher": "bundled:demo/teacher"}
SKIPS, NUMBERS = "The parser skips unknown tokens.", "The width is 80, the height is 24."


def test_links_of_white_space_alone_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    linked = probe.link([SKIPS, NUMBERS], **BOTH)
    assert [row.note for row in linked] == ["", "Sure on white space, which is all that these pieces carry: 4-3."]
    probe.write_pairs(tmp_path / "draft.tsv", linked, linked.comments)
    assert probe.read_pairs(tmp_path / "draft.tsv").rows == linked.rows
    assert pairs(["check", str(tmp_path / "draft.tsv")]) == 0, capsys.readouterr().out


def test_both_vocabularies_are_declared():
    records = probe.load("demo").checkpoint
    declared = declared_vocabularies(probe.link(SKIPS, **BOTH))
    assert declared == {
        "student": records.student.vocabulary_sha256,
        "teacher": records.teacher.vocabulary_sha256,
    }
