"""Write what follows from the tables: JSON lines for other readers, the manifest, and the top and the sums of the card.

    python -m alignments.release

Run it after a table was changed on purpose. A test refuses files that are not what it writes.
"""

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from probe.gold.declared import TABLE
from probe.gold.judged_agreement import OF_GOLD, groups_of
from probe.gold.manifest import MANIFEST, format_manifest
from probe.gold.pairs import read_pairs
from probe.gold.rows import GoldRow

HERE = Path(__file__).parent
VERSION = "1.1.0"
SPLITS = {"rule": "gold.tsv", "judged": "judged.tsv"}
TABLES = (*SPLITS.values(), "second.tsv", "judged-second.tsv")
SUMS = "## Files\n"
LANGUAGES = "en ar bn de el es fi fr he hi id ja ka ko pl pt ru th tr vi zh"
CARD = f"""license: cc-by-4.0
pretty_name: Gold alignments between the tokens of two tokenizers
language: [{", ".join(LANGUAGES.split())}]
annotations_creators: [machine-generated]
language_creators: [machine-generated]
source_datasets: [original]
task_categories: [other]
tags: [tokenization, word-alignment, cross-tokenizer-distillation]
size_categories: [n<1K]
configs:
- config_name: all
  default: true
  data_files:
  - split: rule
    path: data/*/rule.jsonl
  - split: judged
    path: data/*/judged.jsonl
"""
LINE_ENDS = str.maketrans({char: f"\\u{ord(char):04x}" for char in "\u0085\u2028\u2029"})
"""Some readers of lines end them here too; inside of JSON these characters stand only in strings."""


def json_row(row: GoldRow) -> dict[str, Any]:
    """A row as an object. A head is a sure link too. Class and language are empty where no reader was told them."""
    kinds = [(link, "head" if link in row.heads else "sure") for link in row.sure]
    class_, language = (*(groups_of(row) if row.judged else ()), "", "")[:2]
    kinds += [(link, "possible") for link in row.possible] + [(link, "role") for link in row.roles]
    return {
        "id": row.id,
        "pair": row.pair,
        "text": row.text,
        "student_tokens": row.student.pieces,
        "teacher_tokens": row.teacher.pieces,
        "links": [{"student": i, "teacher": j, "kind": kind} for (i, j), kind in sorted(kinds)],
        "phenomena": row.phenomena,
        "class": class_,
        "language": language if language != OF_GOLD else "",
        "note": row.note,
    }


def json_lines(rows: Sequence[GoldRow]) -> str:
    """One object on each line."""
    return "".join(f"{json.dumps(json_row(row), ensure_ascii=False).translate(LINE_ENDS)}\n" for row in rows)


def data_files(here: Path) -> dict[str, str]:
    """The JSON lines of each pair and split, by their paths below the directory."""
    found: dict[str, str] = {}
    for split, name in SPLITS.items():
        by_pair: dict[str, list[GoldRow]] = defaultdict(list)
        for row in read_pairs(here / name):
            by_pair[row.pair].append(row)
        found |= {f"data/{pair}/{split}.jsonl": json_lines(rows) for pair, rows in by_pair.items()}
    return dict(sorted(found.items()))


def front_matter(paths: Sequence[str]) -> str:
    """What Hugging Face reads at the top of the card: a configuration for each pair, and one of all."""
    splits: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        _, pair, file = path.split("/")
        splits[pair].append(file.removesuffix(".jsonl"))
    lines = [CARD]
    for pair, names in splits.items():
        lines.append(f"- config_name: {pair}\n  data_files:\n")
        lines += [f"  - split: {split}\n    path: data/{pair}/{split}.jsonl\n" for split in SPLITS if split in names]
    return f"---\n{''.join(lines)}---\n"


def sums(here: Path, texts: Mapping[str, str]) -> str:
    """The table of files: rows, and SHA-256."""
    lines = ["| file | rows | SHA-256 |", "|---|---:|---|"]
    files = {name: (here / name).read_text(encoding="utf-8") for name in (*TABLES, TABLE)} | dict(texts)
    for name, text in files.items():
        rows = text.count("\n") - (not name.endswith(".jsonl"))
        lines.append(f"| `{name}` | {rows} | `{hashlib.sha256(text.encode()).hexdigest()}` |")
    return "\n".join(lines) + "\n"


def card(here: Path, texts: Mapping[str, str]) -> str:
    """The README with a new top and new sums; all else stays."""
    old = (here / "README.md").read_text(encoding="utf-8")
    body = old.split("---\n", 2)[2] if old.startswith("---\n") else old
    before, after = body.split(SUMS, 1)
    rest = after[after.index("\n## ") :]
    data = [path for path in texts if path.startswith("data/")]
    said = f"\nVersion {VERSION}. `python -m alignments.release` writes this table.\n\n{sums(here, texts)}"
    return f"{front_matter(data)}{before}{SUMS}{said}{rest}"


def release(here: Path = HERE) -> dict[str, str]:
    """All files that follow from the tables, by their paths below the directory."""
    texts = {MANIFEST: format_manifest(here, (*TABLES, TABLE))} | data_files(here)
    return {**texts, "README.md": card(here, texts)}


def main() -> None:
    """Write them, and remove data of pairs that are gone."""
    files = release()
    for path in HERE.glob("data/*/*.jsonl"):
        if path.relative_to(HERE).as_posix() not in files:
            path.unlink()
    for name, text in files.items():
        (HERE / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_bytes(text.encode())
    print(f"{len(files)} files")


if __name__ == "__main__":
    sys.exit(main())
