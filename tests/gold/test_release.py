"""The gold data for other readers: made again byte for byte, and every row read by pandas and datasets."""

import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from places import ROOT

from alignments.release import HERE, SPLITS, TABLES, VERSION, json_lines, json_row, release
from probe.gold.escapes import unescape
from probe.gold.pairs import format_pairs, read_pairs, write_pairs
from probe.gold.rows import COLUMNS, GoldRow, format_row, parse_row
from probe.tokens import TokenizedText

SIGNS = {"sure": "-", "possible": "p", "head": "h", "role": "r"}
CARD = (HERE / "README.md").read_text(encoding="utf-8")


def row_of(one: dict[str, Any]) -> GoldRow:
    """The row of an object; spans are found again, or a tag says that there are none."""
    sides: list[TokenizedText] = []
    for name in ("student_tokens", "teacher_tokens"):
        placed = not {"judged-roles", "judged-overlap"} & set(one["phenomena"])
        sides.append((TokenizedText.from_pieces if placed else TokenizedText.unplaced)(one["text"], list(one[name])))
    kinds = {kind: frozenset((i["student"], i["teacher"]) for i in one["links"] if i["kind"] == kind) for kind in SIGNS}
    sure, tags = kinds["sure"] | kinds["head"], tuple(one["phenomena"])
    links = sure, kinds["possible"], tags, one["note"], kinds["head"], kinds["role"]
    return GoldRow(one["id"], one["pair"], sides[0], sides[1], *links)


def test_the_files_are_what_the_tables_make():
    made = release()
    there = {path.relative_to(HERE).as_posix() for path in HERE.glob("data/*/*")}
    assert there == {name for name in made if name.startswith("data/")}
    for name, text in made.items():
        assert (HERE / name).read_bytes() == text.encode(), f"{name}: run python -m alignments.release"


def test_a_changed_row_changes_the_files(tmp_path: Path):
    shutil.copytree(HERE, tmp_path / "a")
    table = tmp_path / "a" / "gold.tsv"
    table.write_text(table.read_text(encoding="utf-8").replace("demo-001\t", "demo-901\t"), encoding="utf-8")
    before = release()
    changed = {name for name, text in release(tmp_path / "a").items() if text != before[name]}
    assert changed == {"manifest.tsv", "README.md", "data/demo~demo-teacher/rule.jsonl"}


@pytest.mark.parametrize("split", SPLITS)
def test_json_lines_hold_every_link(split: str):
    gold = read_pairs(HERE / SPLITS[split])
    lines = [line for path in sorted(HERE.glob(f"data/*/{split}.jsonl")) for line in path.read_bytes().split(b"\n")]
    rows = {row.id: row for row in map(row_of, map(json.loads, filter(None, lines)))}
    assert rows == {row.id: row for row in gold}
    assert "".join(f"{format_row(rows[row.id])}\n" for row in gold) == format_pairs(gold).split("\n", 1)[1]


def test_judged_rows_say_their_class_and_words_their_language():
    rows = {split: [json_row(row) for row in read_pairs(HERE / name)] for split, name in SPLITS.items()}
    assert {(one["class"], one["language"]) for one in rows["rule"]} == {("", "")}
    languages = Counter(one["language"] for one in rows["judged"])
    assert (languages.pop(""), set(languages.values()), len(languages)) == (78 + 75 + 64, {9}, 8)
    assert Counter(one["class"] for one in rows["judged"])["several both"] == 97


def test_characters_that_end_lines_for_some_are_escaped():
    side = TokenizedText.from_pieces("a\u2028b\u0085", ["a\u2028b\u0085"])
    row = GoldRow("x", "a~b", side, side, frozenset({(0, 0)}), frozenset(), (), "\u2029")
    text = json_lines([row])
    assert len(text.splitlines()) == 1
    assert row_of(json.loads(text)) == row


@pytest.mark.parametrize("name", [*TABLES, "tokenizers.tsv", "manifest.tsv"])
def test_pandas_reads_every_row_and_character_of_a_table(name: str):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(HERE / name, sep="\t", quoting=3, keep_default_na=False, dtype=str)
    lines = [line.split("\t") for line in (HERE / name).read_text(encoding="utf-8").split("\n")[:-1]]
    assert [list(frame.columns), *frame.to_numpy().tolist()] == lines


def test_pandas_needs_no_dtype_for_gold(tmp_path: Path):
    """The call of the card, and back to rows: no cell is a number, and the table is written as it was."""
    pandas = pytest.importorskip("pandas")
    for name in TABLES:
        frame = pandas.read_csv(HERE / name, sep="\t", quoting=3, keep_default_na=False)
        assert tuple(frame.columns) == COLUMNS
        rows = [parse_row("\t".join(cells), name) for cells in frame.to_numpy().tolist()]
        shutil.copy(HERE / "tokenizers.tsv", tmp_path)
        write_pairs(tmp_path / name, [row for row in rows if isinstance(row, GoldRow)])
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()
        assert [unescape(text) for text in frame["text"]] == read_pairs(HERE / name).texts


@pytest.mark.parametrize(
    "path", sorted(HERE.glob("data/*/*.jsonl")), ids=lambda path: f"{path.parent.name} {path.stem}"
)
def test_pandas_reads_json_lines(path: Path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_json(path, lines=True)
    gold = read_pairs(HERE / SPLITS[path.stem])
    expected = [row for row in gold if row.pair == path.parent.name]
    assert [row_of(one) for one in frame.to_dict(orient="records")] == expected


def configurations() -> dict[str, dict[str, str]]:
    """By the reader of cards that `datasets` uses: the path of each split."""
    found = DatasetCard.load(HERE / "README.md").data.to_dict()["configs"]
    return {one["config_name"]: {file["split"]: file["path"] for file in one["data_files"]} for one in found}


def test_the_card_has_a_configuration_for_each_pair_and_one_of_all():
    pairs: dict[str, set[str]] = {}
    for split, name in SPLITS.items():
        for row in read_pairs(HERE / name):
            pairs.setdefault(row.pair, set()).add(split)
    found = configurations()
    whole = found.pop("all")
    assert {name: set(splits) for name, splits in found.items()} == pairs
    assert all(not set(name) & set('<>:/\\|?*"') for name in found)  # what datasets allows in a name
    for split, pattern in whole.items():
        of_pairs = {HERE / splits[split] for splits in found.values() if split in splits}
        assert set(HERE.glob(pattern)) == of_pairs
    card = DatasetCard.load(HERE / "README.md").data.to_dict()
    assert [one["config_name"] for one in card["configs"] if one.get("default")] == ["all"]
    assert card["license"] == "cc-by-4.0"


def test_datasets_loads_the_directory(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    for name in (None, "smollm2~gemma3"):
        loaded = datasets.load_dataset(str(HERE), name, cache_dir=str(tmp_path))
        for split, file in SPLITS.items():
            expected = {row.id: row for row in read_pairs(HERE / file) if name in (None, row.pair)}
            assert {row.id: row for row in map(row_of, loaded[split])} == expected


def test_the_card_says_the_version_and_the_sums():
    assert f"Version {VERSION}." in CARD
    assert f"version = {{{VERSION}}}" in CARD
    sums = dict(re.findall(r"^\| `([^`]+)` \| \d+ \| `([0-9a-f]{64})` \|$", CARD, re.MULTILINE))
    assert sums.keys() >= {*TABLES, "tokenizers.tsv", "manifest.tsv"}
    for name, digest in sums.items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
    assert "creativecommons.org/licenses/by/4.0/legalcode" in (ROOT / "alignments" / "LICENSE").read_text()
