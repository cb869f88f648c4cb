"""The frozen side of the probe: what is read and run once, whatever attention is asked about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from probe.checkpoint import Scales
from probe.cma import OpenCheckpoint
from probe.errors import Problem, TrainingError
from probe.pair_rows import GoldRow
from probe.projectors import T2S
from probe.training.criteria.vocabulary import Workspace
from probe.training.data import Encoded
from probe.training.functional.attentions import target_sets
from probe.training.functional.models import Student, load_whole, model_directory, projectors_of
from probe.training.functional.texts import Text, cached_states, encode, texts_of
from probe.training.modules import Projectors
from probe.training.scales import estimate_scales
from probe.training.teacher_states import TeacherStates


@dataclass(frozen=True)
class Inputs:
    """The frozen side: texts, heads, projectors, scales, and which targets of each text are counted."""

    texts: tuple[Text, ...]
    student_sets: tuple[Float[np.ndarray, "sets _"], ...]
    teacher_sets: tuple[Float[np.ndarray, "sets _"], ...]
    head: Float[Tensor, "student_vocabulary student_width"]
    teacher_head: Float[Tensor, "teacher_vocabulary teacher_width"] | None
    projectors: Projectors
    scales: Scales
    workspace: Workspace


def gather(open_: OpenCheckpoint, rows: Sequence[GoldRow], student: Student) -> tuple[Inputs, tuple[str, ...]]:
    """Everything that stays fixed, and the names of scales that had to be estimated.

    Raises:
        TrainingError: there is no t2s projector, a model is not whole, or a text is longer than it can read.
    """
    checkpoint = open_.checkpoint
    if T2S not in checkpoint.projectors:
        got = ", ".join(checkpoint.projectors) or "none"
        raise TrainingError(Problem(checkpoint.name, "a t2s projector", got, "Probe a checkpoint that has one."))
    sides = [row.student for row in rows], [row.teacher for row in rows]
    examples = encode(open_.teacher, checkpoint.prompt, sides[1])
    directory = model_directory(open_.teacher.source, checkpoint.path)
    states = cached_states(directory, lambda: load_whole(directory), examples)
    own = head = None
    if student.model is not None:
        own = cached_states(
            student.directory, lambda: student.model, encode(open_.student, checkpoint.prompt, sides[0])
        )
        head = load_whole(directory).get_output_embeddings().weight
    scales, estimated = _scales(open_, examples, states)
    inputs = Inputs(
        texts=tuple(texts_of(open_, *sides, states, own)),
        student_sets=tuple(target_sets(row) for row in rows),
        teacher_sets=tuple(target_sets(row.reversed) for row in rows),
        head=student.head,
        teacher_head=head,
        projectors=projectors_of(checkpoint),
        scales=scales,
        workspace=Workspace(),
    )
    return inputs, estimated


def _scales(
    open_: OpenCheckpoint, examples: Sequence[Encoded], states: TeacherStates
) -> tuple[Scales, tuple[str, ...]]:
    """The checkpoint's. A directory that stores none has those of hidden states and targets taken from these texts.

    The published code divides targets by a deviation over the same padded batch of embeddings as keys: one number.
    """
    own = open_.checkpoint.scales
    if own.hidden is not None and own.target is not None:
        return own, ()
    measured = estimate_scales(examples, open_.teacher.table.take, (states.of(i) for i in range(len(examples))))
    found = replace(own, hidden=own.hidden or measured.hidden, target=own.target or own.key)
    return found, tuple(name for name in ("hidden", "target") if getattr(own, name) is None)
