"""Milliseconds from a key pressed to the heatmap drawn, in the explorer of a real JupyterLab, and Python's share.

    python benchmarks/explore.py [CHECKPOINT ...]

Each sentence is typed letter by letter, the next when the last is drawn. Limits: 150 ms on `demo`, 400 ms on the real
pair. Chromium is found as the tests find it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import probe
from probe.widgets.exploration import choose
from probe.widgets.explorer_view import view

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import ARGUMENTS, chromium_path, jupyter_server

SENTENCES = (
    "Return the path of the file; if the file is missing, raise an error.",
    "for i, row in enumerate(rows):\n    print(f'{i:>3} {row!r}')",
    "日本語のトークンは中文よりも細かい。",
    "الكلمة كتاب لها أربعة حروف.",
    "the quick brown fox jumps over the lazy dog; " * 8,
)
LIMITS = {"demo": 150}  # the others are real pairs
# Until the frame in which the answer to this key is drawn.
TYPE = """async (text) => {
    const box = document.querySelector(".probe-explorer textarea"), map = document.querySelector(".probe-map");
    const answered = (before) => new Promise((done) => {
        const watch = new MutationObserver(() => map.dataset.drawn === before || done(watch.disconnect()));
        watch.observe(map, { attributes: true, attributeFilter: ["data-drawn"] });
    });
    const times = [];
    for (let length = 1; length <= text.length; length++) {
        const began = performance.now(), drawn = answered(map.dataset.drawn);
        box.value = text.slice(0, length);
        box.dispatchEvent(new Event("input"));
        await drawn;
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - began);
    }
    return times;
}"""


def python_times(checkpoint: str, text: str) -> list[float]:
    """Of computing alone: from a text to what the page is told."""
    state = probe.explore(checkpoint, text=text).state
    times: list[float] = []
    for length in range(1, len(text) + 1):
        began = time.perf_counter()
        state = choose(state, {"text": text[:length]})
        view(state)
        times.append(1e3 * (time.perf_counter() - began))
    return times


def line(name: str, times: list[float]) -> str:
    return f"  {name:<8} median {statistics.median(times):6.1f} ms, worst {max(times):6.1f} ms"


def report(checkpoint: str, page: Page) -> None:
    limit, keys = LIMITS.get(checkpoint, 400), list[float]()
    print(checkpoint)
    for text in SENTENCES:
        print(f" {len(text)} keys: {text[:40]!r}")
        print(line("Python", python_times(checkpoint, text)))
        drawn = page.evaluate(TYPE, text)
        print(line("drawn", drawn))
        keys += drawn
    print(f" {sum(key > limit for key in keys)} of {len(keys)} keys over {limit} ms")


def main() -> None:
    """Type into each checkpoint's explorer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="*", default=["demo", "smollm2-gemma3-projectors"])
    names = parser.parse_args().checkpoint
    with sync_playwright() as running, tempfile.TemporaryDirectory() as directory:
        browser = running.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        with jupyter_server("lab", Path(directory), browser) as jupyter:
            for name in names:
                with jupyter.run("import probe", f"probe.explore({name!r})") as page:
                    page.wait_for_selector(".probe-map[data-drawn]")
                    report(name, page)
        browser.close()


if __name__ == "__main__":
    main()
