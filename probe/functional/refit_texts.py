"""The texts that t2s is refitted on: plain responses, whose "gold" links are overlaps of spans."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probe.checkpoints.opened import OpenCheckpoint
from probe.chunks import overlap_mask
from probe.errors import PairsError, Problem
from probe.functional.report import FitSettings
from probe.gold.by_rule import read_texts
from probe.gold.rows import GoldRow, links_in


@dataclass(frozen=True)
class RefitTexts:
    """Rows with silver links, and the file that they are from."""

    path: Path
    sha256: str
    rows: tuple[GoldRow, ...]
    judged: int
    """Texts of the file that are left out, for t2s is judged on them."""


def read_refit_texts(open_: OpenCheckpoint, path: Path, gold: Sequence[GoldRow], settings: FitSettings) -> RefitTexts:
    """Responses of a file, each once, none of them a gold text, drawn if there are too many.

    Args:
        open_: whose tokenizers cut them.
        path: ``.jsonl`` with a field ``output``, or any other name for a response a line.
        gold: rows that refitted projectors are judged on.
        settings: how many to take, and the seed.

    Raises:
        PairsError: the file cannot be read, or holds no text but those of gold rows.
    """
    given = read_texts(path)
    found = given.texts
    judged = {row.text for row in gold}
    texts = [text for text in dict.fromkeys(found) if text not in judged]
    if not texts:
        remedy = "Name other responses: t2s is judged on the gold rows."
        raise PairsError(Problem(str(path), "texts that are not in the gold file", "none", remedy))
    taken = np.sort(np.random.default_rng(settings.seed).permutation(len(texts))[: settings.most_sentences])
    rows = tuple(_silver(open_, path, i, texts[i]) for i in taken.tolist())
    return RefitTexts(path, given.sha256, rows, len(set(found) & judged))


def _silver(open_: OpenCheckpoint, path: Path, number: int, text: str) -> GoldRow:
    """A row whose sure links are the pairs of tokens that share a byte."""
    student, teacher = open_.tokenize(text)
    links = links_in(overlap_mask(student, teacher))
    pair = f"{open_.checkpoint.student.name}~{open_.checkpoint.teacher.name}"
    return GoldRow(f"{path.name}-{number + 1}", pair, student, teacher, links, frozenset(), (), "")
