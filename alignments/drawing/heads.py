"""Words in which a token meets several of the other side, as rows that lack only their head."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import regex

from probe.gold.check import odd_links
from probe.gold.pairs import GoldFile
from probe.gold.phenomena import mechanical_tags
from probe.gold.rows import HEADS, GoldRow
from probe.gold.rules import rule_links
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText, text_of

WORDS = Path(__file__).with_name("words.txt")
PAIRS_OF_GOLD = ("smollm2~gemma3", "gpt2~qwen1.5")
PAIRS_OF_NEW = ("smollm2~gemma3", "mistral~gemma3", "qwen1.5~gemma3", "gemma3~qwen1.5")
OF_GOLD, OF_NEW = 78, 72
MOST_NUMBERS = 8
"""Of the words of gold.tsv: a number has no head, so more of them would tell nothing new."""
TAUGHT = frozenset(
    (
        *("unbelievable", "believable", "datenbanken", "rewrites", "rewriting", "choroideremia", "3.14159"),
        *("reykjavík", "okonkwo", "jónsdóttir", "handschuhe", "aufgestanden", "timbres-poste"),
        *("orang-orang", "sayur-mayur", "l'hôtel", "l'autre", "don't", "図書館", "食べられませんでした", "وكتابها"),
    )
)
"""Words of the guidelines, and close ones, which decide their heads."""

WORD = regex.compile(r"\p{N}+(?:[.,:]\p{N}+)*(?![\p{L}\p{N}])|[\p{L}\p{N}\p{M}]+(?:['’-][\p{L}\p{N}\p{M}]+)*")
UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]")
CLASSES = ("1-n", "n-1", "m-n")


@dataclass(frozen=True)
class Word:
    """A word of a sentence as two tokenizers cut it there, and what a reader is told of it."""

    pair: str
    student: TokenizedText
    teacher: TokenizedText
    language: str
    source: str

    @property
    def kind(self) -> str:
        """Which side has several tokens."""
        students, teachers = len(self.student.tokens), len(self.teacher.tokens)
        return "1-n" if students == 1 else "n-1" if teachers == 1 else "m-n"

    @property
    def asks(self) -> bool:
        """Whether a token has several sure links, and each side has something that a reader can judge."""
        links = sorted(rule_links(self.student, self.teacher).sure)
        several = any(len({link[side] for link in links}) < len(links) for side in (0, 1))
        return several and _legible(self.student) and _legible(self.teacher)

    def row(self, id_: str) -> GoldRow:
        """As a row without a head."""
        links = rule_links(self.student, self.teacher)
        tags = (*mechanical_tags(self.student, self.teacher), HEADS)
        row = GoldRow(id_, self.pair, self.student, self.teacher, links.sure, links.possible, tags, self.source)
        there, _ = odd_links(row)
        return replace(row, note=f"{row.note} By rules 3 to 10: {' '.join(there)}.") if there else row


def _legible(side: TokenizedText) -> bool:
    """Whether a reader can see a root: two letters a token, or whole characters of an unspaced script; or digits."""
    if UNSPACED.search(side.text):
        return None not in map(text_of, side.surfaces())
    return side.text[0].isdigit() or 2 * len(side.tokens) <= len(side.text) + 1


def cut_out(row: GoldRow, word: str, start: int, language: str, source: str) -> Word | None:
    """The word of a row that begins at a character; None if a token has a part of it and of what is around it."""
    begin = len(row.text[:start].encode())
    end, raw = begin + len(word.encode()), row.text.encode()
    sides: list[TokenizedText] = []
    for side in (row.student, row.teacher):
        tokens = [token for token in side.tokens if token.end > begin and token.start < end]
        before = raw[tokens[0].start : begin]
        if tokens[-1].end > end or before not in (b"", b" "):
            return None
        sides.append(TokenizedText.from_pieces(word, [token.piece for token in tokens]))
    return Word(row.pair, *sides, language, source)


def words_of_gold(gold: GoldFile) -> Iterator[Word]:
    """Those of scripts with spaces, each once in a pair."""
    seen = set[tuple[str, str]]()
    for row in gold:
        for match in WORD.finditer(row.text) if row.pair in PAIRS_OF_GOLD else ():
            key = row.pair, match[0].lower()
            if key in seen or key[1] in TAUGHT or UNSPACED.search(match[0]):
                continue
            seen.add(key)
            word = cut_out(row, match[0], match.start(), "", f"Word of {row.id}.")
            if word is not None and word.asks:
                yield word


def new_words(tokenizers: Mapping[str, Tokenizer], draw: random.Random) -> dict[str, list[Word]]:
    """Those of the list by language, each in one of the pairs in which it asks something."""
    found: dict[str, list[Word]] = defaultdict(list)
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        language, marked = line.split(": ", 1)
        before, word, after = regex.split(r"[\[\]]", marked)
        text, choices = f"{before}{word}{after}", list[Word]()
        for pair in PAIRS_OF_NEW:
            sides = [tokenizers[name].tokenize(text) for name in pair.split("~")]
            row = GoldRow("", pair, sides[0], sides[1], frozenset(), frozenset(), (), "")
            cut = cut_out(row, word, len(before), language, f"{language}: {text}")
            choices += [cut] if cut is not None and cut.asks else []
        if choices and word.lower() not in TAUGHT:
            found[language].append(draw.choice(choices))
    return dict(found)


def drawn(words: Iterable[Word], count: int, draw: random.Random) -> list[Word]:
    """So many words, as evenly by class as there are such words, and not too many numbers."""
    by_kind: dict[str, list[Word]] = {kind: [] for kind in CLASSES}
    shuffled = list(words)
    draw.shuffle(shuffled)
    numbers = 0
    for word in shuffled:
        is_number = word.student.text[0].isdigit()
        numbers += is_number
        if not is_number or numbers <= MOST_NUMBERS // len(PAIRS_OF_GOLD):
            by_kind[word.kind].append(word)
    chosen: list[Word] = []
    while len(chosen) < count and any(by_kind.values()):
        for kind in CLASSES:
            if by_kind[kind] and len(chosen) < count:
                chosen.append(by_kind[kind].pop())
    return chosen


def head_rows(gold: GoldFile, tokenizers: Mapping[str, Tokenizer], seed: int) -> list[GoldRow]:
    """150 words, in an order that tells nothing."""
    draw = random.Random(seed)
    of_gold: Sequence[Word] = list(words_of_gold(gold))
    chosen: list[Word] = []
    for pair in PAIRS_OF_GOLD:
        chosen += drawn((word for word in of_gold if word.pair == pair), OF_GOLD // len(PAIRS_OF_GOLD), draw)
    new = new_words(tokenizers, draw)
    for language in sorted(new):
        chosen += drawn(new[language], OF_NEW // len(new), draw)
    draw.shuffle(chosen)
    return [word.row(f"h-{number:03}") for number, word in enumerate(chosen, start=1)]
