"""The teacher of a run: loaded, frozen, and told apart from others by a digest of its weights."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from probe.errors import Problem, TrainingError
from probe.models.sources import cache_dir
from probe.output.files import check_directory
from probe.training.criteria.views import (
    Positions,
    View,
    at_least_float32,
    embed,
    frozen_view,
    plain_head,
)
from probe.training.examples import Cut
from probe.training.model_files import directory_of, running_device, weights_digest
from probe.training.recipe import Recipe
from probe.training.teacher.states import TeacherStates, teacher_expectations, teacher_states, token_digest


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
            return frozen_view(self.model, positions)._replace(head=self.head)
        tokens = embed(self.embeddings, positions)
        return View(tokens, at_least_float32(states), self.head)

    def to(self, device: torch.device) -> "Teacher":
        """The same on a device. A model that accelerate has spread over several stays where it is."""
        # A tied head is the weight of the embedding module, and moves with it.
        tied = self.head.data_ptr() == self.embeddings.weight.data_ptr()
        model = self.model
        if model is not None and len(set(getattr(model, "hf_device_map", {}).values())) < 2:
            model = model.to(device)
        embeddings = self.embeddings.to(device)
        return Teacher(embeddings, embeddings.weight if tied else self.head.to(device), model)


SAMPLED = 64
"""Values of each weight that tell one teacher from another."""


def load_teacher(recipe: Recipe) -> Any:
    """The teacher, adapters merged, without gradients.

    Raises:
        TrainingError: none is named, or its logits are not states times weights.
    """
    from transformers import AutoModelForCausalLM

    part = recipe.teacher
    options: dict[str, Any] = {} if part.device_map is None else {"device_map": part.device_map}
    dtype = getattr(torch, part.precision or recipe.training.precision)
    model: Any = AutoModelForCausalLM.from_pretrained(
        directory_of(teacher_source(recipe)), dtype=dtype, trust_remote_code=False, **options
    )
    if part.device_map is None:
        model = model.to(running_device())
    if part.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(directory_of(part.adapter))).merge_and_unload()
    plain_head(model)
    return model.eval().requires_grad_(False)


def teacher_source(recipe: Recipe) -> str:
    """Where the teacher lies.

    Raises:
        TrainingError: the recipe names none.
    """
    if recipe.teacher.source is None:
        where = f"method {recipe.objective.method}"
        raise TrainingError(Problem(where, "a teacher", "none", "Set teacher.source."))
    return recipe.teacher.source


class Frozen(NamedTuple):
    """The teacher, and what is cached of it."""

    teacher: Teacher
    states: TeacherStates | None
    expected: TeacherStates | None


def freeze_teacher(recipe: Recipe, cut: Cut) -> Frozen:
    """Load the teacher; run it over the corpus once, unless it is to run at every step.

    Raises:
        TrainingError: a cache belongs to another teacher or to other data.
    """
    model = load_teacher(recipe)
    head = model.get_output_embeddings().weight.detach()
    if recipe.teacher.head != "auto":
        head = head.to(getattr(torch, recipe.teacher.head))
    embeddings = model.get_input_embeddings()
    # In reference mode the padded length is part of the teacher's states.
    if not recipe.teacher.cached or recipe.objective.reference:
        return Frozen(Teacher(embeddings, head, model), None, None)
    identity = weights_digest(model.named_parameters(), SAMPLED, with_precision=True)
    folder = cache_dir() / "states" / token_digest(cut.train)[:16]
    check_directory(folder, remedy="Set PROBE_CACHE to another directory.")
    stem = identity[:16]
    states = teacher_states(model.get_decoder(), identity, cut.train, folder / f"{stem}.npy")
    expected = None
    in_teacher_space = recipe.objective.needs.expectations and not recipe.objective.only_projectors
    if recipe.teacher.expectations and in_teacher_space:
        temperature, rounded = recipe.objective.temperature, ""
        if head.dtype != embeddings.weight.dtype:
            rounded = f"-{recipe.teacher.head}"
        path = folder / f"{stem}-expected-{temperature:g}{rounded}.npy"
        expected = teacher_expectations(states, head, temperature, identity + rounded, path)
    return Frozen(Teacher(embeddings, head), states, expected)
