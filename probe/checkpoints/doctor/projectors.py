"""The projectors: their shapes, the widths these tell, whether every value is finite, and whether W_q was trained."""

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
from probe.checkpoints.dskd import ARGUMENTS, CONFIG, PROJECTORS
from probe.projectors import QUERY, Linear, Projector, parse_structure


@dataclass(frozen=True, slots=True)
class Stored:
    """Projectors as a file has them, before anything is known of the models."""

    tensors: Mapping[str, np.ndarray]
    structures: Mapping[str, str]
    dtypes: str

    def width(self, role: str) -> int | None:
        """A model's width by the shapes of the tensors; None where they are empty or contradict each other."""
        units = {STUDENT: int(role == STUDENT), TEACHER: int(role == TEACHER)}
        found: set[float] = set()
        for name, structure in self.structures.items():
            # With the other model's width at 0 and this one's at 1, a layer's widths are multiples.
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
    """The projectors of an epoch of DSKD's."""
    file = epoch / PROJECTORS
    if not file.is_file():
        remedy = "Name the epoch that holds it. A run without projectors has no attention to probe."
        notes.add("projectors", Verdict.PROBLEM, f"no {PROJECTORS}", remedy=remedy)
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
    """Types of the stored tensors, in a file that was read before."""
    import torch

    tensors = torch.load(file, map_location="cpu", weights_only=True)
    return " and ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))


def examine_projectors(stored: Stored, widths: Mapping[str, int | None], notes: Notes) -> Mapping[str, Projector]:
    """Projectors that fit models of these widths; none where something is wrong with them."""
    if QUERY not in stored.structures:
        fact, remedy = f"projectors {', '.join(stored.structures)} alone", "There is no attention to probe."
        notes.add("query", Verdict.PROBLEM, fact, remedy=remedy)
    student, teacher = widths[STUDENT], widths[TEACHER]
    if student is not None and teacher is not None:
        grouped = notes.attempt(
            "projectors", lambda: group_projectors(stored.tensors, stored.structures, student, teacher, PROJECTORS)
        )
        return grouped if grouped is not None and examine_values(stored, notes) else {}
    empty = sorted(key for key, value in stored.tensors.items() if value.shape == (0,))
    if empty:
        fact = f"empty tensors, as DeepSpeed ZeRO-3 leaves behind when nobody gathers them: {', '.join(empty)}"
        remedy = "Convert the run with DeepSpeed's zero_to_fp32.py, or save projectors inside GatheredParameters."
    else:
        fact, remedy = "their shapes do not tell the widths of both models", f"Copy the run's own {CONFIG} beside them."
    notes.add("projectors", Verdict.PROBLEM, *stored.shape_facts(), fact, remedy=remedy)
    return {}


def examine_values(stored: Stored, notes: Notes) -> bool:
    """Whether every value is finite."""
    bad = [key for key, value in stored.tensors.items() if not np.isfinite(value).all()]
    if bad:
        fact, remedy = f"NaN or infinite values in {', '.join(bad)}", "Training diverged: take an earlier checkpoint."
        notes.add("projectors", Verdict.PROBLEM, *stored.shape_facts(), fact, remedy=remedy)
    else:
        fact = f"stored as {stored.dtypes}; every value is finite"
        notes.add("projectors", Verdict.OK, *stored.shape_facts(), fact)
    return not bad


def examine_query(trains: bool | None, query: Projector | None, notes: Notes) -> None:
    """Whether W_q was trained: by the criterion, and by the spread of its weights."""
    if query is None:
        return
    with np.errstate(invalid="ignore"):  # all zeros
        ratio = weight_kurtosis(query)
    spread, remedy = ratio >= TRAINED_KURTOSIS, ""
    if trains is False:
        verdict, said = Verdict.PROBLEM, "not trained, by the criterion"
        remedy = "A random query aligns nothing; probing refuses it."
    elif trains is None and not spread:
        verdict, said = Verdict.PROBLEM, "not trained, by the weights alone"
        remedy = f"If the run did train it, name its criterion in {ARGUMENTS}."
    elif trains is None:
        verdict, said = Verdict.UNVERIFIED, "trained, by the weights alone"
    elif spread:
        verdict, said = Verdict.OK, "trained, by the criterion and the weights"
    else:
        verdict, said = Verdict.UNVERIFIED, "the criterion trains it, yet the weights are spread as at the beginning"
        remedy = "Is this an early epoch? Compare with a later one."
    meaning = f"{UNIFORM_KURTOSIS} as initialised (uniform), above {TRAINED_KURTOSIS} trained"
    notes.add("query", verdict, said, f"E[w⁴]/E[w²]² of W_q is {ratio:.2f}: {meaning}", remedy=remedy)
