"""Two checkpoints on the same texts: is the gap between queries and keys larger in one of them?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probe.keyquery.values import Analysis, Measurement
from probe.stats import CONFIDENCE, Estimate, holm


@dataclass(frozen=True, slots=True)
class Difference:
    """A distance of the second checkpoint minus that of the first, with 95 % bounds."""

    view: str
    distance: str
    difference: Estimate
    p_value: float | None
    """Two-sided, adjusted by Holm over all distances of the two; None where there are no bounds."""


def on_same_texts(first: Analysis, second: Analysis) -> bool:
    """Whether both saw the same tokens: a report's texts are one file, of which a checkpoint may take a part."""
    sizes = [(one.sentences, one.query_tokens, one.key_tokens) for one in (first, second)]
    return sizes[0] == sizes[1]


def differences(first: Analysis, second: Analysis) -> tuple[Difference, ...]:
    """Every distance of two checkpoints on the same texts (`on_same_texts`).

    Both were cut into the same halves of sentences, so the difference is taken in each half and spreads as it does over
    halves. Areas under a curve have no halves: their bounds are put together as if they were independent (MOVER, Zou
    and Donner 2008), which of the same texts is too wide rather than too narrow.
    """
    pairs = [(one, second.measurement(one.view, one.distance)) for one in first.measurements]
    found = [_over_halves(*pair) if pair[0].halves else _independent(*pair) for pair in pairs]
    known = [p for _, p in found if p is not None]
    adjusted = iter(holm(known)) if known else iter(())
    return tuple(
        Difference(one.view, one.distance, estimate, None if p is None else float(next(adjusted)))
        for (one, _), (estimate, p) in zip(pairs, found, strict=True)
    )


def _over_halves(first: Measurement, second: Measurement) -> tuple[Estimate, float | None]:
    from scipy.stats import t

    each = np.subtract(second.halves, first.halves)
    value, freedom = float(each.mean()), len(each) - 1
    # Halves spread about the figure of all sentences as that does over samples; their mean misses it by a part more.
    spread = float(each.std(ddof=1)) * np.sqrt(1 + 1 / len(each))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * spread
    if not spread:  # the same checkpoint twice, or nothing that varies
        return Estimate(value, value, value), 1.0 if not value else 0.0
    return Estimate(value, value - reach, value + reach), float(2 * t.sf(abs(value) / spread, freedom))


def _independent(first: Measurement, second: Measurement) -> tuple[Estimate, float | None]:
    from scipy.stats import norm

    ours, theirs = _known(first.pair), _known(second.pair)
    if ours is None or theirs is None:
        return Estimate(None), None
    value = theirs[0] - ours[0]
    down = float(np.hypot(theirs[0] - theirs[1], ours[2] - ours[0]))
    up = float(np.hypot(theirs[2] - theirs[0], ours[0] - ours[1]))
    reach = down if value > 0 else up  # towards zero
    p = float(2 * norm.sf(norm.ppf((1 + CONFIDENCE) / 2) * abs(value) / reach)) if reach else float(not value)
    return Estimate(value, value - down, value + up), p


def _known(estimate: Estimate) -> Sequence[float] | None:
    found = [float(x) for x in estimate if x is not None]
    return found if len(found) == 3 else None
