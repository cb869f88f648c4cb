import os
from pathlib import Path
from typing import TYPE_CHECKING

import checks
import jaxtyping
import pytest
from places import GOLD

if TYPE_CHECKING:
    from probe.report.report import ProbeReport

# One process a core runs the tests: threads of one would wait for those of the other. Read when numpy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
jaxtyping.jaxtyped = checks.checked  # its hook, which --jaxtyping-packages installs, asks for it by this name


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing that a test remembers reaches the user's cache, and nothing in the user's cache reaches a test."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PROBE_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def few_gold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gold file of twelve rows of the demo: enough for intervals, and read in a moment."""
    from planted import demo_gold

    from probe.gold.pairs import write_pairs

    path, gold = tmp_path_factory.mktemp("gold") / "few.tsv", demo_gold(12)
    write_pairs(path, gold.rows, gold.comments)
    return path


@pytest.fixture(scope="session")
def demo_report() -> "ProbeReport":
    """The report of the demo on the gold file, with all methods: seconds, which many modules share."""
    from probe.alignment.align import align
    from probe.checkpoints.loading import load
    from probe.gold.pairs import read_pairs

    return align(load("demo"), read_pairs(GOLD))
