"""One process at a time in a directory. The system gives a lock back when its process ends, however that ends."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from probe.errors import OutputError, Problem
from probe.output.files import check_directory

LOCK = "run.lock"


@contextmanager
def held(directory: Path, *, remedy: str = "Name another path, or make room.") -> Generator[None]:
    """Keep other processes out of a directory, which is made if there is none; its lock file stays there.

    Args:
        directory: whose writers all do so.
        remedy: what to do where it cannot be written to.

    Raises:
        OutputError: another process is at work in it, or it cannot be written to.
    """
    check_directory(directory, remedy=remedy)  # first: where no file can be made, a lock would seem to be taken
    lock = FileLock(directory / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        wait = "Wait for it, or name another directory."
        raise OutputError(Problem(str(directory), "one run at a time", "another at work", wait)) from error
    try:
        yield
    finally:
        lock.release()
