"""One run of ours in reference mode, as the golden numbers describe it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from probe.training.criteria.criterion import Criterion, Side
from probe.training.criteria.dual_space import Terms
from probe.training.criteria.settings import Method, Objective
from probe.training.criteria.views import View, view
from probe.training.golden.links import chunk_mask, mined_links
from probe.training.golden.numbers import Golden, RunName
from probe.training.golden.weights import reference_criterion

METHODS: dict[str, Method] = {
    "cross_entropy": "sft",
    "various_divergence": "kd",
    "dual_space_kd": "dskd",
    "dual_space_kd_with_cma": "cma",
    "dual_space_kd_with_cla": "cla",
    "dual_space_kd_with_clp": "clp",
    "universal_logit_distillation": "uld",
    "min_edit_dis_kld": "mined",
}
KEY_QUERY: dict[str, Method] = {"gan": "cma-ga", "ct": "cma-ct"}


class Outcome(NamedTuple):
    """One run of ours, with its graph."""

    criterion: Criterion
    student_model: nn.Module
    student: View
    teacher: Side | None
    terms: Terms


def run(golden: Golden, name: RunName) -> Outcome:
    """Compute one run in reference mode, and its gradients."""
    entry = golden.entry(name)
    objective = _objective(entry)
    model, case = golden.student(), entry["inputs"]
    same = case == "same"
    student = view(model, golden.positions(case))
    teacher = None if objective.method == "sft" else _teacher(golden, objective, case, student, model)
    criterion = reference_criterion(golden, objective, student, teacher, same_vocabulary=same)
    terms = criterion(student, teacher)
    terms.loss.backward()
    return Outcome(criterion, model, student, teacher, terms)


def _objective(entry: Mapping[str, Any]) -> Objective:
    hparams = entry["hparams"]
    key_query = entry["criterion"].endswith("kq_matching")
    return Objective(
        method=KEY_QUERY[hparams["kq_adver_type"]] if key_query else METHODS[entry["criterion"]],
        kd_rate=hparams["kd_rate"],
        temperature=hparams["kd_temperature"],
        teacher_temperature=hparams["teacher_temperature"],
        divergence=hparams["kd_objective"],
        skew=hparams["skew_lambda"],
        alpha=hparams["adaptive_kl_alpha"],
        critic="released",
        kq_rate=hparams["kq_rate"],
        kq_hidden=hparams["kq_hidden_size"],
        only_projectors=hparams["only_save_projector"],
        reference=True,
    )


def _teacher(golden: Golden, objective: Objective, case: str, student: View, student_model: Any) -> Side:
    which = "gpt2" if case == "same" else "qwen"
    positions = golden.positions(case, f"teacher_{which}_")
    with torch.no_grad():
        seen = view(golden.teachers[which], positions)
    links = None
    if objective.method in ("cla", "clp"):
        links = chunk_mask(golden, case)
    elif objective.method == "mined":
        links = mined_links(golden, golden.positions(case), positions)
    return Side(seen, links)
