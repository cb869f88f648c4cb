"""Time and peak memory of `probe-align` on the demo at 100, 1,000 and 10,000 synthetic rows, five methods.

    python benchmarks/scaling.py

Rows are sentences of words that gold texts are made of, drawn with one seed, linked by overlap of content.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from startup import measure

from probe.checkpoints.loading import load
from probe.chunks import content_mask
from probe.gold.pairs import read_pairs, write_pairs
from probe.gold.rows import GoldRow

GOLD = Path(__file__).parent.parent / "alignments" / "gold.tsv"
SIZES = (100, 1_000, 10_000)
METHODS = "diagonal,lexical,bigram"
"""Beside cma and uniform, which are always there."""


def synthetic_rows(count: int) -> list[GoldRow]:
    """Rows of 8 to 24 words."""
    opened = load("demo")
    words = sorted({word for row in read_pairs(GOLD).rows for word in row.text.split() if word.isascii()})
    rng = np.random.default_rng(0)
    rows: list[GoldRow] = []
    for number in range(count):
        student, teacher = opened.tokenize(" ".join(rng.choice(words, rng.integers(8, 25))))
        links = frozenset(zip(*(axis.tolist() for axis in np.nonzero(content_mask(student, teacher))), strict=True))
        rows.append(GoldRow(f"synthetic-{number}", "demo~demo-teacher", student, teacher, links, frozenset(), (), ""))
    return rows


def main() -> None:
    """Time the command at each size and print seconds per row beyond the start-up."""
    rows = synthetic_rows(max(SIZES))
    align = str(Path(sys.executable).with_name("probe-align"))
    with tempfile.TemporaryDirectory() as scratch:
        startup = None
        for size in (1, *SIZES):
            path = Path(scratch) / f"{size}.tsv"
            write_pairs(path, rows[:size])
            seconds, megabytes = measure([align, "--pairs", str(path), "--methods", METHODS])
            if startup is None:
                startup = seconds
                continue
            per_row = 1e3 * (seconds - startup) / size
            print(f"{size:>6} rows: {seconds:6.1f} s, {per_row:.2f} ms a row beyond start-up, peak {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
