"""In which precision logits are multiplied with a frozen teacher's head, where the recipe leaves it open.

Sums and softmax stay in float32 either way. A run keeps what it began with, on another machine too.
"""

import time
from typing import NamedTuple

import torch

from probe.models.embeddings import open_table
from probe.training.model_files import directory_of, running_device
from probe.training.recipe import Recipe
from probe.training.teacher.teacher import teacher_source

LARGE = 1 << 24
"""Numbers of a head from which on its products are worth a rounding: 64 MB in float32."""
WORTH = 1.2
"""How many times as fast bfloat16 has to be."""
SIZES = (64, 512, 4096)
"""Of the product that is timed, rows, width and vocabulary: milliseconds where bfloat16 is native."""
TIMES = 5


class Settled(NamedTuple):
    """The recipe with its choice written out, and what the run should say about it."""

    recipe: Recipe
    note: str | None


def settle_head(recipe: Recipe, stored: Recipe | None) -> Settled:
    """Choose for ``teacher.head = "auto"``: bfloat16 where this machine multiplies it faster and it is large.

    Args:
        recipe: one run.
        stored: what the run has written down already, if it began before.

    Raises:
        TrainingError: there is no such teacher.
        TableError: its embedding table cannot be read.
    """
    if recipe.teacher.head != "auto":
        return Settled(recipe, None)
    if stored is not None:
        return Settled(_with_head(recipe, stored.teacher.head), None)
    needs, precision = recipe.objective.needs, recipe.teacher.precision or recipe.training.precision
    multiplies = needs.expectations and not (recipe.objective.reference or recipe.objective.only_projectors)
    if not multiplies or precision != "float32":
        return Settled(recipe, None)
    table = open_table(directory_of(teacher_source(recipe)))
    if table.rows * table.width < LARGE:
        return Settled(recipe, None)
    speed = bfloat16_speed(running_device())
    chosen = "bfloat16" if speed > WORTH else "float32"
    times = f"bfloat16 is {speed:.1f} times as fast as float32 here; set teacher.head to choose"
    return Settled(_with_head(recipe, chosen), f"the teacher's head is multiplied in {chosen}: {times}")


def _with_head(recipe: Recipe, head: str) -> Recipe:
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"head": head})})


def bfloat16_speed(device: torch.device) -> float:
    """How many times as fast as in float32 a product is, of the best of a few; 0 where a GPU only emulates it."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return 0.0
    rows, width, vocabulary = SIZES
    seconds: list[float] = []
    for dtype in (torch.float32, torch.bfloat16):
        states = torch.ones((rows, width), dtype=dtype, device=device)
        head = torch.ones((vocabulary, width), dtype=dtype, device=device)
        seconds.append(min(_seconds(states, head) for _ in range(TIMES)))
    return seconds[0] / seconds[1]


def _seconds(states: torch.Tensor, head: torch.Tensor) -> float:
    began = time.perf_counter()
    (states @ head.T)[0, 0].item()  # which waits for a GPU
    return time.perf_counter() - began
