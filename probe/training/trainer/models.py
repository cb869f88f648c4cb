"""The two models of a run, loaded and checked; the teacher's caches; projectors and where they start."""

from typing import Any

import torch

from probe.training.criteria.views import plain_head
from probe.training.model_files import directory_of
from probe.training.recipe import StudentPart


def load_student(part: StudentPart) -> Any:
    """The student in float32, with gradients for what is trained.

    Raises:
        TrainingError: its logits are not states times weights.
    """
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(directory_of(part.source), dtype=torch.float32)
    plain_head(model)
    match part.train:
        case "all":
            return model.train()
        case "nothing":
            return model.requires_grad_(False)
        case "body":
            for module in (model.get_input_embeddings(), model.get_output_embeddings()):
                module.requires_grad_(False)
            return model.train()
        case "lora":
            from peft import LoraConfig, get_peft_model
            from transformers.pytorch_utils import Conv1D

            lora = part.lora
            config = LoraConfig(
                task_type="CAUSAL_LM",
                # GPT-2 keeps the weights of its layers transposed.
                fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=lora.targets,
            )
            return get_peft_model(model, config).train()
