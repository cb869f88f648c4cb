"""Run the benchmarks that have an aim, one after the other, and write the page of the site that shows them.

    python benchmarks/speed.py [--page docs/speed.md]

A line of a benchmark that reads ``what: found; aim limit`` is a row of the page's table; all output stands below.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PAIR = "smollm2-gemma3-projectors"
SCRIPTS = {
    "Start-up": ("startup.py", "--runs", "3"),
    "Many texts, long texts": ("scaling.py",),
    "Keys and queries": ("keyquery.py", PAIR),
    "The attention beside a forward pass of both models": ("attention_cost.py",),
    "The training step": ("step.py",),
    "Memory of the losses over the vocabulary": ("memory.py",),
}
ROW = re.compile(r"(.+?): (.+); aim (.+)")
INTRO = """# Speed

What the parts of the project cost, measured in one run by `make benchmarks`. Ratios are taken within the run and can be
compared between machines; seconds cannot. [benchmarks/](../benchmarks/README.md) says what each script does. *Import
torch* is the time of `python -c "import torch"`. An aim is what we set ourselves. A processor without instructions for
bfloat16 is slow in it; runs there keep float32.
"""


class Ran(NamedTuple):
    """A benchmark that has run."""

    title: str
    command: str
    output: str
    seconds: float


def run(title: str, command: Sequence[str]) -> Ran:
    """Run a script of this folder and show what it prints while it does.

    Raises:
        SystemExit: it failed.
    """
    print(f"\n== {title}: {' '.join(command)}", flush=True)
    began = time.perf_counter()
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-u", HERE / command[0], *command[1:]], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{command[0]} exited with {process.returncode}")
    return Ran(title, f"python benchmarks/{' '.join(command)}", "".join(lines), time.perf_counter() - began)


def page(every: Sequence[Ran]) -> str:
    """The page: where and when, the table, and all that was printed."""
    minutes = sum(one.seconds for one in every) / 60
    lines = [
        INTRO,
        f"Commit `{commit()}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}; {minutes:.0f} minutes in all.",
        "",
    ]
    lines += ["| what | measured | aim |", "|---|---|---|"]
    rows = (ROW.fullmatch(line) for one in every for line in one.output.splitlines())
    lines += [f"| {row[1]} | {row[2]} | {row[3]} |" for row in rows if row]
    for one in every:
        lines += ["", f"## {one.title}", "", f"`{one.command}`, {one.seconds:.0f} s", "", "```text"]
        lines += [*one.output.rstrip().splitlines(), "```"]
    return "\n".join(lines) + "\n"


def commit() -> str:
    """Of the checkout, and whether it was changed since."""
    head, changed = (
        subprocess.run(["git", *command], cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
        for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    )
    return f"{head}, with changes" if changed else head


def machine() -> str:
    """What ran it, without its name."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text()) if info.is_file() else None
    return f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    """Run all and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "speed.md")
    arguments = parser.parse_args()
    every = [run(title, command) for title, command in SCRIPTS.items()]
    arguments.page.write_text(page(every), encoding="utf-8")
    print(f"\n{arguments.page}")


if __name__ == "__main__":
    main()
