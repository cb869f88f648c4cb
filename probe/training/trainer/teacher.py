"""The frozen teacher of a run: run at every step, or replaced by what was cached of it."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from probe.training.criteria.views import Positions, View, at_least_float32, embed, frozen_view


@dataclass(frozen=True)
class Teacher:
    """Embeddings and head of a teacher, and the model itself if it runs at every step."""

    embeddings: Any
    """The embedding module, whose weights may be the head's."""
    head: Float[Tensor, "vocabulary width"]
    model: Any | None = None

    def view(self, positions: Positions, states: Float[Tensor, "batch positions width"] | None) -> View:
        """The teacher's side of a batch; ``states`` are the cached ones."""
        if states is None:
            return frozen_view(self.model, positions)
        tokens = embed(self.embeddings, positions)
        return View(tokens, at_least_float32(states), self.head)

    def to(self, device: torch.device) -> "Teacher":
        """The same on a device. A model that accelerate has spread over several stays where it is."""
        model = self.model
        if model is not None and getattr(model, "hf_device_map", None) is None:
            model = model.to(device)
        # A tied head is the weight of the embedding module, and moves with it.
        tied = self.head.data_ptr() == self.embeddings.weight.data_ptr()
        embeddings = self.embeddings.to(device)
        return Teacher(embeddings, embeddings.weight if tied else self.head.to(device), model)
