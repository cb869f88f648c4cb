"""All rules of alignments/README.md that decide a link, as code, for any text and any two tokenizers.

They are the half rule (rules 1, 2, 4, 5, 7, 8, 9 and 11 follow from it) and three exceptions to it. A test holds them
to every link of alignments/gold.tsv. So links by rule are right where the guidelines are, and hold no judgement beyond
them.
"""

import numpy as np
import regex

from probe.chunks import layout_mask, shared_bytes, shared_content
from probe.gold.half_rule import half_rule_links
from probe.gold.rows import Link, Links, links_in
from probe.tokens import TokenizedText, byte_level_bytes, sentencepiece_bytes, text_of

ENDINGS = frozenset({"es", "ed", "er", "en", "al", "ly"})


def rule_links(student: TokenizedText, teacher: TokenizedText) -> Links:
    """The links of one sentence in two tokenisations.

    Raises:
        TokenError: the texts differ.
    """
    links = half_rule_links(student, teacher)
    endings = _endings(student, teacher) | _turned(_endings(teacher, student))
    exact = links_in(layout_mask(student, teacher))  # rule 6
    exact |= _normalised(student, teacher) | _turned(_normalised(teacher, student))
    sure = (links.sure - endings) | exact
    return Links(frozenset(sure), frozenset(links.either - sure))


def _turned(links: frozenset[Link]) -> frozenset[Link]:
    return frozenset((i, j) for j, i in links)


def _endings(smaller: TokenizedText, larger: TokenizedText) -> frozenset[Link]:
    """Rule 3: an ending that shares only its first letter, which is the last of the stem."""
    shared = shared_content(smaller, larger)
    ends = [i for i in range(len(smaller.tokens)) if _is_ending(smaller, i)]
    return frozenset(
        (i, j)
        for i in ends
        for j in np.flatnonzero(2 * shared[i] == len(smaller.surface(i))).tolist()
        if larger.tokens[j].end < smaller.tokens[i].end and len(larger.surface(j)) >= len(smaller.surface(i))
    )


def _is_ending(side: TokenizedText, i: int) -> bool:
    """Whether a token spells the end of a longer word."""
    if text_of(side.surface(i)) not in ENDINGS:
        return False
    raw, token = side.text.encode(), side.tokens[i]
    before, after = raw[: token.start].decode(errors="ignore"), raw[token.end :].decode(errors="ignore")
    return regex.search(r"\p{L}$", before) is not None and regex.match(r"\p{L}", after) is None


def _normalised(plain: TokenizedText, other: TokenizedText) -> frozenset[Link]:
    """Rule 10: a token that spells a normalised character is linked to every token that has one of its bytes."""
    changed = np.array([_is_changed(other, j) for j in range(len(other.tokens))], dtype=bool)
    return links_in((shared_bytes(plain, other) > 0) & changed)


def _is_changed(side: TokenizedText, j: int) -> bool:
    surface, piece = side.surface(j), side.tokens[j].piece
    spelled = byte_level_bytes(piece), sentencepiece_bytes(piece), piece.encode()
    return surface not in spelled and not any(one == b" " + surface for one in spelled)
