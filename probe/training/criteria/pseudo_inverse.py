"""The pseudo-inverse start of projectors (Zhang et al. 2025, DSKDv2): logits survive the change of space.

Over the tokens that both vocabularies have, the t2s map P solves  head_s (P h) ≈ head_t h  for every h, in the least
squares sense: P = head_s⁺ head_t. For s2t the two change places. Biases are zero.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.errors import Problem, TrainingError
from probe.projectors import S2T, STRUCTURES, T2S
from probe.training.modules import Projectors


def start_from_heads(
    projectors: Projectors,
    student_head: Float[Tensor, "student_vocabulary student_width"],
    teacher_head: Float[Tensor, "teacher_vocabulary teacher_width"],
    shared: Int[Tensor, "tokens 2"],
) -> None:
    """Set t2s and s2t; ``shared`` lists student and teacher ids of the same token, special tokens matched by role.

    Raises:
        TrainingError: a projector is not one linear map, or the shared tokens are fewer than a width.
    """
    student, teacher = student_head[shared[:, 0]], teacher_head[shared[:, 1]]
    widest = max(student.shape[1], teacher.shape[1])
    if len(shared) < widest:
        expected = f"at least {widest} shared tokens, the wider model's width"
        raise TrainingError(Problem("vocabularies", expected, str(len(shared)), "Start these projectors at random."))
    for name, own, other in ((T2S, student, teacher), (S2T, teacher, student)):
        projector = projectors[name]
        if projector.structure != STRUCTURES[name]:
            remedy = "Start this projector at random."
            raise TrainingError(Problem(name, STRUCTURES[name], projector.structure, remedy))
        with torch.no_grad():
            solved = torch.linalg.lstsq(own.double(), other.double(), driver="gelsd").solution
            projector.tensors["0.weight"].copy_(solved)
            projector.tensors["0.bias"].zero_()
