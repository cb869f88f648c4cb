"""The maps that are scored for a sentence: of a checkpoint, its ablations and floors, and of what needs none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from probe.attention import CrossModelAttention, cross_model_attention
from probe.checkpoints.opened import OpenCheckpoint
from probe.chunks import chunk_mask
from probe.errors import MapError, Problem
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.projectors import Projector
from probe.scoring import references
from probe.scoring.sharpness import entropy, sharpening_factor
from probe.stats import SEED

CMA, CLA_MASK, RANDOM = "cma", "cla mask", "random"
HALVES = ("input half", "target half")
"""The query with its other half replaced by the mean: what attention can do with x_i alone, and with x_{i+1} alone."""

RANDOM_SEEDS = (0, 1, 2)
SAMPLE = 500
"""Sentences at most on which means of states and of entropies are taken; more would only take time."""

KEY_SCALE_FACTORS = (0.8, 1.25)
"""Where the key scale is an estimate, what it is multiplied by to show how much depends on it."""

REFERENCES: Mapping[str, Callable[[GoldRow], AttentionMap]] = {
    "uniform": references.uniform,
    "diagonal": references.diagonal,
    "lexical": references.lexical,
    "overlap": references.overlap,
    "chunk": references.chunk,
    "gold": references.gold,
    "bigram": references.bigram,
    "target-only": references.target_only,
}
"""Methods that need no checkpoint; what each is stands in `probe.scoring.references`."""

UNIFORM = "uniform"
"""Always among the methods: shares of attention mass are read beside its own."""

MapsOf = Callable[[GoldRow], dict[str, list[AttentionMap]]]
"""The maps of a sentence by method; untrained projectors give one for each seed, and their scores are averaged."""


def chosen_references(methods: Sequence[str] | None) -> MapsOf:
    """Maps of the named references, or of all.

    Raises:
        MapError: a name is none of them.
    """
    if unknown := [name for name in methods or () if name not in (*REFERENCES, RANDOM, *HALVES)]:
        known = ", ".join((*HALVES, RANDOM, *REFERENCES))
        raise MapError(Problem("methods", f"some of {known}", ", ".join(unknown), "The probed map is always there."))
    names = [name for name in REFERENCES if methods is None or name in methods or name == UNIFORM]
    return lambda row: {name: [references.two_way(REFERENCES[name], row)] for name in names}


@dataclass(frozen=True)
class CheckpointMaps:
    """What is made of a checkpoint's query projector, by method."""

    open_: OpenCheckpoint
    mean: Float[np.ndarray, " two_widths"] | None
    """Of the states, for the half queries; None where they are not asked for."""
    untrained: tuple[Projector, ...]
    factors: tuple[float, ...]
    """What makes the logits of each of them as sharp as the trained ones."""

    def __call__(self, row: GoldRow) -> dict[str, list[AttentionMap]]:
        """All maps of a sentence; the first is what is probed."""
        return {
            name: [attention_map(name, row, one) for one in of_method]
            for name, of_method in self.attentions(row).items()
        }

    def attentions(self, row: GoldRow) -> dict[str, list[CrossModelAttention]]:
        """What the maps are made of, by method, with the logits that a temperature divides."""
        checkpoint = self.open_.checkpoint
        trained, *untrained = self.open_.attend(row.student, row.teacher, [checkpoint.query, *self.untrained])
        found = {CMA: [trained]}
        if checkpoint.method == "cla":
            found[CLA_MASK] = [cross_model_attention(np.where(_chunks_and_eos(row), trained.logits, -np.inf))]
        if checkpoint.scales.key_is_estimate:
            for factor in KEY_SCALE_FACTORS:
                found[f"{CMA} ×{factor:g}"] = [cross_model_attention(trained.logits / factor)]
        if self.mean is not None:
            halves = self.open_.attend_by_half(row.student, row.teacher, self.mean)
            found |= {name: [half] for name, half in zip(HALVES, halves, strict=True)}
        if untrained:
            sharpened = (u.logits * factor for u, factor in zip(untrained, self.factors, strict=True))
            found[RANDOM] = [cross_model_attention(logits) for logits in sharpened]
        return found


def calibration_sample(rows: Sequence[GoldRow]) -> list[GoldRow]:
    """All rows, or a seeded draw of `SAMPLE`, by id: the order of a file changes nothing."""
    by_id = sorted(rows, key=lambda row: row.id)
    if len(by_id) <= SAMPLE:
        return by_id
    drawn = np.random.default_rng(SEED).choice(len(by_id), SAMPLE, replace=False)
    return [by_id[k] for k in sorted(drawn.tolist())]


def linked_rows(row: GoldRow) -> list[int]:
    """Student tokens with a sure link: what is scored of a map, and so what it is calibrated on."""
    return sorted({student for student, _ in row.sure})


def checkpoint_maps(open_: OpenCheckpoint, rows: Sequence[GoldRow], methods: Sequence[str] | None) -> CheckpointMaps:
    """What a checkpoint is probed by, made ready on the rows that it will be probed on."""
    sample = calibration_sample(rows)
    wants_halves = methods is None or any(name in methods for name in HALVES)
    mean = open_.mean_state([row.student for row in sample]) if wants_halves else None
    if methods is not None and RANDOM not in methods:
        return CheckpointMaps(open_, mean, (), ())
    untrained = tuple(open_.untrained_query(seed) for seed in RANDOM_SEEDS)
    attentions = [open_.attend(row.student, row.teacher, [open_.checkpoint.query, *untrained]) for row in sample]
    linked = [linked_rows(row) for row in sample]
    return CheckpointMaps(open_, mean, untrained, _factors(attentions, linked))


def _factors(attentions: Sequence[Sequence[CrossModelAttention]], linked: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """For each untrained projector, what makes the linked rows of its maps as sharp as the trained ones."""
    pairs = [(of_text, rows) for of_text, rows in zip(attentions, linked, strict=True) if rows]
    if not pairs:  # nothing will be scored, either
        return (1.0,) * len(RANDOM_SEEDS)
    sharpness = float(np.concatenate([entropy(trained.over_teacher[rows]) for (trained, *_), rows in pairs]).mean())
    return tuple(
        sharpening_factor([of_text[1 + seed].logits[rows] for of_text, rows in pairs], sharpness)
        for seed in range(len(RANDOM_SEEDS))
    )


def attention_map(method: str, row: GoldRow, attention: CrossModelAttention) -> AttentionMap:
    """Attention with the tokens of its sentence."""
    return AttentionMap(method, row.student, row.teacher, attention.over_teacher, attention.over_student)


def _chunks_and_eos(row: GoldRow) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    mask = np.pad(chunk_mask(row.student, row.teacher), ((0, 1), (0, 1)))
    mask[-1, -1] = True
    return mask
