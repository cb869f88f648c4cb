"""Order in training: decoders of attention, which know that both sides are cuts of one text, read from left to right.

grid:      A_ij = P_ij / Σ_j P_ij,  A'_ij = P_ij / Σ_i P_ij
           P_ij: the share of monotone paths through cell (i, j), with scores scale · ½ (log A_ij + log A'_ij) of the
           plain A and A', as in `probe.aligners.grid` and with its setting for cma; gradients flow through P
diagonal:  l_ij = q_i · k_j / sqrt(2·d_t) - rate · (1 - done) · |j - i (m - 1) / (n - 1)|
           n student and m teacher positions of a text, done the share of the run that is done

The grid sets the end of sequence apart where both sides reach it: it meets itself. Where either side was cut off before
it, the last positions of both sides meet as the end of every path, whatever they are. A text of one position has no
diagonal.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.aligners.grid import SETTINGS, cell_scores, path_posterior
from probe.attention import CrossModelAttention, cross_model_attention
from probe.errors import Problem, TrainingError
from probe.training.criteria.step import Step
from probe.training.criteria.views import Tokens, at_least_float32

Sizes = Int[Tensor, " batch"]


def decoded(step: Step, logits: Float[Tensor, "batch student teacher"]) -> CrossModelAttention:
    """The attention of the logits by the objective's decoder, over all positions.

    Raises:
        TrainingError: targets do not begin with the first position, or the ids of the end of sequence are unknown.
    """
    student, teacher = step.masks
    sizes = _sizes(student), _sizes(teacher)
    if step.objective.decoder == "diagonal":
        rate = step.objective.decoder_rate * (1.0 - step.done)
        logits = logits - rate * distances(*sizes, logits)
    plain = cross_model_attention(logits, student_mask=student, teacher_mask=teacher)
    if step.objective.decoder != "grid":
        return plain
    ids = step.need(step.ends, "the ids of the end of sequence", "Give them to the criterion.")
    tokens = step.student.tokens, step.teacher.tokens
    ends = [_last(side, size) == id_ for side, size, id_ in zip(tokens, sizes, ids, strict=True)]
    return over_paths(plain, *sizes, ends[0] & ends[1])


def distances(
    students: Sizes, teachers: Sizes, like: Float[Tensor, "batch student teacher"]
) -> Float[Tensor, "batch student teacher"]:
    """|j - i (m - 1) / (n - 1)|, in teacher tokens; zero for texts of one student position."""
    i, j = (torch.arange(size, device=like.device, dtype=like.dtype) for size in like.shape[1:])
    slopes = (teachers - 1).to(like.dtype) / (students - 1).clamp(min=1)
    apart = (j - i[:, None] * slopes[:, None, None]).abs()
    return torch.where((students > 1)[:, None, None], apart, torch.zeros_like(apart))


def over_paths(
    plain: CrossModelAttention, students: Sizes, teachers: Sizes, ended: Bool[Tensor, " batch"]
) -> CrossModelAttention:
    """The attention of the shares of paths.

    Args:
        plain: the attention that paths are weighed by.
        students: positions of each text.
        teachers: the same.
        ended: whether the last position of both sides is the end of sequence.
    """
    # A side of nothing but its end leaves no grid without it.
    apart = (ended & (students > 1) & (teachers > 1)).to(students.dtype)
    forward, backward = at_least_float32(plain.over_teacher), at_least_float32(plain.over_student)
    scores = cell_scores(forward, backward, SETTINGS["cma"])
    paths = path_posterior(scores, students - apart, teachers - apart)
    i, j = (torch.arange(size, device=scores.device) for size in scores.shape[1:])
    last = (i == (students - 1)[:, None])[:, :, None] & (j == (teachers - 1)[:, None])[:, None, :]
    paths = torch.where(last & (apart > 0)[:, None, None], torch.ones_like(paths), paths)
    # A path passes every row and column of its text, so that sums are at least one there; they are zero in the padding.
    return CrossModelAttention(
        plain.logits,
        paths / paths.sum(-1, keepdim=True).clamp(min=0.5),
        paths / paths.sum(-2, keepdim=True).clamp(min=0.5),
    )


def _sizes(mask: Bool[Tensor, "batch positions"]) -> Sizes:
    sizes = mask.sum(-1)
    if not torch.equal(mask, torch.arange(mask.shape[1], device=mask.device) < sizes[:, None]):
        got, remedy = "positions without one between them", "Pad at the end alone, or use no decoder."
        raise TrainingError(Problem("objective.decoder", "targets from the first position on", got, remedy))
    return sizes


def _last(side: Tokens, sizes: Sizes) -> Sizes:
    """The last target of each text."""
    return side.targets.take_along_dim((sizes - 1)[:, None], dim=1)[:, 0]
