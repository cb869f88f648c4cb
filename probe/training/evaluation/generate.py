"""Responses that a causal language model writes to prompts: the same text in whatever batch a prompt is put.

Prompts are cut as in training and padded on the left, so that all responses of a batch begin at one place; positions
count from each prompt's first token. As published, every response has room for ``max_length - max_prompt`` tokens,
however short its prompt: room that depended on the longest prompt of a batch would make the text depend on the batch.

Sampling is the Gumbel-max trick: argmax_v (log p_v + g_v), where g_v = -log e_v and e_v is drawn from the standard
exponential distribution, is exactly a draw from p. The noise comes from a stream of the row's own, seeded with the seed
and the row's number, so that a sample depends neither on the other rows of its batch, nor on the device, nor on any
global state. What is left is rounding: logits differ in their last digits between batches, and where two candidates
are that close (hardly ever in float32, at times in bfloat16) another one may win.
"""

import math
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from rich.console import Console
from rich.progress import track
from torch import Tensor

from probe.checkpoints.dskd import MAX_LENGTH, MAX_PROMPT
from probe.errors import OPTIONS, Problem, TrainingError
from probe.models.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How responses are chosen, and how long they may be."""

    temperature: float = 1.0
    """Divides the logits; 0 is greedy decoding."""
    top_p: float = 1.0
    """Sampling is among the likeliest tokens that together have this probability."""
    no_repeat_ngram_size: int = 0
    """No sequence of that many tokens comes twice in prompt and response; 0 for no such rule."""
    max_prompt: int = MAX_PROMPT
    max_length: int = MAX_LENGTH
    """Tokens of prompt and response together."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            TrainingError: one of them is out of range.
        """
        # The padding is a token, too: a rule about single tokens would see it.
        ngram = self.no_repeat_ngram_size
        checks = (
            ("temperature", "0 or a number above", 0 <= self.temperature < math.inf),
            ("top_p", "above 0 and at most 1", 0 < self.top_p <= 1),
            ("no_repeat_ngram_size", "0, or 2 and more", ngram == 0 or ngram > 1),
            ("max_prompt", "at least 1", self.max_prompt >= 1),
            ("max_length", f"more than max_prompt, {self.max_prompt}", self.max_length > self.max_prompt),
        )
        wrong = [(name, expected) for name, expected, right in checks if not right]
        if wrong:
            raise TrainingError(
                *(Problem(name, expected, str(getattr(self, name)), "Change it.") for name, expected in wrong)
            )


def generate(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: GenerationSettings,
    *,
    batch_size: int,
    seed: int,
) -> list[str]:
    """The response to each prompt, in their order; arguments and errors are those of `generate_rows`."""
    numbered = dict(enumerate(prompts))
    responses = dict(generate_rows(model, tokenizer, numbered, settings, batch_size=batch_size, seed=seed))
    return [responses[row] for row in numbered]


def generate_rows(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Mapping[int, str],
    settings: GenerationSettings,
    *,
    batch_size: int,
    seed: int,
) -> Iterator[tuple[int, str]]:
    """Row numbers and responses as they are made, rows with long prompts first.

    Args:
        model: a causal language model of transformers; its own generation settings have no say.
        tokenizer: the model's.
        prompts: by row number; a sampled response depends on the number and the seed.
        settings: how to decode.
        batch_size: prompts to a batch; changes the time and the memory it takes, not the responses.
        seed: of sampling.

    Raises:
        TrainingError: the batch size or the seed cannot be used, a prompt has no token, or the model has too few
            positions.
    """
    if batch_size < 1 or seed < 0:
        got = f"{batch_size} and {seed}"
        raise TrainingError(Problem("generation", "a batch size above 0 and a seed from 0", got, "Change it."))
    _check_positions(model, settings)
    encoded = {row: _encode(tokenizer, row, prompt, settings) for row, prompt in prompts.items()}
    # Longest first: if memory does not suffice, that shows at once.
    order = sorted(encoded, key=lambda row: (-len(encoded[row]), row))
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    decode = _decoder(tokenizer)
    # On standard error: a bar on standard output would leave its last state in a file that output goes to.
    for rows in track(batches, "Generating", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        responses = _respond(model, [encoded[row] for row in rows], rows, settings, tokenizer.eos_id, seed)
        yield from zip(rows, map(decode, responses), strict=True)


class GumbelNoise:
    """Turns the greedy choice into a sample; a logits processor of transformers, with a stream for each row."""

    def __init__(self, streams: Sequence[np.random.Generator]) -> None:
        self._streams = streams

    def __call__(
        self, input_ids: Int[Tensor, "rows tokens"], scores: Float[Tensor, "rows vocabulary"]
    ) -> Float[Tensor, "rows vocabulary"]:
        """Add the next numbers of each row's stream, in double precision: single has too few numbers near 0."""
        exponential = np.stack([stream.standard_exponential(scores.shape[1]) for stream in self._streams])
        return scores.double() - torch.from_numpy(exponential).log().to(scores.device)


def _check_positions(model: Any, settings: GenerationSettings) -> None:
    positions = getattr(model.config, "max_position_embeddings", None)  # models without a limit do not name one
    if positions is not None and positions < settings.max_length:
        length, prompt = map(_given, ("max_length", "max_prompt"))
        remedy = f"Lower it to {positions}, and {prompt} to {positions // 2}."
        raise TrainingError(Problem(length, f"at most {positions} tokens", str(settings.max_length), remedy))


def _given(name: str) -> str:
    """A length as the command at hand is given it: by an option, or by a key of a recipe."""
    option = f"--{name.replace('_', '-')}"
    return option if option in (OPTIONS.get() or ()) else name


def _encode(tokenizer: Tokenizer, row: int, prompt: str, settings: GenerationSettings) -> list[int]:
    ids = tokenizer.encode_prompt(prompt)[: settings.max_prompt]
    if not ids:
        raise TrainingError(Problem(f"prompt {row}", "at least one token", "none", "Give every row a prompt."))
    return ids


def _decoder(tokenizer: Tokenizer) -> Callable[[Sequence[int]], str]:
    return lambda ids: tokenizer.backend.decode(list(ids), skip_special_tokens=True)


def _respond(
    model: Any,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[int],
    settings: GenerationSettings,
    eos_id: int,
    seed: int,
) -> list[list[int]]:
    """Ids of the responses to one batch, without what follows EOS."""
    from transformers import GenerationConfig

    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=settings.max_length - settings.max_prompt,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        eos_token_id=eos_id,
        pad_token_id=eos_id,
        return_dict_in_generate=True,
    )
    longest = max(map(len, prompts))
    ids = torch.tensor([[eos_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    streams = [np.random.default_rng((seed, row)) for row in rows]
    responses: list[list[int]] = [[] for _ in rows]
    with _alone(model, config):
        for writing, written in _stretches(model, config, ids, mask, settings, streams):
            for row, response in zip(writing, written[:, longest:].tolist(), strict=True):
                responses[row] = response[: response.index(eos_id)] if eos_id in response else response
    return responses


def _stretches(
    model: Any,
    config: Any,
    ids: Int[Tensor, "rows tokens"],
    mask: Int[Tensor, "rows tokens"],
    settings: GenerationSettings,
    streams: Sequence[np.random.Generator],
) -> Iterator[tuple[list[int], Int[Tensor, "writing tokens"]]]:
    """Numbers of rows, and all tokens of each, whenever half of the rows that still write have ended.

    One call of `generate` computes rows that have ended until the last row ends. Each call here leaves them out.
    """
    writing, cache, begin = list(range(len(ids))), None, ids.shape[1]
    end = begin + config.max_new_tokens
    ids, mask = ids.to(model.device), mask.to(model.device)
    while writing and ids.shape[1] < end:
        config.max_new_tokens = end - ids.shape[1]
        written = model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=config,
            logits_processor=_sampling(settings, [streams[row] for row in writing]),
            stopping_criteria=[_HalfEnded(begin, config.eos_token_id)],
        )
        ids, cache = written.sequences, written.past_key_values
        yield writing, ids
        left = (~_ended(ids, begin, config.eos_token_id)).nonzero().flatten()
        writing = [writing[row] for row in left.tolist()]
        if writing:
            mask = torch.nn.functional.pad(mask[left], (0, ids.shape[1] - mask.shape[1]), value=1)
            ids = ids[left]
            cache.batch_select_indices(left)


def _ended(ids: Int[Tensor, "rows tokens"], begin: int, eos_id: int) -> Bool[Tensor, " rows"]:
    return (ids[:, begin:] == eos_id).any(dim=1)


class _HalfEnded:
    """Ends a call of `generate` once half of its rows have ended; a stopping criterion of transformers."""

    def __init__(self, begin: int, eos_id: int) -> None:
        self._begin, self._eos_id = begin, eos_id

    def __call__(self, input_ids: Int[Tensor, "rows tokens"], scores: Any, **_: Any) -> Bool[Tensor, " rows"]:
        ended = _ended(input_ids, self._begin, self._eos_id)
        return torch.full_like(ended, bool(2 * ended.sum() >= len(ended)))


def _sampling(settings: GenerationSettings, streams: Sequence[np.random.Generator]) -> list[Any]:
    """What is done to the logits after n-grams are blocked, in the order that transformers has for it."""
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    if settings.temperature == 0:
        return []
    # The warpers want a float, and a recipe may have given them 1.
    warpers: list[Any] = [TemperatureLogitsWarper(float(settings.temperature))]
    if settings.top_p < 1:
        warpers.append(TopPLogitsWarper(settings.top_p))
    return [*warpers, GumbelNoise(streams)]


@contextmanager
def _alone(model: Any, config: Any) -> Generator[None]:
    """The model without dropout, and with these settings only: what is unset would be taken from its own file."""
    kept, training = model.generation_config, model.training
    model.generation_config = config
    model.eval()
    try:
        yield
    finally:
        model.generation_config = kept
        model.train(training)
