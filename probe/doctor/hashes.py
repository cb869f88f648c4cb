"""Embedding tables read whole, for a hash that two machines can compare."""

import hashlib
from collections.abc import Mapping
from functools import partial

import numpy as np

from probe.doctor.findings import Notes
from probe.embeddings import EmbeddingTable

_HASHED_ROWS = 8192  # at a time: 64 MB at a width of 2,048


def table_sha256(table: EmbeddingTable) -> str:
    """SHA-256 over all stored rows as float32, read in blocks: the same for every exact storage type."""
    digest = hashlib.sha256()
    for begin in range(0, table.rows, _HASHED_ROWS):
        ids = np.arange(begin, min(begin + _HASHED_ROWS, table.rows), dtype=np.int64)
        digest.update(table.stored.gather(ids).astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def hash_all(tables: Mapping[str, EmbeddingTable], notes: Notes) -> dict[str, str]:
    """Hashes of those tables that can be read to the end, by role."""
    hashes = {role: notes.attempt(role, partial(table_sha256, table)) for role, table in tables.items()}
    return {role: sha256 for role, sha256 in hashes.items() if sha256 is not None}
