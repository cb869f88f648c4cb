"""Groups of tokens whose decoded strings are equal, as the GOLD trainer of TRL made them before PR 5885.

That is `_build_alignment_groups_from_ids` (huggingface/trl, released in 0.25.0 to 1.5.1; byte offsets replaced it in
1.6.0). Each token's string is what decoding gains by it: the text of all tokens so far, without its first characters,
as many as the tokens before it gave. Then the side with the shorter string takes its next token, the student where both
are equally long, until both strings are equal; that closes a group. What is left over at the end is one more group.
Nothing is stripped or normalised.

Part of a character decodes as ``�`` (U+FFFD), which is not taken back when its other bytes come. Where the other side
does not cut the character at the same bytes, the two strings differ from there on, and all tokens up to the end of the
text fall into one group.

Differences from the tool: it calls the tokenizer of each model. Here the pieces are decoded by the decoder that
tokenizers of their alphabet have: that of byte-level BPE, or that of SentencePiece with byte fallback, which drops the
dummy space.
"""

import unicodedata
from collections.abc import Callable, Sequence

from tokenizers.decoders import ByteFallback, ByteLevel, Decoder, Fuse, Replace, Strip
from tokenizers.decoders import Sequence as Chain

from probe.gold.rows import Link
from probe.tokens import NormalForm, TokenizedText, byte_level_bytes, sentencepiece_bytes

Groups = list[tuple[range, range]]


def gold_string_links(student: TokenizedText, teacher: TokenizedText) -> frozenset[Link]:
    """All pairs of tokens of one group.

    Example:
        >>> from probe import TokenizedText
        >>> student = TokenizedText.from_pieces("a né b", ["a", "Ġn", "Ã", "©", "Ġb"])
        >>> teacher = TokenizedText.from_pieces("a né b", ["▁a", "▁n", "é", "▁b"])
        >>> for group in equal_strings(increments(student), increments(teacher)):
        ...     print(group)
        (range(0, 1), range(0, 1))
        (range(1, 2), range(1, 2))
        (range(2, 5), range(2, 4))
    """
    groups = equal_strings(increments(student), increments(teacher))
    return frozenset((i, j) for ours, theirs in groups for i in ours for j in theirs)


def equal_strings(student: Sequence[str], teacher: Sequence[str]) -> Groups:
    """The groups of two lists of strings; the last one may have tokens of one side only."""
    groups: Groups = []
    begin, end = (0, 0), (0, 0)
    ours = theirs = ""
    while end != (len(student), len(teacher)):
        if ours == theirs and ours:
            groups.append((range(begin[0], end[0]), range(begin[1], end[1])))
            begin, ours, theirs = end, "", ""
        i, j = end
        if i < len(student) and (j == len(teacher) or len(ours) <= len(theirs)):
            ours += student[i]
            end = i + 1, j
        else:
            theirs += teacher[j]
            end = i, j + 1
    if begin != end:
        groups.append((range(begin[0], end[0]), range(begin[1], end[1])))
    return groups


def increments(side: TokenizedText) -> list[str]:
    """What decoding gains by each token; it may be nothing."""
    decoder, pieces = decoder_of(side), side.pieces
    found: list[str] = []
    before = 0
    for count in range(1, len(pieces) + 1):
        text = decoder.decode(list(pieces[:count]))
        found.append(text[before:])
        before = len(text)
    return found


def decoder_of(side: TokenizedText) -> Decoder:
    """What turns its pieces into text, found from the alphabet that spells the text."""
    spelled = _spelled(side, sentencepiece_bytes)
    forms: tuple[NormalForm, ...] = ("NFC", "NFKC")
    texts = {side.text.encode(), *(unicodedata.normalize(form, side.text).encode() for form in forms)}
    dummy = spelled not in texts
    # Byte-level comes first, as in probe.tokens. With its added tokens, stored as plain text, neither spells the text.
    if _spelled(side, byte_level_bytes) in texts or (dummy and spelled.removeprefix(b" ") not in texts):
        return ByteLevel()
    steps = [Replace("▁", " "), ByteFallback(), Fuse()]
    return Chain([*steps, Strip(" ", 1, 0)] if dummy else steps)


def _spelled(side: TokenizedText, decode: Callable[[str], bytes]) -> bytes:
    return b"".join(decode(piece) for piece in side.pieces)
