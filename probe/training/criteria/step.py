"""What travels together through every loss, as one value, and what a loss returns."""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from probe.attention import CrossModelAttention
from probe.checkpoints.checkpoint import Scales
from probe.errors import Problem, TrainingError
from probe.training.criteria.logits import Workspace
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.settings import Objective
from probe.training.criteria.teacher_space import Expectations
from probe.training.criteria.views import Counts, View
from probe.training.criteria.vocabulary import MappedHead

T = TypeVar("T")


class Side(NamedTuple):
    """The frozen teacher's part of a step, and what rules and caches say about it."""

    view: View
    links: Bool[Tensor, "batch student teacher"] | None = None
    """Which positions may meet, for methods that align by rule; see `links`."""
    expected: Expectations | None = None
    """Of the teacher's predictions, where they are cached; see `teacher_space`."""


class Terms(NamedTuple):
    """The loss, and what was logged on the way: means over student targets in nats, and shares."""

    loss: Float[Tensor, ""]
    log: dict[str, Tensor]
    attention: CrossModelAttention | None = None


@dataclass(frozen=True)
class Step:
    """One batch with all that its loss is made of. What a method asks for and is not there is a `TrainingError`."""

    objective: Objective
    student: View
    side: Side | None
    counts: Counts
    """What sums are divided by."""
    workspace: Workspace
    """For logits."""
    projectors: Projectors
    networks: nn.Module | None = None
    """Of key-query matching."""
    known_scales: Scales | None = None
    mapped_head: MappedHead | None = None
    student_of_teacher: Int[Tensor, " teacher_vocabulary"] | None = None
    """The student token with the same bytes, EOS for EOS, and -1 for teacher tokens without."""
    ends: tuple[int, int] | None = None
    """Ids of the end of sequence, of student and teacher."""
    done: float = 0.0
    """The share of the run's steps that are done."""

    @property
    def teacher(self) -> View:
        """The frozen side."""
        return self._known_side.view

    @property
    def links(self) -> Bool[Tensor, "batch student teacher"]:
        """Which positions may meet."""
        return self.need(self._known_side.links, "links between the sides' positions", "Make them with `links`.")

    @property
    def _known_side(self) -> Side:
        return self.need(self.side, "a teacher", "Give the teacher's side.")

    @property
    def scales(self) -> Scales:
        """Those of the run, or in reference mode of the batch."""
        return self.need(self.known_scales, "scales", "Estimate them on the training set first.")

    @property
    def masks(self) -> tuple[Bool[Tensor, "batch student"], Bool[Tensor, "batch teacher"]]:
        """Where the student's positions and the teacher's have a target."""
        return self.student.tokens.mask, self.teacher.tokens.mask

    def need(self, value: T | None, expected: str, remedy: str) -> T:
        """The value, which must be there.

        Raises:
            TrainingError: it is not.
        """
        if value is None:
            raise TrainingError(Problem(f"method {self.objective.method}", expected, "none", remedy))
        return value
