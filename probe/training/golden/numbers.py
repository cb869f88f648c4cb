"""The stored numbers, and the models and inputs that they were computed on."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from probe.errors import Problem, TrainingError
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
