import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing that a test remembers reaches the user's cache, and nothing in the user's cache reaches a test."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PROBE_CACHE", str(cache))
    return cache
