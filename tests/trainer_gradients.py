"""Run the recipes of a list and write, of each, all gradients just before the first optimizer step.

The list is a JSON file of ``[recipe, directory of the run, file to write]``. Started alone or by ``accelerate launch``.
The critics' own dropout has no key in a recipe; it is set to 0 here.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

from probe.cli.train import main

RANK, PROCESSES = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))


def without_dropout(module: torch.nn.Module, _: Any) -> None:
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0


def gradient_of(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])


def run(recipe: str, out: str, file: Path) -> int:
    def write(optimizer: Any, *_: Any) -> None:
        # Each process has the same mean of gradients; one of them writes.
        if RANK == 0 and not file.exists():
            torch.save({"gradient": gradient_of(optimizer), "processes": PROCESSES}, file)

    handle = register_optimizer_step_pre_hook(write)
    try:
        return main([recipe, "--out", out])
    finally:
        handle.remove()


if __name__ == "__main__":
    torch.set_num_threads(1)
    register_module_forward_pre_hook(without_dropout)
    for recipe, out, file in json.loads(Path(sys.argv[1]).read_text()):
        code = run(recipe, out, Path(file))
        if code:
            sys.exit(code)
