"""One run of ours in reference mode, as the golden numbers describe it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.golden.stored import Golden, RunName, chunk_mask, mined_links
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.matching import Adversary, Network, Transport
from probe.training.criteria.published import batch_scales
from probe.training.criteria.settings import Method, Objective
from probe.training.criteria.step import Side, Terms
from probe.training.criteria.views import View, view
from probe.training.criteria.vocabulary import MappedHead


def reference_criterion(
    golden: Golden, objective: Objective, student: View, teacher: Side | None, *, same_vocabulary: bool
) -> Criterion:
    """The criterion of an objective, with the golden weights in it."""
    mapped = None
    if objective.needs.map_file and teacher is not None:
        mapped = MappedHead(teacher.view.head, golden.given["inputs.tea2stu_id_mapping"], len(student.head))
    criterion = Criterion(
        objective,
        student=student.states.shape[-1],
        teacher=student.states.shape[-1] if teacher is None else teacher.view.states.shape[-1],
        seed=0,
        scales=None if teacher is None else batch_scales(teacher.view),
        mapped_head=mapped,
    )
    prefix = "projectors_same_vocab." if same_vocabulary else "projectors."
    with torch.no_grad():
        for name, parameter in projector_parameters(criterion).items():
            parameter.copy_(golden.given[prefix + name])
        for name, parameter in network_parameters(criterion).items():
            parameter.copy_(golden.given[f"kq.{name}"])
    return criterion.eval()


def projector_parameters(criterion: Criterion) -> dict[str, Tensor]:
    """Trained tensors of the projectors, under their published names."""
    names = [key for key in ("query", "t2s", "s2t") if key in criterion.projectors.structures]
    return {f"{name}.{key}": tensor for name in names for key, tensor in criterion.projectors[name].tensors.items()}


def network_parameters(criterion: Criterion) -> dict[str, Tensor]:
    """Tensors of the matching networks, under their published names."""
    networks = criterion.networks
    layers: dict[str, nn.Linear] = {}

    def name(network: Network, highway: int | None, first: int, second: int) -> None:
        if network.highway is not None:
            layers[f"kq_highway{highway}"] = network.highway.map
        layers[f"kq_linear{first}"], layers[f"kq_linear{second}"] = network.first, network.second

    if isinstance(networks, Adversary):
        name(networks.critic, 1, 1, 2)
    elif isinstance(networks, Transport):
        name(networks.critic, 1, 3, 4)
        name(networks.navigator, None, 5, 6)
        name(networks.feature_critic, 2, 7, 8)
        name(networks.feature_navigator, None, 9, 10)
    return {f"{layer}.{key}": tensor for layer, module in layers.items() for key, tensor in module.named_parameters()}


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
    teacher = _teacher(golden, objective, case) if objective.needs.teacher else None
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


def _teacher(golden: Golden, objective: Objective, case: str) -> Side:
    which = "gpt2" if case == "same" else "qwen"
    positions = golden.positions(case, f"teacher_{which}_")
    with torch.no_grad():
        seen = view(golden.teachers[which], positions)
    links = None
    if objective.needs.links == "links.chunks":
        links = chunk_mask(golden, case)
    elif objective.needs.links == "links.warped":
        links = mined_links(golden, golden.positions(case), positions)
    return Side(seen, links)
