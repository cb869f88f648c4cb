"""How far two readings of the judged layer agree: on heads, on roles, and where overlap misleads, each apart.

A row is judged alone, but rows of roles share a few dialogues, each in several pairs of templates. So a dialogue is the
unit that is resampled there, and else a row. Heads are one choice for a word: Cohen's kappa. Roles and overlap are any
number of links: F1.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
from jaxtyping import Float

from probe.errors import PairsError, Problem
from probe.gold.agreement import Disagreement, disagreements, matched, with_interval
from probe.gold.pairs import GoldFile
from probe.gold.rows import HEADS, JUDGED, OVERLAP, ROLES, GoldRow, Link
from probe.output.documents import markdown_table
from probe.output.tables import new_table
from probe.stats import RESAMPLES, SEED, Estimates, by_cluster, estimates, resampling

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA = 1
TITLES: Mapping[str, str] = {HEADS: "heads", ROLES: "roles", OVERLAP: "overlap"}
OF_CHOICES = ("same", "kappa", "kappa in row")
OF_LINKS = ("F1", "sure F1", "same")
READING = (
    "same: rows with equal answers. F1: of role links; in overlap of links of either",
    "kind, and of sure ones alone.",
    "kappa: Cohen's, over the links that readers chose, as written (1h0), and none.",
    "Chance: two readers who choose each as often as these do, whatever the word.",
    "kappa in row: chance is a draw among the sure links of the word and none.",
    f"95 % CI: {RESAMPLES} resamples of rows, and for roles of dialogues, seed {SEED};",
    "– where a figure is undefined, [–] where its interval is.",
    "--list prints what differs.",
)
LANGUAGE, SOURCE = regex.compile(r"(\p{Lu}\p{Ll}+): "), regex.compile(r"Word of ")
OF_GOLD = "words of gold.tsv"


@dataclass(frozen=True)
class Part:
    """One kind of rows, or a class of it: how many there are, and its figures in the order of its columns."""

    name: str
    rows: int
    found: Estimates


@dataclass(frozen=True)
class JudgedAgreement:
    """Two readings of rows, matched by id."""

    a: str
    b: str
    pairs: tuple[tuple[GoldRow, GoldRow], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]

    @cached_property
    def parts(self) -> dict[str, list[Part]]:
        """Of each kind of judgement, all rows and then its classes and languages."""
        found: dict[str, list[Part]] = {}
        for kind in JUDGED:
            if pairs := [pair for pair in self.pairs if pair[0].judged == kind]:
                counts, statistic = _choices(pairs) if kind == HEADS else (_links(pairs), link_figures)
                groups = [groups_of(row) for row, _ in pairs]
                members = {TITLES[kind]: list(range(len(pairs)))}
                members |= {name: [n for n, one in enumerate(groups) if name in one] for name in _in_order(groups)}
                found[kind] = []
                for name, mine in members.items():
                    summed = by_cluster(counts[mine], [cluster_of(pairs[n][0]) for n in mine])
                    found[kind].append(Part(name, len(mine), estimates(summed, statistic, least=2)))
        return found

    @cached_property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """Links that are not the same in both."""
        return tuple(found for pair in self.pairs for found in disagreements(pair, _answered, _kind))

    def heading(self) -> list[str]:
        """What was compared, and which rows were not."""
        differ = sum(answer(one) != answer(other) for one, other in self.pairs)
        lines = [f"A {self.a}", f"B {self.b}", f"{len(self.pairs)} judged rows in both, {differ} differ"]
        return lines + [f"{len(ids)} only in {name}" for name, ids in (("A", self.only_a), ("B", self.only_b)) if ids]

    def table(self) -> "RenderableType":
        """The tables that `probe-pairs agree` prints, 80 columns wide."""
        from rich.console import Group

        return Group(*(_table(kind, parts) for kind, parts in self.parts.items()))

    def to_markdown(self) -> str:
        """The tables for a document."""
        return "\n".join(
            markdown_table(
                ["", "rows", *(f"{name} [95 % CI]" for name in columns(kind))],
                ([part.name, f"{part.rows}", *_cells(part)] for part in parts),
            )
            for kind, parts in self.parts.items()
        )

    def to_json(self) -> str:
        """All figures with their 95 % CI, and every link that differs."""
        document = {
            "schema": SCHEMA,
            "a": self.a,
            "b": self.b,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "bootstrap": resampling("row, or dialogue of roles"),
            **{TITLES[kind]: [_document(kind, part) for part in parts] for kind, parts in self.parts.items()},
            "disagreements": [asdict(one) for one in self.disagreements],
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def compare_judged(a: GoldFile, b: GoldFile, names: tuple[str, str]) -> JudgedAgreement:
    """Compare two readings of the judged layer.

    Raises:
        PairsError: a row is none of the judged layer, there is no row in both, or one has other tokens in the other.
    """
    for gold, name in ((a, names[0]), (b, names[1])):
        if others := [row.id for row in gold if row.judged is None]:
            got = f"others too, such as {others[0]}"
            raise PairsError(Problem(name, "only judged rows", got, "Compare the layers apart: make two files."))
    pairs = matched(a, b, names)
    ids = {one.id for one, _ in pairs}
    only = [tuple(row.id for row in gold if row.id not in ids) for gold in (a, b)]
    return JudgedAgreement(*names, tuple(pairs), only[0], only[1])


def columns(kind: str) -> tuple[str, ...]:
    """The figures of a kind of rows."""
    return OF_CHOICES if kind == HEADS else OF_LINKS


def groups_of(row: GoldRow) -> tuple[str, ...]:
    """The class of a row, and the language of a word, which stand at the beginning of its note."""
    if row.judged != HEADS:
        return (row.note.partition(".")[0].lower(),)
    language = LANGUAGE.match(row.note)
    students, teachers = row.sizes
    kind = "one against several" if students == 1 else "several against one" if teachers == 1 else "several both"
    return kind, language[1] if language else OF_GOLD


def cluster_of(row: GoldRow) -> str:
    """What is resampled together: all rows of a dialogue, or a row."""
    return row.text if row.judged == ROLES else row.id


def answer(row: GoldRow) -> tuple[frozenset[Link], ...]:
    """What a reader answered."""
    if row.judged == OVERLAP:
        return row.sure, row.possible
    return (row.heads if row.judged == HEADS else row.roles,)


def _in_order(groups: Sequence[tuple[str, ...]]) -> list[str]:
    """Names of groups: all first ones sorted, then all second ones."""
    return [name for names in zip(*groups, strict=True) for name in sorted(set(names))]


def _choices(
    pairs: Sequence[tuple[GoldRow, GoldRow]],
) -> tuple[
    Float[np.ndarray, "rows counts"], Callable[[Float[np.ndarray, "*b counts"]], Float[np.ndarray, "*b figures"]]
]:
    """For each word one at both readers' choices, and what a draw among its links and none would hit."""
    labels = [[" ".join(f"{i}h{j}" for i, j in row.heads) or "none" for row in pair] for pair in pairs]
    numbers = {label: number for number, label in enumerate(sorted({label for both in labels for label in both}))}
    size = len(numbers)
    counts = np.zeros((len(pairs), size * size + 1))
    for n, ((row, _), (ours, theirs)) in enumerate(zip(pairs, labels, strict=True)):
        counts[n, numbers[ours] * size + numbers[theirs]] = 1
        counts[n, -1] = 1 / (len(row.sure) + 1)
    return counts, lambda summed: choice_figures(summed, size)


def choice_figures(counts: Float[np.ndarray, "*batch counts"], size: int) -> Float[np.ndarray, "*batch figures"]:
    """`OF_CHOICES` from summed counts of ``size`` categories. NaN where chance explains all."""
    joint = counts[..., :-1].reshape(*counts.shape[:-1], size, size)
    total = joint.sum(axis=(-2, -1))
    same = np.trace(joint, axis1=-2, axis2=-1) / total
    chance = (joint.sum(axis=-1) * joint.sum(axis=-2)).sum(axis=-1) / total**2
    in_row = counts[..., -1] / total
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([same, (same - chance) / (1 - chance), (same - in_row) / (1 - in_row)], axis=-1)


def _links(pairs: Sequence[tuple[GoldRow, GoldRow]]) -> Float[np.ndarray, "rows counts"]:
    """Links of both, of A and of B, the same of sure ones, equal answers, and rows."""
    return np.array([_row_links(*pair) for pair in pairs], dtype=np.float64)


def _row_links(a: GoldRow, b: GoldRow) -> list[int]:
    one, other = (row.links.either if row.judged == OVERLAP else row.roles for row in (a, b))
    sure = [row.sure if row.judged == OVERLAP else frozenset[Link]() for row in (a, b)]
    counts = [len(one & other), len(one), len(other), len(sure[0] & sure[1]), len(sure[0]), len(sure[1])]
    return [*counts, int(answer(a) == answer(b)), 1]


def link_figures(counts: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch figures"]:
    """`OF_LINKS` from summed counts. NaN where neither has a link."""
    both, a, b, both_sure, a_sure, b_sure, same, rows = np.moveaxis(counts, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([2 * both / (a + b), 2 * both_sure / (a_sure + b_sure), same / rows], axis=-1)


def _answered(row: GoldRow) -> frozenset[Link]:
    return frozenset[Link]().union(*answer(row))


def _kind(row: GoldRow, link: Link) -> str:
    if row.judged == OVERLAP:
        return row.links.kind(link)
    return TITLES[row.judged or HEADS].removesuffix("s") if link in answer(row)[0] else "none"


def _table(kind: str, parts: Sequence[Part]) -> "RenderableType":
    table = new_table("", "rows", *(f"{name}\n[95 % CI]" for name in columns(kind)))
    table.columns[0].min_width = 25
    for number, part in enumerate(parts):
        table.add_row(part.name, f"{part.rows}", *_cells(part), style=None if number else "bold")
    return table


def _cells(part: Part) -> list[str]:
    return [with_interval(found, 3) for found in part.found.each()]


def _document(kind: str, part: Part) -> dict[str, Any]:
    found = zip(columns(kind), part.found.each(), strict=True)
    figures = {name: {"value": f.value, "95 % CI": [f.low, f.high]} for name, f in found}
    return {"name": part.name, "rows": part.rows} | figures
