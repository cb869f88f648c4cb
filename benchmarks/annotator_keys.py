"""Keys that the annotator takes for a row, from a blank grid to the links of the gold file, saved, on the next row.

    python benchmarks/annotator_keys.py [--pair PAIR] [--rows N] [--seed N]

A program types in a real Chromium, cell after cell, by the shortest way that it knows; so a reader who hesitates needs
more. The saved file must have the links of the gold file. Tags and notes are not typed. Chromium is found as the tests
find it.
"""

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

import probe
from probe.gold.rows import GoldRow, Link

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import ARGUMENTS, Jupyter, chromium_path, jupyter_server

GOLD = Path("alignments/gold.tsv")
KEYS = {"sure": " ", "possible": "p"}


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


def annotate(typist: Typist, row: GoldRow) -> int:
    """Type the links of a row, chunk by chunk, and in a chunk the nearest cell first; how many keys it took."""
    before = typist.keys
    for chunk in probe.shared_chunks(row.student, row.teacher):
        cells = {link for link in row.links.either if link[0] in chunk.student and link[1] in chunk.teacher}
        while cells:
            at = typist.at()
            nearest = min(cells, key=lambda cell: (distance(at, cell), cell))
            typist.link(nearest, row.links.kind(nearest))
            cells.remove(nearest)
    typist.press("Control+s")
    typist.press("PageDown")
    return typist.keys - before


def distance(one: Link, other: Link) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def count(jupyter: Jupyter, rows: Sequence[GoldRow], spare: GoldRow) -> list[int]:
    """Keys of each row; the spare one is where the last row leads to."""
    path = jupyter.root / "blank.tsv"
    probe.blank_pairs(GOLD, path, [row.id for row in (*rows, spare)])
    counts: list[int] = []
    with jupyter.run("import probe", f"probe.annotate({path.name!r})") as page:
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
            counts = count(jupyter, chosen, spare)
        browser.close()
    print(f"{args.rows} rows of {args.pair}, seed {args.seed}")
    for row, keys in zip(chosen, counts, strict=True):
        print(f"  {row.id:<9}{row.sizes[0]:>4} × {row.sizes[1]:<4}{len(row.links.either):>4} links{keys:>5} keys")
    print(f"  median {statistics.median(counts):g} keys a row")


if __name__ == "__main__":
    main()
