"""Projectors as trainable modules: torch holds the tensors, `probe.projectors.project` applies them.

They start at random, or from the two heads (the pseudo-inverse start of Zhang et al. 2025, DSKDv2), so that logits
survive the change of space. Over the tokens that both vocabularies have, the t2s map P solves head_s (P h) ≈ head_t h
for every h, in the least squares sense: P = head_s⁺ head_t. For s2t the two change places. Biases are zero.
"""

from collections.abc import Collection, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probe.errors import Problem, TrainingError
from probe.projectors import S2T, STRUCTURES, T2S, Layer, Projector, initial_tensors, parse_structure


class Projectors(nn.Module):
    """Trainable projectors by name, drawn from one seed."""

    def __init__(
        self,
        structures: Mapping[str, str],
        *,
        student: int,
        teacher: int,
        seed: int,
        kept: Collection[str] | None = None,
    ) -> None:
        """Draw all of them, and keep those that are named, or all.

        What is drawn in front of a projector decides its weights, so methods that are to begin with the same t2s draw
        the same projectors.
        """
        super().__init__()
        names = structures.keys() if kept is None else kept
        self._structures = {name: structure for name, structure in structures.items() if name in names}
        self._layers: dict[str, tuple[Layer, ...]] = {}
        rng = np.random.default_rng(seed)
        for name, structure in structures.items():
            layers = parse_structure(structure, student=student, teacher=teacher)
            drawn = initial_tensors(layers, rng)
            if name not in names:
                continue
            self._layers[name] = layers
            for key, value in drawn.items():
                # Module attributes cannot hold a dot; the state dict of a checkpoint has them.
                self.register_parameter(f"{name}_{key.replace('.', '_')}", nn.Parameter(torch.from_numpy(value)))

    @property
    def structures(self) -> Mapping[str, str]:
        """Structure of each projector, by name."""
        return self._structures

    def __getitem__(self, name: str) -> Projector:
        """The projector called ``name``, its tensors being this module's parameters."""
        tensors = {
            key.removeprefix(f"{name}_").replace("_", "."): parameter
            for key, parameter in self.named_parameters()
            if key.startswith(f"{name}_")
        }
        return Projector(self._structures[name], self._layers[name], tensors)

    def freeze(self, name: str) -> None:
        """Leave the projector called ``name`` as it is: it gets no gradient, and no optimizer moves it."""
        for tensor in self[name].tensors.values():
            tensor.requires_grad_(False)

    def to_numpy(self) -> dict[str, Projector]:
        """All projectors with numpy tensors, for a checkpoint."""
        return {
            name: Projector(
                self._structures[name],
                self._layers[name],
                {key: tensor.detach().cpu().float().numpy() for key, tensor in self[name].tensors.items()},
            )
            for name in self._structures
        }


def start_from_heads(
    projectors: Projectors,
    student_head: Float[Tensor, "student_vocabulary student_width"],
    teacher_head: Float[Tensor, "teacher_vocabulary teacher_width"],
    shared: Int[Tensor, "tokens 2"],
) -> None:
    """Set those of t2s and s2t that there are.

    Args:
        projectors: to set.
        student_head: the weights of the student's head.
        teacher_head: the teacher's.
        shared: student and teacher ids of the same token, special tokens matched by role.

    Raises:
        TrainingError: a projector is not one linear map, or the shared tokens are fewer than a width.
    """
    # Only the processor has the driver that takes tokens which depend on each other.
    student, teacher = student_head[shared[:, 0]].cpu(), teacher_head[shared[:, 1]].cpu()
    widest = max(student.shape[1], teacher.shape[1])
    if len(shared) < widest:
        expected = f"at least {widest} shared tokens, the wider model's width"
        raise TrainingError(Problem("vocabularies", expected, str(len(shared)), "Start these projectors at random."))
    both = {T2S: (student, teacher), S2T: (teacher, student)}
    for name in (name for name in both if name in projectors.structures):
        (own, other), projector = both[name], projectors[name]
        if projector.structure != STRUCTURES[name]:
            remedy = "Start this projector at random."
            raise TrainingError(Problem(name, STRUCTURES[name], projector.structure, remedy))
        with torch.no_grad():
            solved = torch.linalg.lstsq(own.double(), other.double(), driver="gelsd").solution
            projector.tensors["0.weight"].copy_(solved)
            projector.tensors["0.bias"].zero_()
