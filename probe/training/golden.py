"""Golden numbers of the published criteria, and how far ours are from them.

``python -m probe.training.golden [DIR]`` runs every criterion in reference mode on the inputs and weights of DIR
(default ``tests/golden``) and prints the largest deviation of each run. Exit code 1 if one is above its limit.

The numbers come from the released code of "Dual-Space Knowledge Distillation with Key-Query Matching", on the CPU in
float32. Only one of its runs is left out: MinED in float32, where an alias sets the KD term to zero; the run in which
the alias is broken is the number to match.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from probe.checkpoint import Scales
from probe.errors import ProbeError, Problem, TrainingError
from probe.projectors import QUERY, project
from probe.training.criteria.cma import keys, queries, teacher_values
from probe.training.criteria.criterion import Criterion, Side
from probe.training.criteria.dual_space import Terms
from probe.training.criteria.links import warped_links
from probe.training.criteria.logit_matching import MappedHead
from probe.training.criteria.matching import Adversary, Network, Transport
from probe.training.criteria.published import batch_scales, published_chunks
from probe.training.criteria.settings import Method, Objective
from probe.training.criteria.views import Positions, View, padded_positions, view
from probe.training.mined_alignment import one_to_one

DIRECTORY = Path("tests/golden")
LEFT_OUT = "min_edit_dis_kld(as released, fp32 alias)"
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
TENSOR_RUNS = {
    "cross_entropy": "cross_entropy",
    "various_divergence": "various_divergence",
    "dual_space_kd": "dual_space_kd",
    "dual_space_kd_with_cma": "dual_space_kd_with_cma",
    "dual_space_kd_with_cla": "dual_space_kd_with_cla",
    "dual_space_kd_with_clp": "dual_space_kd_with_clp",
    "dual_space_kd_with_cma_plus_kq_matching[gan]": "cma_plus_kq[gan]",
    "dual_space_kd_with_cma_plus_kq_matching[ct]": "cma_plus_kq[ct]",
    "dual_space_kd_with_cma(prompt-truncated batch)": "dual_space_kd_with_cma(trunc)",
    "dual_space_kd_with_cla(prompt-truncated batch)": "dual_space_kd_with_cla(trunc)",
    "dual_space_kd_with_clp(prompt-truncated batch)": "dual_space_kd_with_clp(trunc)",
}
"""Runs whose tensors are stored too, for forward KL or where there is no divergence, and their name there."""
WORD_START = "\u0120"

Kind = Literal["loss", "log", "gradient norm", "gradient", "tensor"]
LIMITS: dict[Kind, float] = {"loss": 2e-5, "log": 2e-5, "gradient norm": 1e-4, "gradient": 2e-5, "tensor": 1e-5}
"""Relative for the first three, relative L2 for whole gradients, absolute for tensors."""
FLOOR = 1e-6
"""Below this a number is compared absolutely."""


class Deviation(NamedTuple):
    """How far one number or tensor is off, in the measure of its kind."""

    kind: Kind
    what: str
    value: float


class RunName(NamedTuple):
    """A run of the golden numbers: criterion with variant, and divergence."""

    run: str
    objective: str


@dataclass(frozen=True)
class Golden:
    """The stored numbers, weights and inputs."""

    numbers: dict[str, Any]
    given: dict[str, Tensor]
    """Weights and inputs."""
    expected: dict[str, Tensor]

    @classmethod
    def load(cls, directory: Path) -> "Golden":
        """Read the three files.

        Raises:
            TrainingError: one of them is missing.
        """
        from safetensors.torch import load_file

        names = ("golden.json", "model_and_inputs.safetensors", "golden_alignments.safetensors")
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            got, remedy = f"no {', '.join(missing)}", "Run in a checkout of the project, or name the directory."
            raise TrainingError(Problem(str(directory), "golden numbers", got, remedy))
        numbers = json.loads((directory / names[0]).read_text(encoding="utf-8"))
        return cls(numbers, load_file(directory / names[1]), load_file(directory / names[2]))

    @property
    def runs(self) -> list[RunName]:
        """All runs but the one that is left out."""
        runs: dict[str, dict[str, Any]] = self.numbers["runs"]
        return [RunName(run, objective) for run, each in runs.items() if run != LEFT_OUT for objective in each]

    def entry(self, name: RunName) -> dict[str, Any]:
        """What is stored of a run."""
        return self.numbers["runs"][name.run][name.objective]

    def weights(self, prefix: str) -> dict[str, Tensor]:
        """Tensors under a prefix, without it."""
        return {key.removeprefix(prefix): value for key, value in self.given.items() if key.startswith(prefix)}

    @cached_property
    def teachers(self) -> dict[str, nn.Module]:
        """The two teachers, by what their inputs are called."""
        return {"qwen": self._model("teacher"), "gpt2": self._model("teacher_same_vocab")}

    def student(self) -> nn.Module:
        """A fresh student, for its gradients are to be looked at."""
        return self._model("student").requires_grad_(True)

    def _model(self, which: str) -> nn.Module:
        from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

        options = self.numbers["configs"][which]
        is_qwen = "hidden_size" in options
        model: Any = Qwen2ForCausalLM(Qwen2Config(**options)) if is_qwen else GPT2LMHeadModel(GPT2Config(**options))
        model.load_state_dict(self.weights(f"{which}."), strict=False)
        return model.eval().requires_grad_(False)

    def positions(self, case: str, prefix: str = "") -> Positions:
        """One side's padded batch."""
        inputs = self.weights(f"inputs.{case}.{prefix}")
        return padded_positions(
            inputs["input_ids"], inputs["attention_mask"].long(), inputs["label"], inputs.get("position_ids")
        )


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
    criterion = _criterion(golden, objective, student, teacher, same_vocabulary=same)
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
        links = _mined_links(golden, golden.positions(case), positions)
    return Side(seen, links)


def chunk_mask(golden: Golden, case: str) -> Bool[Tensor, "batch student teacher"]:
    """The published chunks of a batch, from where its input tokens end."""
    ends = golden.given[f"inputs.{case}.offsets"], golden.given[f"inputs.{case}.teacher_qwen_offsets"]
    pairs = zip(*(side.tolist() for side in ends), strict=True)
    return torch.from_numpy(np.stack([published_chunks(*pair).mask for pair in pairs]))


def _mined_links(golden: Golden, student: Positions, teacher: Positions) -> Bool[Tensor, "batch student teacher"]:
    strings = [golden.numbers["min_edit"][f"{side}_tokens"] for side in ("student", "teacher")]
    vocabulary_map = golden.given["inputs.tea2stu_id_mapping"].numpy()
    links = torch.zeros((len(student.ids), student.ids.shape[1], teacher.ids.shape[1]), dtype=torch.bool)
    for row in range(len(links)):
        places = [side.mask[row].nonzero()[:, 0] for side in (student, teacher)]
        ids = [side.inputs[row][place].numpy() for side, place in zip((student, teacher), places, strict=True)]
        texts = [[side[i].replace(WORD_START, "") for i in part] for side, part in zip(strings, ids, strict=True)]
        partner = one_to_one(texts[1], texts[0])
        linked = torch.from_numpy(warped_links(partner, ids[0], ids[1], vocabulary_map))
        links[row, places[0][:, None], places[1][None, :]] = linked
    return links


def _criterion(
    golden: Golden, objective: Objective, student: View, teacher: Side | None, *, same_vocabulary: bool
) -> Criterion:
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


def deviations(golden: Golden, name: RunName) -> Iterator[Deviation]:
    """Everything that is stored of a run, compared with ours."""
    outcome, entry = run(golden, name), golden.entry(name)
    yield Deviation("loss", "loss", _relative(outcome.terms.loss.item(), entry["loss"]))
    missing = set(entry["log"]) - set(outcome.terms.log)
    if missing:
        raise TrainingError(Problem(str(name), "all logged components", f"no {sorted(missing)}", "Log them."))
    for key, expected in entry["log"].items():
        yield Deviation("log", key, _relative(outcome.terms.log[key].item(), expected))
    yield from _gradient_norms(outcome, entry["grad_norm"])
    if name.run in TENSOR_RUNS and name.objective in ("-", "forward_kl"):
        yield from _tensors(outcome, golden, TENSOR_RUNS[name.run], entry["inputs"])


def _relative(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / max(abs(theirs), FLOOR)


def _gradient_norms(outcome: Outcome, expected: Mapping[str, Any]) -> Iterator[Deviation]:
    student = {key: parameter.grad for key, parameter in outcome.student_model.named_parameters()}
    total = torch.stack([g.square().sum() for g in student.values() if g is not None]).sum().sqrt()
    yield Deviation("gradient norm", "student_total", _relative(total.item(), expected["student_total"]))
    networks = network_parameters(outcome.criterion)
    groups = (
        (student, expected["student"]),
        ({key: tensor.grad for key, tensor in projector_parameters(outcome.criterion).items()}, expected["projectors"]),
        ({key: tensor.grad for key, tensor in networks.items()}, expected["kq"]),
    )
    for ours, theirs in groups:
        for key, norm in theirs.items():
            gradient = ours.get(key)
            if norm is None or gradient is None:
                # None on one side and a gradient on the other is as far off as can be.
                agree = norm is None and gradient is None
                yield Deviation("gradient norm", key, 0.0 if agree else float("inf"))
            else:
                yield Deviation("gradient norm", key, _relative(gradient.norm().item(), norm))


def _tensors(outcome: Outcome, golden: Golden, stored: str, case: str) -> Iterator[Deviation]:
    ours = dict(_own_tensors(outcome))
    rows = _comparable_rows(outcome)
    prefix = f"{stored}."
    for key, expected in golden.expected.items():
        if not key.startswith(prefix):
            continue
        what = key.removeprefix(prefix)
        if what.startswith("grad."):
            error = (ours[what] - expected).norm() / expected.norm()
            yield Deviation("gradient", what, error.item())
        else:
            difference = (ours[what] - expected).abs()
            if what in ("t2s_weight", "t2s_logits") and rows is not None:
                difference = difference[rows]
            yield Deviation("tensor", what, difference.max().item())


def _comparable_rows(outcome: Outcome) -> Bool[Tensor, "batch student"] | None:
    """All rows but those of CLA that have no partner: softmaxes over the rounding of numbers near -1e5."""
    if outcome.criterion.objective.method != "cla" or outcome.teacher is None or outcome.teacher.links is None:
        return None
    return (outcome.teacher.links & outcome.teacher.view.tokens.mask[:, None]).any(-1) & outcome.student.tokens.mask


def _own_tensors(outcome: Outcome) -> Iterator[tuple[str, Tensor]]:
    student, criterion = outcome.student, outcome.criterion
    yield "student_logits", student.states @ student.head.T
    yield "student_last_hidden", student.states
    yield "grad.student.transformer.wte.weight", _gradient(student.head)
    for name, parameter in projector_parameters(criterion).items():
        if parameter.grad is not None:
            yield f"grad.projectors.{name}", parameter.grad
    if outcome.teacher is None:
        return
    teacher = outcome.teacher.view
    yield "teacher_logits", teacher.states @ teacher.head.T
    yield "teacher_last_hidden", teacher.states
    attention, scales = outcome.terms.attention, criterion.scales
    if attention is not None and scales is not None:
        yield "t2s_weight", attention.over_teacher
        yield from _cross_model_tensors(outcome, student, teacher, scales)
    elif "s2t" in criterion.projectors.structures:
        yield "t2s_logits", project(criterion.projectors["t2s"], teacher.states) @ student.head.T
        yield "s2t_logits", project(criterion.projectors["s2t"], student.states) @ teacher.head.T


def _cross_model_tensors(
    outcome: Outcome, student: View, teacher: View, scales: Scales
) -> Iterator[tuple[str, Tensor]]:
    projectors, attention = outcome.criterion.projectors, outcome.terms.attention
    if attention is None:
        return
    t2s = attention.over_teacher @ teacher_values(teacher.tokens, teacher.states, projectors, scales)
    s2t = attention.over_student.mT @ project(projectors["s2t"], student.states)
    yield "t2s_logits", t2s @ student.head.T
    yield "s2t_logits", s2t @ teacher.head.T
    if QUERY in projectors.structures:
        yield "queries", queries(student.tokens, projectors)
        yield "keys", keys(teacher.tokens, scales)


def _gradient(parameter: Tensor) -> Float[Tensor, "vocabulary width"]:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def main(argv: list[str] | None = None) -> int:
    """Print the table; see the module."""
    parser = argparse.ArgumentParser(prog="python -m probe.training.golden", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=DIRECTORY)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        golden = Golden.load(arguments.directory)
        worst = 0.0
        kinds: list[Kind] = list(LIMITS)
        print("| run | divergence |", " | ".join(f"{kind} ≤ {LIMITS[kind]:.0e}" for kind in kinds), "|")
        print("|---|---|" + "---:|" * len(kinds))
        for name in golden.runs:
            found = list(deviations(golden, name))
            largest = {kind: max((d.value for d in found if d.kind == kind), default=None) for kind in kinds}
            # A number that is none is as far off as can be; max would pass over it.
            worst = max(worst, *(math.inf if math.isnan(d.value) else d.value / LIMITS[d.kind] for d in found))
            cells = ("–" if value is None else f"{value:.1e}" for value in largest.values())
            print(f"| {name.run} | {name.objective} |", " | ".join(cells), "|")
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"\n{len(golden.runs)} runs; the worst deviation is {worst:.2f} of its limit.")
    return 0 if worst <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
