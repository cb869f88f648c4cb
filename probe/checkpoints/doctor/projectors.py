"""Examine the projectors: shapes, widths, whether all values are finite, and whether the query was trained."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probe.checkpoints.adopt import (
    TRAINED_KURTOSIS,
    UNIFORM_KURTOSIS,
    projector_structures,
    read_projector_file,
    weight_kurtosis,
)
from probe.checkpoints.checkpoint import group_projectors
from probe.checkpoints.doctor.findings import STUDENT, TEACHER, Notes, Verdict
from probe.checkpoints.dskd import ARGUMENTS, CONFIG, PROJECTORS, without_projectors
from probe.projectors import QUERY, Linear, Projector, parse_structure


@dataclass(frozen=True, slots=True)
class Stored:
    """Projectors as they are in a file, before anything is known about the models."""

    tensors: Mapping[str, np.ndarray]
    structures: Mapping[str, str]
    dtypes: str

    def width(self, role: str) -> int | None:
        """The width of a model, from the shapes of the tensors; None if they are empty or inconsistent."""
        units = {STUDENT: int(role == STUDENT), TEACHER: int(role == TEACHER)}
        found: set[float] = set()
        for name, structure in self.structures.items():
            # If the other model has width 0 and this one width 1, the widths of a layer are its multiples.
            for layer in parse_structure(structure, **units):
                weight = self.tensors.get(f"{name}.{layer.index}.weight")
                if isinstance(layer, Linear) and weight is not None and weight.ndim == 2:
                    multiples = zip(weight.shape, (layer.width_out, layer.width_in), strict=True)
                    found |= {size / multiple for size, multiple in multiples if multiple}
        return int(found.pop()) if len(found) == 1 else None

    def shape_facts(self) -> list[str]:
        """Structure and shapes of each projector."""
        facts: list[str] = []
        for name, structure in self.structures.items():
            weights = [v for key, v in self.tensors.items() if re.fullmatch(rf"{re.escape(name)}\.\d+\.weight", key)]
            shapes = ", ".join(" × ".join(map(str, value.shape)) for value in weights)
            facts.append(f"{name}: {structure}, {shapes or 'no weights'}")
        return facts


def read_projectors(epoch: Path, arguments: Mapping[str, Any], notes: Notes) -> Stored | None:
    """The projectors of an epoch of DSKD."""
    file = epoch / PROJECTORS
    if not file.is_file():
        what, remedy = without_projectors(epoch)
        notes.add(
            "projectors", Verdict.PROBLEM, f"no {PROJECTORS}: {what}", remedy=f"Name an epoch that has it. {remedy}"
        )
        return None
    tensors = notes.attempt("projectors", lambda: read_projector_file(file))
    if tensors is None:
        return None
    structures = notes.attempt("projectors", lambda: _checked_structures(epoch, arguments, tensors))
    return None if structures is None else Stored(tensors, structures, _torch_dtypes(file))


def _checked_structures(
    epoch: Path, arguments: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> Mapping[str, str]:
    structures = projector_structures(epoch, arguments, tensors)
    for structure in structures.values():
        parse_structure(structure, student=1, teacher=1)
    return structures


def _torch_dtypes(file: Path) -> str:
    """Types of the stored tensors of a file that was read before."""
    import torch

    tensors = torch.load(file, map_location="cpu", weights_only=True)
    return " and ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))


def examine_projectors(stored: Stored, widths: Mapping[str, int | None], notes: Notes) -> Mapping[str, Projector]:
    """The projectors, if they fit models of these widths; empty if something is wrong with them."""
    if QUERY not in stored.structures:
        fact, remedy = f"only projectors {', '.join(stored.structures)}", "There is no attention to probe."
        notes.add("query", Verdict.PROBLEM, fact, remedy=remedy)
    student, teacher = widths[STUDENT], widths[TEACHER]
    if student is not None and teacher is not None:
        grouped = notes.attempt(
            "projectors", lambda: group_projectors(stored.tensors, stored.structures, student, teacher, PROJECTORS)
        )
        if grouped is None:
            return {}
        note_values(stored, notes)
        return grouped
    empty = sorted(key for key, value in stored.tensors.items() if value.shape == (0,))
    if empty:
        fact = f"empty tensors, which DeepSpeed ZeRO-3 saves if weights are not gathered: {', '.join(empty)}"
        remedy = "Convert the run with DeepSpeed's zero_to_fp32.py, or save projectors inside GatheredParameters."
    else:
        fact = "the widths of both models do not follow from the shapes"
        remedy = f"Copy the {CONFIG} of the run into this directory."
    notes.add("projectors", Verdict.PROBLEM, *stored.shape_facts(), fact, remedy=remedy)
    return {}


def note_values(stored: Stored, notes: Notes) -> None:
    """Note shapes and types of projectors; their values were checked when they were read."""
    notes.add("projectors", Verdict.OK, *stored.shape_facts(), f"stored as {stored.dtypes}; every value is finite")


def examine_query(trains: bool | None, query: Projector | None, notes: Notes) -> None:
    """Note whether the query matrix was trained, according to the criterion and to the kurtosis of its weights."""
    if query is None:
        return
    with np.errstate(invalid="ignore"):  # all zeros
        ratio = weight_kurtosis(query)
    spread, remedy = ratio >= TRAINED_KURTOSIS, ""
    if trains is False:
        verdict, said = Verdict.PROBLEM, "not trained, according to the criterion"
        remedy = "Probing refuses an untrained query matrix."
    elif trains is None and not spread:
        verdict, said = Verdict.PROBLEM, "not trained, according to the weights"
        remedy = f"If the run trained it, write its criterion into {ARGUMENTS}."
    elif trains is None:
        verdict, said = Verdict.UNVERIFIED, "trained, according to the weights"
    elif spread:
        verdict, said = Verdict.OK, "trained, according to the criterion and the weights"
    else:
        verdict, said = Verdict.UNVERIFIED, "the criterion trains it, but the weights look untrained"
        remedy = "This may be an early epoch. Compare it with a later one."
    meaning = f"{UNIFORM_KURTOSIS} before training, above {TRAINED_KURTOSIS} after it"
    notes.add("query", verdict, said, f"the kurtosis of its weights is {ratio:.2f} ({meaning})", remedy=remedy)
