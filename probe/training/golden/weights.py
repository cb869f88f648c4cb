"""The criterion of a run with the golden weights, and its parameters under their published names."""

import torch
from torch import Tensor, nn

from probe.training.criteria.criterion import Criterion, Side
from probe.training.criteria.logit_matching import MappedHead
from probe.training.criteria.matching import Adversary, Network, Transport
from probe.training.criteria.published import batch_scales
from probe.training.criteria.settings import Objective
from probe.training.criteria.views import View
from probe.training.golden.numbers import Golden


def reference_criterion(
    golden: Golden, objective: Objective, student: View, teacher: Side | None, *, same_vocabulary: bool
) -> Criterion:
    """The criterion of an objective, with the golden weights in it."""
    mapped = None
    if objective.method == "mined" and teacher is not None:
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
