"""The gold file that ships: what its README says of it is true of the rows."""

import re
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from probe.align import declared_vocabularies
from probe.chunks import WHITE_SPACE, content_mask, shared_chunks
from probe.pair_rows import PHENOMENA, GoldRow
from probe.pairs import GoldFile, read_pairs, write_pairs
from probe.sources import bundled_dir
from probe.tokenizer import Tokenizer
from probe.tokens import TokenizedText

ALIGNMENTS = Path(__file__).parent.parent / "alignments"
GOLD = ALIGNMENTS / "gold.tsv"
PAIRS = {"demo~demo-teacher": "demo-", "smollm2~gemma3": "sg-"}
REPEATS = {"repeat-same-context", "repeat-new-context"}


@cache
def gold() -> GoldFile:
    return read_pairs(GOLD)


def rows(pair: str) -> list[GoldRow]:
    return [row for row in gold().rows if row.pair == pair]


def tagged(tag: str) -> set[str]:
    return {row.id for row in gold().rows if tag in row.phenomena}


def ids(test: Callable[[GoldRow], bool]) -> set[str]:
    return {row.id for row in gold().rows if test(row)}


# The file


def test_size() -> None:
    assert {row.pair for row in gold().rows} == PAIRS.keys()
    assert len(rows("demo~demo-teacher")) >= 40
    assert len(rows("smollm2~gemma3")) >= 60
    assert len({row.id for row in gold().rows if REPEATS & set(row.phenomena)}) >= 30
    assert {tag for row in gold().rows for tag in row.phenomena} == set(PHENOMENA)


def test_ids_tell_the_pair() -> None:
    assert all(re.fullmatch(rf"{PAIRS[row.pair]}\d{{3}}", row.id) for row in gold().rows)


def test_writing_what_was_read_changes_no_byte(tmp_path: Path) -> None:
    write_pairs(tmp_path / "gold.tsv", gold().rows, gold().comments)
    assert (tmp_path / "gold.tsv").read_bytes() == GOLD.read_bytes()


def test_every_tokenizer_is_declared() -> None:
    declared = declared_vocabularies(gold())
    assert declared.keys() == {name for pair in PAIRS for name in pair.split("~")}
    assert len(set(declared.values())) == len(declared)


@pytest.mark.parametrize(("name", "role"), [("demo", "student"), ("demo-teacher", "teacher")])
def test_the_demo_produces_its_rows(name: str, role: str) -> None:
    tokenizer = Tokenizer.load(bundled_dir() / "demo" / role)
    assert tokenizer.vocabulary_sha256() == declared_vocabularies(gold())[name]
    wanted = rows("demo~demo-teacher")
    cut = tokenizer.pieces([row.text for row in wanted])
    assert [(row.id, getattr(row, role).pieces) for row in wanted] == [
        (row.id, pieces) for row, pieces in zip(wanted, cut, strict=True)
    ]


def test_every_text_is_there_once_in_a_pair() -> None:
    for pair in PAIRS:
        assert len({row.text for row in rows(pair)}) == len(rows(pair))


# Links


def on_white_space(row: GoldRow, links: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    content = content_mask(row.student, row.teacher)
    return {link for link in links if not content[link]}


def content_bytes(side: TokenizedText, index: int) -> set[int]:
    """Bytes of a token that belong to no white space."""
    token, found = side.tokens[index], set[int]()
    for n, char in enumerate(side.text):
        at = len(side.text[:n].encode())
        if char not in WHITE_SPACE:
            found |= set(range(at, at + len(char.encode()))) & set(range(token.start, token.end))
    return found


def test_links_follow_the_half_rule() -> None:
    """Content that is half of either piece makes a link sure, less makes it possible; an ending may break a tie."""
    for row in gold().rows:
        under = [[content_bytes(side, n) for n in range(len(side.tokens))] for side in (row.student, row.teacher)]
        ties: set[tuple[int, int]] = set()
        for (i, student), (j, teacher) in product(*map(enumerate, under)):
            shared, smaller = len(student & teacher), min(len(student), len(teacher))
            if 0 < 2 * shared == smaller and (i, j) in row.possible:
                ties.add((i, j))
            elif shared:
                assert (i, j) in (row.sure if 2 * shared >= smaller else row.possible), (row.id, i, j)
        assert all(f"{i}p{j}" in row.note for i, j in ties), row.id
        assert row.sure.isdisjoint(row.possible), row.id


def test_only_dummy_prefixes_have_no_link() -> None:
    for row in gold().rows:
        for axis, side in enumerate((row.student, row.teacher)):
            linked = {link[axis] for link in row.sure | row.possible}
            empty = {n for n, token in enumerate(side.tokens) if token.start == token.end}
            assert set(range(len(side.tokens))) - linked == empty, row.id
            assert {side.pieces[n] for n in empty} <= {"▁"}


# Tags


def shapes(row: GoldRow) -> set[str]:
    """Split, merge and many-to-many, by chunks of pieces that are not empty."""
    found: set[str] = set()
    for chunk in shared_chunks(row.student, row.teacher):
        full, wordy = [], []
        for side, indices in ((row.student, chunk.student), (row.teacher, chunk.teacher)):
            full.append(sum(side.tokens[n].start < side.tokens[n].end for n in indices))
            wordy.append(sum(bool(content_bytes(side, n)) for n in indices))
        if full[1] == 1 and wordy[0] > 1:
            found.add("split")
        if full[0] == 1 and wordy[1] > 1:
            found.add("merge")
        if min(full) > 1:
            found.add("many-to-many")
    return found


@pytest.mark.parametrize("tag", ["split", "merge", "many-to-many"])
def test_tags_about_chunks_are_complete(tag: str) -> None:
    assert tagged(tag) == ids(lambda row: tag in shapes(row))


def has_part_of_a_character(row: GoldRow) -> bool:
    for side in (row.student, row.teacher):
        for n, token in enumerate(side.tokens):
            whole = side.surface(n).decode(errors="replace").encode() == side.surface(n)
            if not whole or re.fullmatch("<0x[0-9A-F]{2}>", token.piece):
                return True
    return False


def has_accent(text: str) -> bool:
    return any(
        unicodedata.combining(mark) and unicodedata.name(base, "").startswith(("LATIN", "GREEK"))
        for base, mark in pairwise(unicodedata.normalize("NFD", text))
    )


def has_casing(text: str) -> bool:
    """Two capitals in a row, a capital inside a word, or a word in two casings."""
    forms: dict[str, set[str]] = defaultdict(set)
    for word in re.findall(r"[^\W\d_]{3,}", unicodedata.normalize("NFC", text)):
        forms[word.lower()].add(word)
    forms.pop("the", None)
    return bool(re.search("[A-Z]{2}|[a-z][A-Z]", text)) or any(len(casings) > 1 for casings in forms.values())


def has_script(text: str, *names: str) -> bool:
    return any(unicodedata.name(char, "").startswith(names) for char in text)


BY_TEXT: dict[str, Callable[[str], bool]] = {
    "number": lambda text: bool(re.search(r"\d", text)),
    "punctuation": lambda text: bool(re.search(f"[{re.escape(string.punctuation)}]{{2}}|[—–…“”‘’]", text)),
    "whitespace": lambda text: bool(re.search(r"  |[^\S ]", text)),
    "accent": has_accent,
    "cjk": lambda text: has_script(text, "CJK UNIFIED", "HIRAGANA", "KATAKANA", "HANGUL"),
    "emoji": lambda text: bool(re.search("[\U0001f000-\U0001faff\u2600-\u27bf]", text)),
    "contraction": lambda text: bool(re.search(r"[^\W\d_]['’][^\W\d_]", text)),
    "casing": has_casing,
}


@pytest.mark.parametrize(
    "tag",
    [
        *(tag for tag in BY_TEXT if tag != "casing"),
        "casing",
    ],
)
def test_tags_about_text_are_complete(tag: str) -> None:
    assert tagged(tag) == ids(lambda row: BY_TEXT[tag](row.text))


def test_tag_byte_fallback_is_complete() -> None:
    assert tagged("byte-fallback") == ids(has_part_of_a_character)


def repeats(row: GoldRow) -> set[str]:
    """Words that stand free and occur two to five times, with the student pieces where each begins."""
    places: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    for word in re.finditer(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f\u0900-\u0963])+", row.text):
        letters = unicodedata.normalize("NFC", word[0]).lower()
        byte = len(row.text[: word.start()].encode())
        first = next(n for n, token in enumerate(row.student.tokens) if token.start <= byte < token.end)
        if len(letters) >= 3:
            places[letters].append((row.student.pieces[first - 1] if first else None, row.student.pieces[first]))
    found: set[str] = set()
    for pieces in (pieces for pieces in places.values() if 2 <= len(pieces) <= 5):
        if len(set(pieces)) < len(pieces):
            found.add("repeat-same-context")
        if len({neighbour for neighbour, _ in pieces}) > 1:
            found.add("repeat-new-context")
    return found


@pytest.mark.parametrize("tag", sorted(REPEATS))
def test_repeats_of_free_words_are_complete(tag: str) -> None:
    by_hand = tagged(tag) - ids(lambda row: tag in repeats(row))
    assert ids(lambda row: tag in repeats(row)) <= tagged(tag)
    # The rest were listed by hand: words within longer words, and scripts that do not space words.
    for row in (row for row in gold().rows if row.id in by_hand):
        assert re.search(r"([^\W\d_]{6}).*\1|([^\x00-\u02ff]{2}).*\2", row.text, re.IGNORECASE), row.id


def test_repeats_in_the_same_context_share_a_bigram() -> None:
    for row in (row for row in gold().rows if "repeat-same-context" in row.phenomena):
        bigrams = Counter(pairwise(row.student.pieces))
        assert max(bigrams.values()) > 1, row.id


# The README


def table(heading: str) -> list[list[str]]:
    """Body cells of the first table under a heading."""
    section = (ALIGNMENTS / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_readme_counts_the_phenomena() -> None:
    written = {cells[0]: [int(cell) for cell in cells[-2:]] for cells in table("Phenomena")}
    assert tuple(written) == PHENOMENA
    assert written == {tag: [sum(tag in row.phenomena for row in rows(pair)) for pair in PAIRS] for tag in PHENOMENA}


def test_the_examples_in_the_readme_carry_their_tag() -> None:
    for tag, _, example, *_ in table("Phenomena"):
        (id_,) = re.findall(r"\(((?:demo|sg)-\d+)\)", example)
        assert id_ in tagged(tag)


def counts(of: list[GoldRow]) -> list[str]:
    students = sum(len(row.student.tokens) for row in of)
    teachers = sum(len(row.teacher.tokens) for row in of)
    outside = 0
    for row in of:
        for chunk in shared_chunks(row.student, row.teacher):
            size = len(chunk.student) + len(chunk.teacher)
            outside += size if size > 2 else 0
    sure, possible = (sum(len(getattr(row, kind)) for row in of) for kind in ("sure", "possible"))
    white = [sum(len(on_white_space(row, getattr(row, kind))) for row in of) for kind in ("sure", "possible")]
    unlinked = students + teachers
    for row in of:
        unlinked -= sum(len(set(axis)) for axis in np.array([*row.sure, *row.possible]).T.tolist())
    return [
        f"{len(of)}",
        f"{students:,}",
        f"{teachers:,}",
        f"{outside:,} ({outside / (students + teachers):.1%})".replace("%", " %"),
        f"{sure:,} ({white[0]})",
        f"{possible} ({white[1]})",
        f"{unlinked}",
        f"{sum(bool(row.note) for row in of)}",
        f"{sum(bool(REPEATS & set(row.phenomena)) for row in of)}",
    ]


def test_the_readme_counts_the_file() -> None:
    columns = [counts(of) for of in (*map(rows, PAIRS), list(gold().rows))]
    assert [cells[1:] for cells in table("Counts")] == [list(line) for line in zip(*columns, strict=True)]
    assert f"for {len(gold().rows)} short texts" in (ALIGNMENTS / "README.md").read_text()


def test_the_readme_names_every_column_of_counts() -> None:
    assert [cells[0].split(" (")[0] for cells in table("Counts")] == [
        *("rows", "student tokens", "teacher tokens", "tokens outside 1-1 chunks", "sure links", "possible links"),
        *("tokens without a link", "rows with a note", "rows with a repeat of either kind"),
    ]
