"""Jobs side by side: numpy and BLAS let other threads work."""

import os
from concurrent.futures import ThreadPoolExecutor

MOST_THREADS = 4
"""Each holds matrices of some tens of megabytes."""


def threads() -> ThreadPoolExecutor:
    """A thread for each processor, but not too many."""
    return ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS))
