"""Hold "byte chunks" and "GOLD strings" against the code of TRL that they describe, on every gold row.

    python benchmarks/aligners_of_tools.py [--new 1.16.0] [--old 1.5.1] [--tokenizers DIR]

pip fetches both wheels into a folder that is thrown away. Nothing is installed: the few functions that align tokens
need neither torch nor a model, so they are taken out of the source and run alone. Three comparisons:

- *walk*: the walk of TRL over byte offsets, given the spans of the gold file;
- *offsets*: the same, given what TRL makes of the offsets of a tokenizer. It needs `DIR/NAME/tokenizer.json`, and TRL
  refuses tokenizers that are not byte-level. A dash stands where nothing was compared;
- *strings*: what TRL did before. Its tokenizer decodes; where there is no file, the decoder of its alphabet does.

With both defaults, and the tokenizers of gpt2, qwen1.5, tinyllama and mistral, rows with the same links are:

    demo~demo-teacher    walk 43 of 43    offsets -           strings 43 of 43
    smollm2~gemma3       walk 173 of 173  offsets -           strings 173 of 173
    gpt2~qwen1.5         walk 135 of 136  offsets 131 of 136  strings 136 of 136
    tinyllama~mistral    walk 42 of 42    offsets -           strings 42 of 42

The others are rows that Qwen1.5 writes in another normal form: gq-038, and for offsets gq-037 to gq-041. There TRL lets
a token of a changed letter end before the letter does; here all tokens of the letter stay together.
"""

import argparse
import ast
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer

from probe.aligners.byte_chunks import byte_chunk_links
from probe.aligners.gold_strings import decoder_of, gold_string_links
from probe.gold.pairs import read_pairs
from probe.gold.rows import GoldRow, Link
from probe.tokens import TokenizedText

GOLD = Path(__file__).parents[1] / "alignments" / "gold.tsv"
TRAINER, UTILS = "trl/experimental/gold/gold_trainer.py", "trl/experimental/utils.py"
OFFSET_NAMES = (
    *("piece_byte_len", "_bytes_to_unicode", "_BYTE_LEVEL_DECODER", "_byte_level_piece_len"),
    *("_split_repeated_byte_offsets", "_normalize_byte_offsets", "is_byte_level_tokenizer"),
)

Groups = tuple[list[list[int]], list[list[int]]]
Tokenizers = dict[str, Tokenizer]
Compared = Callable[[GoldRow], Groups | None]


def wheel(version: str, folder: Path) -> zipfile.ZipFile:
    """The wheel of a version of TRL."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"trl=={version}", "--dest", str(folder)]
    subprocess.run(pip, check=True)
    return zipfile.ZipFile(next(folder.glob(f"trl-{version}-*.whl")))


def taken(source: str, names: Sequence[str]) -> dict[str, Any]:
    """Functions and constants of a module, run without the rest of it."""
    found: dict[str, ast.stmt] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            node.decorator_list = []
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names:
            found[node.targets[0].id] = node
    space: dict[str, Any] = {}
    exec(compile(ast.Module([found[name] for name in names], []), "trl", "exec"), space)
    return space


def spans(side: TokenizedText) -> list[tuple[int, int]]:
    return [(token.start, token.end) for token in side.tokens]


class StandIn:
    """What TRL asks of a tokenizer: it decodes; ids are the numbers of the tokens of a side."""

    def __init__(self, side: TokenizedText, tokenizer: Tokenizer | None) -> None:
        self.pieces, self.tokenizer, self.decoder = side.pieces, tokenizer, decoder_of(side)

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        """The text of some tokens."""
        pieces = [self.pieces[i] for i in ids]
        if self.tokenizer is None:
            return self.decoder.decode(pieces)
        return self.tokenizer.decode([self.tokenizer.token_to_id(p) for p in pieces], skip_special_tokens=False)


def char_offsets(side: TokenizedText, tokenizer: Tokenizer) -> tuple[list[tuple[int, int]], list[str], bytes]:
    """What TRL normalises: a tokenizer's offsets in bytes, its pieces, and the text."""
    encoded = tokenizer.encode(side.text, add_special_tokens=False)
    assert tuple(encoded.tokens) == side.pieces, f"another tokenizer: {encoded.tokens}"
    place = [0]
    for char in side.text:
        place.append(place[-1] + len(char.encode()))
    return [(place[start], place[end]) for start, end in encoded.offsets], encoded.tokens, side.text.encode()


def sides_of(row: GoldRow, tokenizers: Tokenizers) -> list[tuple[TokenizedText, Tokenizer | None]]:
    student, teacher = row.pair.split("~")
    return [(row.student, tokenizers.get(student)), (row.teacher, tokenizers.get(teacher))]


def comparisons(new: zipfile.ZipFile, old: zipfile.ZipFile, tokenizers: Tokenizers) -> dict[str, Compared]:
    """The groups that TRL makes of a row, by what is compared; None where it makes none."""
    walk = taken(new.read(TRAINER).decode(), ["_align_by_byte_offsets"])["_align_by_byte_offsets"]
    utils = taken(new.read(UTILS).decode(), OFFSET_NAMES)
    name = "_build_alignment_groups_from_ids"
    by_strings = taken(old.read(TRAINER).decode(), [name])[name]

    def offsets(row: GoldRow) -> Groups | None:
        found: list[Any] = []
        for side, tokenizer in sides_of(row, tokenizers):
            if tokenizer is None or not utils["is_byte_level_tokenizer"](tokenizer):
                return None
            found.append(utils["_normalize_byte_offsets"](*char_offsets(side, tokenizer)))
        return walk(*found)

    def strings(row: GoldRow) -> Groups:
        student, teacher = (StandIn(*side) for side in sides_of(row, tokenizers))
        trainer = SimpleNamespace(student_tokenizer=student, teacher_tokenizer=teacher)
        return by_strings(trainer, list(range(len(student.pieces))), list(range(len(teacher.pieces))))

    return {"walk": lambda row: walk(spans(row.student), spans(row.teacher)), "offsets": offsets, "strings": strings}


def links_of(groups: Groups) -> frozenset[Link]:
    return frozenset((i, j) for ours, theirs in zip(*groups, strict=True) for i in ours for j in theirs)


def why(row: GoldRow, groups: Groups, ours: frozenset[Link]) -> str:
    """The first difference of a row, in words."""
    theirs = links_of(groups)
    i, j = min(ours ^ theirs)
    who = "TRL alone" if (i, j) in theirs else "ours alone"
    return f"{row.id}: {who} links {row.student.display()[i]} {i} and {row.teacher.display()[j]} {j}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", default="1.16.0", help="a version with byte offsets")
    parser.add_argument("--old", default="1.5.1", help="a version with strings")
    parser.add_argument("--tokenizers", type=Path, default=Path("none"), help="a folder with NAME/tokenizer.json")
    args = parser.parse_args()
    gold = read_pairs(GOLD)
    tokenizers = {path.parent.name: Tokenizer.from_file(str(path)) for path in args.tokenizers.glob("*/tokenizer.json")}
    with tempfile.TemporaryDirectory() as folder:
        found = comparisons(wheel(args.new, Path(folder)), wheel(args.old, Path(folder)), tokenizers)
    counts: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for name, groups_of in found.items():
        rule = gold_string_links if name == "strings" else byte_chunk_links
        for row in gold.rows:
            groups = groups_of(row)
            if groups is None:
                continue
            ours = rule(row.student, row.teacher)
            equal = links_of(groups) == ours
            counts[row.pair, name][equal] += 1
            if not equal:
                print(f"{name}, {why(row, groups, ours)}")
    print(f"\nTRL {args.new} and {args.old}: rows with the same links")
    for pair in dict.fromkeys(row.pair for row in gold.rows):
        cells = [counts.get((pair, name), Counter()) for name in found]
        shown = [f"{name} {f'{c[True]} of {c.total()}' if c else '-':11}" for name, c in zip(found, cells, strict=True)]
        print(f"{pair:20}", *shown)


if __name__ == "__main__":
    main()
