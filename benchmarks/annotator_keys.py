"""Keys that the annotator takes for a row, from a file without links to those of the gold file, saved, on the next row.

    python benchmarks/annotator_keys.py [--pair PAIR] [--rows N] [--seed N]

A program types in a real Chromium, chunk after chunk, by the shortest way that it knows; so a reader who hesitates
needs more. It does so with chunks of one token on each side filled in, and with nothing suggested. The saved file must
have the links of the gold file. Tags and notes are not typed. Chromium is found as the tests find it.
"""

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

import probe
from probe.chunks import Chunk
from probe.gold.rows import GoldRow, Link

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import ARGUMENTS, Jupyter, chromium_path, jupyter_server

GOLD = Path("alignments/gold.tsv")
KEYS = {"sure": " ", "possible": "p"}
SUGGESTIONS = ("1-1 chunks", "nothing")


@dataclass
class Typist:
    """Presses keys in the grid, and counts them."""

    page: Page
    keys: int = 0

    def press(self, key: str, times: int = 1) -> None:
        """Press a key, once or several times."""
        for _ in range(times):
            self.page.keyboard.press(key)
        self.keys += times

    def at(self) -> Link:
        """The cell that has the focus."""
        i, j = (self.page.locator(".probe-grid td:focus").get_attribute("data-at") or "").split(",")
        return int(i), int(j)

    def go_to(self, cell: Link) -> None:
        """Move to a cell by arrow keys."""
        at = self.at()
        self.press("ArrowDown" if cell[0] > at[0] else "ArrowUp", abs(cell[0] - at[0]))
        self.press("ArrowRight" if cell[1] > at[1] else "ArrowLeft", abs(cell[1] - at[1]))

    def link(self, cell: Link, kind: str) -> None:
        """Move to a cell and link it; wait until the page shows the link."""
        self.go_to(cell)
        self.press(KEYS[kind])
        expect(self.page.locator(f'[data-at="{cell[0]},{cell[1]}"]')).to_have_attribute("data-kind", kind)

    def linked(self) -> set[Link]:
        """The cells that have a link."""
        cells = self.page.locator('[data-kind="sure"], [data-kind="possible"]').all()
        return {(int(i), int(j)) for i, j in ((cell.get_attribute("data-at") or "").split(",") for cell in cells)}


def annotate(typist: Typist, row: GoldRow) -> int:
    """Type the links of a row, chunk by chunk, and in a chunk the nearest cell first; how many keys it took."""
    before, there = typist.keys, typist.linked()
    if there - row.links.either:
        raise SystemExit(f"{row.id}: links were filled in that {GOLD} does not have")
    for chunk in probe.shared_chunks(row.student, row.teacher):
        cells = {link for link in row.links.either - there if link[0] in chunk.student and link[1] in chunk.teacher}
        if cells and by_key(typist.at(), chunk, cells):
            typist.press("n")
        while cells:
            at = typist.at()
            nearest = min(cells, key=lambda cell: (distance(at, cell), cell))
            typist.link(nearest, row.links.kind(nearest))
            cells.remove(nearest)
    typist.press("Enter")
    return typist.keys - before


def by_key(at: Link, chunk: Chunk, cells: Collection[Link]) -> bool:
    """Whether the key for the next open chunk saves arrow keys on the way to the first of these cells."""
    begin = chunk.student.start, chunk.teacher.start
    return 1 + min(distance(begin, cell) for cell in cells) < min(distance(at, cell) for cell in cells)


def distance(one: Link, other: Link) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def count(jupyter: Jupyter, rows: Sequence[GoldRow], spare: GoldRow, suggest: str) -> list[int]:
    """Keys of each row; the spare one is where the last row leads to."""
    path = jupyter.root / f"{suggest}.tsv"
    probe.blank_pairs(GOLD, path, [row.id for row in (*rows, spare)])
    counts: list[int] = []
    with jupyter.run("import probe", f"probe.annotate({path.name!r}, suggest={suggest!r})") as page:
        page.locator('.probe-grid td[tabindex="0"]').focus()
        typist = Typist(page)
        for row, following in zip(rows, [*rows[1:], spare], strict=True):
            counts.append(annotate(typist, row))
            expect(page.get_by_label("row id")).to_have_value(following.id)
    for row, made in zip(rows, probe.read_pairs(path).rows, strict=False):
        if (row.id, row.links) != (made.id, made.links):
            raise SystemExit(f"{row.id}: the saved links are not those of {GOLD}")
    return counts


def main() -> None:
    """Draw rows, annotate them, and print the keys of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="smollm2~gemma3")
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = [row for row in probe.read_pairs(GOLD).rows if row.pair == args.pair]
    *chosen, spare = sorted(random.Random(args.seed).sample(rows[:-1], args.rows), key=rows.index) + rows[-1:]
    with sync_playwright() as running, tempfile.TemporaryDirectory() as directory:
        browser = running.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        with jupyter_server("lab", Path(directory), browser) as jupyter:
            counts = [count(jupyter, chosen, spare, suggest) for suggest in SUGGESTIONS]
        browser.close()
    heads = "".join(f"{suggest:>12}" for suggest in SUGGESTIONS)
    print(f"keys for {args.rows} rows of {args.pair}, seed {args.seed}\n{'suggested:':>28}{heads}")
    for row, *keys in zip(chosen, *counts, strict=True):
        size = f"{row.sizes[0]:>4} × {row.sizes[1]:<4}{len(row.links.either):>4} links"
        print(f"{row.id:<9}{size}" + "".join(f"{one:>12}" for one in keys))
    print(f"{'median':>28}" + "".join(f"{statistics.median(one):>12g}" for one in counts))


if __name__ == "__main__":
    main()
