"""Projectors: their structures as in the checkpoints of DSKD, and one pure function that applies them.

A structure such as ``"2s-2t"`` or ``"t-2t-relu-s"`` lists widths: ``s`` is the width of the student, ``t`` that of the
teacher. Between two widths is a linear map, and ``relu`` is a rectifier. Tensors are named by the position of their
layer: ``t-2t-relu-s`` has ``0.weight``, ``0.bias``, ``2.weight`` and ``2.bias``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from probe.arrays import Array, array_namespace
from probe.errors import Problem, ProjectorError

QUERY, T2S, S2T = "query", "t2s", "s2t"
"""Names of the three projectors in checkpoints."""

STRUCTURES = {QUERY: "2s-2t", T2S: "t-s", S2T: "s-t"}
"""The published structure of each projector."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear map at position ``index`` of the sequence."""

    index: int
    width_in: int
    width_out: int


@dataclass(frozen=True, slots=True)
class Relu:
    """A rectifier at position ``index`` of the sequence."""

    index: int


Layer = Linear | Relu


def parse_structure(structure: str, *, student: int, teacher: int) -> tuple[Layer, ...]:
    """The layers of a structure for two model widths; a single width is the identity and has no layers.

    Raises:
        ProjectorError: an item is neither ``relu`` nor a multiple of ``s`` or ``t``, or a relu is at the wrong place.
    """
    items = structure.split("-")
    widths = [_width(item, structure, student=student, teacher=teacher) for item in items]
    if widths[0] is None or widths[-1] is None:
        raise ProjectorError(
            Problem(
                f"structure {structure!r}",
                "a width at both ends",
                f"{items[0]!r} … {items[-1]!r}",
                "Begin and end with a multiple of s or t, as in t-2t-relu-s.",
            )
        )
    layers: list[Layer] = []
    last = widths[0]
    for before, width in pairwise(widths):
        if width is None:
            if before is None:
                raise ProjectorError(
                    Problem(
                        f"structure {structure!r}",
                        "a width after each relu",
                        "two relus in a row",
                        "Remove one of them.",
                    )
                )
            # In `t-relu-s` the relu acts on the input itself; in `t-2t-relu-s` on the map to 2t.
            layers.append(Relu(len(layers)))
        else:
            layers.append(Linear(len(layers), last, width))
            last = width
    return tuple(layers)


def _width(item: str, structure: str, *, student: int, teacher: int) -> int | None:
    if item == "relu":
        return None
    match = re.fullmatch(r"([1-9][0-9]*)?([st])", item)
    if match is None:
        raise ProjectorError(
            Problem(
                f"structure {structure!r}",
                "items such as s, 2s, t, 3t or relu, joined by '-'",
                repr(item),
                "Write widths as multiples of s (student) and t (teacher).",
            )
        )
    return int(match[1] or 1) * (student if match[2] == "s" else teacher)


@dataclass(frozen=True)
class Projector:
    """A trained projector: its layers and their tensors, numpy or torch. Build with `Projector.load`."""

    structure: str
    layers: tuple[Layer, ...]
    tensors: Mapping[str, Array]

    @classmethod
    def load(
        cls, structure: str, tensors: Mapping[str, Array], *, student: int, teacher: int, where: str
    ) -> "Projector":
        """Check every tensor against the structure; ``where`` names the file, for messages.

        Raises:
            ProjectorError: a tensor is missing, unexpected, or has another shape.
        """
        layers = parse_structure(structure, student=student, teacher=teacher)
        expected = tensor_shapes(layers)
        problems: list[Problem] = []
        for key in sorted(expected.keys() | tensors.keys()):
            shape = tuple(tensors[key].shape) if key in tensors else None
            if expected.get(key) != shape:
                problems.append(_mismatch(f"{where}.{key}", structure, expected.get(key), shape))
        if problems:
            raise ProjectorError(*problems)
        return cls(structure, layers, dict(tensors))


def tensor_shapes(layers: tuple[Layer, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that the layers need, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        if isinstance(layer, Linear):
            shapes[f"{layer.index}.weight"] = (layer.width_out, layer.width_in)
            shapes[f"{layer.index}.bias"] = (layer.width_out,)
    return shapes


def _mismatch(where: str, structure: str, expected: tuple[int, ...] | None, got: tuple[int, ...] | None) -> Problem:
    if got == (0,) and expected is not None:
        return Problem(
            where,
            f"shape {expected}",
            "an empty tensor of shape (0,), which DeepSpeed ZeRO-3 saves if the weights are not gathered",
            "Convert the run with DeepSpeed's zero_to_fp32.py, or save projectors inside GatheredParameters.",
        )
    return Problem(
        where,
        f"shape {expected}" if expected is not None else f"no such tensor in a {structure} projector",
        f"shape {got}" if got is not None else "no tensor",
        "Use the structure and the two models with which the projectors were trained.",
    )


def project(projector: Projector, x: Float[Array, "*batch width_in"]) -> Float[Array, "*batch width_out"]:
    """Apply a projector to the last axis of ``x``; numpy in, numpy out; torch in, torch out, with gradients."""
    xp = array_namespace(x)
    for layer in projector.layers:
        if isinstance(layer, Relu):
            x = xp.maximum(x, xp.zeros_like(x))
        else:
            x = x @ projector.tensors[f"{layer.index}.weight"].T + projector.tensors[f"{layer.index}.bias"]
    return x


def initial_tensors(layers: tuple[Layer, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Untrained tensors, uniform within ±1/sqrt(width_in) as ``torch.nn.Linear`` draws them."""
    tensors: dict[str, np.ndarray] = {}
    for layer in layers:
        if isinstance(layer, Linear):
            bound = layer.width_in**-0.5
            shapes = {"weight": (layer.width_out, layer.width_in), "bias": (layer.width_out,)}
            for name, shape in shapes.items():
                tensors[f"{layer.index}.{name}"] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return tensors
