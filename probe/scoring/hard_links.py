"""What the links of an aligner are worth, as counts that add up over texts."""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from probe.gold.rows import GoldRow, Link
from probe.scoring.scores import link_metrics

COUNTS = ("predicted", "predicted possible", "predicted sure", "sure", "tokens", "linked tokens", "many-to-many")
"""Of one text: |A|, |A∩P|, |A∩S| and |S| (Och & Ney 2003); tokens of both sides, those with a link, and the links of
groups with two tokens or more on each side."""
FIGURES = ("wrong per 100 tokens", "coverage", "F1", "AER", "precision", "recall", "many-to-many")
"""Wrong links per 100 tokens of both sides; coverage is the share of these tokens that have a link, for an aligner that
declines is not wrong; many-to-many is the share of links in groups of several tokens on each side."""
F1 = FIGURES.index("F1")


@dataclass(frozen=True)
class LinkCounts:
    """What is counted of the links of one text."""

    counts: Float[np.ndarray, " counts"]
    """By `COUNTS`."""
    largest: int
    """Tokens of both sides in the largest group: links that share a token are one group."""


def count_links(links: Set[Link], row: GoldRow) -> LinkCounts:
    """The counts of some links of a row."""
    sizes = _group_sizes(links, row)
    many = sum(count for students, teachers, count in sizes if min(students, teachers) > 1)
    found = [
        len(links),
        len(links & row.links.either),
        len(links & row.sure),
        len(row.sure),
        sum(row.sizes),
        sum(students + teachers for students, teachers, _ in sizes),
        many,
    ]
    return LinkCounts(np.array(found, dtype=np.float64), max((s + t for s, t, _ in sizes), default=0))


def link_figures(counts: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch figures"]:
    """The figures of `FIGURES` from summed counts. NaN where a denominator is zero."""
    predicted, possible, _, _, tokens, linked, many = np.moveaxis(counts, -1, 0)
    precision, recall, f1, aer = np.moveaxis(link_metrics(counts[..., :4]), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wrong, coverage, share = 100 * (predicted - possible) / tokens, linked / tokens, many / predicted
    return np.stack([wrong, coverage, f1, aer, precision, recall, share], axis=-1)


def _group_sizes(links: Set[Link], row: GoldRow) -> list[tuple[int, int, int]]:
    """Student tokens, teacher tokens and links of each group of links that share tokens."""
    if not links:
        return []
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    students, size = row.sizes[0], sum(row.sizes)
    i, j = np.array(sorted(links)).T
    graph = coo_array((np.ones(len(i)), (i, students + j)), shape=(size, size))
    groups, group_of = connected_components(graph, directed=False)
    linked = np.unique(np.concatenate([i, students + j]))
    of_student, of_teacher = (
        np.bincount(group_of[side], minlength=groups)
        for side in (linked[linked < students], linked[linked >= students])
    )
    of_links = np.bincount(group_of[i], minlength=groups)
    found = np.stack([of_student, of_teacher, of_links], axis=1)[of_links > 0]
    return [(int(s), int(t), int(count)) for s, t, count in found]
