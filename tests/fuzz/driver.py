"""Shares cases out to two workers, and kills one that takes too long over a case."""

import json
import os
import select
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
WORKERS, BATCH = 2, 1000
LONGEST = 60
"""Seconds that a case may take."""


def fuzz(seed: int, cases: int, workers: int = WORKERS) -> list[dict[str, Any]]:
    """How each case ended, by number."""
    size = min(BATCH, -(-cases // workers))
    batches = [(begin, min(begin + size, cases)) for begin in range(0, cases, size)]
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda batch: _batch(seed, *batch), batches)
        return [one for ends in found for one in ends]


def _batch(seed: int, begin: int, end: int) -> list[dict[str, Any]]:
    ends: list[dict[str, Any]] = []
    while begin < end:
        ends += _some(seed, begin, end)
        begin = ends[-1]["number"] + 1
    return ends


def _some(seed: int, begin: int, end: int) -> list[dict[str, Any]]:
    """Cases until the last one, or until one that hangs or ends the process."""
    paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    command = [sys.executable, "-m", "fuzz.worker", *map(str, (seed, begin, end))]
    ends: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"ready\n"
        for number in range(begin, end):
            line = worker.stdout.readline() if select.select([worker.stdout], [], [], LONGEST)[0] else b""
            if not line:
                worker.kill()
                ends.append(_killed(number, worker.wait()))
                break
            ends.append(json.loads(line))
    return ends


def _killed(number: int, code: int) -> dict[str, Any]:
    trouble = f"the process ended with {code}, or the case took more than {LONGEST} s"
    return {
        "number": number,
        "family": "any",
        "name": "",
        "code": code,
        "seconds": LONGEST,
        "trouble": trouble,
        "left": [],
        "same": False,
    }
