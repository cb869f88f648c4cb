"""Looking at a run from outside: what of a step's gradient reaches whom."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe.errors import Problem, TrainingError
from probe.training.criteria.cma import queries_and_keys
from probe.training.criteria.matching import key_query_loss
from probe.training.criteria.step import Step
from probe.training.trainer.distiller import Distiller

STUDENT, CRITIC = "student", "critic"


class Reach(NamedTuple):
    """What of a batch's gradient comes to one part of a run, as L2 norms."""

    part: str
    """``student``, the name of a projector, or ``critic``."""
    loss: float
    """Of the whole loss."""
    matching: float | None
    """Of kq_rate · L_kq alone; None where no path leads from it to the part."""
    is_stepped: bool
    """Whether the optimizer holds the part, so that its gradient moves it."""


def parts(distiller: Distiller) -> dict[str, list[nn.Parameter]]:
    """What could learn, by name: the student, each projector, and the critic of key-query matching."""
    criterion = distiller.criterion
    found = {STUDENT: [each for each in distiller.student.parameters() if each.requires_grad]}
    for name, projector in ((name, criterion.projectors[name]) for name in criterion.projectors.structures):
        found[name] = [each for each in projector.tensors.values() if isinstance(each, nn.Parameter)]
    if criterion.networks is not None:
        found[CRITIC] = list(criterion.networks.parameters())
    return {name: each for name, each in found.items() if each}


def gradient_reach(distiller: Distiller, batch: dict[str, Tensor]) -> list[Reach]:
    """Where the gradient of a batch goes: of the loss, and of its key-query term alone. Nothing has dropout meanwhile.

    Args:
        distiller: of a run by ``cma-ga`` or ``cma-ct``.
        batch: as `Collate` makes it; taken for a whole one.

    Raises:
        TrainingError: the method has no key-query term.
    """
    with _still(distiller):
        criterion, step = distiller.criterion, _step(distiller, batch)
        loss = criterion(step.student, step.side).loss
        matching = key_query_loss(step, *queries_and_keys(step))
        term = criterion.objective.kq_rate * matching.loss
        stepped = {id(each) for each in criterion.trained_networks}
        learners = parts(distiller)
        whole, alone = (_gradient_norms(each, learners) for each in (loss, term))
    return [
        Reach(name, whole[name] or 0.0, alone[name], name != CRITIC or id(each[0]) in stepped)
        for name, each in learners.items()
    ]


def _step(distiller: Distiller, batch: dict[str, Tensor]) -> Step:
    """A batch whose loss has a key-query term."""
    step = distiller.criterion.step(*distiller.sides(batch))
    if step.objective.needs.networks is None or distiller.criterion.scales is None:
        raise _without("a key-query term with constant scales, as of cma-ga", distiller)
    return step


def _without(expected: str, distiller: Distiller) -> TrainingError:
    objective = distiller.criterion.objective
    got = f"method {objective.method}, critic {objective.critic}, reference {objective.reference}"
    return TrainingError(Problem("gradient reach", expected, got, "Choose it: objective.method=cma-ga."))


def _gradient_norms(loss: Float[Tensor, ""], learners: Mapping[str, list[nn.Parameter]]) -> dict[str, float | None]:
    every = [parameter for each in learners.values() for parameter in each]
    # Any, for its stub does not say that what the loss does not reach has None.
    gradients: Any = iter(torch.autograd.grad(loss, every, retain_graph=True, allow_unused=True))
    found: dict[str, float | None] = {}
    for name, each in learners.items():
        reached = [one.flatten() for one in islice(gradients, len(each)) if one is not None]
        found[name] = torch.cat(reached).norm().item() if reached else None
    return found


@contextmanager
def _still(distiller: Distiller) -> Generator[None]:
    """Evaluation mode for a while: no dropout, and so no random number drawn."""
    was_training = distiller.training
    distiller.eval()
    try:
        yield
    finally:
        distiller.train(was_training)
