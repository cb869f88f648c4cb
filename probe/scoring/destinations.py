"""Where the attention mass of a student token goes: seven kinds of teacher tokens, the first that fits."""

from collections.abc import Hashable

import numpy as np
from jaxtyping import Float, Int

from probe.chunks import equal_mask, shared_chunks
from probe.gold.rows import GoldRow, gold_mask
from probe.tokens import TokenizedText

DESTINATIONS = (
    "sure link",
    "rest of its chunk",
    "same token elsewhere",
    "same word, other case or spacing",
    "adjacent chunk",
    "EOS",
    "elsewhere",
)
SURE, CHUNK, TOKEN, WORD, ADJACENT, EOS, ELSEWHERE = range(len(DESTINATIONS))


def destinations(row: GoldRow) -> Int[np.ndarray, "student_targets teacher_targets"]:
    """For each cell of a map the place of its kind in `DESTINATIONS`. In the row of EOS only EOS is a kind."""
    students, teachers = row.sizes
    kind = np.full((students + 1, teachers + 1), ELSEWHERE, dtype=np.int8)
    kind[:, -1] = EOS
    inner = kind[:-1, :-1]
    chunks = _chunk_numbers(row)
    apart = np.abs(chunks[0][:, None] - chunks[1][None, :])
    # From the last kind to the first, so that the first one that fits stays.
    inner[apart == 1] = ADJACENT
    inner[equal_mask(_words(row.student), _words(row.teacher))] = WORD
    inner[equal_mask(_tokens(row.student), _tokens(row.teacher))] = TOKEN
    inner[apart == 0] = CHUNK
    inner[gold_mask(row)] = SURE
    return kind


def shares(
    weights: Float[np.ndarray, "maps rows teacher_targets"], kind: Int[np.ndarray, "rows teacher_targets"]
) -> Float[np.ndarray, "maps destinations"]:
    """Attention mass of each map by destination, summed over rows."""
    maps, kinds = len(weights), len(DESTINATIONS)
    places = kind.ravel() + kinds * np.arange(maps)[:, None]
    # Of no rows numpy counts in whole numbers.
    found = np.bincount(places.ravel(), weights.ravel(), minlength=maps * kinds).astype(np.float64)
    return found.reshape(maps, kinds)


def _chunk_numbers(row: GoldRow) -> tuple[np.ndarray, ...]:
    numbers = tuple(np.zeros(size, dtype=np.int32) for size in row.sizes)
    for number, chunk in enumerate(shared_chunks(row.student, row.teacher)):
        numbers[0][chunk.student.start : chunk.student.stop] = number
        numbers[1][chunk.teacher.start : chunk.teacher.stop] = number
    return numbers


def _tokens(side: TokenizedText) -> list[Hashable]:
    """What could come again elsewhere: a token without bytes could not, so it is equal to nothing."""
    return [surface or object() for surface in side.surfaces()]


def _words(side: TokenizedText) -> list[Hashable]:
    """The same without case and white space; white space alone is no word."""
    # Bytes of a split character become surrogates, which no other character is equal to.
    words = (surface.decode("utf-8", "surrogateescape") for surface in side.surfaces())
    return [word.strip().casefold() or object() for word in words]
