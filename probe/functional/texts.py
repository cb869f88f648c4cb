"""The frozen side of the probe: both models' states at the response positions of each text, computed once and cached.

A gold text is a response without an instruction. So the prompt is the checkpoint's with its fields left empty, which
is the same for all texts.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.checkpoints.open_model import OpenModel
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import Problem, TrainingError
from probe.models.sources import cache_dir
from probe.tokens import TokenizedText
from probe.training.criteria.views import Tokens
from probe.training.examples import Encoded
from probe.training.model_files import files_digest
from probe.training.teacher.states import TeacherStates, teacher_states, token_digest


@dataclass(frozen=True)
class Text:
    """One text at its response positions, end of sequence included, as batches of one."""

    student_targets: Int[Tensor, " student_targets"]
    teacher: Tokens
    teacher_states: Float[Tensor, "1 teacher_targets teacher_width"]
    student_states: Float[Tensor, "student_targets student_width"] | None
    """None where the student whose states they would be is not there."""

    def without_states(self) -> "Text":
        """The same with the teacher's hidden states gone from the values."""
        return Text(self.student_targets, self.teacher, torch.zeros_like(self.teacher_states), self.student_states)

    def without_targets(self) -> "Text":
        """The same with the target embeddings gone from the values."""
        nothing = self.teacher._replace(bigrams=torch.zeros_like(self.teacher.bigrams))
        return Text(self.student_targets, nothing, self.teacher_states, self.student_states)


def empty_prompt(prompt: str) -> str:
    """A prompt with its fields left empty."""
    return re.sub(r"\{\w*\}", "", prompt)


def encode(model: OpenModel, prompt: str, texts: Sequence[TokenizedText]) -> list[Encoded]:
    """Prompt, text and end of sequence in the ids of one model."""
    before = model.tokenizer.encode_prompt(empty_prompt(prompt))
    return [
        Encoded(np.array([*before, *model.tokenizer.ids(text.pieces), model.eos_id]), len(before)) for text in texts
    ]


class OnDemand:
    """A base model that is loaded when it is first run: where all states are cached, that is never."""

    def __init__(self, directory: Path, load: Callable[[], Any]) -> None:
        self._directory, self._load = directory, load

    @cached_property
    def _model(self) -> Any:
        return self._load().get_decoder()

    @cached_property
    def config(self) -> Any:
        """The model's configuration."""
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self._directory, trust_remote_code=False).get_text_config()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._model.device

    def __call__(self, **inputs: Any) -> Any:
        """Run the model."""
        return self._model(**inputs)


def cached_states(directory: Path, load: Callable[[], Any], examples: Sequence[Encoded]) -> TeacherStates:
    """States of a model after its final norm, at the response positions of all examples, from the cache if there.

    Args:
        directory: of the model; the bytes of its files are part of the cache's key.
        load: gives the causal language model, if it must run.
        examples: what to run it on.

    Raises:
        TrainingError: a text is longer than the model can read.
    """
    model = OnDemand(directory, load)
    longest = max(len(example.ids) for example in examples)
    room = getattr(model.config, "max_position_embeddings", longest)
    if longest > room:
        raise TrainingError(
            Problem(str(directory), f"at most {room} tokens of prompt and text", f"{longest}", "Leave out long rows.")
        )
    identity = files_digest(directory)
    folder = cache_dir() / "states" / token_digest(examples)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return teacher_states(model, identity, examples, folder / f"{identity[:16]}.npy")


def texts_of(
    open_: OpenCheckpoint,
    students: Sequence[TokenizedText],
    teachers: Sequence[TokenizedText],
    states: TeacherStates,
    student_states: TeacherStates | None,
) -> list[Text]:
    """Texts as the criteria see them: target ids, the teacher's embeddings from its table, states from the caches."""
    found: list[Text] = []
    for number, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
        which, distinct = open_.teacher.bigrams(teacher)
        own = None if student_states is None else torch.from_numpy(np.array(student_states.of(number)))
        found.append(
            Text(
                _targets(open_.student, student),
                Tokens(
                    torch.from_numpy(distinct[which])[None],
                    _targets(open_.teacher, teacher)[None],
                    torch.ones((1, len(which)), dtype=torch.bool),
                ),
                torch.from_numpy(np.array(states.of(number)))[None],
                own,
            )
        )
    return found


def _targets(model: OpenModel, text: TokenizedText) -> Int[Tensor, " targets"]:
    return torch.tensor([*model.tokenizer.ids(text.pieces), model.eos_id])
