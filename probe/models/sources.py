"""Where models are: in this package, in the cache directory, in a directory of the user, or on the hub.

A source is ``bundled:demo/student``, ``cache:smollm2-gemma3/teacher``, a path, or a hub id ``owner/name[@revision]``.
"""

import os
from pathlib import Path

BUNDLED, CACHE = "bundled:", "cache:"
FOLDERS = frozenset({"checkpoints", "data", "datasets", "model_hub", "models", "output", "outputs", "results", "runs"})
"""What people call folders of their own; no owner of the hub is meant by these."""


def bundled_dir() -> Path:
    """Directory of the checkpoints that ship with the package."""
    return Path(__file__).parent.parent / "bundled"


def bundled_gold() -> Path:
    """The gold file that ships with the package."""
    return bundled_dir() / "gold.tsv"


def bundled_names() -> list[str]:
    """Names of the checkpoints that ship with the package."""
    return sorted(path.parent.name for path in bundled_dir().glob("*/probe.json"))


def cache_dir() -> Path:
    """Directory of fetched models: ``$PROBE_CACHE``, else the cache directory of the platform."""
    named = os.environ.get("PROBE_CACHE")
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("cma-probe")


def resolve(source: str, relative_to: Path) -> Path | str:
    """The directory or file of a local source, or the id of a hub model."""
    if source.startswith(BUNDLED):
        return bundled_dir() / source.removeprefix(BUNDLED)
    if source.startswith(CACHE):
        return cache_dir() / source.removeprefix(CACHE)
    path = Path(source)
    if not path.is_absolute() and (relative_to / path).exists():
        return relative_to / path
    return path if path.exists() or path.is_absolute() or source.startswith(".") else source


def reads_as_path(source: str) -> bool:
    """Whether a source that is not here is meant to be: ``data/dolly`` could be a hub id, but nobody means one.

    The hub is not asked for it: its client tries for half a minute, and what it says then is not what is wrong.
    """
    return source.startswith((".", "~", "/")) or source.partition("/")[0] in FOLDERS


def is_here(source: str, relative_to: Path) -> bool:
    """Whether a source is a directory or file on this machine."""
    found = resolve(source, relative_to)
    return isinstance(found, Path) and found.exists()
