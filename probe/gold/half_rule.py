"""The half rule of alignments/README.md: which links the bytes of two tokenisations propose, before anyone reads them.

It is what the rules there make of sizes alone; stems and endings, line breaks and normalised characters are left to the
reader.

An overlap is sure when it holds at least half of the content of *one* of the two pieces, so a piece that lies wholly
inside another is sure with it; a smaller overlap is possible. White space is the content of pieces that hold nothing
else. A piece of white space is possible with a piece of content, and pieces that do not touch are not linked.
"""

import numpy as np

from probe.chunks import byte_sizes, content_sizes, shared_bytes, shared_content
from probe.gold.rows import Links, links_in
from probe.tokens import TokenizedText


def half_rule_links(student: TokenizedText, teacher: TokenizedText) -> Links:
    """The links that the half rule proposes for one text, cut twice.

    Raises:
        TokenError: the texts differ.
    """
    # What two pieces of white space hold is measured by all their bytes.
    blank = (content_sizes(student) == 0)[:, None] & (content_sizes(teacher) == 0)
    touching = shared_bytes(student, teacher)
    shared = np.where(blank, touching, shared_content(student, teacher))
    smaller = np.where(
        blank,
        np.minimum.outer(byte_sizes(student), byte_sizes(teacher)),
        np.minimum.outer(content_sizes(student), content_sizes(teacher)),
    )
    sure = (shared > 0) & (2 * shared >= smaller)  # half of one piece is half of the smaller one
    return Links(links_in(sure), links_in((touching > 0) & ~sure))
