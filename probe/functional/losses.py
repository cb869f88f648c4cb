"""The two losses under any attention: t2s cross-entropy at each student target, KL(teacher ‖ s2t) of a text.

The states come from the criteria (`teacher_values`, `project`, `teacher_space_losses`); here they are mixed by the map
that is asked about.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.checkpoints.checkpoint import Scales
from probe.functional.attentions import Maps
from probe.functional.texts import Text
from probe.projectors import S2T, project
from probe.training.criteria.cma import teacher_values
from probe.training.criteria.logits import Workspace, logits_into
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.teacher_space import teacher_space_losses
from probe.training.criteria.views import Tokens

TEMPERATURE = 1.0
"""Of the KL, so that it is in the same nats as the cross-entropy."""


def t2s_states(
    projectors: Projectors, scales: Scales, texts: Sequence[Text], weights: Sequence[Tensor]
) -> Float[Tensor, "student_targets student_width"]:
    """Σ_j A_ij v_j at the student targets of all texts, one after another; weights are A of each."""
    tokens = Tokens(*(torch.cat(parts, dim=1) for parts in zip(*(text.teacher for text in texts), strict=True)))
    states = torch.cat([text.teacher_states for text in texts], dim=1)
    values = teacher_values(tokens, states, projectors, scales)[0].split([len(a[0]) for a in weights])
    return torch.cat([a @ v for a, v in zip(weights, values, strict=True)])


def over_teacher(maps: Maps) -> list[Float[Tensor, "_ _"]]:
    """A of each map."""
    return [torch.from_numpy(map_.weights.astype(np.float32)) for map_ in maps]


def token_losses(
    states: Float[Tensor, "targets width"],
    head: Float[Tensor, "vocabulary width"],
    labels: Int[Tensor, " targets"],
    workspace: Workspace,
) -> tuple[Float[Tensor, " targets"], Bool[Tensor, " targets"]]:
    """Cross-entropy in nats and whether the argmax is the label, target by target, in chunks of logits."""
    nll, hits = states.new_empty(len(states)), states.new_empty(len(states), dtype=torch.bool)
    step = workspace.rows([len(head)], states.dtype)
    with torch.no_grad():
        for begin in range(0, len(states), step):
            chunk = slice(begin, min(begin + step, len(states)))
            logits, logs = (
                workspace.buffer(slot, chunk.stop - begin, len(head), states, states.dtype) for slot in (0, 1)
            )
            logits_into(logits, states[chunk], head)
            hits[chunk] = logits.argmax(-1) == labels[chunk]
            torch.log_softmax(logits, -1, out=logs)
            nll[chunk] = -logs.gather(-1, labels[chunk, None])[:, 0]
    return nll, hits


def s2t_divergences(
    projectors: Projectors,
    text: Text,
    over_student: Float[np.ndarray, "student_targets teacher_targets"],
    head: Float[Tensor, "vocabulary width"],
    sets: Float[np.ndarray, "sets teacher_targets"],
    workspace: Workspace,
) -> Float[np.ndarray, " sets"]:
    """Sum of KL(teacher ‖ s2t), nats at temperature 1, over each set of teacher targets of a text."""
    states = text.student_states
    if states is None:
        raise ValueError("a text without the student's states has no s2t logits")
    columns = torch.from_numpy(over_student.T.astype(np.float32))
    projected = columns @ project(projectors[S2T], states)
    found: list[float] = []
    with torch.no_grad():
        for chosen in (torch.from_numpy(of.astype(bool)) for of in sets):
            losses = teacher_space_losses(
                projected[chosen],
                text.teacher_states[0, chosen],
                head,
                text.teacher.targets[0, chosen],
                TEMPERATURE,
                workspace,
            )
            found.append(float(losses.divergence))
    return np.array(found)
