"""The rules of alignments/README.md once more, written from that page alone: sets of bytes, and nothing of the package.

A token is the set of the bytes of the sentence that it covers. What `probe.gold.rules` does with arrays is done here
with sets, so an error in one is not in the other.
"""

import re
import unicodedata
from collections.abc import Sequence

Span = tuple[int, int]
ENDINGS = {b"es", b"ed", b"er", b"en", b"al", b"ly"}
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
ALPHABET = {chr(b): b for b in PRINTABLE} | {chr(0x100 + n): b for n, b in enumerate(OTHERS)}


def blank_bytes(text: str) -> set[int]:
    """Bytes of white space (rule 5: every Unicode space)."""
    flags = [char.isspace() for char in text for _ in char.encode()]
    return {place for place, flag in enumerate(flags) if flag}


def fused(raw: bytes, span: Span, spelled: Sequence[bytes]) -> bool:
    """Rule 10: the token does not spell its bytes, so they were normalised."""
    own = raw[slice(*span)]
    return bool(own) and own not in spelled and b" " + own not in spelled


def spellings(piece: str) -> list[bytes]:
    """What a piece may spell: bytes of GPT-2's alphabet, SentencePiece, a byte in hex, or its own text."""
    found = [piece.encode(), piece.replace("▁", " ").encode()]
    if all(char in ALPHABET for char in piece):
        found.append(bytes(ALPHABET[char] for char in piece))
    if match := re.fullmatch("<0x([0-9A-F]{2})>", piece):
        found.append(bytes([int(match[1], 16)]))
    return found


def is_stem_letter(raw: bytes, small: Span, large: Span) -> bool:
    """Rule 3: `small` spells an ending of its word, whose first letter the larger token has as its last one."""
    before = raw[: small[0]].decode(errors="ignore")[-1:]
    after = raw[small[1] :].decode(errors="ignore")[:1]
    ends_word = unicodedata.category(before or " ")[0] == "L" and unicodedata.category(after or " ")[0] != "L"
    return raw[slice(*small)] in ENDINGS and ends_word and small[0] < large[1] == small[0] + 1


def links(text: str, spans: Sequence[Sequence[Span]], pieces: Sequence[Sequence[str]]) -> dict[tuple[int, int], str]:
    """``-`` (sure) or ``p`` (possible) for each link."""
    raw, blank = text.encode(), blank_bytes(text)
    covered = [[set(range(*span)) for span in side] for side in spans]
    changed = [
        [fused(raw, s, spellings(p)) for s, p in zip(*both, strict=True)] for both in zip(spans, pieces, strict=True)
    ]
    found: dict[tuple[int, int], str] = {}
    for i, ours in enumerate(covered[0]):
        for j, theirs in enumerate(covered[1]):
            shared = ours & theirs
            if not shared:
                continue
            contents = ours - blank, theirs - blank
            sizes = [len(one) for one in contents]
            if not any(sizes):  # rule 5
                sure = 2 * len(shared) >= min(len(ours), len(theirs))
            elif not all(sizes):  # rules 4 and 6
                sure = any(raw[place] in b"\n\t" for place in shared)
            else:  # rules 1, 2 and 3
                common = len(shared - blank)
                sure = common > 0 and 2 * common >= min(sizes)
                sides = (spans[0][i], spans[1][j]), (spans[1][j], spans[0][i])
                stem = any(is_stem_letter(raw, *both) and len(raw[slice(*both[1])].strip()) >= 2 for both in sides)
                sure = sure and not stem
            found[i, j] = "-" if sure or changed[0][i] or changed[1][j] else "p"
    return found
