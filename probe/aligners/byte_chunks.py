"""Chunks of bytes: the smallest groups of tokens of both sides that end at the same byte, linked all to all.

Three tools have this rule, each with code of its own: ALM in tokenkit (bminixhofer/tokenkit, bcacdef), the GOLD trainer
of TRL since PR 5885 (huggingface/trl, f2cd577; first released in 1.6.0), and X-Token (arXiv 2605.21699). Where
`probe.chunks.shared_chunks` and TRL's walk over the ends of tokens differ:

- Tokens without bytes at the end of the text are a group without partner in TRL, which it drops. Here they are in the
  last chunk.
- Tokens that share bytes of a changed segment (``e`` and its accent, written as two tokens of one normalised letter)
  stay together here. TRL's walk closes a group after the first of them. TRL therefore cuts such spans by the lengths
  of the pieces first, and raises an error where they do not fit.
- TRL takes byte-level tokenizers only.
"""

from probe.chunks import shared_chunks
from probe.gold.rows import Link
from probe.tokens import TokenizedText


def byte_chunk_links(student: TokenizedText, teacher: TokenizedText) -> frozenset[Link]:
    """All pairs of tokens of one chunk; none where a side has no tokens.

    Example:
        >>> from probe import TokenizedText
        >>> student = TokenizedText.from_pieces("unhappy cat", ["un", "happy", "Ġcat"])
        >>> teacher = TokenizedText.from_pieces("unhappy cat", ["unh", "appy", "Ġcat"])
        >>> sorted(byte_chunk_links(student, teacher))
        [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]
    """
    if not (student.tokens and teacher.tokens):
        return frozenset()
    return frozenset((i, j) for chunk in shared_chunks(student, teacher) for i in chunk.student for j in chunk.teacher)
