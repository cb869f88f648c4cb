"""The attentions that take the place of the trained one: for each text a map, with both softmaxes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from probe.attention import cross_model_attention, softmax
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import MissingExtraError
from probe.functional.texts import Text
from probe.gold.rows import GoldRow, gold_mask
from probe.keyquery.clouds import Clouds, collect, sentence_logits
from probe.keyquery.matching import MATCHES
from probe.maps import AttentionMap
from probe.scoring import references
from probe.scoring.sharpness import entropy, sharpening_factor

TRAINED, GOLD, WRONG = "trained", "gold", "wrong occur."
UNTRAINED_SEED = 0

Maps = Sequence[AttentionMap]
MapsOfRows = Callable[[OpenCheckpoint, Sequence[GoldRow]], Sequence[AttentionMap]]


def trained(open_: OpenCheckpoint, rows: Sequence[GoldRow]) -> list[AttentionMap]:
    """The checkpoint's own attention."""
    return [open_.map(row.student, row.teacher) for row in rows]


def of_rows(method: Callable[[GoldRow], AttentionMap]) -> MapsOfRows:
    """A method that needs no checkpoint, with both softmaxes."""
    return lambda open_, rows: [references.two_way(method, row) for row in rows]


def wrong_occurrences(row: GoldRow) -> AttentionMap:
    """Gold, but the weight of each sure link is spread over the other occurrences of the linked piece in the text.

    Another occurrence is one that the token has no sure link to. Where there is none the weight stays.
    """
    gold = references.gold(row)
    weights = gold.weights.copy()
    inner = np.zeros_like(weights[:-1, :-1])
    for link, others in zip(*_other_occurrences(row), strict=True):
        inner[link[0], others if others.any() else link[1]] += weights[link] / max(others.sum(), 1)
    linked = gold_mask(row).any(axis=1)
    weights[:-1, :-1][linked] = inner[linked]
    return AttentionMap(WRONG, row.student, row.teacher, weights)


def has_wrong_occurrences(row: GoldRow) -> Bool[np.ndarray, " student_targets"]:
    """Student targets with a sure link, all of whose linked pieces occur again elsewhere; end of sequence is none."""
    found = np.append(gold_mask(row).any(axis=1), False)
    for (i, _), others in zip(*_other_occurrences(row), strict=True):
        found[i] &= bool(others.any())
    return found


def _other_occurrences(row: GoldRow) -> tuple[list[tuple[int, int]], list[Bool[np.ndarray, " teacher"]]]:
    """All sure links, and for each the positions of the same teacher piece that the student token is not linked to."""
    pieces, mask = np.array(row.teacher.pieces, dtype=object), gold_mask(row)
    links = sorted(row.sure)
    return links, [(pieces == pieces[j]) & ~mask[i] for i, j in links]


def untrained(open_: OpenCheckpoint, rows: Sequence[GoldRow]) -> list[AttentionMap]:
    """An untrained query projector, its logits multiplied so that rows are as sharp on average as the trained ones."""
    own, other = (
        [open_.logits(row.student, row.teacher, query) for row in rows]
        for query in (open_.checkpoint.query, open_.untrained_query(UNTRAINED_SEED))
    )
    sharpness = float(np.concatenate([entropy(softmax(logits, axis=1)) for logits in own]).mean())
    factor = sharpening_factor(other, sharpness)
    sharpened = (cross_model_attention(logits * factor) for logits in other)
    return [
        AttentionMap("random", row.student, row.teacher, found.over_teacher, found.over_student)
        for row, found in zip(rows, sharpened, strict=True)
    ]


ATTENTIONS: Mapping[str, MapsOfRows] = {
    TRAINED: trained,
    GOLD: of_rows(references.gold),
    WRONG: of_rows(wrong_occurrences),
    "lexical": of_rows(references.lexical),
    "uniform": of_rows(references.uniform),
    "random": untrained,
}
"""What is compared, by name, the trained attention first."""


def matched(open_: OpenCheckpoint, rows: Sequence[GoldRow]) -> Mapping[str, list[AttentionMap]]:
    """The attention of queries that were moved to the keys without training; see `probe.keyquery.matching`.

    Raises:
        MissingExtraError: scikit-learn or POT is not installed.
    """
    from probe.keyquery.two_samples import require_analysis

    require_analysis()
    (clouds,) = collect(open_, [(row.student, row.teacher) for row in rows], [open_.checkpoint.query])
    points, keys = clouds.queries.points, clouds.keys
    return {
        name: _maps(name, Clouds(clouds.queries.moved(match(points, keys.points)), keys), rows)
        for name, match in MATCHES.items()
    }


def _maps(name: str, clouds: Clouds, rows: Sequence[GoldRow]) -> list[AttentionMap]:
    found = (cross_model_attention(sentence_logits(clouds, number)) for number in range(len(rows)))
    return [
        AttentionMap(name, row.student, row.teacher, one.over_teacher, one.over_student)
        for row, one in zip(rows, found, strict=True)
    ]


def target_sets(row: GoldRow) -> Float[np.ndarray, "sets student_targets"]:
    """Sets of student targets, as ones and zeros: with a sure link; of those, with wrong occurrences; all.

    End of sequence is in the last alone.
    """
    linked = np.append(gold_mask(row).any(axis=1), False)
    return np.stack([linked, has_wrong_occurrences(row), np.ones_like(linked)]).astype(np.float64)


HALF_VALUES: Mapping[str, Callable[[Text], Text]] = {
    "no hidden": Text.without_states,
    "no target": Text.without_targets,
}
"""The trained attention over values that lack a part."""


@dataclass(frozen=True)
class Method:
    """One attention, and what of the values is kept."""

    name: str
    maps: Maps
    texts: tuple[Text, ...]
    in_teacher_space: bool = True


def refitted_methods(open_: OpenCheckpoint, rows: Sequence[GoldRow], texts: Sequence[Text]) -> Iterator[Method]:
    """All that t2s can be refitted to, one after another: maps of many texts need much room."""
    for name, maps_of in ATTENTIONS.items():
        yield Method(name, maps_of(open_, rows), tuple(texts))
    for name, kept in HALF_VALUES.items():
        yield Method(name, trained(open_, rows), tuple(map(kept, texts)), in_teacher_space=False)


def all_methods(
    open_: OpenCheckpoint, rows: Sequence[GoldRow], texts: Sequence[Text]
) -> tuple[list[Method], tuple[str, ...]]:
    """Those, then matched queries, which the trained t2s alone judges; and what could not be made, and why."""
    found = list(refitted_methods(open_, rows, texts))
    try:
        moved = matched(open_, rows)
    except MissingExtraError as error:
        return found, (f"queries matched to the keys ({error.problems[0].got}: it needs the extra analysis)",)
    return found + [Method(f"q: {name}", maps, tuple(texts)) for name, maps in moved.items()], ()
