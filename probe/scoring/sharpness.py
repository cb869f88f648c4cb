"""How sharp attention is, and what makes two methods equally sharp: entropy, and the factor that changes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from probe.attention import Logits
from probe.scoring.roots import root


def entropy(weights: Float[np.ndarray, "rows teacher"]) -> Float[np.ndarray, " rows"]:
    """Entropy as a share of its maximum log m: 0 for one cell, 1 for equal weights."""
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return -(weights * logs).sum(axis=1) / np.log(weights.shape[1])


def sharpening_factor(logits: Sequence[Logits], entropy: float) -> float:
    """What to multiply logits with for the mean entropy of their softmaxes (share of log m) to be as given.

    A method is compared with another at equal sharpness, or the comparison is one of thermometers. Where no factor
    reaches it, as of equal logits, the one that comes nearest.
    """
    return _sharpening_factor(_Rows.of(logits), entropy)


def common_power(weights: Sequence[Logits], entropy: float) -> float | None:
    """The power of a method's weights, a factor of its logits, that brings their mean entropy to the given one.

    None where there is none: weights that are zero or all equal stay so.
    """
    if not any(map(len, weights)) or not all((rows > 0).all() for rows in weights):
        return None
    logits = _Rows.of([np.log(rows.astype(np.float64)) for rows in weights])
    factor = _sharpening_factor(logits, entropy)
    return factor if abs(logits.mean_entropy(factor) - entropy) < 0.01 else None


@dataclass(frozen=True)
class _Rows:
    """Logits of the rows of all sentences one behind the other, so that short rows beside long ones take no padding."""

    values: Float[np.ndarray, " cells"]
    sizes: Int[np.ndarray, " rows"]

    @classmethod
    def of(cls, logits: Sequence[Logits]) -> "_Rows":
        """The rows of some sentences; those of one have one length."""
        sizes = np.concatenate([np.full(len(one), one.shape[1]) for one in logits])
        return cls(np.concatenate([one.ravel() for one in logits]).astype(np.float64), sizes)

    def mean_entropy(self, factor: float) -> float:
        """Of the softmaxes of the logits times a factor, each as a share of its maximum."""
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        logits = self.values * factor
        logits -= np.repeat(np.maximum.reduceat(logits, starts), self.sizes)
        weights = np.exp(logits)
        total = np.add.reduceat(weights, starts)
        weights *= logits
        entropies = np.log(total) - np.add.reduceat(weights, starts) / total
        return float(np.mean(entropies / np.log(self.sizes)))


def _sharpening_factor(logits: _Rows, entropy: float) -> float:
    def excess(log_factor: float) -> float:
        return logits.mean_entropy(float(np.exp(log_factor))) - entropy

    low, high = -10.0, 10.0  # from nearly uniform to nearly one-hot for logits of any usual size
    return float(np.exp(low if excess(low) < 0 else high if excess(high) > 0 else root(excess, low, high, 1e-3)))
