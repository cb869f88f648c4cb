"""The stored numbers, and the models and inputs that they were computed on."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from probe.aligners.time_warping import one_to_one
from probe.errors import Problem, TrainingError
from probe.training.criteria.links import warped_links
from probe.training.criteria.published import published_chunks
from probe.training.criteria.views import Positions, padded_positions

LEFT_OUT = "min_edit_dis_kld(as released, fp32 alias)"


class RunName(NamedTuple):
    """A run of the golden numbers: criterion with variant, and divergence."""

    run: str
    objective: str


@dataclass(frozen=True)
class Golden:
    """The stored numbers, weights and inputs."""

    numbers: dict[str, Any]
    given: dict[str, Tensor]
    """Weights and inputs."""
    expected: dict[str, Tensor]

    @classmethod
    def load(cls, directory: Path) -> "Golden":
        """Read the three files.

        Raises:
            TrainingError: one of them is missing.
        """
        from safetensors.torch import load_file

        names = ("golden.json", "model_and_inputs.safetensors", "golden_alignments.safetensors")
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            got, remedy = f"no {', '.join(missing)}", "Run in a checkout of the project, or name the directory."
            raise TrainingError(Problem(str(directory), "golden numbers", got, remedy))
        numbers = json.loads((directory / names[0]).read_text(encoding="utf-8"))
        return cls(numbers, load_file(directory / names[1]), load_file(directory / names[2]))

    @property
    def runs(self) -> list[RunName]:
        """All runs but the one that is left out."""
        runs: dict[str, dict[str, Any]] = self.numbers["runs"]
        return [RunName(run, objective) for run, each in runs.items() if run != LEFT_OUT for objective in each]

    def entry(self, name: RunName) -> dict[str, Any]:
        """What is stored of a run."""
        return self.numbers["runs"][name.run][name.objective]

    def weights(self, prefix: str) -> dict[str, Tensor]:
        """Tensors under a prefix, without it."""
        return {key.removeprefix(prefix): value for key, value in self.given.items() if key.startswith(prefix)}

    @cached_property
    def teachers(self) -> dict[str, nn.Module]:
        """The two teachers, by what their inputs are called."""
        return {"qwen": self._model("teacher"), "gpt2": self._model("teacher_same_vocab")}

    def student(self) -> nn.Module:
        """A fresh student, for its gradients are to be looked at."""
        return self._model("student").requires_grad_(True)

    def _model(self, which: str) -> nn.Module:
        from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

        options = self.numbers["configs"][which]
        is_qwen = "hidden_size" in options
        model: Any = Qwen2ForCausalLM(Qwen2Config(**options)) if is_qwen else GPT2LMHeadModel(GPT2Config(**options))
        model.load_state_dict(self.weights(f"{which}."), strict=False)
        return model.eval().requires_grad_(False)

    def positions(self, case: str, prefix: str = "") -> Positions:
        """One side's padded batch."""
        inputs = self.weights(f"inputs.{case}.{prefix}")
        return padded_positions(
            inputs["input_ids"], inputs["attention_mask"].long(), inputs["label"], inputs.get("position_ids")
        )


WORD_START = "\u0120"


def chunk_mask(golden: Golden, case: str) -> Bool[Tensor, "batch student teacher"]:
    """The published chunks of a batch, from where its input tokens end."""
    ends = golden.given[f"inputs.{case}.offsets"], golden.given[f"inputs.{case}.teacher_qwen_offsets"]
    pairs = zip(*(side.tolist() for side in ends), strict=True)
    return torch.from_numpy(np.stack([published_chunks(*pair).mask for pair in pairs]))


def mined_links(golden: Golden, student: Positions, teacher: Positions) -> Bool[Tensor, "batch student teacher"]:
    """The links of time warping, with tokens paired by the strings that the numbers keep."""
    strings = [golden.numbers["min_edit"][f"{side}_tokens"] for side in ("student", "teacher")]
    vocabulary_map = golden.given["inputs.tea2stu_id_mapping"].numpy()
    links = torch.zeros((len(student.ids), student.ids.shape[1], teacher.ids.shape[1]), dtype=torch.bool)
    for row in range(len(links)):
        places = [side.mask[row].nonzero()[:, 0] for side in (student, teacher)]
        ids = [side.inputs[row][place].numpy() for side, place in zip((student, teacher), places, strict=True)]
        texts = [[side[i].replace(WORD_START, "") for i in part] for side, part in zip(strings, ids, strict=True)]
        partner = one_to_one(texts[1], texts[0])
        linked = torch.from_numpy(warped_links(partner, ids[0], ids[1], vocabulary_map))
        links[row, places[0][:, None], places[1][None, :]] = linked
    return links
