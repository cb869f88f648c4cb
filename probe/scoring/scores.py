"""From maps and gold links to numbers: ranks and masses per row, hard links, and counts that add up over sentences.

Rows are student targets with at least one sure link; end of sequence is scored apart. Everything is kept as sums per
sentence, so that a corpus figure is a ratio of sums and an interval resamples sentences. All maps of a sentence are
scored at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from probe.aligners.links import ALIGNERS, NEED_BOTH, Links, argmax
from probe.maps import AttentionMap
from probe.scoring.destinations import DESTINATIONS, shares
from probe.scoring.ranks import Maps, blocks, row_figures
from probe.scoring.sharpness import entropy
from probe.scoring.truth import Truth

ROW_METRICS = (
    "top-1",
    "MRR",
    "AUC",
    "attention mass",
    "entropy",
    "distance",
    "attention mass at common entropy",
    "distance at common entropy",
)
"""Means over rows. The first three do not depend on the temperature: no rescaling of the logits changes them.

The attention mass is the sum of the weights on sure links. The distance is in characters, from the weights to the
nearest sure token. For the last two, the logits were rescaled so that all methods have one mean entropy; they are NaN
where no rescaling reaches it.
"""

LINK_METRICS = ("precision", "recall", "F1", "AER")
"""Of hard links, from counts summed over the corpus (Och & Ney 2003)."""

METRICS = (*ROW_METRICS, *LINK_METRICS, "EOS top-1")

LINK_COUNTS = ("predicted", "predicted possible", "predicted sure")
"""|A|, |A∩P| and |A∩S|."""
COUNTS = ("rows", *ROW_METRICS, *LINK_COUNTS, "sure", "EOS hits", "sentences")
"""What `score` sums for a sentence."""
LINKS_AND_SURE = slice(COUNTS.index(LINK_COUNTS[0]), COUNTS.index("sure") + 1)
"""Where `link_metrics` finds in them what it needs."""

SLICE_METRICS = ("top-1", "MRR", "AUC", "attention mass")
SLICE_COUNTS = ("rows", *SLICE_METRICS)
"""What is summed for a slice of the rows."""


@dataclass(frozen=True)
class Scores:
    """What is counted of some maps of one sentence, beside `count_of_aligners`."""

    counts: Float[np.ndarray, "maps counts"]
    slices: Float[np.ndarray, "maps slices slice_counts"]
    """By kind of token and reading of the row (`probe.scoring.truth.SLICES`)."""
    mass: Float[np.ndarray, "maps destinations"] | None
    """Attention mass of the linked student tokens by where it goes."""


def score(maps: Sequence[AttentionMap], truth: Truth, powers: Sequence[float | None] | None) -> Scores:
    """The counts of one sentence.

    Args:
        maps: of that sentence, by any number of methods.
        truth: of the same sentence.
        powers: for each map what to multiply its logits with, which is a power of its weights, for the entropy that all
            have in common; None where there is no such factor. Without any, what depends on sharpness is left out:
            those counts are NaN.
    """
    weights = _stacked([map_.weights for map_ in maps]).astype(np.float64, copy=False)
    selector = truth.stack.selector.astype(np.float64)
    figures = np.empty((len(maps), len(selector), len(SLICE_COUNTS)))
    figures[..., 0] = selector.sum(axis=1)
    figures[..., 1:] = selector @ row_figures(weights, truth.stack.rows, truth.stack.links)
    soft = np.full((len(maps), 4), np.nan) if powers is None else _soft_figures(weights, truth, powers)
    mass = None if powers is None else _mass(weights, truth)
    return Scores(_counts(weights, truth, figures[:, 0], soft), figures[:, 1:], mass)


def count(maps: Sequence[AttentionMap], truth: Truth) -> Float[np.ndarray, "maps counts"]:
    """The first part of `score` alone, without figures at a common entropy."""
    weights = _stacked([map_.weights for map_ in maps]).astype(np.float64, copy=False)
    linked, place = np.unique(truth.row.sure_links[:, 0], return_inverse=True)
    figures = row_figures(weights, linked, np.stack([place, truth.row.sure_links[:, 1]])).sum(axis=1)
    figures = np.insert(figures, 0, len(linked), axis=1)
    soft = _soft_figures(weights, truth, [None] * len(maps))
    return _counts(weights, truth, figures, soft)


def _stacked(weights: Sequence[Float[np.ndarray, "student_targets teacher_targets"]]) -> Maps:
    return weights[0][None] if len(weights) == 1 else np.stack(weights)  # of one, no copy


def _counts(
    weights: Maps,
    truth: Truth,
    figures: Float[np.ndarray, "maps slice_counts"],
    soft: Float[np.ndarray, "maps soft"],
) -> Float[np.ndarray, "maps counts"]:
    """`COUNTS`, where the figures that rank and those that depend on sharpness are there already."""
    eos = weights[:, -1]
    is_eos = np.broadcast_to(np.arange(eos.shape[1]) == eos.shape[1] - 1, eos.shape)
    ends = [np.full(len(weights), len(truth.row.sure)), top_1(eos, is_eos), np.ones(len(weights))]
    links = _hits(argmax(weights, weights), truth)
    return np.concatenate([figures, soft, links, np.stack(ends, axis=-1)], axis=1)


def _soft_figures(weights: Maps, truth: Truth, powers: Sequence[float | None]) -> Float[np.ndarray, "maps soft"]:
    """Entropy and distance as they are, and mass and distance at the common entropy, summed over linked rows."""
    maps, _, teacher = weights.shape
    found = np.zeros((maps, 4))
    known = np.array([power is not None for power in powers])
    factors = np.array([power for power in powers if power is not None]).reshape(-1, 1, 1)
    for rows in blocks(np.flatnonzero(truth.linked), maps * teacher):
        sure, distance, block = truth.sure[rows], truth.distance[rows], weights[:, rows]
        tempered = np.full_like(block, np.nan)
        tempered[known] = _raised(block[known], factors)
        entropies = entropy(block.reshape(-1, teacher))
        parts = entropies, block * distance, tempered * sure, tempered * distance
        found += np.stack([part.reshape(maps, -1).sum(axis=1) for part in parts], axis=-1)
    return found


def _mass(weights: Maps, truth: Truth) -> Float[np.ndarray, "maps destinations"]:
    """Attention mass of the linked rows by where it goes."""
    found = np.zeros((len(weights), len(DESTINATIONS)))
    for rows in blocks(np.flatnonzero(truth.linked), len(weights) * weights.shape[2]):
        found += shares(weights[:, rows], truth.destinations[rows])
    return found


def _raised(
    weights: Float[np.ndarray, "maps rows teacher"], powers: Float[np.ndarray, "maps 1 1"]
) -> Float[np.ndarray, "maps rows teacher"]:
    """Weights whose logits were multiplied by ``powers``."""
    raised = (weights / weights.max(axis=-1, keepdims=True)) ** powers
    return raised / raised.sum(axis=-1, keepdims=True)


def count_of_aligners(maps: Sequence[AttentionMap], truth: Truth) -> Float[np.ndarray, "maps aligners link_counts"]:
    """`LINK_COUNTS` of the hard links that each aligner makes of each map.

    NaN where it needs a backward attention that the map does not have.
    """
    a = _stacked([map_.weights for map_ in maps])
    known = [map_.over_student is not None for map_ in maps]
    b = _stacked([np.zeros_like(map_.weights) if map_.over_student is None else map_.over_student for map_ in maps])
    found = np.full((len(maps), len(ALIGNERS), len(LINK_COUNTS)), np.nan)
    for k, (name, aligner) in enumerate(ALIGNERS.items()):
        found[:, k] = _hits(aligner(a, b), truth)
        if name in NEED_BOTH:
            found[np.logical_not(known), k] = np.nan
    return found


def _hits(predicted: Links, truth: Truth) -> Float[np.ndarray, "maps link_counts"]:
    links = truth.row.sure_links, truth.row.possible_links
    sure, possible = (predicted[:, *some.T].sum(axis=1, dtype=np.float64) for some in links)
    return np.stack([predicted.sum(axis=(1, 2)), sure + possible, sure], axis=-1)


def metrics(counts: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch metrics"]:
    """The figures of `METRICS` from summed counts. NaN where a denominator is zero."""
    rows, totals = counts[..., :1], counts[..., 1 : 1 + len(ROW_METRICS)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate(
            [totals / rows, link_metrics(counts[..., LINKS_AND_SURE]), counts[..., -2:-1] / counts[..., -1:]], axis=-1
        )


def link_metrics(counts: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch link_metrics"]:
    """The figures of `LINK_METRICS` from summed `LINK_COUNTS` and, behind them, the number of sure links."""
    predicted, possible_hits, sure_hits, sure = np.moveaxis(counts, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = possible_hits / predicted, sure_hits / sure
        f1 = 2 * precision * recall / (precision + recall)
        aer = 1 - (sure_hits + possible_hits) / (predicted + sure)
    return np.stack([precision, recall, f1, aer], axis=-1)


def slice_metrics(counts: Float[np.ndarray, "*batch slice_counts"]) -> Float[np.ndarray, "*batch slice_metrics"]:
    """The figures of `SLICE_METRICS` from summed counts. NaN of no rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return counts[..., 1:] / counts[..., :1]


def top_1(
    weights: Float[np.ndarray, "rows teacher"], sure: Bool[np.ndarray, "rows teacher"]
) -> Float[np.ndarray, " rows"]:
    """Whether the largest weight is on a sure link; of tied largest weights, the share that is."""
    largest = weights == weights.max(axis=1, keepdims=True)
    return (largest & sure).sum(axis=1) / largest.sum(axis=1)


def worst_first(top_1: Sequence[float], ids: Sequence[str]) -> list[int]:
    """Numbers of sentences in the order of their failure, by id where it is equal; those without sure link last."""
    return sorted(range(len(ids)), key=lambda n: (math.isnan(top_1[n]), top_1[n], ids[n]))
