"""Characters of both sides matched by a shortest edit script; tokens that have a character in common are linked.

The tool is `tokenizations` (tamuhey/tokenizations 0.9, which spaCy has as spacy-alignments): it puts the tokens of each
side together, seeks the fewest insertions and deletions of characters that turn one string into the other, and maps
the characters that stay back to tokens. It does not look at the text, so it also aligns tokens of two texts.

Differences from the tool: characters are those of `TokenizedText.display`, with a symbol for a space and hexadecimal
digits for part of a character, and not raw strings of the vocabulary in lower case and NFKD. Of several shortest
scripts the one of rapidfuzz is taken.
"""

import numpy as np
from jaxtyping import Int
from rapidfuzz.distance import Indel

from probe.gold.rows import Link
from probe.tokens import TokenizedText


def edit_links(student: TokenizedText, teacher: TokenizedText) -> frozenset[Link]:
    """Pairs of tokens with a matched character.

    Example:
        >>> from probe import TokenizedText
        >>> student = TokenizedText.from_pieces("unhappy cat", ["un", "happy", "Ġcat"])
        >>> teacher = TokenizedText.from_pieces("unhappy cat", ["unh", "appy", "Ġcat"])
        >>> sorted(edit_links(student, teacher))
        [(0, 0), (1, 0), (1, 1), (2, 2)]
    """
    shown = [side.display() for side in (student, teacher)]
    ours, theirs = (_owners(tokens) for tokens in shown)
    links: set[Link] = set()
    for block in Indel.editops(*("".join(tokens) for tokens in shown)).as_matching_blocks():
        here, there = ours[block.a : block.a + block.size], theirs[block.b : block.b + block.size]
        links |= set(zip(here.tolist(), there.tolist(), strict=True))
    return frozenset(links)


def _owners(tokens: tuple[str, ...]) -> Int[np.ndarray, " characters"]:
    """For each character of all tokens together the token that it is of."""
    return np.repeat(np.arange(len(tokens)), np.array([len(token) for token in tokens], dtype=np.int64))
