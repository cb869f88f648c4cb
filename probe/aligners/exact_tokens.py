"""Exact token alignment (ETA): a pair is linked only where both tokens are equal and stand at the same place.

The tool is DSKDv2 (songmzhang/DSKDv2, 5025279). It compares strings of the vocabulary. `exact_byte_links` is the same
idea on bytes, and `exact_string_links` what the tool does.
"""

from probe.aligners.strings import without_marks
from probe.chunks import one_to_one
from probe.gold.rows import Link
from probe.tokens import TokenizedText


def exact_byte_links(student: TokenizedText, teacher: TokenizedText) -> frozenset[Link]:
    """The chunks of one token on each side; none where a side has no tokens.

    A dummy space that is a token of its own makes a chunk of two with the first word, so that word is not linked. The
    tool does not link it either.

    Example:
        >>> from probe import TokenizedText
        >>> student = TokenizedText.from_pieces("the café is nice", ["the", "Ġcaf", "Ã©", "Ġis", "Ġnice"])
        >>> teacher = TokenizedText.from_pieces("the café is nice", ["▁the", "▁caf", "é", "▁is", "▁nice"])
        >>> sorted(exact_byte_links(student, teacher))
        [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
    """
    return one_to_one(student, teacher) if student.tokens and teacher.tokens else frozenset()


def exact_string_links(student: TokenizedText, teacher: TokenizedText) -> frozenset[Link]:
    """Equal strings after equal strings, by one walk over both sides.

    The marks of spaces are taken away first. Where all that was read so far is the same on both sides, and the next
    strings are equal, they are linked. Otherwise the side that has read fewer characters goes on, or both do where they
    have read equally many. What was read is compared as a whole. So one letter that the two alphabets spell differently
    (``Ã©`` and ``é``) ends all links, to the end of the text.

    Example:
        >>> from probe import TokenizedText
        >>> student = TokenizedText.from_pieces("the café is nice", ["the", "Ġcaf", "Ã©", "Ġis", "Ġnice"])
        >>> teacher = TokenizedText.from_pieces("the café is nice", ["▁the", "▁caf", "é", "▁is", "▁nice"])
        >>> sorted(exact_string_links(student, teacher))
        [(0, 0), (1, 1)]
    """
    ours, theirs = without_marks(student.pieces), without_marks(teacher.pieces)
    links: set[Link] = set()
    i = j = 0
    read = ["", ""]
    while i < len(ours) and j < len(theirs):
        sizes = len(read[0]), len(read[1])
        if read[0] == read[1] and ours[i] == theirs[j]:
            links.add((i, j))
        if sizes[0] <= sizes[1]:
            read[0] += ours[i]
            i += 1
        if sizes[1] <= sizes[0]:
            read[1] += theirs[j]
            j += 1
    return frozenset(links)
