"""Which positions of two tokenizers may meet, for the methods that align tokens by rule rather than by attention.

A response position has an input and a target (see `probe.attention`). Links join *targets*: the states there predict
tokens of the same stretch of text. The published code joins inputs: within a chunk of several tokens, the state that
has just read the chunk's last token, and predicts the next chunk, is linked too, while the one that predicts the
chunk's first token is not.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from probe.chunks import chunk_mask, shared_chunks
from probe.tokens import TokenizedText

Side = Literal["target", "input"]


class Response(NamedTuple):
    """A response as one tokenizer cuts it, and how much of it training sees."""

    text: TokenizedText
    targets: int
    """Fewer than tokens if the response was cut off, one more where the end-of-sequence token follows."""

    @property
    def ends(self) -> bool:
        """Whether the end-of-sequence token is a target."""
        return self.targets > len(self.text.tokens)


def chunk_links(
    student: Response, teacher: Response, side: Side = "target"
) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    """True where targets (or inputs) lie in one chunk; EOS meets EOS, and the prompts' last tokens meet each other."""
    return _place(chunk_mask(student.text, teacher.text), student, teacher, side)


def exact_links(student: Response, teacher: Response) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    """True where two targets are the same bytes of the text (exact token alignment, ETA); EOS meets EOS.

    Bytes are compared, so that ``Ã©`` and ``é``, one text in two alphabets, do not upset what follows.
    """
    same = np.zeros((len(student.text.tokens), len(teacher.text.tokens)), dtype=bool)
    for chunk in shared_chunks(student.text, teacher.text):
        if len(chunk.student) == len(chunk.teacher) == 1:
            same[chunk.student.start, chunk.teacher.start] = True
    return _place(same, student, teacher, "target")


def warped_links(
    partner: Int[np.ndarray, " student_targets"],
    student_inputs: Int[np.ndarray, " student_targets"],
    teacher_inputs: Int[np.ndarray, " teacher_targets"],
    student_of_teacher: Int[np.ndarray, " teacher_vocabulary"],
) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    """True where time warping matched a student input with one teacher input, and the vocabulary map agrees (MinED).

    Args:
        partner: of each student input, the one teacher input it is matched with, or -1.
        student_inputs: token ids.
        teacher_inputs: token ids.
        student_of_teacher: the vocabulary map, -1 where a teacher token has no counterpart.
    """
    links = np.zeros((len(student_inputs), len(teacher_inputs)), dtype=bool)
    agrees = (partner >= 0) & (student_of_teacher[teacher_inputs[partner]] == student_inputs)
    links[agrees.nonzero()[0], partner[agrees]] = True
    return links


def _place(
    same: Bool[np.ndarray, "student teacher"], student: Response, teacher: Response, side: Side
) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    """Lay a relation between tokens over response positions."""
    links = np.zeros((student.targets, teacher.targets), dtype=bool)
    if side == "target":
        part = same[: student.targets, : teacher.targets]
        links[: part.shape[0], : part.shape[1]] = part
        if student.ends and teacher.ends:
            links[-1, -1] = True
    else:
        # The first input is the prompt's last token; EOS is no input of a target.
        links[0, 0] = True
        links[1:, 1:] = same[: student.targets - 1, : teacher.targets - 1]
    return links


def stack_links(links: Sequence[Bool[np.ndarray, "_ _"]]) -> Bool[Tensor, "batch student teacher"]:
    """Pad the links of several examples at the end."""
    rows, columns = (max(one.shape[axis] for one in links) for axis in (0, 1))
    stacked = torch.zeros((len(links), rows, columns), dtype=torch.bool)
    for index, one in enumerate(links):
        stacked[index, : one.shape[0], : one.shape[1]] = torch.from_numpy(one)
    return stacked
