"""Tokens as strings, the way tools that compare strings see them."""

from collections.abc import Sequence

MARKS = ("▁", "Ġ")
"""What begins a word in SentencePiece, and a space in a byte-level vocabulary."""


def without_marks(pieces: Sequence[str]) -> list[str]:
    """The pieces without the marks that stand for a space, wherever in a piece.

    Example:
        >>> without_marks(["▁the", "Ġcat", "s", "▁"])
        ['the', 'cat', 's', '']
    """
    for mark in MARKS:
        pieces = [piece.replace(mark, "") for piece in pieces]
    return list(pieces)
