"""From a map and gold links to numbers: ranks and masses per row, hard links, and counts that add up over sentences.

Rows are student targets with at least one sure link; end of sequence is scored apart. Everything is kept as sums per
sentence, so that a corpus figure is a ratio of sums and an interval resamples sentences.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import binom

from probe.maps import AttentionMap
from probe.pair_rows import GoldRow
from probe.references import link_mask

ROW_METRICS = ("top-1", "MRR", "AUC", "gold mass", "entropy")
"""Means over rows. The first three are free of temperature: no rescaling of the logits changes them."""

LINK_METRICS = ("precision", "recall", "F1", "AER")
"""Of hard links, from counts summed over the corpus (Och & Ney 2003)."""

METRICS = (*ROW_METRICS, *LINK_METRICS, "EOS top-1")

COUNTS = ("rows", *ROW_METRICS, "predicted", "predicted possible", "predicted sure", "sure", "EOS hits", "sentences")
"""What `score` sums for a sentence: |A|, |A∩P|, |A∩S| and |S| are the four before the last two."""


def score(map_: AttentionMap, gold: GoldRow) -> Float[np.ndarray, " counts"]:
    """Sums of one sentence, in the order of `COUNTS`."""
    inner = len(gold.student.tokens), len(gold.teacher.tokens)
    gold_sure, gold_possible = link_mask(gold.sure, inner), link_mask(gold.possible, inner)
    mask = np.pad(gold_sure, ((0, 1), (0, 1)))
    linked = mask.any(axis=1)
    weights, sure = map_.weights[linked].astype(np.float64), mask[linked]
    predicted = argmax_mask(map_)
    eos = map_.weights[-1:]
    return np.array(
        [
            linked.sum(),
            top_1(weights, sure).sum(),
            reciprocal_rank(weights, sure).sum(),
            row_auc(weights, sure).sum(),
            (weights * sure).sum(),
            entropy(weights).sum(),
            predicted.sum(),
            (predicted & (gold_sure | gold_possible)).sum(),
            (predicted & gold_sure).sum(),
            gold_sure.sum(),
            top_1(eos, np.arange(eos.shape[1])[None] == eos.shape[1] - 1)[0],
            1,
        ],
        dtype=np.float64,
    )


def metrics(counts: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch metrics"]:
    """The figures of `METRICS` from summed counts. NaN where a denominator is zero."""
    rows, totals = counts[..., :1], counts[..., 1 : 1 + len(ROW_METRICS)]
    predicted, possible_hits, sure_hits, sure, eos, sentences = np.moveaxis(counts[..., 1 + len(ROW_METRICS) :], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = possible_hits / predicted, sure_hits / sure
        f1 = 2 * precision * recall / (precision + recall)
        aer = 1 - (sure_hits + possible_hits) / (predicted + sure)
        links = np.stack([precision, recall, f1, aer, eos / sentences], axis=-1)
        return np.concatenate([totals / rows, links], axis=-1)


def top_1(
    weights: Float[np.ndarray, "rows teacher"], sure: Bool[np.ndarray, "rows teacher"]
) -> Float[np.ndarray, " rows"]:
    """Whether the largest weight is on a sure link; of tied largest weights, the share that is."""
    largest = weights == weights.max(axis=1, keepdims=True)
    return (largest & sure).sum(axis=1) / largest.sum(axis=1)


def reciprocal_rank(
    weights: Float[np.ndarray, "rows teacher"], sure: Bool[np.ndarray, "rows teacher"]
) -> Float[np.ndarray, " rows"]:
    """One over the rank of the first sure link; its expectation where ties are broken at random."""
    best = np.where(sure, weights, -np.inf).max(axis=1, keepdims=True)
    above = (weights > best).sum(axis=1)
    tied = (weights == best).sum(axis=1)
    hits = ((weights == best) & sure).sum(axis=1)
    place = np.arange(1, weights.shape[1] + 1)
    # The first of `hits` among `tied` stands at `place` with probability C(tied - place, hits - 1) / C(tied, hits).
    left = tied[:, None] - place
    chance = np.where(left >= 0, binom(np.maximum(left, 0), hits[:, None] - 1), 0.0) / binom(tied, hits)[:, None]
    return (chance / (above[:, None] + place)).sum(axis=1)


def row_auc(
    weights: Float[np.ndarray, "rows teacher"], sure: Bool[np.ndarray, "rows teacher"]
) -> Float[np.ndarray, " rows"]:
    """Probability that a sure link outweighs another cell of its row, ties counting half."""
    size, hits = weights.shape[1], sure.sum(axis=1)
    row, _ = np.nonzero(sure)
    own, others = weights[sure][:, None], weights[row]
    won = (others < own).sum(axis=1) + 0.5 * (others == own).sum(axis=1)
    # Each sure cell tied with itself, and each pair of sure cells shared one point: s/2 + s(s - 1)/2 = s²/2 too many.
    points = np.bincount(row, won, minlength=len(weights)) - hits**2 / 2
    # End of sequence is never sure for these rows, so a row always has a cell to compare with.
    return points / (hits * (size - hits))


def entropy(weights: Float[np.ndarray, "rows teacher"]) -> Float[np.ndarray, " rows"]:
    """Entropy as a share of its maximum log m: 0 for one cell, 1 for equal weights."""
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return -(weights * logs).sum(axis=1) / np.log(weights.shape[1])


def argmax_mask(map_: AttentionMap) -> Bool[np.ndarray, "student teacher"]:
    """A hard link from each student target to its largest weight; to all of them where they tie. EOS is left out."""
    inner = map_.weights[:-1]
    return (inner == inner.max(axis=1, keepdims=True))[:, :-1]
