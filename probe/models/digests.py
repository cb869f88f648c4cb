"""SHA-256 of what a large file holds, computed once and remembered while the file stays as it is.

Hashing a table of 262,144 rows, or reading a vocabulary as large, takes longer than probing. So a digest is stored
under the file's path, its size and its times of change: a file that was written to since is hashed again.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from probe.errors import OutputError
from probe.models.sources import cache_dir
from probe.output.files import replacing_file

SMALLEST = 1 << 20
"""Smaller files, in bytes, are read faster than a cache."""
_DIGITS = 64


def remembered(file: Path, what: str, compute: Callable[[], str]) -> str:
    """The digest of a part of a file, from the cache directory if the file has not changed since it was computed.

    Args:
        file: that the part lies in.
        what: the part, and the way it is hashed: two digests of one file have two names.
        compute: makes the digest, as 64 hexadecimal digits.
    """
    state = file.resolve().stat()
    if state.st_size < SMALLEST:
        return compute()
    # The time of the last change of the inode too: unlike the time of the contents, no program sets it.
    named = f"{file.resolve()}\n{what}\n{state.st_size}\n{state.st_mtime_ns}\n{state.st_ctime_ns}"
    path = cache_dir() / "digests" / hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()
    with suppress(OSError, ValueError):  # not there, or not readable
        if len(found := path.read_text(encoding="ascii")) == _DIGITS:
            return found
    digest = compute()
    # If the cache cannot be written, the next run only takes longer.
    with suppress(OutputError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as temporary:
            temporary.write_text(digest, encoding="ascii")
    return digest
