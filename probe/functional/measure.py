"""A checkpoint and gold rows → the losses under each attention."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from probe.alignment.fitting import Scorable
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import PairsError, Problem
from probe.functional.attentions import UNTRAINED_SEED, Method, all_methods, refitted_methods
from probe.functional.inputs import Inputs, Student, gather, open_student
from probe.functional.losses import over_teacher, s2t_divergences, t2s_states, token_losses
from probe.functional.refit import FitTexts, Refit, refit
from probe.functional.refit_texts import RefitTexts
from probe.functional.report import FITS, S2T_COUNTS, T2S_COUNTS, FitSettings, FunctionalReport
from probe.gold.rows import GoldRow
from probe.training.criteria.projectors import Projectors

Progress = Callable[[str], None]


def functional_probe(
    open_: OpenCheckpoint,
    found: Scorable,
    settings: FitSettings,
    progress: Progress,
    refit_on: RefitTexts | None = None,
) -> FunctionalReport:
    """The losses of a checkpoint under its own attention and under others, on annotated rows that fit it.

    Args:
        open_: the checkpoint.
        found: rows to judge on.
        settings: how t2s is refitted.
        progress: is told what goes on.
        refit_on: what t2s is refitted on for each attention; None to judge by the trained t2s alone.

    Raises:
        CheckpointError, TrainingError: a model, a projector or a scale is missing.
    """
    progress("states")
    rows, student = found.rows, open_student(open_)
    inputs, estimated = gather(open_, rows, student)
    methods, left_out = all_methods(open_, rows, inputs.texts)
    fits: Iterable[Refit] = ()
    if refit_on is not None:
        fits = refits(open_, refit_on.rows, inputs, student, settings, progress)
    t2s, s2t, seen = _losses(inputs, methods, fits, progress)
    return FunctionalReport(
        checkpoint=open_.checkpoint.name,
        pair=f"{open_.checkpoint.student.name} ← {open_.checkpoint.teacher.name}",
        scales=(inputs.scales.key, float(inputs.scales.hidden or 0), float(inputs.scales.target or 0)),
        estimated_scales=estimated,
        gold=found.source,
        gold_sha256=found.sha256,
        fit=settings,
        **_record(refit_on),
        untrained_seed=UNTRAINED_SEED,
        no_s2t=student.why_not,
        left_out=left_out,
        sentences=tuple(row.id for row in rows),
        methods=tuple(method.name for method in methods),
        t2s=t2s,
        s2t=s2t,
        seen=seen,
    )


def _record(refit_on: RefitTexts | None) -> dict[str, Any]:
    if refit_on is None:
        return {"refit_on": "", "refit_sha256": "", "refit_sentences": 0, "judged_sentences": 0}
    return {
        "refit_on": refit_on.path.name,
        "refit_sha256": refit_on.sha256,
        "refit_sentences": len(refit_on.rows),
        "judged_sentences": refit_on.judged,
    }


def _losses(
    inputs: Inputs, methods: Sequence[Method], fits: Iterable[Refit], progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of t2s and of s2t as a report has them, and the last loss of each fit."""
    sentences, count = len(inputs.texts), len(methods)
    t2s = np.full((sentences, count, len(FITS), len(T2S_COUNTS)), np.nan)
    s2t = np.full((sentences, count, len(S2T_COUNTS)), np.nan)
    seen = np.full(count, np.nan)
    for m, method in enumerate(methods):
        progress(f"{method.name}, t2s as trained")
        t2s[:, m, 0] = t2s_counts(inputs, method, inputs.projectors)
        if inputs.teacher_head is not None and method.in_teacher_space:
            progress(f"{method.name}, s2t")
            s2t[:, m] = s2t_counts(inputs, method)
    for m, (method, fit) in enumerate(zip(methods, fits, strict=False)):  # matched queries, the last, have none
        t2s[:, m, 1], seen[m] = t2s_counts(inputs, method, fit.projectors), fit.last_loss
    return t2s, s2t, seen


def refits(
    open_: OpenCheckpoint,
    rows: Sequence[GoldRow],
    judged: Inputs,
    student: Student,
    settings: FitSettings,
    progress: Progress,
) -> Iterator[Refit]:
    """t2s fitted to each attention in turn on other rows, with the scales of those that it is judged on."""
    progress("states of the texts to refit on")
    inputs, _ = gather(open_, rows, student._replace(model=None))
    counted = [sets[0] for sets in inputs.student_sets]
    for method in refitted_methods(open_, rows, inputs.texts):
        progress(f"{method.name}, t2s refitted")
        data = FitTexts.of(method.texts, over_teacher(method.maps), counted)
        yield refit(judged.projectors, judged.scales, judged.head, data, settings, judged.workspace)


def t2s_counts(inputs: Inputs, method: Method, projectors: Projectors) -> Float[np.ndarray, "sentences counts"]:
    """Targets, nats and hits of the t2s logits, for each set of targets.

    This is where any map comes in: it need not be one of `attentions`.
    """
    labels = [text.student_targets for text in inputs.texts]
    with torch.no_grad():
        states = t2s_states(projectors, inputs.scales, method.texts, over_teacher(method.maps))
    nll, hits = token_losses(states, inputs.head, torch.cat(labels), inputs.workspace)
    each = torch.stack([torch.ones_like(nll), nll, hits.to(nll.dtype)], dim=1).double()
    return np.stack(
        [
            (sets @ own.numpy()).reshape(-1)
            for sets, own in zip(inputs.student_sets, each.split([len(of) for of in labels]), strict=True)
        ]
    )


def s2t_counts(inputs: Inputs, method: Method) -> Float[np.ndarray, "sentences counts"]:
    """Targets and KL(teacher ‖ s2t) of each text, for each set of teacher targets."""
    found: list[np.ndarray] = []
    for text, map_, sets in zip(method.texts, method.maps, inputs.teacher_sets, strict=True):
        if map_.over_student is None or inputs.teacher_head is None:
            raise PairsError(
                Problem(method.name, "a map over student targets too", "one over teacher targets alone", "Give both.")
            )
        sums = s2t_divergences(
            inputs.projectors, text, map_.over_student, inputs.teacher_head, sets[:2], inputs.workspace
        )
        found.append(np.stack([sets[:2].sum(axis=1), sums], axis=1).reshape(-1))
    return np.stack(found)
