"""How far two annotations of the same rows agree, where readers can differ at all: outside of 1-1 chunks.

A chunk of one token against one leaves nothing to decide, and most chunks are such: figures over all links would be
near one whatever the readers did. So links that are such chunks are left out of F1 and kappa.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe.chunks import one_to_one
from probe.errors import PairsError, Problem
from probe.gold.pairs import GoldFile
from probe.gold.rows import PHENOMENA, GoldRow, Link
from probe.gold.triples import cluster_of, mark_of
from probe.output.documents import markdown_table
from probe.output.tables import new_table
from probe.stats import RESAMPLES, SEED, Estimate, Estimates, by_cluster, estimates, resampling

if TYPE_CHECKING:
    from rich.console import RenderableType


SCHEMA = 2
COUNTS = (
    *("both", "A", "B"),
    *("both sure", "A sure", "B sure"),
    *("sure sure", "sure possible", "possible sure", "possible possible"),
    *("same rows", "rows"),
)
"""Sums of a row: links for the two F1; for kappa, links of both by A's kind and B's; and rows with the same links."""

KINDS = ("sure", "possible")

FIGURES = ("F1", "sure F1", "kappa", "same rows")
READING = (
    "F1 and kappa: of links outside of chunks of one token against one.",
    "F1: links of either kind, and sure ones alone. same: rows with equal links.",
    "kappa: Cohen's, on sure or possible, of links that both have.",
    f"95 % CI: {RESAMPLES} resamples of rows, the rows of a triple together, seed {SEED};",
    "– where a figure is undefined.",
    "A row counts for the phenomena that A names. --list prints what differs.",
)

NAMED = 10
"""Rows of one file alone that are listed by id; of more, their number says that one file is a part of the other."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A link on which the two files differ: ``sure``, ``possible`` or ``none``."""

    id: str
    link: tuple[int, int]
    student: str
    teacher: str
    a: str
    b: str


@dataclass(frozen=True)
class Figures:
    """The four figures of some rows, in the order of `FIGURES`."""

    rows: int
    found: Estimates


@dataclass(frozen=True)
class Agreement:
    """Counts per row of two annotations, from which every figure follows."""

    a: str
    b: str
    ids: tuple[str, ...]
    phenomena: tuple[tuple[str, ...], ...]
    counts: Float[np.ndarray, "rows counts"]
    clusters: tuple[str, ...]
    """What is resampled together: the triple of each row, or its id."""
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    disagreements: tuple[Disagreement, ...]

    @cached_property
    def overall(self) -> Figures:
        """Figures of all rows."""
        return self._figures_of([True] * len(self.ids))

    @cached_property
    def by_phenomenon(self) -> dict[str, Figures]:
        """Figures of the rows with each tag, for tags that a row has."""
        groups = {tag: [tag in tags for tags in self.phenomena] for tag in PHENOMENA}
        return {tag: self._figures_of(mask) for tag, mask in groups.items() if any(mask)}

    def _figures_of(self, mask: Sequence[bool]) -> Figures:
        clusters = [cluster for cluster, mine in zip(self.clusters, mask, strict=True) if mine]
        # Of few rows too: hardly a file is annotated twice as a whole.
        return Figures(len(clusters), estimates(by_cluster(self.counts[list(mask)], clusters), figures, least=2))

    def heading(self) -> list[str]:
        """What was compared, and which rows were not."""
        lines = [f"A {self.a}", f"B {self.b}", f"{len(self.ids)} rows in both, {len(self.disagreements)} links differ"]
        for name, ids in (("A", self.only_a), ("B", self.only_b)):
            named = f": {', '.join(ids)}" if len(ids) <= NAMED else ""
            lines += [f"{len(ids)} only in {name}{named}"] if ids else []
        return lines

    def lines(self) -> list[tuple[str, Figures]]:
        """All rows, and phenomena, in the order of the table."""
        return [("all rows", self.overall), *self.by_phenomenon.items()]

    def table(self) -> "RenderableType":
        """The table that `probe-pairs agree` prints, 80 columns wide."""
        table = new_table("", "rows", "F1\n[95 % CI]", "sure F1\n[95 % CI]", "kappa\n[95 % CI]", "same")
        for n, (name, one) in enumerate(self.lines()):
            *cells, _ = _cells(one)
            same = short(one.found.at(3).value, 2)
            table.add_row(name, f"{one.rows}", *cells, same, style=None if n else "bold")
        return table

    def to_markdown(self) -> str:
        """The table for a document."""
        header = ["", "rows", *(f"{figure} [95 % CI]" for figure in FIGURES)]
        return markdown_table(header, ([name, f"{one.rows}", *_cells(one)] for name, one in self.lines()))

    def to_json(self) -> str:
        """Everything: figures with their 95 % CI, the counts of every row, and every link that differs."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "a": self.a,
            "b": self.b,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "bootstrap": resampling("row, or minimal triple"),
            "all": _document(self.overall),
            "phenomena": {tag: _document(found) for tag, found in self.by_phenomenon.items()},
            "counts": {"columns": COUNTS, "rows": dict(zip(self.ids, self.counts.tolist(), strict=True))},
            "disagreements": [asdict(one) for one in self.disagreements],
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def compare(a: GoldFile, b: GoldFile, names: tuple[str, str]) -> Agreement:
    """Compare the rows that two files have in common, by their ids.

    Raises:
        PairsError: there is no such row, or one has other tokens in the other file; all of those are listed.
    """
    pairs = matched(a, b, names)
    ids = {one.id for one, _ in pairs}
    return Agreement(
        *names,
        tuple(one.id for one, _ in pairs),
        tuple(one.phenomena for one, _ in pairs),
        np.stack([count(one, other) for one, other in pairs]),
        tuple(cluster_of(one.id, mark_of(one.note)) for one, _ in pairs),
        tuple(row.id for row in a if row.id not in ids),
        tuple(row.id for row in b if row.id not in ids),
        tuple(found for pair in pairs for found in disagreements(pair, lambda row: row.links.either, _kind)),
    )


def matched(a: GoldFile, b: GoldFile, names: tuple[str, str]) -> list[tuple[GoldRow, GoldRow]]:
    """The rows that two files have in common, by their ids, in the order of the first one.

    Raises:
        PairsError: there is no such row, or one has other tokens in the other file; all of those are listed.
    """
    others = {row.id: row for row in b}
    pairs = [(row, others[row.id]) for row in a if row.id in others]
    if not pairs:
        raise PairsError(Problem(names[1], f"rows of {names[0]}, by id", "none", "Annotate the same rows twice."))
    remedy = "Annotate the same tokens, or give the row another id."
    problems = [
        Problem(
            f"{names[1]}, row {one.id}", f"the sentence and tokens of {names[0]}", f"others: {other.text!r}", remedy
        )
        for one, other in pairs
        if (one.student, one.teacher) != (other.student, other.teacher)
    ]
    if problems:
        raise PairsError(*problems)
    return pairs


def count(a: GoldRow, b: GoldRow) -> Float[np.ndarray, " counts"]:
    """Sums of one row, in the order of `COUNTS`."""
    alone = one_to_one(a.student, a.teacher)
    either = a.links.either - alone, b.links.either - alone
    sure = a.sure - alone, b.sure - alone
    both = [len(either[0] & either[1]), *map(len, either), len(sure[0] & sure[1]), *map(len, sure)]
    kinds = Counter((a.links.kind(link), b.links.kind(link)) for link in either[0] & either[1])
    by_kind = [kinds[one, other] for one in KINDS for other in KINDS]
    return np.array([*both, *by_kind, a.links == b.links, 1], dtype=np.float64)


def figures(counts: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch figures"]:
    """`FIGURES` from summed counts. NaN where a denominator is zero."""
    both, a, b, both_sure, a_sure, b_sure, ss, sp, ps, pp, same, rows = np.moveaxis(counts, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = ss + sp + ps + pp
        observed = (ss + pp) / total
        by_chance = ((ss + sp) * (ss + ps) + (pp + sp) * (pp + ps)) / total**2
        kappa = (observed - by_chance) / (1 - by_chance)
        return np.stack([2 * both / (a + b), 2 * both_sure / (a_sure + b_sure), kappa, same / rows], axis=-1)


def disagreements(
    pair: tuple[GoldRow, GoldRow],
    links_of: Callable[[GoldRow], frozenset[Link]],
    kind_of: Callable[[GoldRow, Link], str],
) -> Iterator[Disagreement]:
    """Links of one row in two annotations that are of another kind in each, in order."""
    a, b = pair
    students, teachers = a.student.display(), a.teacher.display()
    for link in sorted(links_of(a) | links_of(b)):
        kinds = kind_of(a, link), kind_of(b, link)
        if kinds[0] != kinds[1]:
            yield Disagreement(a.id, link, students[link[0]], teachers[link[1]], *kinds)


def _kind(row: GoldRow, link: Link) -> str:
    return row.links.kind(link)


def _document(one: Figures) -> dict[str, Any]:
    found = zip(FIGURES, one.found.each(), strict=True)
    return {"rows": one.rows} | {name: {"value": f.value, "95 % CI": [f.low, f.high]} for name, f in found}


def _cells(one: Figures) -> list[str]:
    """Each figure with its interval."""
    return [
        with_interval(found, 2 if name == "kappa" else 3) for name, found in zip(FIGURES, one.found.each(), strict=True)
    ]


def with_interval(found: Estimate, digits: int) -> str:
    """A figure and its interval, for a cell of a table."""
    value, low, high = (short(number, digits) for number in found)
    return value if value == "–" else f"{value} [–]" if "–" in (low, high) else f"{value} [{low}, {high}]"


def short(value: float | None, digits: int) -> str:
    """A figure of at most 1, in few characters; 1 and 0 only where they are exact."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value in (0, 1) else f"{value:.{digits}f}".replace("0.", ".", 1)
