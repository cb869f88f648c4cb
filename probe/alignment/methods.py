"""The maps that are scored for a sentence: of a checkpoint, its ablations and floors, and of what needs none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from probe.aligners.grid import grid
from probe.attention import CrossModelAttention, Logits, cross_model_attention, softmax
from probe.checkpoints.opened import OpenCheckpoint
from probe.checkpoints.queries import Queries
from probe.chunks import chunk_mask
from probe.errors import MapError, Problem
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.scoring import references
from probe.scoring.sharpness import entropy, sharpening_factor
from probe.stats import SEED

CMA, CLA_MASK, CMA_GRID, RANDOM = "cma", "cla mask", "cma-grid", "random"
HALVES = ("input half", "target half")
"""The query with its other half replaced by the mean: what attention can do with x_i alone, and with x_{i+1} alone."""

RANDOM_SEEDS = (0, 1, 2)
SAMPLE, SAMPLE_CELLS = 500, 1 << 21
"""Sentences, and cells of their maps, at most on which means of states and of entropies are taken."""

KEY_SCALE_FACTORS = (0.8, 1.25)
"""Where the key scale is an estimate, what it is multiplied by to show how much depends on it."""

REFERENCES: Mapping[str, Callable[[GoldRow], AttentionMap]] = {
    "uniform": references.uniform,
    "diagonal": references.diagonal,
    "lexical": references.lexical,
    "position-grid": references.position_grid,
    "lexical-grid": references.lexical_grid,
    "overlap": references.overlap,
    "chunk": references.chunk,
    "gold": references.gold,
    "bigram": references.bigram,
    "target-only": references.target_only,
}
"""Methods that need no checkpoint; what each is stands in `probe.scoring.references`."""

UNIFORM = "uniform"
"""Always among the methods: shares of attention mass are read beside its own."""

MapsOf = Callable[[GoldRow], Iterator[tuple[str, AttentionMap]]]
"""The maps of a sentence, made one after the other, for those of a long one do not fit into memory together.

Untrained projectors give several maps of one name, one for each seed. Their scores are averaged.
"""


def chosen_references(methods: Sequence[str] | None, *, both: bool = True) -> MapsOf:
    """Maps of the named references, or of all.

    Args:
        methods: their names; default: all.
        both: with their backward attention.

    Raises:
        MapError: a name is none of them.
    """
    if unknown := [name for name in methods or () if name not in (*REFERENCES, CMA_GRID, RANDOM, *HALVES)]:
        known = ", ".join((CMA_GRID, *HALVES, RANDOM, *REFERENCES))
        raise MapError(Problem("methods", f"some of {known}", ", ".join(unknown), "The probed map is always there."))
    names = [name for name in REFERENCES if methods is None or name in methods or name == UNIFORM]
    return lambda row: (
        (name, references.two_way(REFERENCES[name], row) if both else REFERENCES[name](row)) for name in names
    )


@dataclass(frozen=True)
class CheckpointMaps:
    """What is made of a checkpoint's query projector, by method."""

    open_: OpenCheckpoint
    trained: Queries
    halves: bool
    """Whether the half queries are asked for."""
    untrained: tuple[Queries, ...]
    factors: tuple[float, ...]
    """What makes the logits of each of them as sharp as the trained ones."""
    decoded: bool
    """Whether what is probed is decoded by order as well."""

    def __call__(self, row: GoldRow) -> Iterator[tuple[str, AttentionMap]]:
        """All maps of a sentence; the first is what is probed."""
        for name, attention in self.attentions(row):
            map_ = attention_map(name, row, attention)
            del attention  # its logits take half as much again as the map
            yield name, map_
            if name == CMA and self.decoded:
                map_ = grid(map_)  # in its place: of a long text both together are too much
                yield CMA_GRID, map_

    def attentions(self, row: GoldRow) -> Iterator[tuple[str, CrossModelAttention]]:
        """What the maps are made of, with the logits that a temperature divides."""
        checkpoint = self.open_.checkpoint
        sentence = self.open_.sentence(row.student, row.teacher)
        logits = self.open_.logits_of(sentence, self.trained(sentence.pairs))
        yield CMA, cross_model_attention(logits)
        if checkpoint.method == "cla":
            yield CLA_MASK, cross_model_attention(np.where(_chunks_and_eos(row), logits, -np.inf))
        if checkpoint.scales.key_is_estimate:
            for factor in KEY_SCALE_FACTORS:
                yield f"{CMA} ×{factor:g}", cross_model_attention(logits / factor)
        del logits
        if self.halves:
            for name, half in zip(HALVES, sentence.halves, strict=True):
                yield name, cross_model_attention(self.open_.logits_of(half, self.trained(half.pairs)))
        for untrained, factor in zip(self.untrained, self.factors, strict=True):
            yield RANDOM, cross_model_attention(self.open_.logits_of(sentence, untrained(sentence.pairs)) * factor)


def calibration_sample(rows: Sequence[GoldRow]) -> dict[str, list[int]]:
    """Student tokens with a sure link that a method is calibrated on, by the id of their sentence.

    They are all that are scored. Of many sentences it is a seeded draw of `SAMPLE`, by id, so that the order of a file
    changes nothing. Of long ones, each gives a seeded draw of its tokens: all together are at most `SAMPLE_CELLS`.
    """
    rng = np.random.default_rng(SEED)
    drawn = sorted(rows, key=lambda row: row.id)
    if len(drawn) > SAMPLE:
        drawn = [drawn[k] for k in sorted(rng.choice(len(drawn), SAMPLE, replace=False).tolist())]
    found: dict[str, list[int]] = {}
    for row in drawn:
        linked = sorted({student for student, _ in row.sure})
        most = max(SAMPLE_CELLS // (len(drawn) * (row.sizes[1] + 1)), 1)
        found[row.id] = linked if len(linked) <= most else sorted(rng.choice(linked, most, replace=False).tolist())
    return found


def checkpoint_maps(open_: OpenCheckpoint, rows: Sequence[GoldRow], methods: Sequence[str] | None) -> CheckpointMaps:
    """What a checkpoint is probed by, made ready on the rows that it will be probed on."""
    sample = calibration_sample(rows)
    drawn = sorted((row for row in rows if row.id in sample), key=lambda row: row.id)
    wants_halves = methods is None or any(name in methods for name in HALVES)
    mean = open_.mean_state([row.student for row in drawn]) if wants_halves else None
    decoded = methods is None or CMA_GRID in methods
    texts = [row.student for row in rows]
    trained = Queries.of(open_.student, open_.checkpoint.query, texts, mean)
    if methods is not None and RANDOM not in methods:
        return CheckpointMaps(open_, trained, wants_halves, (), (), decoded)
    untrained = tuple(Queries.of(open_.student, open_.untrained_query(seed), texts) for seed in RANDOM_SEEDS)
    factors = _factors(open_, trained, untrained, drawn, sample)
    return CheckpointMaps(open_, trained, wants_halves, untrained, factors, decoded)


def _factors(
    open_: OpenCheckpoint,
    trained: Queries,
    untrained: Sequence[Queries],
    rows: Sequence[GoldRow],
    sample: Mapping[str, list[int]],
) -> tuple[float, ...]:
    """For each untrained projector, what makes the linked rows of its maps as sharp as the trained ones."""
    linked = [(row, sample[row.id]) for row in rows if sample[row.id]]
    if not linked:  # nothing will be scored, either
        return (1.0,) * len(untrained)

    found: list[list[Logits]] = [[] for _ in (trained, *untrained)]
    for row, tokens in linked:  # the keys of a sentence are of teacher width, so they are not kept
        sentence = open_.sentence(row.student, row.teacher)
        for logits, queries in zip(found, (trained, *untrained), strict=True):
            logits.append(open_.logits_of(sentence, queries(sentence.pairs))[tokens])
    own, *others = found
    sharpness = np.concatenate([entropy(softmax(logits, axis=1)) for logits in own])
    return tuple(sharpening_factor(logits, float(sharpness.mean())) for logits in others)


def attention_map(method: str, row: GoldRow, attention: CrossModelAttention) -> AttentionMap:
    """Attention with the tokens of its sentence."""
    return AttentionMap(method, row.student, row.teacher, attention.over_teacher, attention.over_student)


def _chunks_and_eos(row: GoldRow) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    mask = np.pad(chunk_mask(row.student, row.teacher), ((0, 1), (0, 1)))
    mask[-1, -1] = True
    return mask
