"""The rules by which published tools align tokens of two tokenizers, each as links of one text.

They see tokens only: no model, no map and no gold. What each does, and where it differs from the tool, stands in its
module. Those that need vectors are in `probe.aligners.of_attention`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from probe.aligners.byte_chunks import byte_chunk_links
from probe.aligners.edit_distance import edit_links
from probe.aligners.exact_tokens import exact_byte_links, exact_string_links
from probe.aligners.gold_strings import gold_string_links
from probe.aligners.time_warping import warped_pairs
from probe.tokens import TokenizedText

Pairs = frozenset[tuple[int, int]]
"""Student token and teacher token, by index."""


@dataclass(frozen=True)
class ToolAligner:
    """A rule that links tokens of a text, and who uses it."""

    name: str
    """As tables show it."""
    used_by: str
    note: str
    """What it does, in one line."""
    links: Callable[[TokenizedText, TokenizedText], Pairs]
    """Of a student side and a teacher side of one text."""


TOOL_ALIGNERS: tuple[ToolAligner, ...] = (
    ToolAligner(
        "byte chunks",
        "ALM in tokenkit (bcacdef), TRL since PR 5885 (f2cd577), X-Token (arXiv 2605.21699)",
        "smallest groups that end at the same byte, linked all to all",
        byte_chunk_links,
    ),
    ToolAligner(
        "exact tokens, bytes",
        "exact token alignment of DSKDv2 (5025279), on bytes",
        "tokens that are the same bytes of the text",
        exact_byte_links,
    ),
    ToolAligner(
        "exact tokens, strings",
        "exact token alignment of DSKDv2 (5025279)",
        "equal strings of the vocabulary after equal strings, without marks of spaces",
        exact_string_links,
    ),
    ToolAligner(
        "time warping",
        "MinED in FuseLLM (7d9a307) and DSKD (077337a)",
        "the cheapest monotone path through the edit distances of strings of the vocabulary",
        warped_pairs,
    ),
    ToolAligner(
        "edit distance",
        "tokenizations 0.9, spacy-alignments",
        "tokens that share a character under a shortest edit script",
        edit_links,
    ),
    ToolAligner(
        "GOLD strings",
        "TRL before PR 5885 (0.25.0 to 1.5.1)",
        "groups of equal decoded strings, linked all to all; what is left over is one group",
        gold_string_links,
    ),
)
