"""The lean losses against the oracle: what they are worth, what gradients they leave, and what memory they take."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import oracle
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import GuideOracle, expectations_oracle, losses_of_logits, teacher_space_oracle, vocabulary_losses_oracle
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from probe.training.criteria.divergences import Divergence, divergence, sorted_distance
from probe.training.criteria.logits import Workspace
from probe.training.criteria.settings import Objective
from probe.training.criteria.teacher_space import expectations, predictions, teacher_space_losses
from probe.training.criteria.vocabulary import NOWHERE, Guide, VocabularyLosses, vocabulary_losses

SIX = ("forward_kl", "reverse_kl", "skewed_forward_kl", "skewed_reverse_kl", "js_divergence", "adaptive_kl")
NAMES = (*SIX, "sorted_distance")
IGNORED = -100


@dataclass(frozen=True)
class Named:
    """A divergence and its numbers, from which the package's and the oracle's are made."""

    name: str
    skew: float = 0.1
    alpha: float = 0.5
    reference: bool = False

    def ours(self, temperature: float = 1.0, guide_temperature: float = 1.0) -> Divergence:
        if self.name == "sorted_distance":
            return sorted_distance
        objective = Objective(
            divergence=self.name,  # type: ignore[arg-type]
            temperature=temperature,
            skew=self.skew,
            alpha=self.alpha,
            reference=self.reference,
        )
        return divergence(objective, guide_temperature=guide_temperature)

    def theirs(self, temperature: float = 1.0, guide_temperature: float = 1.0) -> Any:
        function = getattr(oracle, self.name)
        if "skewed" in self.name:
            return partial(function, skew=self.skew)
        if self.name == "adaptive_kl":
            again = (temperature * guide_temperature, temperature) if self.reference else (1.0, 1.0)
            return partial(function, alpha=self.alpha, again=again)
        return function


@dataclass(frozen=True)
class Case:
    """Arguments of the losses, in float64. Of a guide, all but the divergence."""

    states: Tensor
    head: Tensor
    labels: Tensor
    label_weight: float | None
    guide: dict[str, Any] | None
    named: Named
    needs: tuple[bool, bool, bool]
    """Whether states, head and the guide's states ask for a gradient."""
    rows_at_once: int
    upstream: float


WEIGHTS = st.sampled_from([0.0, 0.25, 1.0, 1.5])
TEMPERATURES = st.sampled_from([0.7, 1.0, 2.0])


@st.composite
def named_divergences(draw: st.DrawFn, names: Sequence[str] = NAMES) -> Named:
    return Named(
        draw(st.sampled_from(names)),
        skew=draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        alpha=draw(st.sampled_from([0.0, 0.3, 0.5, 0.9])),
        reference=draw(st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn, name: str, *, grid: bool = False) -> Case:
    """Any arguments that the losses take; on a grid, such that even bfloat16 holds every logit."""
    rows, vocabulary = draw(st.integers(0, 9)), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.3, 1.0, 2.0]))

    def numbers(*shape: int) -> Tensor:
        if grid:
            return torch.randint(-8, 9, shape, generator=generator).double() / 4
        return scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    def some_rows() -> Tensor:
        return torch.rand(rows, generator=generator) < 0.6

    def labels_of(logits: Tensor) -> Tensor:
        """The argmax of some rows, any token for others, and rows without a label."""
        anything = torch.randint(0, logits.shape[-1], (rows,), generator=generator)
        labels = torch.where(some_rows(), logits.argmax(-1), anything)
        return torch.where(some_rows() | some_rows(), labels, IGNORED) if draw(st.booleans()) else labels

    width = draw(st.integers(1, 3))
    states, head = numbers(rows, width), numbers(vocabulary, width)
    labels = labels_of(states @ head.T)
    label_weight = draw(st.none() | WEIGHTS)
    named = draw(named_divergences([name]))
    guide = None
    guide_vocabulary = 1
    if draw(st.integers(0, 7)):
        shared = draw(st.none() | st.integers(1, vocabulary))
        guide_vocabulary = shared or vocabulary
        if named.name == "sorted_distance" and shared is None:
            guide_vocabulary = draw(st.integers(1, 12))
        guide_width = draw(st.integers(1, 3))
        guide_states, guide_head = numbers(rows, guide_width), numbers(guide_vocabulary, guide_width)
        guide_labels = labels_of(guide_states @ guide_head.T) if draw(st.booleans()) else None
        offset = certain = None
        if draw(st.integers(0, 3)) == 0:
            nowhere = torch.rand(guide_vocabulary, generator=generator) < 0.4
            nowhere[0] = False
            offset = torch.where(nowhere, NOWHERE, numbers(guide_vocabulary))
        if draw(st.integers(0, 3)) == 0:
            certain = torch.randint(0, guide_vocabulary, (rows,), generator=generator)
            certain = torch.where(some_rows(), certain, IGNORED)
        guide = {
            "states": guide_states,
            "head": guide_head,
            "weight": draw(WEIGHTS),
            "temperature": draw(TEMPERATURES),
            "guide_temperature": draw(TEMPERATURES),
            "rows": some_rows() if draw(st.booleans()) else None,
            "only_hits": guide_labels is not None and draw(st.booleans()),
            "labels": guide_labels,
            "label_weight": draw(WEIGHTS),
            "shared": shared,
            "offset": offset,
            "certain": certain,
        }
    return Case(
        states,
        head,
        labels,
        label_weight,
        guide,
        named,
        needs=(draw(st.booleans()), draw(st.booleans()), draw(st.booleans())),
        rows_at_once=draw(st.integers(1, 10)),
        upstream=draw(st.sampled_from([1.0, 3.0, -0.5])),
    )


def clear_cut(case: Case) -> bool:
    """Whether rounding decides nothing: which logit is largest, which rank is above which, where a tail ends."""

    def apart(ascending: Tensor, margin: float = 1e-4) -> bool:
        gaps = ascending.diff(dim=-1)
        return bool(((gaps > margin * ascending[..., 1:].abs()) | (ascending[..., 1:] == 0)).all())

    logits = case.states @ case.head.T
    clear = apart(logits.sort(-1).values[:, -2:].exp())
    if case.guide is None:
        return clear
    made = theirs_of(case, torch.float64)
    guide_logits = made.states @ made.head.T
    clear &= apart(guide_logits.sort(-1).values[:, -2:].exp())
    p = oracle._fixed_logits(guide_logits, made).softmax(-1).sort(-1).values
    q = (logits[:, : made.shared] / made.temperature).softmax(-1).sort(-1).values
    if case.named.name == "adaptive_kl":
        mass = p.cumsum(-1)
        clear &= apart(p) and bool((((mass - case.named.alpha).abs() > 1e-5) | (mass == 0)).all())
    if case.named.name == "sorted_distance" and q.shape[-1] > 1:
        shared = min(p.shape[-1], q.shape[-1])
        p_top, q_top = p[:, -shared:], q[:, -shared:]
        clear &= apart(q) and bool(((p_top - q_top).abs() > 1e-4 * torch.maximum(p_top, q_top)).all())
    return clear


def cast(case: Case, dtype: torch.dtype) -> tuple[Tensor, Tensor, dict[str, Any] | None]:
    """States, head and guide of the case in a precision, as leaves of a graph."""

    def leaf(x: Tensor, need: bool) -> Tensor:
        return x.to(dtype, copy=True).requires_grad_(need)

    guide = None
    if case.guide is not None:
        guide = dict(case.guide)
        guide["states"] = leaf(guide["states"], case.needs[2])
        # A gradient that the guide's head asks for would be a leak.
        guide["head"] = leaf(guide["head"], True)
        if guide["offset"] is not None:
            guide["offset"] = leaf(guide["offset"], False)
    return leaf(case.states, case.needs[0]), leaf(case.head, case.needs[1]), guide


def theirs_of(case: Case, dtype: torch.dtype) -> GuideOracle:
    """The oracle's guide."""
    made = cast(case, dtype)[2]
    assert made is not None
    return GuideOracle(divergence=case.named.theirs(made["temperature"], made["guide_temperature"]), **made)


def gradients_of(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """None where no gradient was asked for, or none arrives."""
    asked = [x for x in inputs if x.requires_grad]
    if not loss.requires_grad:
        return [None] * len(inputs)
    found = iter(torch.autograd.grad(loss, asked, allow_unused=True))
    return [next(found) if x.requires_grad else None for x in inputs]


def widest(case: Case) -> int:
    return max(len(case.head), 0 if case.guide is None else len(case.guide["head"]))


def run_ours(
    case: Case, dtype: torch.dtype, workspace: Workspace | None = None
) -> tuple[VocabularyLosses, list[Tensor | None]]:
    """The package's losses, and gradients of states, head, guide's states and guide's head."""
    states, head, made = cast(case, dtype)
    guide = None
    if made is not None:
        guide = Guide(divergence=case.named.ours(made["temperature"], made["guide_temperature"]), **made)
    size = torch.promote_types(dtype, torch.float32).itemsize
    workspace = workspace or Workspace(chunk_bytes=case.rows_at_once * widest(case) * size)
    losses = vocabulary_losses(states, head, case.labels, workspace, label_weight=case.label_weight, guide=guide)
    inputs = (states, head, *(() if guide is None else (guide.states, guide.head)))
    return losses, gradients_of(losses.loss * case.upstream, inputs)


def run_theirs(case: Case, dtype: torch.dtype) -> tuple[oracle.LossesOracle, list[Tensor | None]]:
    """The same by the oracle in float64, from numbers as round as the precision makes them."""

    def wide(x: Tensor, need: bool) -> Tensor:
        return x.detach().double().clone().requires_grad_(need)

    rounded = cast(case, dtype)
    states, head = wide(rounded[0], case.needs[0]), wide(rounded[1], case.needs[1])
    guide = None
    if case.guide is not None:
        guide = theirs_of(case, dtype)
        guide = guide._replace(
            states=wide(guide.states, case.needs[2]),
            head=wide(guide.head, True),
            offset=None if guide.offset is None else guide.offset.double(),
        )
    losses = vocabulary_losses_oracle(states, head, case.labels, label_weight=case.label_weight, guide=guide)
    inputs = (states, head, *(() if guide is None else (guide.states, guide.head)))
    return losses, gradients_of(losses.loss * case.upstream, inputs)


def assert_near(ours: Tensor, theirs: Tensor, tolerance: float, scale: float = 1.0) -> None:
    """Absolutely, and relative to the largest number at hand."""
    scale = max(scale, 1.0, theirs.abs().max().item() if theirs.numel() else 0.0)
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=tolerance * scale)


def assert_equal_to_the_oracle(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    ours, our_gradients = run_ours(case, dtype)
    theirs, their_gradients = run_theirs(case, dtype)
    for mine, other in zip(ours, theirs, strict=True):
        assert_near(mine, other.detach(), tolerance)
    # Where a guide of no probability is dear, its 1e5 cancels out of gradients.
    scale = abs(theirs.loss.item())
    for mine, other, need in zip(our_gradients, their_gradients, (*case.needs, False), strict=False):
        if not need:
            assert mine is None
        elif mine is None:
            assert other is None
        else:
            assert mine.dtype == dtype
            # The oracle sends no gradient at all where no term reaches an input.
            assert_near(mine, torch.zeros_like(mine) if other is None else other, tolerance, scale)


# Values and gradients


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_in_float64_losses_and_gradients_are_the_oracles(name: str, data: st.DataObject):
    case = data.draw(cases(name))
    assume(clear_cut(case))
    assert_equal_to_the_oracle(case, torch.float64, 1e-9)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_in_float32_losses_and_gradients_are_the_oracles(name: str, data: st.DataObject):
    case = data.draw(cases(name))
    assume(clear_cut(case))
    assert_equal_to_the_oracle(case, torch.float32, 2e-5)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_in_bfloat16_only_gradients_are_rounded(name: str, data: st.DataObject):
    """The logits of the grid are exact, so values are as good as in float32.

    A gradient is rounded to 8 bits three times, by at most 2⁻⁸ of itself: as the factor of a product, as its result,
    and after the upstream gradient. The terms of the product bound the sum of it: 2⁻⁶ of them is enough.
    """
    case = data.draw(cases(name, grid=True))
    assume(clear_cut(case))
    ours, our_gradients = run_ours(case, torch.bfloat16)
    theirs, _ = run_theirs(case, torch.bfloat16)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == torch.float32
        assert_near(mine, other.detach(), 2e-5)
    logits = (case.states @ case.head.T).requires_grad_()
    guide = None if case.guide is None else theirs_of(case, torch.float64)
    guide_logits = None if guide is None else (guide.states @ guide.head.T).detach().requires_grad_()
    loss = losses_of_logits(logits, case.labels, guide_logits, label_weight=case.label_weight, guide=guide).loss
    leaves = [logits] if guide_logits is None else [logits, guide_logits]
    upstream = [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, gradients_of(loss * case.upstream, leaves), strict=True)
    ]
    products = [(upstream[0], case.head), (upstream[0].T, case.states)]
    if guide is not None:
        products.append((upstream[1], guide.head.detach()))
    slack = 2e-5 * max(1.0, abs(theirs.loss.item()))
    for mine, (left, right) in zip(our_gradients, products, strict=False):
        if mine is not None:
            assert mine.dtype == torch.bfloat16
            bound = 2**-6 * (left.abs() @ right.abs()) + slack
            assert ((mine.double() - left @ right).abs() <= bound).all()


def small_problem(
    rows: int = 5, vocabulary: int = 7, seed: int = 0, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """States, head, labels, guide's states and guide's head."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((rows, 3), (vocabulary, 3), (rows, 2), (vocabulary, 2))
    states, head, guide_states, guide_head = (
        torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes
    )
    labels = torch.arange(rows) % vocabulary
    labels[1::3] = IGNORED
    return [states, head, labels, guide_states, guide_head]


# The weights of adaptive KL carry no gradient, so only where they are constant is it the derivative of the value.
@pytest.mark.parametrize(
    "named", [Named(name, alpha=0.0) for name in NAMES] + [Named("adaptive_kl", alpha=0.0, reference=True)], ids=str
)
def test_gradients_are_those_of_finite_differences(named: Named):
    states, head, labels, guide_states, guide_head = small_problem(rows=4, vocabulary=5)
    rows = torch.tensor([True, True, False, True])
    guide = Guide(guide_states, guide_head, named.ours(2.0), 0.7, temperature=2.0, rows=rows)

    def loss(states: Tensor, head: Tensor) -> Tensor:
        return vocabulary_losses(states, head, labels, Workspace(120), label_weight=0.5, guide=guide).loss

    assert torch.autograd.gradcheck(loss, (states.requires_grad_(), head.requires_grad_()))


def test_the_guides_gradient_is_that_of_finite_differences():
    states, head, labels, guide_states, guide_head = small_problem()

    def loss(guide_states: Tensor) -> Tensor:
        # Weight 0: the divergence moves with the guide, and yet sends no gradient there.
        guide = Guide(guide_states, guide_head, Named("forward_kl").ours(), 0.0, labels=labels, label_weight=0.3)
        return vocabulary_losses(states, head, labels, Workspace(120), guide=guide).loss

    assert torch.autograd.gradcheck(loss, (guide_states.requires_grad_(),))


# The workspace


def everything(problem: list[Tensor], named: Named, workspace: Workspace) -> list[Tensor]:
    """All parts of the losses and all gradients."""
    states, head, labels, guide_states, guide_head = problem
    leaves = [x.detach().clone().requires_grad_() for x in (states, head, guide_states)]
    guide = Guide(leaves[2], guide_head, named.ours(), 0.7, labels=labels, label_weight=0.3)
    losses = vocabulary_losses(leaves[0], leaves[1], labels, workspace, guide=guide)
    return [*(part.detach() for part in losses), *torch.autograd.grad(losses.loss, leaves)]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_workspace_was_used_for_before_leaves_no_trace(name: str):
    """Not even if it was for numbers that are none, for more of them, or for another precision."""
    problem = small_problem()
    fresh = everything(problem, Named(name), Workspace())
    used = Workspace()
    for other in NAMES:
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            for rows, vocabulary in ((2, 3), (9, 11)):
                states, head, *rest = small_problem(rows, vocabulary, seed=1, dtype=dtype)
                everything([states * torch.nan, head, rest[0], rest[1] * torch.nan, rest[2]], Named(other), used)
    for expected, got in zip(fresh, everything(problem, Named(name), used), strict=True):
        assert torch.equal(expected, got)


def test_a_workspace_serves_evaluation_first_and_training_then():
    problem, workspace = small_problem(), Workspace()
    states, head, labels, *_ = problem
    with torch.inference_mode():
        vocabulary_losses(states, head, labels, workspace)
    everything(problem, Named("forward_kl"), workspace)


@pytest.mark.parametrize("name", NAMES)
def test_the_size_of_chunks_changes_nothing(name: str):
    problem = small_problem(rows=9)
    whole = everything(problem, Named(name), Workspace())
    for chunk_bytes in (1, 2 * 7 * 8, 4 * 7 * 8, 8 * 7 * 8):
        for expected, got in zip(whole, everything(problem, Named(name), Workspace(chunk_bytes)), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


# Nobody asks


class Products(TorchDispatchMode):
    """Counts matrix products."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "mm" in func.__name__
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("needs", [(False, False, False), (True, False, False), (False, True, False), (True,) * 3])
def test_gradients_that_nobody_asks_for_are_not_made(needs: tuple[bool, bool, bool]):
    states, head, labels, guide_states, guide_head = small_problem()
    leaves = [x.requires_grad_(need) for x, need in zip((states, head, guide_states), needs, strict=True)]
    guide_head.requires_grad_()
    guide = Guide(leaves[2], guide_head, Named("forward_kl").ours(), 0.7, labels=labels, label_weight=0.3)
    saved: list[torch.Size] = []

    def keep(x: Tensor) -> Tensor:
        saved.append(x.shape)
        return x

    with Products() as products, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        losses = vocabulary_losses(leaves[0], leaves[1], labels, Workspace(), guide=guide)
    assert products.count == 2 + sum(needs)
    assert saved == [leaf.shape for leaf, need in zip(leaves, needs, strict=True) if need]
    assert losses.loss.requires_grad == any(needs)
    assert not any(part.requires_grad for part in losses[1:])
    if any(needs):
        with Products() as products:
            losses.loss.backward()
        assert products.count == 0
    assert [leaf.grad is not None for leaf in leaves] == list(needs)
    assert guide_head.grad is None


def test_without_grad_mode_only_logits_are_made():
    states, head, labels, guide_states, guide_head = (
        x.requires_grad_() if x.is_floating_point() else x for x in small_problem()
    )
    guide = Guide(guide_states, guide_head, Named("js_divergence").ours(), 0.7, labels=labels, label_weight=0.3)
    run = partial(vocabulary_losses, states, head, labels, Workspace(), guide=guide)
    with torch.no_grad(), Products() as products:
        losses = run()
    assert products.count == 2
    assert not any(part.requires_grad for part in losses)
    for part, expected in zip(losses, run(), strict=True):
        assert torch.equal(part, expected)


def test_rows_without_labels_or_guide_get_no_gradient():
    states, head, _, guide_states, guide_head = small_problem()
    leaves = [x.requires_grad_() for x in (states, head, guide_states)]
    nothing = torch.full((5,), IGNORED)
    rows = torch.zeros(5, dtype=torch.bool)
    guide = Guide(
        guide_states, guide_head, Named("reverse_kl").ours(), 0.7, rows=rows, labels=nothing, label_weight=1.0
    )
    losses = vocabulary_losses(states, head, nothing, Workspace(), guide=guide)
    losses.loss.backward()
    assert [part.item() for part in losses] == [0.0] * 7
    assert not any(leaf.grad.any() for leaf in leaves if leaf.grad is not None)


# What divergences are


def values_and_gradients(
    named: Named, guide: Tensor, student: Tensor, temperatures: tuple[float, float] = (1.0, 1.0)
) -> tuple[Tensor, Tensor]:
    """For each row of logits, by the package. The function may overwrite what it is given."""
    drawn = torch.full_like(student, torch.nan)
    divided = [(x / t).log_softmax(-1) for x, t in zip((guide, student), temperatures, strict=True)]
    values = named.ours(temperatures[1], temperatures[0] / temperatures[1])(*divided, drawn)
    return values, drawn


@st.composite
def pairs_of_logits(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 12)))
    scale = draw(st.sampled_from([0.01, 1.0, 10.0]))
    guide, student = (scale * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return guide, student


@settings(deadline=None, max_examples=100)
@given(pairs_of_logits(), named_divergences(), TEMPERATURES, TEMPERATURES)
def test_divergences_are_the_oracles_at_any_temperature(
    logits: tuple[Tensor, Tensor], named: Named, guide_temperature: float, temperature: float
):
    guide, student = logits
    temperatures = (guide_temperature, temperature)
    values, _ = values_and_gradients(named, guide, student, temperatures)
    theirs = named.theirs(temperature, guide_temperature / temperature)
    assert_near(values, theirs(guide, student, temperatures=temperatures), 1e-9)


@settings(deadline=None, max_examples=100)
@given(pairs_of_logits(), named_divergences())
def test_divergences_are_not_negative_and_push_no_logit_as_a_whole(logits: tuple[Tensor, Tensor], named: Named):
    values, gradient = values_and_gradients(named, *logits)
    assert (values >= -1e-12).all()
    # A number added to all logits of a row changes nothing.
    assert_near(gradient.sum(-1), torch.zeros(len(gradient)), 1e-12, gradient.abs().max().item())
    if named.name == "js_divergence":
        assert (values <= math.log(2) + 1e-12).all()
    if named.name == "sorted_distance":
        assert (values <= 2 + 1e-12).all()


@settings(deadline=None, max_examples=60)
@given(pairs_of_logits(), named_divergences())
def test_equal_distributions_do_not_diverge(logits: tuple[Tensor, Tensor], named: Named):
    values, gradient = values_and_gradients(named, logits[0], logits[0].clone())
    assert_near(values, torch.zeros_like(values), 1e-12)
    assert_near(gradient, torch.zeros_like(gradient), 1e-12)


@pytest.mark.parametrize(
    ("named", "same"),
    [
        (Named("skewed_forward_kl", skew=0.0), Named("forward_kl")),
        (Named("skewed_reverse_kl", skew=0.0), Named("reverse_kl")),
        # All of p is head, or none is; with what `reference` divides once more.
        (Named("adaptive_kl", alpha=0.0), Named("forward_kl")),
        (Named("adaptive_kl", alpha=0.0, reference=True), Named("forward_kl")),
    ],
    ids=str,
)
def test_divergences_meet_where_they_should(named: Named, same: Named):
    generator = torch.Generator().manual_seed(0)
    guide, student = (torch.randn((4, 6), generator=generator, dtype=torch.float64) for _ in range(2))
    values, gradient = values_and_gradients(named, guide, student, (2.0, 2.0))
    again = 2.0 if named.reference else 1.0
    expected, drawn = values_and_gradients(same, guide / again, student / again, (2.0, 2.0))
    assert_near(values, expected, 1e-12)
    assert_near(gradient, drawn / again, 1e-12)


def test_tokens_whose_sum_is_alpha_itself_are_tail():
    """One token has all of p, so at alpha 0 the gap of 2/3 that the head has stands against as much in the tail."""
    guide, student = torch.tensor([[0.0, NOWHERE, NOWHERE]]).double(), torch.zeros((1, 3)).double()
    values, _ = values_and_gradients(Named("adaptive_kl", alpha=0.0), guide, student)
    forward, reverse = math.log(3), -math.log(3) - NOWHERE * 2 / 3
    assert_near(values, torch.tensor([(forward + reverse) / 2], dtype=torch.float64), 1e-12)


def test_js_is_half_of_both_halfway_skews_and_symmetric():
    generator = torch.Generator().manual_seed(0)
    guide, student = (2 * torch.randn((4, 6), generator=generator, dtype=torch.float64) for _ in range(2))
    pieces = [
        values_and_gradients(Named(name, skew=0.5), guide, student)
        for name in ("js_divergence", "skewed_forward_kl", "skewed_reverse_kl")
    ]
    for js, forward, reverse in zip(*pieces, strict=True):
        assert_near(js, (forward + reverse) / 2, 1e-12)
    assert_near(pieces[0][0], values_and_gradients(Named("js_divergence"), student, guide)[0], 1e-12)


def test_the_order_of_tokens_plays_no_part_in_the_sorted_distance():
    generator = torch.Generator().manual_seed(0)
    guide, student = (torch.randn((4, 6), generator=generator, dtype=torch.float64) for _ in range(2))
    order = torch.randperm(6, generator=generator)
    first, second = (values_and_gradients(Named("sorted_distance"), guide[:, o], student)[0] for o in (range(6), order))
    assert_near(first, second, 1e-12)


# Extreme logits


def extreme_problem(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of ±60 for which guide and student agree, do not, and leave the same tokens out; labels; an offset."""
    student = torch.tensor([[60, -60, 60, -60, 0], [-60, 60, -60, -60, -60], [60, -60, -60, -60, -60]])
    guide = torch.tensor([[60, -60, -60, -60, 0], [60, -60, -60, -60, -60], [60, -60, -60, -60, -60]])
    offset = torch.tensor([0, NOWHERE, 0, NOWHERE, 0])
    return student.to(dtype), guide.to(dtype), torch.tensor([3, 1, 4]), offset.to(dtype)


def extreme_cases() -> list[Any]:
    """Every divergence at every precision."""
    all_ = [Named(name) for name in NAMES] + [Named("adaptive_kl", reference=True)]
    all_ += [Named(name, skew=skew) for name in ("skewed_forward_kl", "skewed_reverse_kl") for skew in (0.0, 1.0)]
    return [
        pytest.param(named, dtype, id=f"{named}-{dtype}")
        for named in all_
        for dtype in (torch.float64, torch.float32, torch.bfloat16)
    ]


@pytest.mark.parametrize(("named", "dtype"), extreme_cases())
def test_extreme_logits_stay_finite(named: Named, dtype: torch.dtype):
    logits, guide_logits, labels, where = extreme_problem(dtype)
    identity = torch.eye(5, dtype=dtype)
    broken: list[tuple[bool, bool]] = []
    for offset in (False, True):
        for certain in (False, True):
            if certain and named.reference:
                continue
            leaves = [x.clone().requires_grad_() for x in (logits, identity, guide_logits)]
            guide = Guide(
                leaves[2],
                identity,
                named.ours(2.0),
                1.0,
                temperature=2.0 if named.reference else 1.0,
                labels=labels,
                label_weight=1.0,
                offset=where if offset else None,
                certain=torch.tensor([1, IGNORED, 0]) if certain else None,
            )
            losses = vocabulary_losses(leaves[0], leaves[1], labels, Workspace(), guide=guide)
            gradients = torch.autograd.grad(losses.loss, leaves)
            if not all(x.isfinite().all() for x in (*losses, *gradients)):
                broken.append((offset, certain))
    assert not broken


# The teacher's space


@dataclass(frozen=True)
class TeacherCase:
    projected: Tensor
    states: Tensor
    head: Tensor
    targets: Tensor
    temperature: float
    rows_at_once: int
    upstream: float

    def workspace(self, dtype: torch.dtype) -> Workspace:
        return Workspace(self.rows_at_once * len(self.head) * dtype.itemsize)


@st.composite
def teacher_cases(draw: st.DrawFn) -> TeacherCase:
    rows, width, vocabulary = draw(st.integers(0, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.3, 1.0, 2.0]))
    projected, states, head = (
        scale * torch.randn(size, generator=generator, dtype=torch.float64)
        for size in ((rows, width), (rows, width), (vocabulary, width))
    )
    anything = torch.randint(0, vocabulary, (rows,), generator=generator)
    targets = torch.where(torch.rand(rows, generator=generator) < 0.5, (projected @ head.T).argmax(-1), anything)
    upstream = draw(st.sampled_from([1.0, 3.0, -0.5]))
    temperature = draw(st.sampled_from([0.5, 1.0, 2.0, 4.0]))
    return TeacherCase(projected, states, head, targets, temperature, draw(st.integers(1, 10)), upstream)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-5)], ids=["64", "32"])
@settings(deadline=None, max_examples=50)
@given(case=teacher_cases())
def test_in_the_teachers_space_both_ways_are_the_oracle(dtype: torch.dtype, tolerance: float, case: TeacherCase):
    ranked = (case.projected @ case.head.T).sort(-1).values
    assume((ranked[:, -2:].diff(dim=-1) > 1e-4).all())
    states, head = case.states.to(dtype), case.head.to(dtype, copy=True).requires_grad_()
    leaf = case.projected.to(dtype, copy=True).double().requires_grad_()
    theirs = teacher_space_oracle(leaf, states.double(), head.double(), case.targets, case.temperature)
    (gradient,) = torch.autograd.grad(theirs.divergence * case.upstream, leaf)
    expected = expectations(states, head.detach(), case.temperature, case.workspace(dtype))
    # Logits of the size of temperatures below 1 are rounded more.
    scale = max(1.0, 1 / case.temperature) * (1 + len(states))
    for given_expectations in (None, expected):
        projected = case.projected.to(dtype, copy=True).requires_grad_()
        ours = teacher_space_losses(
            projected, states, head, case.targets, case.temperature, case.workspace(dtype), given_expectations
        )
        found = gradients_of(ours.divergence * case.upstream, [projected, head])
        assert_near(ours.divergence.detach(), theirs.divergence.detach(), tolerance, scale)
        assert ours.hits == theirs.hits
        assert not ours.hits.requires_grad
        assert found[0] is not None
        assert found[1] is None
        assert_near(found[0], gradient, tolerance, scale)


@settings(deadline=None, max_examples=60)
@given(teacher_cases())
def test_expectations_and_predictions_are_the_oracles_for_any_chunks(case: TeacherCase):
    expected = expectations_oracle(case.states, case.head, case.temperature)
    used = case.workspace(torch.float64)
    expectations(torch.full((11, 4), torch.nan).double(), torch.ones((13, 4)).double(), 1.0, used)
    for workspace in (Workspace(), Workspace(1), used):
        ours = expectations(case.states, case.head, case.temperature, workspace)
        for mine, theirs in zip(ours, expected, strict=True):
            assert not mine.requires_grad
            assert_near(mine, theirs, 1e-12)
        logits = case.states @ case.head.T
        assert torch.equal(predictions(case.states, case.head, workspace), logits.argmax(-1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cached", [False, True])
def test_in_the_teachers_space_extreme_logits_stay_finite(dtype: torch.dtype, cached: bool):
    projected, states, targets, _ = extreme_problem(dtype)
    head = torch.eye(5, dtype=dtype)
    expected = expectations(states, head, 1.0, Workspace()) if cached else None
    losses = teacher_space_losses(projected.requires_grad_(), states, head, targets, 1.0, Workspace(), expected)
    losses.divergence.backward()
    theirs = teacher_space_oracle(projected.double(), states.double(), head.double(), targets, 1.0)
    assert_near(losses.divergence.detach(), theirs.divergence.detach(), 1e-6)
    assert projected.grad is not None
    assert projected.grad.isfinite().all()


# Memory

MEMORY = """
import resource, sys, torch
from probe.training.criteria.divergences import forward_kl
from probe.training.criteria.logits import Workspace
from probe.training.criteria.vocabulary import Guide, vocabulary_losses

unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
workspace = Workspace(8 << 20)

def run(vocabulary, rows):
    states, guide_states = torch.randn(rows, 8, requires_grad=True), torch.randn(rows, 8)
    head = torch.randn(vocabulary, 8, requires_grad=True)
    labels = torch.arange(rows)
    guide = Guide(guide_states, head.detach(), forward_kl, 0.5)
    vocabulary_losses(states, head, labels, workspace, guide=guide).loss.backward()

run(100, 10)
before = peak()
for vocabulary in (32_000, 128_000, 256_000):
    for rows in (64, 512):
        run(vocabulary, rows)
        # The head, its gradient as it was made, and the same times the upstream gradient.
        print(vocabulary, rows, peak() - before - 3 * 4 * 8 * vocabulary)
"""


def test_memory_does_not_grow_with_rows_times_vocabulary():
    """Beside inputs and gradients there are four chunks of 8 MiB, and some of temporary use.

    All logits of the largest problem would be 500 MiB, a few times over.
    """
    command = [sys.executable, "-c", MEMORY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lines = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(lines) == 6
    assert all(grown < 80 << 20 for _, _, grown in lines), done.stdout


def test_the_oracles_guide_has_the_fields_of_ours():
    assert {field.name for field in fields(Guide)} == set(GuideOracle._fields)
    assert VocabularyLosses._fields == oracle.LossesOracle._fields
