"""One objective with all that it trains beside the student: projectors, and the networks of key-query matching."""

from typing import NamedTuple, TypeVar

from jaxtyping import Bool, Int
from torch import Tensor, nn

from probe.checkpoints.checkpoint import Scales
from probe.errors import Problem, TrainingError
from probe.projectors import QUERY, S2T, STRUCTURES, T2S
from probe.training.criteria.cma import attend, chunk_average, cma, keys, queries
from probe.training.criteria.dual_space import Terms, dskd
from probe.training.criteria.eta import eta
from probe.training.criteria.logit_matching import MappedHead, kd, mined, sft, uld
from probe.training.criteria.matching import Adversary, Transport, key_query_loss
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.published import batch_scales
from probe.training.criteria.settings import Method, Objective
from probe.training.criteria.teacher_space import Expectations
from probe.training.criteria.views import Counts, View
from probe.training.criteria.vocabulary import Workspace

T = TypeVar("T")

PROJECTORS: dict[Method, tuple[str, ...]] = {
    "sft": (),
    "kd": (),
    "dskd": (T2S, S2T),
    "cma": (QUERY, T2S, S2T),
    "cla": (QUERY, T2S, S2T),
    "clp": (T2S, S2T),
    "cma-ga": (QUERY, T2S, S2T),
    "cma-ct": (QUERY, T2S, S2T),
    "uld": (),
    "mined": (),
    "eta": (T2S, S2T),
}
"""What each method trains beside the student, and alone in a checkpoint: an untrained query is never saved."""


class Side(NamedTuple):
    """The frozen teacher's part of a step, and what rules and caches say about it."""

    view: View
    links: Bool[Tensor, "batch student teacher"] | None = None
    """For cla, clp, eta and mined; see `links`."""
    expected: Expectations | None = None
    """Of the teacher's predictions, where they are cached; see `teacher_space`."""


class Criterion(nn.Module):
    """A method's loss. Its parameters are what trains beside the student; `networks` take a group of their own."""

    student_of_teacher: Int[Tensor, " teacher_vocabulary"] | None

    def __init__(
        self,
        objective: Objective,
        *,
        student: int,
        teacher: int,
        seed: int,
        scales: Scales | None = None,
        mapped_head: MappedHead | None = None,
        student_of_teacher: Int[Tensor, " teacher_vocabulary"] | None = None,
    ) -> None:
        """Build projectors and networks for models of width ``student`` and ``teacher``.

        Args:
            objective: the method and its numbers.
            student: width.
            teacher: width.
            seed: of the projectors; networks draw from torch's generator.
            scales: for cross-model attention; see `probe.checkpoints.checkpoint`. None in reference mode, where
                every batch has its own.
            mapped_head: for mined.
            student_of_teacher: for eta.
        """
        super().__init__()
        self.objective, self.scales, self.workspace = objective, scales, Workspace()
        self.mapped_head = mapped_head
        self.register_buffer("student_of_teacher", student_of_teacher, persistent=False)
        structures = {name: STRUCTURES[name] for name in PROJECTORS[objective.method]}
        self.projectors = Projectors(structures, student=student, teacher=teacher, seed=seed)
        self.networks = _networks(objective, 2 * teacher)

    @property
    def trained_networks(self) -> list[nn.Parameter]:
        """Parameters of the critic that an optimizer steps, in a group of their own: none of the released ones."""
        if self.networks is None or self.objective.critic == "released":
            return []
        return list(self.networks.parameters())

    def forward(self, student: View, teacher: Side | None = None, counts: Counts | None = None) -> Terms:
        """The loss of a batch; ``counts`` are those of the global batch, the batch's own if None.

        Raises:
            TrainingError: the method needs a teacher, links, scales or a vocabulary map that is not there.
        """
        objective, workspace = self.objective, self.workspace
        if objective.method == "sft":
            return sft(student, counts or Counts(int(student.tokens.mask.sum()), 0), workspace)
        side = self._need(teacher, "a teacher", "Give the teacher's side.")
        counts = counts or _counts(student, side)
        match objective.method:
            case "kd":
                return kd(student, side.view, objective, counts, workspace)
            case "dskd":
                return dskd(student, side.view, self.projectors, objective, counts, workspace, side.expected)
            case "uld":
                return uld(student, side.view, objective, counts, workspace)
            case "mined":
                head = self._need(self.mapped_head, "the teacher's head in the student's vocabulary", "Map it first.")
                return mined(student, side.view, self._links(side), head, objective, counts, workspace)
            case "eta":
                ids: Tensor = self._need(
                    self.student_of_teacher, "a map of teacher to student tokens", "Make it first."
                )
                return eta(student, side.view, self._links(side), self.projectors, ids, objective, counts, workspace)
            case _:
                return self._cross_model(student, side, counts)

    def _cross_model(self, student: View, side: Side, counts: Counts) -> Terms:
        objective, teacher = self.objective, side.view
        scales = self.scales
        if scales is None and objective.reference:
            scales = batch_scales(teacher)
        scales = self._need(scales, "scales", "Estimate them on the training set first.")
        masks = student.tokens.mask, teacher.tokens.mask
        links = self._links(side) if objective.method in ("cla", "clp") else None
        if links is not None and objective.method == "clp":
            attention = chunk_average(links, *masks, dtype=student.states.dtype)
            q = k = None
        else:
            q, k = queries(student.tokens, self.projectors), keys(teacher.tokens, scales)
            attention = attend(q, k, *masks, links=links, reference=objective.reference)
        terms = cma(
            student,
            teacher,
            attention,
            self.projectors,
            scales,
            objective,
            counts,
            self.workspace,
            links=links,
            expected=side.expected,
        )
        if objective.method not in ("cma-ga", "cma-ct") or q is None or k is None:
            return terms
        matching = key_query_loss(self.networks, q, k, *masks, objective, counts)
        loss = terms.loss + objective.kq_rate * matching.loss
        log = terms.log | {"loss": loss.detach(), "kq_loss": matching.loss.detach()}
        if matching.accuracy is not None:
            log["critic_accuracy"] = matching.accuracy
        return terms._replace(loss=loss, log=log)

    def _links(self, side: Side) -> Bool[Tensor, "batch student teacher"]:
        return self._need(side.links, "links between the sides' positions", "Make them with `links`.")

    def _need(self, value: T | None, expected: str, remedy: str) -> T:
        if value is None:
            raise TrainingError(Problem(f"method {self.objective.method}", expected, "none", remedy))
        return value


def _counts(student: View, side: Side) -> Counts:
    pairs = 0 if side.links is None else int(side.links.sum())
    return Counts(int(student.tokens.mask.sum()), int(side.view.tokens.mask.sum()), pairs)


def _networks(objective: Objective, width: int) -> Adversary | Transport | None:
    if objective.critic == "norm-only":
        return None
    match objective.method:
        case "cma-ga":
            return Adversary(width, objective.kq_hidden)
        case "cma-ct":
            return Transport(width, objective.kq_hidden, between_features=objective.critic == "released")
        case _:
            return None
