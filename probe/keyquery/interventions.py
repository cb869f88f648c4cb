"""Is mismatch the bottleneck? What the attention scores on gold after the queries have been matched to the keys."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from probe.attention import cross_model_attention
from probe.gold.rows import GoldRow, gold_mask
from probe.keyquery.clouds import Clouds, sentence_logits
from probe.keyquery.matching import MATCHES
from probe.keyquery.moments import gaussian_distances
from probe.keyquery.values import Intervention
from probe.scoring.scores import top_1
from probe.stats import known, paired_difference

TRAINED = "trained"


def intervene(clouds: Clouds, gold: Sequence[GoldRow]) -> list[Intervention]:
    """The trained queries, and those of each of `MATCHES`, scored on the same sentences.

    Top-1 is that of the forward attention over student tokens with a sure link, mass is its attention mass on the sure
    links of such a row, and backward top-1 is that of the backward attention over teacher tokens with a sure link.
    Changes are paired: sentences are resampled with both.
    """
    trained = attention_counts(clouds, gold)
    queries, keys = clouds.queries.points, clouds.keys.points
    moved = {name: clouds.queries.moved(match(queries, keys)) for name, match in MATCHES.items()}
    found: list[Intervention] = []
    for name, own in {TRAINED: clouds.queries, **moved}.items():
        counts = trained if name == TRAINED else attention_counts(Clouds(own, clouds.keys), gold)
        (distance,) = gaussian_distances(own.moments, clouds.keys.moments)
        found.append(_compare(name, distance, counts, trained))
    return found


def attention_counts(clouds: Clouds, gold: Sequence[GoldRow]) -> Float[np.ndarray, "sentences counts"]:
    """For each sentence: rows with a sure link, their hits and attention mass, columns with a sure link, their hits."""
    counts = np.zeros((len(gold), 5))
    for number, row in enumerate(gold):
        attention = cross_model_attention(sentence_logits(clouds, number))
        sure = np.pad(gold_mask(row), ((0, 1), (0, 1)))
        rows, columns = sure.any(axis=1), sure.any(axis=0)
        weights, backward = attention.over_teacher[rows], attention.over_student.T[columns]
        counts[number] = [
            rows.sum(),
            top_1(weights, sure[rows]).sum(),
            (weights * sure[rows]).sum(),
            columns.sum(),
            top_1(backward, sure.T[columns]).sum(),
        ]
    return counts


def figures(summed: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch three"]:
    """Forward top-1, attention mass, and backward top-1, from summed counts."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [
                summed[..., 1] / summed[..., 0],
                summed[..., 2] / summed[..., 0],
                summed[..., 4] / summed[..., 3],
            ],
            axis=-1,
        )


def _compare(
    name: str,
    distance: float,
    counts: Float[np.ndarray, "sentences counts"],
    trained: Float[np.ndarray, "sentences counts"],
) -> Intervention:
    top, mass, backward = (known(value) for value in figures(counts.sum(axis=0)).tolist())
    changes = paired_difference(trained, counts, figures).each()
    return Intervention(name, distance, top, changes[0], mass, changes[1], backward, changes[2])
