"""How far a run of ours is from what is stored of it, and how far it may be."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks.golden.runs import Outcome, network_parameters, projector_parameters, run
from benchmarks.golden.stored import Golden, RunName
from probe.checkpoints.checkpoint import Scales
from probe.errors import Problem, TrainingError
from probe.projectors import QUERY, project
from probe.training.criteria.cma import keys, queries, teacher_values
from probe.training.criteria.views import View


def own_tensors(outcome: Outcome) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a run that may be stored, and whole gradients."""
    student, criterion = outcome.student, outcome.criterion
    yield "student_logits", student.states @ student.head.T
    yield "student_last_hidden", student.states
    yield "grad.student.transformer.wte.weight", _gradient(student.head)
    for name, parameter in projector_parameters(criterion).items():
        if parameter.grad is not None:
            yield f"grad.projectors.{name}", parameter.grad
    if outcome.teacher is None:
        return
    teacher = outcome.teacher.view
    yield "teacher_logits", teacher.states @ teacher.head.T
    yield "teacher_last_hidden", teacher.states
    attention, scales = outcome.terms.attention, criterion.scales
    if attention is not None and scales is not None:
        yield "t2s_weight", attention.over_teacher
        yield from _cross_model_tensors(outcome, student, teacher, scales)
    elif "s2t" in criterion.projectors.structures:
        yield "t2s_logits", project(criterion.projectors["t2s"], teacher.states) @ student.head.T
        yield "s2t_logits", project(criterion.projectors["s2t"], student.states) @ teacher.head.T


def _cross_model_tensors(
    outcome: Outcome, student: View, teacher: View, scales: Scales
) -> Iterator[tuple[str, Tensor]]:
    projectors, attention = outcome.criterion.projectors, outcome.terms.attention
    if attention is None:
        return
    t2s = attention.over_teacher @ teacher_values(teacher.tokens, teacher.states, projectors, scales)
    s2t = attention.over_student.mT @ project(projectors["s2t"], student.states)
    yield "t2s_logits", t2s @ student.head.T
    yield "s2t_logits", s2t @ teacher.head.T
    if QUERY in projectors.structures:
        yield "queries", queries(student.tokens, projectors)
        yield "keys", keys(teacher.tokens, scales)


def _gradient(parameter: Tensor) -> Float[Tensor, "vocabulary width"]:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


TENSOR_RUNS = {
    "cross_entropy": "cross_entropy",
    "various_divergence": "various_divergence",
    "dual_space_kd": "dual_space_kd",
    "dual_space_kd_with_cma": "dual_space_kd_with_cma",
    "dual_space_kd_with_cla": "dual_space_kd_with_cla",
    "dual_space_kd_with_clp": "dual_space_kd_with_clp",
    "dual_space_kd_with_cma_plus_kq_matching[gan]": "cma_plus_kq[gan]",
    "dual_space_kd_with_cma_plus_kq_matching[ct]": "cma_plus_kq[ct]",
    "dual_space_kd_with_cma(prompt-truncated batch)": "dual_space_kd_with_cma(trunc)",
    "dual_space_kd_with_cla(prompt-truncated batch)": "dual_space_kd_with_cla(trunc)",
    "dual_space_kd_with_clp(prompt-truncated batch)": "dual_space_kd_with_clp(trunc)",
}
"""Runs whose tensors are stored too, for forward KL or where there is no divergence, and their name there."""

Kind = Literal["loss", "log", "gradient norm", "gradient", "tensor"]
LIMITS: dict[Kind, float] = {"loss": 2e-5, "log": 2e-5, "gradient norm": 1e-4, "gradient": 2e-5, "tensor": 1e-5}
"""Relative for the first three, relative L2 for whole gradients, absolute for tensors."""
FLOOR = 1e-6
"""Below this a number is compared absolutely."""


class Deviation(NamedTuple):
    """How far one number or tensor is off, in the measure of its kind."""

    kind: Kind
    what: str
    value: float


def deviations(golden: Golden, name: RunName) -> Iterator[Deviation]:
    """Everything that is stored of a run, compared with ours."""
    outcome, entry = run(golden, name), golden.entry(name)
    yield Deviation("loss", "loss", _relative(outcome.terms.loss.item(), entry["loss"]))
    missing = set(entry["log"]) - set(outcome.terms.log)
    if missing:
        raise TrainingError(Problem(str(name), "all logged components", f"no {sorted(missing)}", "Log them."))
    for key, expected in entry["log"].items():
        yield Deviation("log", key, _relative(outcome.terms.log[key].item(), expected))
    yield from _gradient_norms(outcome, entry["grad_norm"])
    if name.run in TENSOR_RUNS and name.objective in ("-", "forward_kl"):
        yield from _tensors(outcome, golden, TENSOR_RUNS[name.run], entry["inputs"])


def _relative(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / max(abs(theirs), FLOOR)


def _gradient_norms(outcome: Outcome, expected: Mapping[str, Any]) -> Iterator[Deviation]:
    student = {key: parameter.grad for key, parameter in outcome.student_model.named_parameters()}
    total = torch.stack([g.square().sum() for g in student.values() if g is not None]).sum().sqrt()
    yield Deviation("gradient norm", "student_total", _relative(total.item(), expected["student_total"]))
    networks = network_parameters(outcome.criterion)
    groups = (
        (student, expected["student"]),
        ({key: tensor.grad for key, tensor in projector_parameters(outcome.criterion).items()}, expected["projectors"]),
        ({key: tensor.grad for key, tensor in networks.items()}, expected["kq"]),
    )
    for ours, theirs in groups:
        for key, norm in theirs.items():
            gradient = ours.get(key)
            if norm is None or gradient is None:
                # None on one side and a gradient on the other is as far off as can be.
                agree = norm is None and gradient is None
                yield Deviation("gradient norm", key, 0.0 if agree else float("inf"))
            else:
                yield Deviation("gradient norm", key, _relative(gradient.norm().item(), norm))


def _tensors(outcome: Outcome, golden: Golden, stored: str, case: str) -> Iterator[Deviation]:
    ours = dict(own_tensors(outcome))
    rows = _comparable_rows(outcome)
    prefix = f"{stored}."
    for key, expected in golden.expected.items():
        if not key.startswith(prefix):
            continue
        what = key.removeprefix(prefix)
        if what.startswith("grad."):
            error = (ours[what] - expected).norm() / expected.norm()
            yield Deviation("gradient", what, error.item())
        else:
            difference = (ours[what] - expected).abs()
            if what in ("t2s_weight", "t2s_logits") and rows is not None:
                difference = difference[rows]
            yield Deviation("tensor", what, difference.max().item())


def _comparable_rows(outcome: Outcome) -> Bool[Tensor, "batch student"] | None:
    """All rows but those of CLA that have no partner: softmaxes over the rounding of numbers near -1e5."""
    if outcome.criterion.objective.method != "cla" or outcome.teacher is None or outcome.teacher.links is None:
        return None
    return (outcome.teacher.links & outcome.teacher.view.tokens.mask[:, None]).any(-1) & outcome.student.tokens.mask
