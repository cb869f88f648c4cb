"""How sharp attention is, and what makes two methods equally sharp: entropy, and the factor that changes it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from probe.attention import Logits, softmax


def entropy(weights: Float[np.ndarray, "rows teacher"]) -> Float[np.ndarray, " rows"]:
    """Entropy as a share of its maximum log m: 0 for one cell, 1 for equal weights."""
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return -(weights * logs).sum(axis=1) / np.log(weights.shape[1])


def sharpening_factor(logits: Sequence[Logits], entropy: float) -> float:
    """What to multiply logits with for the mean entropy of their softmaxes (share of log m) to be as given.

    A method is compared with another at equal sharpness, or the comparison is one of thermometers. Where no factor
    reaches it, as of equal logits, the one that comes nearest.
    """
    padded, sizes = _pad_rows(logits)

    def excess(log_factor: float) -> float:
        return _mean_entropy(padded * np.exp(log_factor), sizes) - entropy

    low, high = -10.0, 10.0  # from nearly uniform to nearly one-hot for logits of any usual size
    return float(np.exp(low if excess(low) < 0 else high if excess(high) > 0 else _root(excess, low, high)))


def common_power(weights: Sequence[Logits], entropy: float) -> float | None:
    """The power of a method's weights, a factor of its logits, that brings their mean entropy to the given one.

    None where there is none: weights that are zero or all equal stay so.
    """
    if not any(map(len, weights)) or not all((rows > 0).all() for rows in weights):
        return None
    logits = [np.log(rows.astype(np.float64)) for rows in weights]
    factor = sharpening_factor(logits, entropy)
    padded, sizes = _pad_rows(logits)
    return factor if abs(_mean_entropy(padded * factor, sizes) - entropy) < 0.01 else None


def _mean_entropy(padded: Float[np.ndarray, "rows teacher"], sizes: Int[np.ndarray, " rows"]) -> float:
    """Of the softmaxes of padded logits, each as a share of its maximum."""
    weights = softmax(padded, axis=1)
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    return float(np.mean(-(weights * logs).sum(axis=1) / np.log(sizes)))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    found: Any = brentq(function, low, high, xtol=1e-3)
    return float(found)


def _pad_rows(logits: Sequence[Logits]) -> tuple[np.ndarray, np.ndarray]:
    """All rows of all sentences under each other, padded with -inf, and the true length of each."""
    widest = max(one.shape[1] for one in logits)
    padded = np.full((sum(len(one) for one in logits), widest), -np.inf)
    sizes = np.concatenate([np.full(len(one), one.shape[1]) for one in logits])
    begin = 0
    for one in logits:
        padded[begin : begin + len(one), : one.shape[1]] = one
        begin += len(one)
    return padded, sizes
