"""Bits per byte: how well a model predicts references, comparable across tokenizers.

As they are, they measure calibration with the rest: a student that is as good but too sure of itself has more. At a
fitted temperature they do not.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from probe.checkpoints.dskd import MAX_LENGTH, MAX_PROMPT
from probe.errors import Problem, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training.criteria.logits import Workspace
from probe.training.criteria.views import View, response_positions, view
from probe.training.criteria.vocabulary import vocabulary_losses
from probe.training.examples import Encoded, Example, tokenize

ROWS = 4
"""Examples that are run at once."""
TEMPERATURES = np.geomspace(0.5, 2.0, 25)
"""Where likelihoods are computed; between these they are interpolated in the logarithm."""
POSITIONS = 64
"""Rows of logits that are held at once for every temperature."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Bits per byte with logits divided by a fitted temperature.

    Each half of the examples has the temperature that is best for the other half, so none is fitted on what it is
    measured on. None where there is one example.
    """

    bits_per_byte: float | None = None
    temperature: float | None = None
    """The mean of both halves'; above 1, the model was too sure."""
    nats: tuple[float, ...] = ()
    """Cross-entropy of each example that has room for a response: in total, not for a token."""
    sizes: tuple[int, ...] = ()
    """Bytes that the tokens of each of them spell."""


class Predicted(NamedTuple):
    """How well references are predicted, token by token."""

    bits_per_byte: float
    accuracy: float
    """The share of tokens, EOS included, that the model holds most likely."""
    fitted: Fitted
    """At a fitted temperature, where that was asked for."""


@torch.no_grad()
def predicted(
    model: Any,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    *,
    max_prompt: int = MAX_PROMPT,
    max_length: int = MAX_LENGTH,
    fit: bool = False,
) -> Predicted:
    """Cross-entropy of the responses' tokens, EOS included, over the UTF-8 bytes that these tokens spell.

    A response that is cut at ``max_length`` counts up to there, in tokens and in bytes.

    Args:
        model: a causal language model of transformers, whose logits are states times weights.
        tokenizer: the model's.
        examples: prompts and responses.
        max_prompt: tokens of a prompt.
        max_length: tokens of prompt and response.
        fit: whether a temperature is fitted, too, on every second example for the others.

    Raises:
        TrainingError: a prompt is empty, or none leaves room for a response.
    """
    encoded, sizes = _cut(tokenizer, examples, max_prompt, max_length)
    workspace, nats, hits = Workspace(), 0.0, 0
    heated: list[Float[np.ndarray, "targets temperatures"]] = []
    # Those of equal length are run together, so that little is padded.
    order = sorted(range(len(encoded)), key=lambda n: len(encoded[n].ids))
    encoded = [encoded[n] for n in order]
    for seen in _views(model, encoded):
        found = vocabulary_losses(seen.flat_states, seen.head, seen.targets, workspace)
        nats += found.nll.item()
        hits += int(found.hits)
        heated += _heated(seen) if fit else []
    counts = [len(one.targets) for one in encoded]
    fitted = Fitted()
    if fit and len(counts) > 1:
        nats_of = np.add.reduceat(np.concatenate(heated).astype(np.float64), np.cumsum([0, *counts[:-1]]))
        fitted = _fitted(nats_of[np.argsort(order)], sizes)
    return Predicted(nats / math.log(2) / sum(sizes), hits / sum(counts), fitted)


def _cut(
    tokenizer: Tokenizer, examples: Sequence[Example], max_prompt: int, max_length: int
) -> tuple[list[Encoded], list[int]]:
    """Examples that leave room for a response, in tokens, and the bytes that the tokens of each response spell."""
    encoded = [tokenize(example, tokenizer, max_prompt=max_prompt, max_length=max_length) for example in examples]
    kept = [(one, _spelt(e.output, one, tokenizer)) for e, one in zip(examples, encoded, strict=True)]
    kept = [(one, size) for one, size in kept if len(one.targets)]
    if not sum(size for _, size in kept):
        got = f"prompts that fill max_length = {max_length}"
        raise TrainingError(Problem("bits per byte", "room for a response", got, "Raise max_length."))
    return [one for one, _ in kept], [size for _, size in kept]


def _heated(seen: View) -> list[Float[np.ndarray, "targets temperatures"]]:
    """Cross-entropy of each target at each of the temperatures, some targets at a time."""
    found: list[Float[np.ndarray, "targets temperatures"]] = []
    for begin in range(0, len(seen.targets), POSITIONS):
        states = seen.flat_states[begin : begin + POSITIONS].to(seen.head.dtype)
        logits = (states @ seen.head.T).float()
        of_target = logits.gather(1, seen.targets[begin : begin + POSITIONS, None])[:, 0]
        each = [torch.logsumexp(logits / t, 1) - of_target / t for t in TEMPERATURES.tolist()]
        found.append(torch.stack(each, dim=1).cpu().numpy())
    return found


def _fitted(nats: Float[np.ndarray, "examples temperatures"], sizes: Sequence[int]) -> Fitted:
    """The temperature of each half of the examples, used on the other."""
    chosen = [_best(nats[1 - half :: 2].sum(axis=0)) for half in range(2)]
    found = np.empty(len(nats))
    for half, at in enumerate(chosen):
        found[half::2] = _curve(nats[half::2])(at)
    bits = float(found.sum()) / math.log(2) / sum(sizes)
    return Fitted(bits, float(np.exp(np.mean(chosen))), tuple(found.tolist()), tuple(sizes))


def _curve(nats: Float[np.ndarray, "*examples temperatures"]) -> Any:
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.log(TEMPERATURES), nats, axis=-1)


def _best(nats: Float[np.ndarray, " temperatures"]) -> float:
    """The logarithm of the temperature with the least cross-entropy."""
    from scipy.optimize import minimize_scalar

    ends = float(np.log(TEMPERATURES[0])), float(np.log(TEMPERATURES[-1]))
    found: Any = minimize_scalar(_curve(nats), bounds=ends, method="bounded", options={"xatol": 1e-7})
    return float(found.x)


def _views(model: Any, encoded: Sequence[Encoded]) -> Iterator[View]:
    """What the model makes of some examples at a time, without dropout."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    for begin in range(0, len(encoded), ROWS):
        yield view(model, response_positions(encoded[begin : begin + ROWS]).to(device))
    model.train(was_training)


def _spelt(response: str, encoded: Encoded, tokenizer: Tokenizer) -> int:
    """Bytes of the response that the targets spell."""
    targets = encoded.targets
    if not len(targets):
        return 0
    if targets[-1] == tokenizer.eos_id:  # nothing was cut
        return len(response.encode())
    return tokenizer.tokenize(response).tokens[len(targets) - 1].end
