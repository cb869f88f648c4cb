"""What a gold file holds, by pair and by phenomenon, and how far its links are from what the half rule proposes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from probe.chunks import content_mask, one_to_one
from probe.gold.half_rule import half_rule_links
from probe.gold.pairs import GoldFile
from probe.gold.phenomena import REPEATS
from probe.gold.rows import JUDGED, OVERLAP, PHENOMENA, GoldRow, Link
from probe.output.documents import markdown_table
from probe.output.tables import new_table, percent

if TYPE_CHECKING:
    from rich.console import RenderableType


SCHEMA = 1
HEADERS = ("rows", "tokens", "outside\n%", "sure", "poss.", "notes", "changed", "F1\n%", "sure\nF1 %")
READING = (
    "outside: share of the tokens that are not in a chunk of one token against one.",
    "sure, poss.: links of either kind; notes: rows with one.",
    "changed: links of another kind than the half rule proposes, or of none.",
    "F1: the half rule's links against the file's, outside of such chunks; of either",
    "kind, and the sure ones alone.",
)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over rows. Those of links outside of 1-1 chunks are for F1: |rule ∩ file|, |rule| and |file|."""

    rows: int = 0
    student_tokens: int = 0
    teacher_tokens: int = 0
    tokens_outside: int = 0
    sure: int = 0
    possible: int = 0
    sure_on_white_space: int = 0
    possible_on_white_space: int = 0
    tokens_without_link: int = 0
    rows_with_note: int = 0
    rows_with_repeat: int = 0
    changed: int = 0
    outside_both: int = 0
    outside_rule: int = 0
    outside_file: int = 0
    outside_sure_both: int = 0
    outside_sure_rule: int = 0
    outside_sure_file: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def tokens(self) -> int:
        """Of both sides."""
        return self.student_tokens + self.teacher_tokens

    @property
    def share_outside(self) -> float | None:
        """Tokens outside of 1-1 chunks, as a share; None without tokens."""
        return self.tokens_outside / self.tokens if self.tokens else None

    @property
    def f1(self) -> float | None:
        """F1 of the half rule's links against the file's, outside of 1-1 chunks; None where neither has one."""
        return _f1(self.outside_both, self.outside_rule, self.outside_file)

    @property
    def sure_f1(self) -> float | None:
        """The same for sure links alone."""
        return _f1(self.outside_sure_both, self.outside_sure_rule, self.outside_sure_file)


def _f1(both: int, one: int, other: int) -> float | None:
    return 2 * both / (one + other) if one + other else None


@dataclass(frozen=True, slots=True)
class JudgedTally:
    """Rows of one kind of the judged layer, the links that were judged, and the rows where none was found."""

    rows: int
    links: int
    without: int


@dataclass(frozen=True, slots=True)
class PairStats:
    """Tallies of a file."""

    file: str
    pairs: Mapping[str, Tally]
    phenomena: Mapping[str, Tally]
    all: Tally
    judged: Mapping[str, "JudgedTally"]
    """By kind: heads, roles, overlap. No other figure counts these rows."""

    def lines(self) -> list[tuple[str, Tally]]:
        """Pairs, all rows, and phenomena, in the order of the table."""
        return [*self.pairs.items(), ("all rows", self.all), *self.phenomena.items()]

    def to_json(self) -> str:
        """All sums, and the figures that follow from them."""
        document = {
            "schema": SCHEMA,
            "file": self.file,
            "pairs": {name: _document(tally) for name, tally in self.pairs.items()},
            "phenomena": {name: _document(tally) for name, tally in self.phenomena.items()},
            "all": _document(self.all),
            "judged": {kind: asdict(one) for kind, one in self.judged.items()},
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        """The table for a document."""
        return markdown_table(
            ["", *(header.replace("\n", " ") for header in HEADERS)],
            ([name, *_cells(tally)] for name, tally in self.lines()),
        )

    def judged_line(self) -> str:
        """What the judged layer holds, in a line; empty without judged rows."""
        parts = [
            f"{one.rows} rows of {kind.removeprefix('judged-')} ({one.links} links; {one.without} without)"
            for kind, one in self.judged.items()
        ]
        return f"judged: {', '.join(parts)}" if parts else ""

    def table(self) -> "RenderableType":
        """The table that `probe-pairs stats` prints of rows that are not judged, 80 columns wide."""
        table = new_table("", *HEADERS)
        table.columns[0].min_width = 19
        for name, tally in self.lines():
            table.add_row(name, *_cells(tally), style="bold" if tally is self.all else None)
        return table


def pair_stats(gold: GoldFile, file: str) -> PairStats:
    """Count the rows of a file, those of the judged layer apart; ``file`` is its name, for headings."""
    tallies = [(row, tally(row)) for row in gold.rows if row.judged is None]
    pairs = dict.fromkeys(row.pair for row, _ in tallies)
    return PairStats(
        file,
        {pair: _sum(one for row, one in tallies if row.pair == pair) for pair in pairs},
        {tag: _sum(one for row, one in tallies if tag in row.phenomena) for tag in PHENOMENA},
        _sum(one for _, one in tallies),
        {kind: _judged(found) for kind in JUDGED if (found := [row for row in gold.rows if row.judged == kind])},
    )


def _judged(rows: Sequence[GoldRow]) -> JudgedTally:
    links = [len(row.links.either if row.judged == OVERLAP else row.heads | row.roles) for row in rows]
    return JudgedTally(len(rows), sum(links), links.count(0))


def _sum(tallies: Iterable[Tally]) -> Tally:
    return sum(tallies, start=Tally())


def tally(row: GoldRow) -> Tally:
    """What one row adds."""
    alone, content = one_to_one(row.student, row.teacher), content_mask(row.student, row.teacher)
    links, rule = row.links, half_rule_links(row.student, row.teacher)
    sizes = len(row.student.tokens), len(row.teacher.tokens)
    linked = len({i for i, _ in links.either}) + len({j for _, j in links.either})

    def outside(found: frozenset[Link]) -> frozenset[Link]:
        return found - alone

    return Tally(
        rows=1,
        student_tokens=sizes[0],
        teacher_tokens=sizes[1],
        tokens_outside=sum(sizes) - 2 * len(alone),
        sure=len(links.sure),
        possible=len(links.possible),
        sure_on_white_space=sum(not content[link] for link in links.sure),
        possible_on_white_space=sum(not content[link] for link in links.possible),
        tokens_without_link=sum(sizes) - linked,
        rows_with_note=int(bool(row.note)),
        rows_with_repeat=int(any(tag in row.phenomena for tag in REPEATS)),
        changed=sum(links.kind(link) != rule.kind(link) for link in links.either | rule.either),
        outside_both=len(outside(links.either & rule.either)),
        outside_rule=len(outside(rule.either)),
        outside_file=len(outside(links.either)),
        outside_sure_both=len(outside(links.sure & rule.sure)),
        outside_sure_rule=len(outside(rule.sure)),
        outside_sure_file=len(outside(links.sure)),
    )


def _document(tally: Tally) -> dict[str, int | float | None]:
    sums = {field.name: getattr(tally, field.name) for field in fields(tally)}
    return {**sums, "share_outside": tally.share_outside, "f1": tally.f1, "sure_f1": tally.sure_f1}


def _cells(tally: Tally) -> list[str]:
    numbers = tally.rows, tally.tokens, tally.sure, tally.possible, tally.rows_with_note, tally.changed
    rows, tokens, sure, possible, notes, changed = (f"{number:,}" for number in numbers)
    share, f1, sure_f1 = (percent(figure) or "–" for figure in (tally.share_outside, tally.f1, tally.sure_f1))
    return [rows, tokens, share, sure, possible, notes, changed, f1, sure_f1]
