"""One objective with all that it trains beside the student: projectors, and the networks of key-query matching."""

from collections.abc import Callable

from jaxtyping import Int
from torch import Tensor, nn

from probe.checkpoints.checkpoint import Scales
from probe.projectors import STRUCTURES
from probe.training.criteria.logits import Workspace
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.published import batch_scales
from probe.training.criteria.settings import Objective, named
from probe.training.criteria.step import Side, Step, Terms
from probe.training.criteria.views import Counts, View
from probe.training.criteria.vocabulary import MappedHead


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
        ends: tuple[int, int] | None = None,
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
            ends: for the decoder ``grid``: ids of the end of sequence, of student and teacher.
        """
        super().__init__()
        self.objective, self.scales, self.workspace = objective, scales, Workspace()
        self.mapped_head, self.ends = mapped_head, ends
        self.register_buffer("student_of_teacher", student_of_teacher, persistent=False)
        needs = objective.needs
        self._loss: Callable[[Step], Terms] = named(needs.loss)
        self.projectors = Projectors(STRUCTURES, student=student, teacher=teacher, seed=seed, kept=needs.projectors)
        made_by = needs.networks
        self.networks: nn.Module | None = None if made_by is None else named(made_by)(objective, 2 * teacher)

    @property
    def trained_networks(self) -> list[nn.Parameter]:
        """Parameters of the critic that an optimizer steps, in a group of their own: none of the released ones."""
        if self.networks is None or self.objective.critic == "released":
            return []
        return list(self.networks.parameters())

    def forward(
        self, student: View, teacher: Side | None = None, counts: Counts | None = None, done: float = 0.0
    ) -> Terms:
        """The loss of a batch.

        Args:
            student: the student's side.
            teacher: the other.
            counts: those of the global batch; the batch's own if None.
            done: the share of the run's steps that are done, for what changes along it.

        Raises:
            TrainingError: the method needs a teacher, links, scales or a vocabulary map that is not there.
        """
        return self._loss(self.step(student, teacher, counts, done))

    def step(self, student: View, teacher: Side | None, counts: Counts | None = None, done: float = 0.0) -> Step:
        """What the loss of a batch is made of."""
        scales = self.scales
        if scales is None and self.objective.needs.scales and self.objective.reference and teacher is not None:
            scales = batch_scales(teacher.view)
        return Step(
            objective=self.objective,
            student=student,
            side=teacher,
            counts=counts or _counts(student, teacher),
            workspace=self.workspace,
            projectors=self.projectors,
            networks=self.networks,
            known_scales=scales,
            mapped_head=self.mapped_head,
            student_of_teacher=self.student_of_teacher,
            ends=self.ends,
            done=done,
        )


def _counts(student: View, side: Side | None) -> Counts:
    teacher = 0 if side is None else int(side.view.tokens.mask.sum())
    pairs = 0 if side is None or side.links is None else int(side.links.sum())
    return Counts(int(student.tokens.mask.sum()), teacher, pairs)
