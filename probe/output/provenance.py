"""Where a result comes from: versions of what computed it, and hashes of what it was computed from."""

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CHECKPOINT_FILES = ("probe.json", "projectors.safetensors", "projector.pt", "projector_config.json")


def versions(packages: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Python and those of the packages that are installed."""
    found = [("python", platform.python_version())]
    for package in packages:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:  # an extra that is not there took no part
            continue
    return tuple(found)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoint_files(directory: Path) -> tuple[tuple[str, str], ...]:
    """Name and SHA-256 of the files of a checkpoint's projectors, ours or adopted."""
    found = [directory / name for name in CHECKPOINT_FILES if (directory / name).is_file()]
    return tuple((path.name, file_sha256(path)) for path in found)
