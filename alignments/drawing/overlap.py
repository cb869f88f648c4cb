"""Texts of which a tokenizer changes, drops or does not know a part, or which are cut short: rows without links.

No tokenizer of this kind comes with the project's pairs, so three small ones are trained on the sentences of gold.tsv:
they change texts as BERT, XLM-R and ALBERT do, and have few pieces.
"""

import io
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sentencepiece
import tokenizers as backends
from tokenizers import models, normalizers, pre_tokenizers, trainers

from probe.gold.rows import OVERLAP, GoldRow
from probe.models.tokenizer import Tokenizer
from probe.tokens import TokenizedText

UNKNOWN = "<unk>"
PIECES = 1600
RARE = 4
"""A character that occurs less often in gold.tsv is unknown to WordPiece."""
WORDPIECE, UNIGRAM, FOLDED = "wordpiece-lower", "unigram-nfkc", "unigram-nfkc-casefold"
SMALL = {
    WORDPIECE: "WordPiece of about 1,600 pieces, lower case without accents, unknown words [UNK]",
    UNIGRAM: "SentencePiece Unigram of 1,600 pieces, NFKC, unknown characters <unk>",
    FOLDED: "SentencePiece Unigram of 1,600 pieces, NFKC and case folding, unknown characters <unk>",
}
"""Trained for these rows on the sentences of gold.tsv, by name."""

TEXTS: Mapping[str, Sequence[str]] = {
    "case": (
        *("NASA and Nasa are one word.", "The iPhone, not the IPHONE.", "STRASSE or Straße?", "He said WAIT, wait."),
        *("McDonald met MACDONALD.", "Open README.md first.", "ΣΟΦΟΣ, σοφός", "İstanbul is not istanbul."),
        *("I use VS Code and vim.", "The pH of H2O is 7.", "Ein Fluss, kein FLUSS."),
    ),
    "accents": (
        *("Café crème, s'il vous plaît.", "naïve façade", "El niño mañana", "Ångström units", "Dvořák in Brno"),
        *("résumé or resume", "cafe\u0301 noir", "Việt Nam", "smörgåsbord", "Łódź and Kraków", "über Höhlen"),
    ),
    "compatibility": (
        *("½ cup of ﬁne salt", "x² + y² = r²", "Ⅳ is 4", "№ 5 of ①", "ＡＢＣ and abc", "10 ㎏ of ｶﾞﾑ", "5 µm ≈ 5 μm"),
        *("wait… what?", "TM™ is a mark", "ﬃ is one letter", "1⁄2 or ½", "the K sign"),
    ),
    "unknown": (
        *("the 🎂 cake", "price: 5 ₿ now", "I ♥ tea", "𝔘𝔫𝔦 code", "the word ꙮ here", "ask ჭკუა now", "a ☃ and a ☃"),
        *("≠ is not =", "take ℞ daily", "say ᚠᚢᚦ aloud"),
    ),
    "cut short": (
        *("The ferry left before noon.", "Return the path of the file.", "Unbelievable stories sell."),
        *("She reads encyclopedias nightly.", "Prices rose by 3.75 percent.", "Die Straßenbahn fährt heute."),
        *(
            "Rewriting waterlogged manuscripts",
            "one, two, one, two",
            "A Café near the river",
            "international agreements",
        ),
    ),
    "bytes": (
        *(
            "🙂 ok",
            "ქართული ena",
            "a ⟨b⟩ c",
            "𝛼 = 1",
            "汉字 hanzi",
            "ไทย",
            "naïve 🎂",
            "ꙮ",
            "한글 hangul",
            "👩🏽‍🔬 here",
        ),
    ),
}
"""Sentences written for this file, by what happens to them."""

PAIRS: Mapping[str, Sequence[str]] = {
    "case": (f"gpt2~{WORDPIECE}", f"{WORDPIECE}~gemma3", f"qwen1.5~{FOLDED}"),
    "accents": (f"smollm2~{WORDPIECE}", f"{WORDPIECE}~mistral", f"{WORDPIECE}~{UNIGRAM}"),
    "compatibility": (f"gpt2~{UNIGRAM}", f"{UNIGRAM}~gemma3", f"qwen1.5~{FOLDED}"),
    "unknown": (f"gpt2~{WORDPIECE}", f"{UNIGRAM}~gemma3", f"{WORDPIECE}~{UNIGRAM}"),
    "cut short": ("smollm2~gemma3", "gpt2~qwen1.5", f"{WORDPIECE}~mistral"),
    "bytes": ("tinyllama~gemma3", "gpt2~gemma3", "mistral~qwen1.5"),
}

Cut = Callable[[str], list[str]]
"""From a text to pieces."""


@dataclass(frozen=True)
class Small:
    """A small tokenizer: how it cuts, and the pieces of its vocabulary."""

    cut: Cut
    pieces: tuple[str, ...]


def wordpiece(sentences: Sequence[str]) -> Small:
    """As BERT's uncased ones, with few pieces. Rare characters are in none of them.

    The library's trainer of WordPiece gives other pieces in each run. That of BPE does not, so its pieces are taken,
    each as the beginning and as another part of a word.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    plain = [normalizer.normalize_str(sentence) for sentence in sentences]
    counts = Counter("".join(plain))
    common = ["".join(char if counts[char] >= RARE else " " for char in sentence) for sentence in plain]
    trained = backends.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(common, trainers.BpeTrainer(vocab_size=PIECES // 2, show_progress=False))
    parts = sorted(trained.get_vocab())
    pieces = ("[UNK]", *parts, *(f"##{part}" for part in parts))
    made = backends.Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizer
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return Small(lambda text: made.encode(text).tokens, pieces)


def unigram(sentences: Sequence[str], rule: str) -> Small:
    """As T5's and XLM-R's, with few pieces; one thread, which makes training repeatable."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=PIECES,
        character_coverage=0.985,
        normalization_rule_name=rule,
        num_threads=1,
        minloglevel=2,
    )
    made = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    def cut(text: str) -> list[str]:
        ids = made.encode(text)
        return [UNKNOWN if id_ == made.unk_id() else made.id_to_piece(id_) for id_ in ids]

    return Small(cut, tuple(made.id_to_piece(id_) for id_ in range(made.get_piece_size())))


def small_tokenizers(sentences: Sequence[str]) -> dict[str, Small]:
    """All three, by name."""
    return {
        WORDPIECE: wordpiece(sentences),
        UNIGRAM: unigram(sentences, "nmt_nfkc"),
        FOLDED: unigram(sentences, "nmt_nfkc_cf"),
    }


def overlap_rows(tokenizers: Mapping[str, Tokenizer], small: Mapping[str, Small], seed: int) -> list[GoldRow]:
    """One row of each text; where texts are cut short, one side or the other ends in the middle."""
    draw = random.Random(seed)
    cuts: dict[str, Cut] = {name: one.cut for name, one in small.items()}
    cuts |= {name: lambda text, one=one: list(one.pieces([text])[0]) for name, one in tokenizers.items()}
    rows: list[GoldRow] = []
    for kind, texts in TEXTS.items():
        for number, text in enumerate(texts):
            pair = PAIRS[kind][number % len(PAIRS[kind])]
            sides = [cuts[name](text) for name in pair.split("~")]
            if kind == "cut short":
                side = draw.randrange(2)
                sides[side] = sides[side][: draw.randint(len(sides[side]) // 2, len(sides[side]) - 1)]
            student, teacher = (TokenizedText.unplaced(text, pieces) for pieces in sides)
            rows.append(
                GoldRow("", pair, student, teacher, frozenset(), frozenset(), (OVERLAP,), f"{kind.capitalize()}.")
            )
    draw.shuffle(rows)
    return rows
