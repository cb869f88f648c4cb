"""The key scale: estimated if a run stored none, measured if it exported alignments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from probe.attention import attention_logits, bigrams
from probe.checkpoints.doctor.findings import STUDENT, TEACHER, Notes, Request, Verdict
from probe.checkpoints.dskd import PROMPT
from probe.checkpoints.key_scale import Batches, simulated_key_scale
from probe.checkpoints.open_model import OpenModel
from probe.errors import MapError, Problem
from probe.exchange.align_jsonl import Alignment, read_alignments
from probe.projectors import Projector

_MOST_LINES = 100  # far more than one number needs


def read_lines(align: Path | None, notes: Notes) -> Sequence[Alignment]:
    """The alignments that the user named, if any."""
    return () if align is None else notes.attempt("alignment", lambda: read_alignments(align, _MOST_LINES)) or ()


GOOD_FIT = 0.9
"""The least R² for which the weights belong to these projectors and tables."""

# Below this, float16 keeps at most four bits of a weight. Bfloat16 keeps its eight down to 1e-38.
_NOISE_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class KeyScaleFit:
    """A regression of the logarithms of exported weights on the logits for a key scale of 1.

    Within a row, differences of log weights are differences of these logits divided by the key scale, because the
    denominator of the softmax cancels.
    """

    slope: float
    r_squared: float
    residual: float
    """Root mean square of the residuals of the logarithms, which is about the relative error of a weight."""
    pairs: int
    """Number of independent differences between weights of one row."""
    lines: int
    zeros: float
    """Share of the weights that are exactly zero, such as masked ones."""

    @property
    def key_scale(self) -> float | None:
        """The number that keys were divided by; None if larger logits do not go with larger weights."""
        return 1 / self.slope if self.slope > 0 else None

    @property
    def is_good(self) -> bool:
        """Whether the weights come from these projectors and tables."""
        return self.slope > 0 and self.r_squared >= GOOD_FIT


def fit_key_scale(lines: Sequence[Alignment], query: Projector, student: OpenModel, teacher: OpenModel) -> KeyScaleFit:
    """Measure the key scale of exported weights. It is the inverse of the slope of their logarithms.

    Raises:
        CheckpointError: a token is not in a model's vocabulary.
        MapError: no row has two weights to compare.
    """
    sums, pairs, zero, cells = np.zeros(3), 0, 0, 0
    for line in lines:
        logits = attention_logits(
            query, _input_bigrams(student, line.student), _input_bigrams(teacher, line.teacher), key_scale=1.0
        ).astype(np.float64)
        # This is also False for NaN.
        kept = line.weights > _NOISE_FLOOR
        logs = np.log(line.weights, where=kept, out=np.zeros_like(line.weights))
        x, y = _within_rows(logits, kept), _within_rows(logs, kept)
        sums += np.array([(x * x).sum(), (x * y).sum(), (y * y).sum()])
        pairs += int(np.maximum(kept.sum(axis=1) - 1, 0).sum())
        zero += int((line.weights == 0).sum())
        cells += line.weights.size
    if not pairs or not sums[0]:
        got = f"{zero} zeros among {cells} weights" if not pairs else "equal logits for all weights"
        remedy = "The attention is too sharp, or its mask too narrow, to measure the key scale."
        raise MapError(Problem("alignment", f"a row with two weights above {_NOISE_FLOOR:g}", got, remedy))
    slope = float(sums[1] / sums[0])
    left = max(float(sums[2] - slope * sums[1]), 0.0)
    r_squared = 1 - left / float(sums[2]) if sums[2] else 0.0
    return KeyScaleFit(slope, r_squared, math.sqrt(left / pairs), pairs, len(lines), zero / cells)


def _input_bigrams(model: OpenModel, tokens: Sequence[str]) -> Float[np.ndarray, "tokens two_widths"]:
    rows = model.table.take(np.array([*model.tokenizer.ids(tokens), model.eos_id], dtype=np.int64))
    return bigrams(rows[:-1], rows[1:])


def _within_rows(
    values: Float[np.ndarray, "student teacher"], kept: Bool[np.ndarray, "student teacher"]
) -> Float[np.ndarray, "student teacher"]:
    """Differences from the mean of the row, over the kept cells; 0 elsewhere."""
    means = np.where(kept, values, 0).sum(axis=1, keepdims=True) / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    return np.where(kept, values - means, 0)


# Rounding to bfloat16 changes a weight by at most this share.
_ROUNDING = 2**-8
_SCALE_TOLERANCE = 0.05


def examine_key_scale(teacher: OpenModel | None, batches: Batches, request: Request, notes: Notes) -> None:
    """Note the key scale of a run of DSKD, which stores none."""
    texts = request.texts
    facts = ["none is stored, because the run divided the keys of each batch by their standard deviation"]
    if teacher is not None:
        sentence = PROMPT.partition("\n")[0]
        scale = notes.attempt("key scale", lambda: simulated_key_scale(teacher, texts or [sentence], batches))
        of = f"{len(texts)} sentences" if texts else "one sentence of the prompt (use --pairs for better ones)"
        facts += [f"estimate: {scale:.4g}, from simulated batches of {of}"] if scale is not None else []
    remedy = "Probing estimates it from the sentences of --pairs, or takes it from --key-scale."
    # The released analysis script writes one file here for all epochs.
    exported = notes.directory.parent / "align.jsonl"
    if request.align is None:
        remedy += f" Use --align {exported if exported.is_file() else 'FILE'} here to measure it."
    notes.add("key scale", Verdict.UNVERIFIED, *facts, remedy=remedy)


def examine_alignment(
    lines: Sequence[Alignment],
    query: Projector | None,
    models: Mapping[str, OpenModel],
    notes: Notes,
    known: float | None = None,
) -> KeyScaleFit | None:
    """Measure the key scale; `known` is the one that the checkpoint stores."""
    if not lines:
        return None
    if query is None or len(models) < 2:
        needs = ["a query projector"] * (query is None) + [role for role in (STUDENT, TEACHER) if role not in models]
        fact = f"not compared, because {' and '.join(needs)} is missing"
        notes.add("alignment", Verdict.UNVERIFIED, fact, remedy="Solve the problems above first.")
        return None
    fit = notes.attempt("alignment", lambda: fit_key_scale(lines, query, models[STUDENT], models[TEACHER]))
    if fit is not None:
        _note_fit(fit, known, notes)
    return fit


def _note_fit(fit: KeyScaleFit, known: float | None, notes: Notes) -> None:
    scale = "none" if fit.key_scale is None else f"{fit.key_scale:.4g}"
    facts = [
        f"slope {fit.slope:.4g}, so key scale {scale}; R² {fit.r_squared:.4f}",
        f"{fit.pairs} pairs of weights in {fit.lines} {'line' if fit.lines == 1 else 'lines'}",
    ]
    if fit.zeros > 0.5:
        facts.append(f"{fit.zeros:.0%} of the weights are zero, as with the chunk mask of CLA")
    verdict, remedy = Verdict.OK, ""
    if fit.is_good:
        facts.append("these weights belong to these models and projectors")
        if known is None:
            remedy = f"Probe with --key-scale {scale}."
        elif not math.isclose(known * fit.slope, 1, abs_tol=_SCALE_TOLERANCE):
            facts.append(f"but the checkpoint stores the key scale {known:.4g}")
            verdict = Verdict.UNVERIFIED
            remedy = "Were the weights exported with the standard deviation of their own batch?"
    elif fit.r_squared < GOOD_FIT and fit.residual < _ROUNDING:
        facts.append("the weights of a row hardly differ, so only rounding errors are left")
        verdict, remedy = Verdict.UNVERIFIED, "Nothing can be measured from uniform attention."
    else:
        facts.append("a poor fit: these weights come from another model, epoch or method")
        verdict = Verdict.PROBLEM
        remedy = "Check the teacher, the epoch and the method: CLA masks the attention, and CLP has none."
    notes.add("alignment", verdict, *facts, remedy=remedy)
