"""The gold file that ships: what its README says of it is true of the rows."""

import re
import shutil
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from probe.chunks import WHITE_SPACE, content_mask, shared_chunks
from probe.gold.pairs import GoldFile, declared_vocabularies, read_pairs, write_pairs
from probe.gold.rows import PHENOMENA, GoldRow
from probe.models.sources import bundled_dir
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText

ALIGNMENTS = ROOT / "alignments"
GOLD = ALIGNMENTS / "gold.tsv"
PAIRS = {
    "demo~demo-teacher": "demo-",
    "smollm2~gemma3": "sg-",
    "gpt2~qwen1.5": "gq-",
    "tinyllama~mistral": "tm-",
}
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
    least = {"demo~demo-teacher": 40, "smollm2~gemma3": 150, "gpt2~qwen1.5": 100, "tinyllama~mistral": 30}
    assert [row.pair for row in gold().rows] == [pair for pair in PAIRS for _ in rows(pair)]
    assert all(len(rows(pair)) >= size for pair, size in least.items())
    assert least.keys() == PAIRS.keys()


def test_every_phenomenon_has_rows_enough() -> None:
    assert {tag for row in gold().rows for tag in row.phenomena} == set(PHENOMENA)
    assert min(len(tagged(tag)) for tag in PHENOMENA) >= 25
    assert len({row.id for row in gold().rows if REPEATS & set(row.phenomena)}) >= 80


def test_ids_tell_the_pair() -> None:
    assert all(re.fullmatch(rf"{PAIRS[row.pair]}\d{{3}}", row.id) for row in gold().rows)


def test_writing_what_was_read_changes_no_byte(tmp_path: Path) -> None:
    shutil.copy(ALIGNMENTS / "tokenizers.tsv", tmp_path)
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


@cache
def white_space(text: str) -> frozenset[int]:
    """Bytes of a text that belong to white space."""
    sizes = [(char in WHITE_SPACE, len(char.encode())) for char in text]
    flags = [is_white for is_white, size in sizes for _ in range(size)]
    return frozenset(byte for byte, is_white in enumerate(flags) if is_white)


def content_bytes(side: TokenizedText, index: int) -> set[int]:
    """Bytes of a token that belong to no white space."""
    token = side.tokens[index]
    return set(range(token.start, token.end)) - white_space(side.text)


def white_bytes(side: TokenizedText, index: int) -> set[int]:
    token = side.tokens[index]
    return set(range(token.start, token.end)) - content_bytes(side, index)


def proposal(row: GoldRow) -> dict[tuple[int, int], str]:
    """Sure and possible by the half rule: of content, or of white space where neither piece holds content."""
    sides = [
        [(content_bytes(side, n), white_bytes(side, n)) for n in range(len(side.tokens))] for side in row_sides(row)
    ]
    found: dict[tuple[int, int], str] = {}
    for (i, student), (j, teacher) in product(*map(enumerate, sides)):
        kind = 1 if not student[0] and not teacher[0] else 0
        shared, smaller = len(student[kind] & teacher[kind]), min(len(student[kind]), len(teacher[kind]))
        if shared:
            found[i, j] = "-" if 2 * shared >= smaller else "p"
        elif student[1] & teacher[1]:
            found[i, j] = "p"
    return found


def row_sides(row: GoldRow) -> tuple[TokenizedText, TokenizedText]:
    return row.student, row.teacher


def written(row: GoldRow) -> dict[tuple[int, int], str]:
    return dict.fromkeys(row.possible, "p") | dict.fromkeys(row.sure, "-")


@cache
def corrections(row: GoldRow) -> set[tuple[int, int]]:
    """Links that the annotator changed from the proposal."""
    gold_links, proposed = written(row), proposal(row)
    return {link for link in gold_links | proposed if gold_links.get(link) != proposed.get(link)}


def test_links_follow_the_half_rule_except_where_a_note_says_why() -> None:
    for row in gold().rows:
        assert row.sure.isdisjoint(row.possible), row.id
        for i, j in corrections(row):
            assert re.search(rf"\b{i}{written(row)[i, j]}{j}\b", row.note), (row.id, i, j)


def test_a_line_break_joined_to_content_is_sure_and_a_space_is_not() -> None:
    for row in gold().rows:
        text = row.text.encode()
        for i, j in on_white_space(row, row.sure | row.possible):
            full = [bool(content_bytes(side, n)) for side, n in zip(row_sides(row), (i, j), strict=True)]
            shared = white_bytes(row.student, i) & white_bytes(row.teacher, j)
            if any(full):
                layout = not all(full) and any(text[byte] in b"\n\t" for byte in shared)
                assert ((i, j) in row.sure) == layout, (row.id, i, j)


def test_all_that_touches_a_fused_letter_is_sure() -> None:
    """Qwen1.5 writes a letter and the mark behind it as one character; no overlap with that is too small."""
    for row in rows("gpt2~qwen1.5"):
        text = row.text.encode()
        for fused in re.finditer("[A-Za-z](?:\u0300|\u0301|\u0303|\u0308|\u0323)+".encode(), text):
            span = set(range(*fused.span()))
            touching = [
                [n for n, token in enumerate(side.tokens) if span & set(range(token.start, token.end))]
                for side in row_sides(row)
            ]
            assert set(product(*touching)) <= row.sure, row.id


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
    text = unicodedata.normalize("NFC", text)
    for word in re.findall(r"[^\W\d_]{3,}", text):
        forms[word.lower()].add(word)
    forms.pop("the", None)
    inside = any(left.isalpha() and left.lower() != left.upper() and right.isupper() for left, right in pairwise(text))
    return inside or any(len(casings) > 1 for casings in forms.values())


def has_script(text: str, *names: str) -> bool:
    return any(unicodedata.name(char, "").startswith(names) for char in text)


def is_mark_twice(pair: Iterable[str]) -> bool:
    return all(char in string.punctuation or unicodedata.category(char).startswith("P") for char in pair)


BY_TEXT: dict[str, Callable[[str], bool]] = {
    "number": lambda text: bool(re.search(r"\d", text)),
    "punctuation": lambda text: bool(re.search("[—–…“”„‘’]", text)) or any(map(is_mark_twice, pairwise(text))),
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


def words(text: str) -> Iterator[re.Match[str]]:
    """Runs of letters and the marks on them."""
    marks = {char for char in text if unicodedata.category(char).startswith("M")}
    return re.finditer(rf"[^\W\d_](?:[^\W\d_]|[{''.join(sorted(marks)) or 'a'}])+", text)


def repeats(row: GoldRow) -> set[str]:
    """Words that stand free and occur two to five times, with the student pieces where each begins."""
    places: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    for word in words(row.text):
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
        text = unicodedata.normalize("NFC", row.text)
        assert re.search(r"([^\W\d_]{4}).*\1|([^\x00-\u02ff]{2}).*\2", text, re.IGNORECASE | re.DOTALL), row.id


def test_repeats_in_the_same_context_share_a_bigram() -> None:
    for row in (row for row in gold().rows if "repeat-same-context" in row.phenomena):
        bigrams = Counter(pairwise(row.student.pieces))
        assert max(bigrams.values()) > 1, row.id


# Minimal triples


def triples() -> dict[str, dict[str, GoldRow]]:
    found: dict[str, dict[str, GoldRow]] = defaultdict(dict)
    for row in gold().rows:
        if mark := re.match(r"triple (T\d\d) (same|other|synonym)\.", row.note):
            found[mark[1]][mark[2]] = row
        assert ("triple" in row.note) == bool(mark), row.id
    return found


def test_there_are_triples_enough() -> None:
    pairs = Counter(rows["same"].pair for rows in triples().values())
    assert pairs["smollm2~gemma3"] >= 14
    assert pairs["gpt2~qwen1.5"] >= 10
    assert list(triples()) == [f"T{n:02d}" for n in range(1, len(triples()) + 1)]


def differing(left: tuple[str, ...], right: tuple[str, ...]) -> list[int]:
    assert len(left) == len(right)
    return [n for n, (a, b) in enumerate(zip(left, right, strict=True)) if a != b]


def neighbours(side: TokenizedText, pieces: tuple[str, ...]) -> list[str]:
    """What stands before each occurrence of a run of pieces."""
    size = len(pieces)
    return [side.pieces[n - 1] for n in range(1, len(side.pieces)) if side.pieces[n : n + size] == pieces]


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_triple_repeats_a_word_after_the_same_token_after_another_and_not_at_all(role: str) -> None:
    for name, triple in triples().items():
        assert len({row.pair for row in triple.values()}) == 1, name
        same, other, synonym = (getattr(triple[kind], role) for kind in ("same", "other", "synonym"))
        at = differing(same.pieces, synonym.pieces)
        before = differing(same.pieces, other.pieces)
        assert before[-1] < at[0], name
        # The word: from behind the neighbour to the last piece that the synonym changes.
        first = before[-1] + 1
        word = same.pieces[first : at[-1] + 1]
        assert len(neighbours(same, word)) == len(neighbours(other, word)) == 2, name
        assert len(set(neighbours(same, word))) == 1, name
        assert len(set(neighbours(other, word))) == 2, name
        assert len(neighbours(synonym, word)) == 1, name


# The README


def table(heading: str) -> list[list[str]]:
    """Body cells of the first table under a heading."""
    section = (ALIGNMENTS / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_readme_counts_the_phenomena() -> None:
    printed = {cells[0]: [int(cell) for cell in cells[-5:]] for cells in table("Phenomena")}
    assert tuple(printed) == PHENOMENA
    for tag, line in printed.items():
        assert line == [*(sum(tag in row.phenomena for row in rows(pair)) for pair in PAIRS), len(tagged(tag))], tag


def test_the_examples_in_the_readme_carry_their_tag() -> None:
    for tag, _, example, *_ in table("Phenomena"):
        (id_,) = re.findall(r"\(((?:demo|sg|gq|tm)-\d+)\)", example)
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
        f"{sum(row.note.startswith('triple ') for row in of)}",
        f"{sum(len(corrections(row)) for row in of)}",
    ]


def test_the_readme_counts_the_file() -> None:
    columns = [counts(of) for of in (*map(rows, PAIRS), list(gold().rows))]
    assert [cells[1:] for cells in table("Counts")] == [list(line) for line in zip(*columns, strict=True)]
    readme = (ALIGNMENTS / "README.md").read_text()
    assert f"for {len(gold().rows)} sentences" in readme
    assert f"{len(triples())} minimal triples" in readme
    changed = [link in on_white_space(row, {link}) for row in gold().rows for link in corrections(row)]
    endings = sum("ending" in row.note for row in gold().rows for _ in corrections(row))
    by_rule = f"{endings} by rule 3, {sum(changed)} by rule 6 and {len(changed) - sum(changed) - endings} by rule 10"
    assert f"It changed {len(changed)} links: {by_rule}." in " ".join(readme.split())


def test_a_fifth_of_the_tokens_is_outside_chunks_of_one_against_one() -> None:
    (share,) = re.findall(r"\((.*) %\)", counts(list(gold().rows))[3])
    assert float(share) >= 20


def scripts(text: str) -> set[str]:
    """Scripts of the letters, kana as one."""
    names = {unicodedata.name(char, "").split(" ")[0].split("-")[0] for char in text if char.isalpha()}
    kana = {"HIRAGANA": "Kana", "KATAKANA": "Kana", "CJK": "Han"}
    return {kana.get(name, name.capitalize()) for name in names} - {"Angstrom", "Ohm"}


def test_the_readme_counts_the_scripts() -> None:
    found = Counter(script for row in gold().rows for script in scripts(row.text))
    assert {cells[0]: int(cells[1]) for cells in table("Scripts and languages")} == found


# The grids of the README: teacher pieces on top, student pieces at the left


def grids() -> list[list[list[str]]]:
    blocks = re.findall(r"```\n((?:demo|sg|gq|tm)-\d+ .*?)```", (ALIGNMENTS / "README.md").read_text(), re.DOTALL)
    parts = [part for block in blocks for part in block.strip("\n").split("\n\n")]
    return [[line.split() for line in part.split("\n")] for part in parts]


def windows(side: TokenizedText, pieces: list[str]) -> list[int]:
    return [n for n in range(len(side.tokens)) if list(side.display()[n : n + len(pieces)]) == pieces]


def cells(row: GoldRow, first: tuple[int, int], size: tuple[int, int]) -> list[list[str]]:
    marks = {"-": "S", "p": "p"}
    return [
        [marks.get(written(row).get((i, j), ""), ".") for j in range(first[1], first[1] + size[1])]
        for i in range(first[0], first[0] + size[0])
    ]


def test_the_grids_of_the_readme_are_those_of_the_rows() -> None:
    assert len(grids()) >= 12
    by_id = {row.id: row for row in gold().rows}
    for (id_, *teacher), *lines in grids():
        row, student = by_id[id_], [line[0] for line in lines]
        places = product(windows(row.student, student), windows(row.teacher, teacher))
        drawn = [cells(row, place, (len(student), len(teacher))) for place in places]
        marks = [line[1:] for line in lines]
        assert marks in drawn, id_
        assert any(mark != "." for line in marks for mark in line), id_


def test_the_readme_names_every_column_of_counts() -> None:
    assert [cells[0].split(" (")[0] for cells in table("Counts")] == [
        *("rows", "student tokens", "teacher tokens", "tokens outside 1-1 chunks", "sure links", "possible links"),
        *("tokens without a link", "rows with a note", "rows with a repeat of either kind", "rows in minimal triples"),
        "links changed from the proposal",
    ]
