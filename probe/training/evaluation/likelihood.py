"""Bits per byte: how well a model predicts references, comparable across tokenizers."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from probe.checkpoints.dskd import MAX_LENGTH, MAX_PROMPT
from probe.errors import Problem, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training.criteria.views import Positions, response_positions, view
from probe.training.criteria.vocabulary import Workspace, vocabulary_losses
from probe.training.examples import Encoded, Example, tokenize

ROWS = 4
"""Examples that are run at once."""


def bits_per_byte(
    model: Any,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    *,
    max_prompt: int = MAX_PROMPT,
    max_length: int = MAX_LENGTH,
) -> float:
    """Cross-entropy of the responses' tokens, EOS included, over the UTF-8 bytes that these tokens spell.

    A response that is cut at ``max_length`` counts up to there, in tokens and in bytes.

    Args:
        model: a causal language model of transformers, whose logits are states times weights.
        tokenizer: the model's.
        examples: prompts and responses.
        max_prompt: tokens of a prompt.
        max_length: tokens of prompt and response.

    Raises:
        TrainingError: a prompt is empty, or none leaves room for a response.
    """
    encoded = [tokenize(example, tokenizer, max_prompt=max_prompt, max_length=max_length) for example in examples]
    size = sum(_spelt(e.output, one, tokenizer) for e, one in zip(examples, encoded, strict=True))
    if not size:
        got = f"prompts that fill max_length = {max_length}"
        raise TrainingError(Problem("bits per byte", "room for a response", got, "Raise max_length."))
    encoded = [one for one in encoded if len(one.targets)]
    was_training = model.training
    model.eval()
    workspace, nats = Workspace(), 0.0
    device = next(model.parameters()).device
    with torch.no_grad():
        for begin in range(0, len(encoded), ROWS):
            on_cpu = response_positions(encoded[begin : begin + ROWS])
            moved: dict[str, Any] = {key: None if t is None else t.to(device) for key, t in on_cpu._asdict().items()}
            seen = view(model, Positions(**moved))
            nats += vocabulary_losses(seen.flat_states, seen.head, seen.targets, workspace).nll.item()
    model.train(was_training)
    return nats / math.log(2) / size


def _spelt(response: str, encoded: Encoded, tokenizer: Tokenizer) -> int:
    """Bytes of the response that the targets spell."""
    targets = encoded.targets
    if not len(targets):
        return 0
    if targets[-1] == tokenizer.eos_id:  # nothing was cut
        return len(response.encode())
    return tokenizer.tokenize(response).tokens[len(targets) - 1].end
