"""Where a step's time goes, term by term, against plain matrix products of the same shapes in the same process.

Each term is timed alone, forward and backward. Its products are then made by ``torch.mm`` into memory that is there
already, which is the most that this machine gives them, in float32 and in bfloat16. What a term takes beyond its
products at that speed is softmax, masks, memory and Python.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from probe.projectors import S2T, project
from probe.training.criteria.cma import attend, keys, queries, teacher_values
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.divergences import forward_kl
from probe.training.criteria.step import Side
from probe.training.criteria.teacher_space import teacher_space_losses
from probe.training.criteria.views import Positions, View, last_states, view
from probe.training.criteria.vocabulary import Guide, vocabulary_losses

Shape = tuple[int, int, int]
"""Rows, inner size and columns of a product."""
TIMES = 3


class Term(NamedTuple):
    """What is timed, and the products in it."""

    run: Callable[[], Any]
    products: list[Shape]


def best(run: Callable[[], Any], times: int = TIMES) -> float:
    """Processor seconds of the best of a few runs, after one that warms up."""
    run()
    seconds: list[float] = []
    for _ in range(times):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)


def plain_seconds(products: list[Shape], dtype: torch.dtype) -> float:
    """Of the same products by ``torch.mm``."""
    total = 0.0
    for shape in set(products):
        rows, inner, columns = shape
        left, right = torch.ones((rows, inner), dtype=dtype), torch.ones((columns, inner), dtype=dtype)
        out = torch.empty((rows, columns), dtype=dtype)
        # Without instructions for it, bfloat16 takes long enough to be measured once.
        times = TIMES if dtype == torch.float32 else 1
        each = best(lambda left=left, right=right, out=out: torch.mm(left, right.T, out=out), times)
        total += products.count(shape) * each
    return total


def linear(rows: int, inner: int, columns: int) -> list[Shape]:
    """Of a linear layer: forward, and backward to its input and to its weights."""
    return [(rows, inner, columns), (rows, columns, inner), (inner, rows, columns)]


def terms(student: Any, sides: tuple[Positions, Positions], criterion: Criterion, side: Side) -> dict[str, Term]:
    """Of the cross-model step, each on states of its own."""
    own = view(student, sides[0])
    states = own.flat_states.detach().requires_grad_()
    mixed = torch.randn_like(side.view.flat_states).requires_grad_()
    guided = torch.randn_like(states).requires_grad_()
    work, teacher, targets = criterion.workspace, side.view, own.targets
    guide = Guide(
        guided, own.head.detach(), forward_kl, 0.5, temperature=2.0, only_hits=True, labels=targets, label_weight=0.5
    )
    rows, width, vocabulary = len(states), own.head.shape[1], len(own.head)
    others, wide, large = len(mixed), teacher.head.shape[1], len(teacher.head)
    logits, back = (rows, width, vocabulary), (rows, vocabulary, width)
    of_teacher = [(others, wide, large), (others, large, wide)]
    tokens, layers = sides[0].ids.numel(), student.config.n_layer
    body = linear(tokens, width, 3 * width) + linear(tokens, width, width) + 2 * linear(tokens, width, 4 * width)
    heights = own.tokens.targets.numel(), teacher.tokens.targets.numel()
    projected = linear(heights[0], 2 * width, 2 * wide)[::2] + linear(heights[1], wide, width)[::2]

    def of_head(guide: Guide | None) -> None:
        vocabulary_losses(states, own.head, targets, work, label_weight=0.5, guide=guide).loss.backward()

    def of_body() -> None:
        last_states(student, sides[0]).sum().backward()

    def in_teacher_space(given: Any) -> None:
        parts = mixed, teacher.flat_states, teacher.head, teacher.targets
        teacher_space_losses(*parts, 2.0, work, given).divergence.backward()

    return {
        "student's body": Term(of_body, layers * body),
        "own vocabulary": Term(lambda: of_head(None), [logits, back, (vocabulary, rows, width)]),
        "own and t2s vocabulary": Term(lambda: of_head(guide), [logits, logits, back, back, (vocabulary, rows, width)]),
        "attention": Term(lambda: attention(own, teacher, criterion), projected + linear(heights[0], width, wide)),
        "s2t, cached": Term(lambda: in_teacher_space(side.expected), of_teacher),
        "s2t, online": Term(lambda: in_teacher_space(None), 2 * of_teacher),
    }


def attention(own: View, teacher: View, criterion: Criterion) -> None:
    """From bigrams to mixed states and back."""
    assert criterion.scales is not None
    projectors, scales = criterion.projectors, criterion.scales
    states: Tensor = own.states.detach().requires_grad_()
    found = attend(queries(own.tokens, projectors), keys(teacher.tokens, scales), own.tokens.mask, teacher.tokens.mask)
    t2s = found.over_teacher @ teacher_values(teacher.tokens, teacher.states, projectors, scales)
    s2t = found.over_student.mT @ project(projectors[S2T], states)
    (t2s.sum() + s2t.sum()).backward()


def measure(parts: dict[str, Term]) -> dict[str, list[float]]:
    """For each term: processor seconds, billions of operations, and the speed of plain products in either precision."""
    found: dict[str, list[float]] = {}
    for name, term in parts.items():
        operations = sum(2 * rows * inner * columns for rows, inner, columns in term.products) / 1e9
        plain = [operations / plain_seconds(term.products, dtype) for dtype in (torch.float32, torch.bfloat16)]
        found[name] = [best(term.run), operations, *plain]
    return found


def table(found: dict[str, list[float]]) -> str:
    """As lines."""
    lines = ["term                    cpu s  GFLOP  GFLOP/s  plain float32  share  plain bfloat16"]
    for name, (seconds, operations, plain, rounded) in found.items():
        speed = operations / seconds
        numbers = f"{seconds:5.2f} {operations:6.1f} {speed:8.1f} {plain:14.1f} {speed / plain:6.0%} {rounded:15.1f}"
        lines.append(f"{name:23} {numbers}")
    return "\n".join(lines)
