"""The half rule of alignments/README.md: links that are proposed from the bytes of two tokenisations.

It uses only the sizes of overlaps. Stems and endings, line breaks and normalised characters are left to the annotator.

A link is sure if the overlap has at least half of the content of *one* of the two tokens, so a token inside another one
has a sure link with it. A smaller overlap gives a possible link. Content is everything but white space; in tokens of
white space only, it is the white space. Such a token has a possible link with a token of content that it overlaps.
Tokens that share no byte have no link.
"""

import numpy as np

from probe.chunks import byte_sizes, content_sizes, shared_bytes, shared_content
from probe.gold.rows import Links, links_in
from probe.tokens import TokenizedText


def half_rule_links(student: TokenizedText, teacher: TokenizedText) -> Links:
    """The links that the half rule proposes for one sentence in two tokenisations.

    Raises:
        TokenError: the texts differ.
    """
    # Between two tokens of white space, all bytes count.
    blank = (content_sizes(student) == 0)[:, None] & (content_sizes(teacher) == 0)
    touching = shared_bytes(student, teacher)
    shared = np.where(blank, touching, shared_content(student, teacher))
    smaller = np.where(
        blank,
        np.minimum.outer(byte_sizes(student), byte_sizes(teacher)),
        np.minimum.outer(content_sizes(student), content_sizes(teacher)),
    )
    sure = (shared > 0) & (2 * shared >= smaller)  # half of one token means half of the smaller one
    return Links(links_in(sure), links_in((touching > 0) & ~sure))
