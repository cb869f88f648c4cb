"""The tensors of a run of ours, under the names of the stored ones."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from probe.checkpoint import Scales
from probe.projectors import QUERY, project
from probe.training.criteria.cma import keys, queries, teacher_values
from probe.training.criteria.views import View
from probe.training.golden.runs import Outcome
from probe.training.golden.weights import projector_parameters


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
