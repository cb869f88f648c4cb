"""Projectors as trainable modules: torch holds the tensors, `probe.projectors.project` applies them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from probe.projectors import Layer, Projector, initial_tensors, parse_structure


class Projectors(nn.Module):
    """Trainable projectors by name, drawn from one seed."""

    def __init__(self, structures: Mapping[str, str], *, student: int, teacher: int, seed: int) -> None:
        super().__init__()
        self._structures = dict(structures)
        self._layers: dict[str, tuple[Layer, ...]] = {}
        rng = np.random.default_rng(seed)
        for name, structure in structures.items():
            self._layers[name] = parse_structure(structure, student=student, teacher=teacher)
            for key, value in initial_tensors(self._layers[name], rng).items():
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
