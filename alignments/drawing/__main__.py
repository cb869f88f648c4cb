"""Draw the judged rows, and write them without what a reader judges.

    python -m alignments.drawing --tokenizers DIR --out blank.tsv --sheets DIR
    python -m alignments.drawing.answers blank.tsv ANSWERS … --out alignments/judged.tsv

``DIR`` has a folder with its ``tokenizer.json`` for each of gpt2, mistral, qwen1.5, tinyllama, smollm2 and gemma3, as
gold.tsv declares them. A sheet is a table for a reader: tokens with their numbers, in readable form.
"""

import argparse
import hashlib
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import regex

from alignments.drawing.heads import head_rows
from alignments.drawing.overlap import SMALL, Small, overlap_rows, small_tokenizers
from alignments.drawing.roles import ADDED, Side, role_rows, with_added
from probe.gold.escapes import escape
from probe.gold.pairs import GoldFile, read_pairs, write_pairs
from probe.gold.rows import HEADS, ROLES, GoldRow
from probe.models.tokenizer import FILE, Tokenizer
from probe.tokens import byte_level_bytes, sentencepiece_bytes

GOLD = Path(__file__).parents[1] / "gold.tsv"
NAMES = ("gpt2", "mistral", "qwen1.5", "tinyllama", "smollm2", "gemma3")
BYTE_LEVEL = ("gpt2", "qwen1.5", "smollm2")
SYMBOLS = {" ": "␣", "\n": "⏎", "\t": "⇥", "▁": "␣"}

Shown = Sequence[str]


def shown(row: GoldRow, side: int) -> Shown:
    """The tokens of a side in readable form."""
    tokens = (row.student, row.teacher)[side]
    if tokens.placed:
        return tokens.display()
    name = row.pair.split("~")[side]
    if name in SMALL:
        return [piece.replace("▁", "␣") for piece in tokens.pieces]
    read = byte_level_bytes if name.split("+")[0] in BYTE_LEVEL else sentencepiece_bytes
    return [_readable(read(piece)) for piece in tokens.pieces]


def _readable(raw: bytes) -> str:
    chars = raw.decode(errors="surrogateescape")
    return "".join(f"⟨{ord(c) - 0xDC00:02X}⟩" if "\udc80" <= c <= "\udcff" else SYMBOLS.get(c, c) for c in chars)


def numbered(tokens: Shown, in_brackets: Sequence[bool]) -> str:
    """One cell: tokens after their numbers."""
    shown = (f"({token})" if hidden else token for token, hidden in zip(tokens, in_brackets, strict=True))
    return "  ".join(f"{number}:{token}" for number, token in enumerate(shown))


def links_of(row: GoldRow) -> str:
    """The sure links of a word, among which a reader chooses."""
    return " ".join(f"{i}-{j}" for i, j in sorted(row.sure))


def about(row: GoldRow, gold: GoldFile) -> str:
    """What a reader is told of a row; of a word of gold.tsv, its sentence."""
    source = regex.match(r"Word of (\S+)\.", row.note)
    return f"{source[1]}: {gold[source[1]].text}" if source else row.note.partition(" By rules")[0]


def sheet(rows: Sequence[GoldRow], gold: GoldFile, sides: Mapping[str, tuple[Side, Side]]) -> str:
    """The table for a reader. Of a dialogue, what belongs to no template stands in brackets."""
    has_links = rows[0].judged == HEADS
    header = ["id", "pair", "about", "text", "student", "teacher", *(["choose from"] if has_links else [])]
    lines = ["\t".join(header)]
    for row in rows:
        of_templates = sides.get(row.id)
        brackets = [
            [False] * len(tokens.tokens)
            if of_templates is None
            else [not one for one in of_templates[side].is_template]
            for side, tokens in enumerate((row.student, row.teacher))
        ]
        cells = [row.id, row.pair, about(row, gold), row.text]
        cells += [numbered(shown(row, side), brackets[side]) for side in (0, 1)]
        lines.append("\t".join([escape(cell, spaces=False) for cell in cells] + ([links_of(row)] if has_links else [])))
    return "\n".join(lines) + "\n"


def added_vocabularies(tokenizers: Mapping[str, Tokenizer]) -> dict[str, str]:
    """The hashes of the vocabularies with special tokens of a later model."""
    found: dict[str, str] = {}
    for name, (base, tokens) in ADDED.items():
        with TemporaryDirectory() as place:
            with_added(tokenizers[base].backend, tokens).save(str(Path(place) / FILE))
            found[name] = Tokenizer.load(Path(place)).vocabulary_sha256()
    return found


def comments(gold: GoldFile, added: Mapping[str, str], small: Mapping[str, Small]) -> list[str]:
    """The tokenizers of these rows, as tokenizers.tsv declares them."""
    lines = [one for one in gold.comments if one.removeprefix("tokenizer ").partition(":")[0] in NAMES]
    for name, (base, tokens) in ADDED.items():
        lines.append(f"tokenizer {name}: vocabulary sha256 {added[name]}, {base} with {' '.join(tokens)} added")
    for name, one in small.items():
        digest = hashlib.sha256("\n".join(one.pieces).encode()).hexdigest()
        lines.append(
            f"tokenizer {name}: vocabulary sha256 {digest}, {SMALL[name]}; trained on the sentences of gold.tsv"
        )
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sheets", type=Path, required=True)
    arguments = parser.parse_args(argv)
    gold = read_pairs(GOLD)
    tokenizers = {name: Tokenizer.load(arguments.tokenizers / name) for name in NAMES}
    small = small_tokenizers(gold.texts)
    roles, sides = role_rows(tokenizers)
    order: Callable[[list[GoldRow]], None] = random.Random(arguments.seed).shuffle
    order(roles)
    kinds = {
        "heads": head_rows(gold, tokenizers, arguments.seed),
        "roles": roles,
        "overlap": [
            replace(row, id=f"o-{number:03}")
            for number, row in enumerate(overlap_rows(tokenizers, small, arguments.seed), start=1)
        ],
    }
    rows = [row for of_kind in kinds.values() for row in of_kind]
    write_pairs(arguments.out, rows, comments(gold, added_vocabularies(tokenizers), small))
    arguments.sheets.mkdir(exist_ok=True, parents=True)
    for name, of_kind in kinds.items():
        text = sheet(of_kind, gold, sides if of_kind[0].judged == ROLES else {})
        (arguments.sheets / f"{name}.tsv").write_text(text, encoding="utf-8")
        print(f"{arguments.sheets / f'{name}.tsv'}: {len(of_kind)} rows")


if __name__ == "__main__":
    sys.exit(main())
