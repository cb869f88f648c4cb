"""Training rows of an attention alone: links by rule, and texts that must not be among them."""

from pathlib import Path

import numpy as np
import pytest

from probe.checkpoints.open_model import named_tokenizer
from probe.errors import PairsError, TrainingError
from probe.gold.pairs import read_pairs
from probe.models.sources import bundled_gold
from probe.training.attention.rows import Ends, Rows, read_rows
from probe.training.attention.sampling import held_out
from probe.training.attention_recipe import TextsPart
from probe.training.vocabulary_map import Vocabulary

TEXTS = "Return the maximum.\nA list of unbelievable names\nReturn nothing.\n"
ENDS = Ends(5, 0), Ends(6, 1)


def rows_of(tmp_path: Path, texts: str = TEXTS, **keys: object) -> Rows:
    file = tmp_path / "texts.txt"
    file.write_text(texts)
    part = TextsPart.model_validate({"source": str(file), "sampled": 0} | keys)
    tokenizers = named_tokenizer("bundled:demo/student"), named_tokenizer("bundled:demo/teacher")
    return read_rows(part, tokenizers, ENDS, 10)


def test_a_row_has_both_ends_and_the_links_by_rule(tmp_path: Path):
    found = rows_of(tmp_path)
    assert found.counts == (3, 0)
    row = found.rows[0]
    # Return ␣the ␣m ax im um . ~ Return ␣the ␣maximum .
    assert (len(row.student), len(row.teacher), row.links.shape) == (9, 6, (8, 5))
    assert (row.student[0], row.student[-1], row.teacher[0], row.teacher[-1]) == (5, 0, 6, 1)
    expected = {(0, 0), (1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4)}
    assert set(map(tuple, np.argwhere(row.links).tolist())) == expected


def test_no_text_holds_a_text_of_the_gold_file(tmp_path: Path):
    gold = max((row.text for row in read_pairs(bundled_gold()) if "\n" not in row.text), key=len)
    found = rows_of(tmp_path, f"{TEXTS}{gold}\nBefore it. {gold} After it.\n", max_tokens=500)
    assert found.counts == (3, 0)
    assert found.sha256 == rows_of(tmp_path).sha256
    assert len(found.gold_sha256) == 64


def test_long_texts_and_those_with_a_held_out_token_are_left_out(tmp_path: Path):
    assert rows_of(tmp_path, max_tokens=7).counts == (2, 0)
    vocabularies = [Vocabulary.of(named_tokenizer(f"bundled:demo/{role}")) for role in ("student", "teacher")]
    held = held_out((vocabularies[0], vocabularies[1]), 0.2, 10)
    found = rows_of(tmp_path, TEXTS, held_out=0.2, sampled=200)
    assert found.counts[1] > 20
    for row in found.rows:
        assert held.student.isdisjoint(row.student[1:-1].tolist())
        assert held.teacher.isdisjoint(row.teacher[1:-1].tolist())


def test_texts_of_the_source_are_repeated_to_their_share(tmp_path: Path):
    found = rows_of(tmp_path, sampled=90, share=0.5)
    own, sampled = found.counts
    assert own == 3
    assert len(found.rows) == own * round(sampled / own) + sampled
    assert len(rows_of(tmp_path, sampled=90, share=0.01).rows) == own + sampled
    assert rows_of(tmp_path, sampled=90, share=0.0).counts == (0, sampled)


def test_texts_that_cannot_be_used_are_said(tmp_path: Path):
    with pytest.raises(TrainingError, match="texts to learn from; got none"):
        rows_of(tmp_path, max_tokens=2)
    with pytest.raises(PairsError, match="no-such-file"):
        rows_of(tmp_path, source=str(tmp_path / "no-such-file.txt"))
