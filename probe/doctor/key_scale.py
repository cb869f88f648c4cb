"""What the keys were divided by: simulated where a run stored nothing, measured where it exported alignments."""

import math
from collections.abc import Mapping, Sequence

from probe.adopt import PROMPT
from probe.align_jsonl import Alignment
from probe.doctor.findings import STUDENT, TEACHER, Notes, Request, Verdict
from probe.doctor.fit import GOOD_FIT, KeyScaleFit, fit_key_scale
from probe.key_scale import Batches, simulated_key_scale
from probe.models import OpenModel
from probe.projectors import Projector

# Half a unit in the last place of bfloat16 is up to this share of a weight.
_ROUNDING = 2**-8
_SCALE_TOLERANCE = 0.05


def examine_key_scale(teacher: OpenModel | None, batches: Batches, request: Request, notes: Notes) -> None:
    """Note the key scale of a run of DSKD's, which stores none."""
    texts = request.texts
    facts = ["none is stored: the run divided each padded batch by its own standard deviation"]
    if teacher is not None:
        sentence = PROMPT.partition("\n")[0]
        scale = notes.attempt("key scale", lambda: simulated_key_scale(teacher, texts or [sentence], batches))
        of = f"{len(texts)} texts" if texts else "the prompt's sentence, for want of texts (--pairs)"
        facts += [f"{scale:.4g} over simulated batches of {of}"] if scale is not None else []
    remedy = "Probing simulates it with the texts of --pairs, unless --key-scale says it."
    # The released analysis writes its file there, and one alone for all epochs.
    exported = notes.directory.parent / "align.jsonl"
    if request.align is None:
        remedy += f" Here, --align {exported if exported.is_file() else 'FILE'} measures it."
    notes.add("key scale", Verdict.UNVERIFIED, *facts, remedy=remedy)


def examine_alignment(
    lines: Sequence[Alignment],
    query: Projector | None,
    models: Mapping[str, OpenModel],
    notes: Notes,
    known: float | None = None,
) -> KeyScaleFit | None:
    """Measure what the keys were divided by; `known` is what the checkpoint says of that."""
    if not lines:
        return None
    if query is None or len(models) < 2:
        needs = ["a query projector"] * (query is None) + [role for role in (STUDENT, TEACHER) if role not in models]
        fact = f"not compared: that needs {' and '.join(needs)}"
        notes.add("alignment", Verdict.UNVERIFIED, fact, remedy="Mend what stands above first.")
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
        facts.append(f"{fit.zeros:.0%} of the weights are zero, as where chunks mask them (CLA)")
    verdict, remedy = Verdict.OK, ""
    if fit.is_good:
        facts.append("these weights are of these models and projectors")
        if known is None:
            remedy = f"Probe with --key-scale {scale}."
        elif not math.isclose(known * fit.slope, 1, abs_tol=_SCALE_TOLERANCE):
            facts.append(f"the checkpoint says key scale {known:.4g}")
            verdict = Verdict.UNVERIFIED
            remedy = "Were the weights exported with the standard deviation of their own batch?"
    elif fit.r_squared < GOOD_FIT and fit.residual < _ROUNDING:
        facts.append("the weights of a row hardly differ: what the line leaves is no more than rounding")
        verdict, remedy = Verdict.UNVERIFIED, "Uniform attention tells neither scale nor models."
    else:
        facts.append("a poor fit: these weights come from something else")
        verdict = Verdict.PROBLEM
        remedy = "Another teacher or epoch, masked attention (CLA), or no attention at all (CLP)? Compare the runs."
    notes.add("alignment", verdict, *facts, remedy=remedy)
