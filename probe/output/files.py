"""Writing files whole or not at all: to a temporary name beside the target, synced, then renamed."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from probe.errors import OutputError, Problem


@contextmanager
def replacing_file(path: Path) -> Generator[Path]:
    """A temporary path to write to; it becomes ``path`` when the block ends well and vanishes when it does not.

    Raises:
        OutputError: the directory is missing or cannot be written to.
    """
    with _writable(path):
        target = path.resolve()  # a link stays a link
        if target.exists() and not target.is_file():  # renaming would put a file in the place of /dev/null
            raise OSError(errno.EINVAL, "neither a file nor a free name")
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: Path) -> Generator[Path]:
    """A temporary directory to fill; it becomes ``path``, in place of any older one, when the block ends well.

    Raises:
        OutputError: the parent directory is missing or cannot be written to.
    """
    with _writable(path):
        target = path.resolve()
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            temporary.chmod(0o777 & ~_umask())
            old = temporary.with_name(f"{temporary.name}.old")
            if target.is_dir():
                target.replace(old)
            try:
                temporary.replace(target)
            except BaseException:
                if old.exists():
                    old.replace(target)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


_LEFT = re.compile(r"\.(?P<name>.+?)\.[a-z0-9_]{8}(?P<old>\.old)?(?:\.[^.]+)?")
"""Temporary names of `replacing_file` and `replacing_directory`."""


def sweep(directory: Path, *patterns: str) -> None:
    """Remove what killed writes of names like these left beside them.

    Call it only where no other process writes these names, as under a lock. An older directory that was renamed, but
    not replaced yet, returns to its place.
    """
    found = sorted(directory.iterdir()) if directory.is_dir() else []
    for path in found:
        match = _LEFT.fullmatch(path.name)
        if match is None or not any(fnmatch(match["name"], pattern) for pattern in patterns):
            continue
        target = path.with_name(match["name"])
        if match["old"] and not target.exists():
            path.replace(target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Check that a file can be written, before long work whose result it is to hold.

    Raises:
        OutputError: the directory is missing or cannot be written to.
    """
    expected, remedy = "a place to write to", "Name another path."
    if path.is_dir():
        raise OutputError(Problem(str(path), expected, "a directory", remedy))
    with _writable(path):
        if path.exists() and not path.is_file():  # a device, for one, which no file may replace
            raise OutputError(Problem(str(path), expected, "neither a file nor a free name", remedy))
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            pass


def check_free(path: Path) -> None:
    """Check that a file can be written where none is: what is there may hold somebody's work.

    Raises:
        OutputError: there is a file, or none can be written.
    """
    if path.is_file():
        remedy = "Name another path, or write over it with --force."
        raise OutputError(Problem(str(path), "a free name", "a file", remedy))
    check_place(path)


def check_directory(path: Path, *, remedy: str = "Name another path, or make room.") -> None:
    """Make a directory if there is none, and check that files can be written in it, before long work.

    Raises:
        OutputError: one of these fails.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        got = "a file" if path.is_file() else error.strerror or str(error)
        raise OutputError(Problem(str(path), "a place to write to", got, remedy)) from error


@contextmanager
def _writable(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if not path.parent.exists():
            got = f"no folder {path.parent}"
            raise OutputError(
                Problem(str(path), "a place to write to", got, "Create it, or name another path.")
            ) from error
        raise OutputError(
            Problem(str(path), "a place to write to", error.strerror or str(error), "Name another path, or make room.")
        ) from error


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
