"""Time and peak memory on the demo of many texts, of a long one, and of a heatmap of a part of a longer one.

    python benchmarks/scaling.py

Ratios are to ``import torch`` in the same run. Rows are sentences of words that gold texts are made of, drawn with one
seed, linked by overlap of content.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from startup import measure

from probe.checkpoints.loading import load
from probe.chunks import content_mask
from probe.gold.pairs import read_pairs, write_pairs
from probe.gold.rows import GoldRow

GOLD = Path(__file__).parent.parent / "alignments" / "gold.tsv"
SIZES = (100, 1_000, 10_000)
FIVE = ("--methods", "diagonal,lexical,bigram")
"""Beside cma and uniform, which are always there."""
LONG, LONGER = 4_000, 20_000
"""Tokens of the student."""


def words_of_gold() -> list[str]:
    """Different ones, without those in other scripts."""
    return sorted({word for row in read_pairs(GOLD).rows for word in row.text.split() if word.isascii()})


def synthetic_rows(count: int) -> list[GoldRow]:
    """Rows of 8 to 24 words."""
    words, rng = words_of_gold(), np.random.default_rng(0)
    return _rows([" ".join(rng.choice(words, rng.integers(8, 25))) for _ in range(count)])


def _rows(texts: Sequence[str]) -> list[GoldRow]:
    opened = load("demo")
    rows: list[GoldRow] = []
    for number, text in enumerate(texts):
        student, teacher = opened.tokenize(text)
        links = frozenset(zip(*(axis.tolist() for axis in np.nonzero(content_mask(student, teacher))), strict=True))
        rows.append(GoldRow(f"synthetic-{number}", "demo~demo-teacher", student, teacher, links, frozenset(), (), ""))
    return rows


def long_text(tokens: int) -> str:
    """Words drawn likewise, until they have so many student tokens."""
    words, rng, opened = words_of_gold(), np.random.default_rng(1), load("demo")
    text = " ".join(rng.choice(words, tokens))  # a word has a token at least
    student, _ = opened.tokenize(text)
    return text.encode()[: student.tokens[tokens - 1].end].decode()


def command(name: str) -> str:
    """The path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


def main() -> None:
    """Measure each once, and print it with its aim."""
    torch, _ = measure([sys.executable, "-c", "import torch"])
    torch = min(torch, measure([sys.executable, "-c", "import torch"])[0])  # the first may read the disk

    def report(what: str, aim: str, seconds: float, megabytes: float) -> None:
        print(
            f"{what}: {seconds:.1f} s, {seconds / torch:.1f} × import torch, {megabytes:.0f} MB; aim {aim}", flush=True
        )

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.tsv"
        rows = synthetic_rows(max(SIZES))
        for size in SIZES:
            write_pairs(path, rows[:size])
            found = measure([command("probe-align"), "--pairs", str(path), *FIVE])
            if size == max(SIZES):
                report(f"probe-align, {size} texts, five methods", "30 s, 700 MB", *found)
            else:
                print(f"  {size} texts: {found[0]:.1f} s, {found[1]:.0f} MB", flush=True)
        write_pairs(path, _rows([long_text(LONG)]))
        for what, more in (("overview", ()), ("every table", ("--by", "all"))):
            found = measure([command("probe-align"), "--pairs", str(path), *more])
            report(f"probe-align, a text of {LONG} tokens, all methods, {what}", "1000 MB", *found)
        window = f"{LONGER // 2}:{LONGER // 2 + 40}"
        for suffix in ("png", "pdf"):
            drawn = ["--window", window, "--out", str(Path(scratch) / f"map.{suffix}")]
            found = measure([command("probe-heatmap"), long_text(LONGER), *drawn])
            report(f"probe-heatmap, 40 tokens of {LONGER}, {suffix.upper()}", "10 s", *found)


if __name__ == "__main__":
    main()
