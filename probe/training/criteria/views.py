"""What a criterion sees of a batch: tensors at response positions, and nothing of the models they came from.

By default a view holds response positions alone, gathered and padded at the end. A padded view holds every position
of the padded batch, prompt and padding included, as the published code does: there masked positions count as token id
0, and the padded length is part of the function.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.attention import bigrams
from probe.errors import Problem, TrainingError
from probe.training.examples import Encoded

ROUNDING = 0.02
"""Relative difference of two logit vectors that bfloat16 explains."""
IGNORED = -100
"""The label of positions without one, as transformers spells it."""


class Positions(NamedTuple):
    """One side of a batch, before any model: what the forward pass reads, and where the response lies in it."""

    ids: Int[Tensor, "batch length"]
    attention_mask: Int[Tensor, "batch length"]
    position_ids: Int[Tensor, "batch length"] | None
    where: Int[Tensor, "batch positions"]
    """Index of each position in the forward pass."""
    inputs: Int[Tensor, "batch positions"]
    targets: Int[Tensor, "batch positions"]
    mask: Bool[Tensor, "batch positions"]
    """True where a position has a target."""

    def to(self, device: torch.device) -> "Positions":
        """The same on a device."""
        moved: list[Any] = [None if one is None else one.to(device) for one in self]
        return Positions(*moved)


class Tokens(NamedTuple):
    """Embedded input and target of each position. Bigrams are [E(x_i); E(x_{i+1})], detached from the table."""

    bigrams: Float[Tensor, "batch positions two_widths"]
    targets: Int[Tensor, "batch positions"]
    mask: Bool[Tensor, "batch positions"]

    @property
    def target_embeddings(self) -> Float[Tensor, "batch positions width"]:
        """E(x_{i+1}), the second half of the bigrams."""
        return self.bigrams[..., self.bigrams.shape[-1] // 2 :]


class View(NamedTuple):
    """One side of a batch: its tokens, the states after the final norm, and the head that turns them into logits.

    States and tokens are at least float32. The head is as the model keeps it; products with it are in its precision.
    """

    tokens: Tokens
    states: Float[Tensor, "batch positions width"]
    head: Float[Tensor, "vocabulary width"]

    @property
    def targets(self) -> Int[Tensor, " labels"]:
        """Targets in a row, one for each true position of the mask."""
        return self.tokens.targets[self.tokens.mask]

    @property
    def flat_states(self) -> Float[Tensor, "labels width"]:
        """States in a row, one for each target."""
        return self.states[self.tokens.mask]


class Counts(NamedTuple):
    """Response targets by which sums become means; those of the global batch where several processes share one."""

    student: int
    teacher: int
    pairs: int = 0
    """Links between the two sides, for methods that have them."""


def response_positions(examples: Sequence[Encoded]) -> Positions:
    """Pad the examples at the end; positions are those of the responses. Nothing reads what follows the last input."""
    length = max(len(example.ids) for example in examples) - 1
    longest = max(len(example.targets) for example in examples)
    ids, attention_mask = (torch.zeros((len(examples), length), dtype=torch.long) for _ in range(2))
    where, inputs, targets = (torch.zeros((len(examples), longest), dtype=torch.long) for _ in range(3))
    mask = torch.zeros((len(examples), longest), dtype=torch.bool)
    for row, example in enumerate(examples):
        count = len(example.targets)
        ids[row, : len(example.ids) - 1] = torch.from_numpy(example.ids[:-1])
        attention_mask[row, : len(example.ids) - 1] = 1
        where[row, :count] = torch.arange(example.response_start - 1, len(example.ids) - 1)
        inputs[row, :count] = torch.from_numpy(example.inputs)
        targets[row, :count] = torch.from_numpy(example.targets)
        mask[row, :count] = True
    return Positions(ids, attention_mask, None, where, inputs, targets, mask)


def pad_as_published(examples: Sequence[Encoded], *, length: int, pad_id: int) -> Positions:
    """Pad every row to one length, as the published code pads to 512, and keep all positions."""
    ids = torch.full((len(examples), length), pad_id)
    attention_mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, example in enumerate(examples):
        count = len(example.ids) - 1
        ids[row, :count] = torch.from_numpy(example.ids[:-1])
        attention_mask[row, :count] = 1
        labels[row, example.response_start - 1 : count] = torch.from_numpy(example.targets)
    return padded_positions(ids, attention_mask, labels)


def padded_positions(
    ids: Int[Tensor, "batch length"],
    attention_mask: Int[Tensor, "batch length"],
    labels: Int[Tensor, "batch length"],
    position_ids: Int[Tensor, "batch length"] | None = None,
) -> Positions:
    """All positions of a batch that is padded already, as the published code sees it; labels are -100 where none is."""
    mask = labels != IGNORED
    where = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    return Positions(ids, attention_mask, position_ids, where, ids * mask, labels * mask, mask)


def embed(table: Any, positions: Positions) -> Tokens:
    """Look both tokens of each position up; ``table`` is an embedding module, or a tensor of what one returns."""
    look = table if callable(table) else table.__getitem__
    with torch.no_grad():
        pairs = bigrams(look(positions.inputs), look(positions.targets))
    return Tokens(at_least_float32(pairs), positions.targets, positions.mask)


def last_states(model: Any, positions: Positions) -> Float[Tensor, "batch positions width"]:
    """States after the final norm. The head is not run: logits are made later, at the positions that need them."""
    options = {} if positions.position_ids is None else {"position_ids": positions.position_ids}
    decoder = model.get_decoder()
    output = decoder(input_ids=positions.ids, attention_mask=positions.attention_mask, use_cache=False, **options)
    # The last of a model that is spread over several devices is another than that of the positions.
    states = output.last_hidden_state.to(positions.where.device)
    return gather(at_least_float32(states), positions)


def at_least_float32(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Half precision raised to float32: between two models' spaces nothing is rounded to it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def gather(states: Float[Tensor, "batch length width"], positions: Positions) -> Float[Tensor, "batch positions width"]:
    """States at the given positions."""
    return states.take_along_dim(positions.where[..., None], dim=1)


def view(model: Any, positions: Positions) -> View:
    """Run a model; gradients flow to whatever of it is trained."""
    return View(
        embed(model.get_input_embeddings(), positions),
        last_states(model, positions),
        model.get_output_embeddings().weight,
    )


def frozen_view(model: Any, positions: Positions) -> View:
    """Run a teacher, without gradients."""
    with torch.no_grad():
        seen = view(model, positions)
    return seen._replace(head=seen.head.detach())


def plain_head(model: Any) -> Float[Tensor, "vocabulary width"]:
    """The weights of a model's head.

    Raises:
        TrainingError: logits are not states times weights (a bias, a cap, a multiplier), which no method here knows.
    """
    head = model.get_output_embeddings().weight
    positions = padded_positions(*(torch.ones((1, 1), dtype=torch.long, device=head.device) for _ in range(3)))
    with torch.no_grad():
        ours = (last_states(model, positions).to(head.dtype) @ head.T).float()
        theirs = model(input_ids=positions.ids, attention_mask=positions.attention_mask).logits.float()
    if (ours - theirs).norm() > ROUNDING * theirs.norm():
        got = "logits that are something else: a bias, a soft cap or a multiplier lies between"
        raise TrainingError(Problem(type(model).__name__, "logits = states @ head", got, "Use a model without it."))
    return head
