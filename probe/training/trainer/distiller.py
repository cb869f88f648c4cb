"""What a step trains, as one module: the student, and the criterion with its projectors and networks."""

from typing import Any

from torch import Tensor, nn

from probe.training.criteria.criterion import Criterion
from probe.training.criteria.step import Side
from probe.training.criteria.teacher_space import Expectations
from probe.training.criteria.views import Counts, View, view
from probe.training.teacher.teacher import Teacher
from probe.training.trainer.batches import positions_of


class Distiller(nn.Module):
    """Student and criterion. The teacher is known but is no part: nothing of it is trained, saved or sent around."""

    def __init__(self, student: nn.Module, criterion: Criterion, teacher: Teacher | None) -> None:
        super().__init__()
        self.student, self.criterion = student, criterion
        self._teacher = teacher

    def train(self, mode: bool = True) -> "Distiller":
        """As ever; a student that does not learn has no dropout either."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.student.parameters()):
            self.student.eval()
        return self

    def forward(self, batch: dict[str, Tensor], counts: Counts, done: float = 0.0) -> dict[str, Any]:
        """The loss of (a part of) a batch, with means over the counts of all of it; ``done`` of the run is done."""
        terms = self.criterion(*self.sides(batch), counts, done)
        return {"loss": terms.loss, "log": terms.log}

    def sides(self, batch: dict[str, Tensor]) -> tuple[View, Side | None]:
        """What the criterion sees of a batch; gradients flow through the student's side alone."""
        return view(self.student, positions_of(batch, "student")), self._side(batch)

    def _side(self, batch: dict[str, Tensor]) -> Side | None:
        if self._teacher is None:
            return None
        device = batch["student_ids"].device
        if self._teacher.head.device != device:
            self._teacher = self._teacher.to(device)
        positions = positions_of(batch, "teacher")
        seen = self._teacher.view(positions, batch.get("states"))
        expected = None
        if "expected" in batch:
            rows = batch["expected"][positions.mask]
            expected = Expectations(rows[:, :-1], rows[:, -1])
        return Side(seen, batch.get("links"), expected)
