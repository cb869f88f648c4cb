"""Which positions of two tokenizers may meet, for the methods that align tokens by rule rather than by attention.

`chunks`, `exact` and `warped` make the links of a corpus row by row; what follows them are the rules for one row.

A response position has an input and a target (see `probe.attention`). Links join *targets*: the states there predict
tokens of the same stretch of text. The published code joins inputs: within a chunk of several tokens, the state that
has just read the chunk's last token, and predicts the next chunk, is linked too, while the one that predicts the
chunk's first token is not.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist
from torch import Tensor

from probe.chunks import chunk_mask, shared_chunks
from probe.errors import Problem, TrainingError
from probe.tokens import TokenizedText
from probe.training.criteria.settings import ChunkSide, Objective, named
from probe.training.examples import Cut
from probe.training.vocabulary_map import Vocabulary, read_vocabulary_map

REMEMBERED = 1 << 14
"""Rows whose links are kept; they are made again in the next epoch otherwise, a millisecond each."""

Pairs = Bool[np.ndarray, "student teacher"]
Links = Callable[[int], Pairs]
"""The links of a row, by its number."""


def links_of(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut) -> Links | None:
    """What gives the links of a row when a batch first needs them; None for methods that need none.

    Args:
        objective: its method names what makes them.
        texts: the responses.
        student: the rows in its tokens.
        teacher: the same.
    """
    made_by = objective.needs.links
    return None if made_by is None else lru_cache(REMEMBERED)(named(made_by)(objective, texts, student, teacher))


def chunks(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut) -> Links:
    """Links of chunks; see `chunk_links`."""
    return lambda row: chunk_links(*_responses(texts, row, student, teacher), objective.chunk_side)


def exact(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut) -> Links:
    """Links of equal tokens; see `exact_links`."""
    return lambda row: exact_links(*_responses(texts, row, student, teacher))


def warped(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut) -> Links:
    """Links of MinED; see `warped_links`."""
    vocabularies = [Vocabulary.read(cut.tokenizer.path.parent) for cut in (student, teacher)]
    sizes = [max(*vocabulary.pieces, *vocabulary.special) + 1 for vocabulary in vocabularies]
    path = Path(objective.vocabulary_map or "")
    student_of_teacher = read_vocabulary_map(path, teacher_rows=sizes[1], student_rows=sizes[0])

    def strings(vocabulary: Vocabulary, tokens: Int[np.ndarray, " positions"]) -> list[str]:
        return [vocabulary.pieces.get(int(token), "").replace("Ġ", "").replace("▁", "") for token in tokens]

    def links(row: int) -> Pairs:
        ours, theirs = student.train[row].inputs, teacher.train[row].inputs
        partner = one_to_one(strings(vocabularies[1], theirs), strings(vocabularies[0], ours))
        return warped_links(partner, ours, theirs, student_of_teacher)

    return links


def warp(teacher: Sequence[str], student: Sequence[str]) -> list[list[int]]:
    """For each student token the teacher tokens it is matched with, ascending; it has at least one.

    This is MinED's dynamic time warping with edit distance as the cost. The teacher's tokens are rows and the student's
    are columns. A path runs from the first cell to the last and moves down, right or both at once; it costs the sum of
    the edit distances of its cells. Of all cheapest paths, the one is taken that FuseLLM and DSKD find going back from
    the last cell: to the cheapest cell before it, of equals the diagonal one first, then the one above.

    Args:
        teacher: the teacher's tokens, without the marks that begin a word.
        student: the student's, likewise.

    Raises:
        TrainingError: one of them is empty, so that nothing can be matched.
    """
    for role, tokens in (("teacher", teacher), ("student", student)):
        if not len(tokens):
            remedy = "Leave out examples without a response."
            raise TrainingError(Problem(f"tokens of the {role}", "at least one", "none", remedy))
    costs = _path_costs(teacher, student)
    matched: list[list[int]] = [[] for _ in student]
    row, column = len(teacher) - 1, len(student) - 1
    while row or column:
        matched[column].append(row)
        if not row or not column:  # along the border there is one way to go
            row, column = max(row - 1, 0), max(column - 1, 0)
            continue
        diagonal, up, left = costs[row - 1][column - 1], costs[row - 1][column], costs[row][column - 1]
        cheapest = min(diagonal, up, left)
        if diagonal == cheapest:
            row, column = row - 1, column - 1
        elif up == cheapest:
            row -= 1
        else:
            column -= 1
    matched[0].append(0)
    return [rows[::-1] for rows in matched]


def one_to_one(teacher: Sequence[str], student: Sequence[str]) -> Int[np.ndarray, " student"]:
    """For each student token the teacher token it is matched with, or -1 where it is matched with several.

    One teacher token can still be matched with several student tokens.

    Raises:
        TrainingError: one of them is empty.
    """
    return np.array([rows[0] if len(rows) == 1 else -1 for rows in warp(teacher, student)], dtype=np.int64)


def _path_costs(teacher: Sequence[str], student: Sequence[str]) -> list[list[int]]:
    """What the cheapest path to each cell costs."""
    distances = cdist(teacher, student, scorer=Levenshtein.distance, dtype=np.int32).astype(np.int64)
    sums = distances.cumsum(axis=1)
    costs = np.empty_like(sums)
    costs[0] = sums[0]
    for row in range(1, len(costs)):
        # A path enters a row at some column, from above, and goes right from there: the sums of the row turn the
        # cheapest entry up to each column into a running minimum.
        above = costs[row - 1].copy()
        np.minimum(above[1:], costs[row - 1, :-1], out=above[1:])
        before = sums[row] - distances[row]
        costs[row] = np.minimum.accumulate(above - before) + sums[row]
    return costs.tolist()


class Response(NamedTuple):
    """A response as one tokenizer cuts it, and how much of it training sees."""

    text: TokenizedText
    targets: int
    """Fewer than tokens if the response was cut off, one more where the end-of-sequence token follows."""

    @property
    def ends(self) -> bool:
        """Whether the end-of-sequence token is a target."""
        return self.targets > len(self.text.tokens)


def _responses(texts: Sequence[str], row: int, student: Cut, teacher: Cut) -> tuple[Response, Response]:
    first, second = (Response(c.tokenizer.tokenize(texts[row]), len(c.train[row].targets)) for c in (student, teacher))
    return first, second


def chunk_links(
    student: Response, teacher: Response, side: ChunkSide = "target"
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
    same: Bool[np.ndarray, "student teacher"], student: Response, teacher: Response, side: ChunkSide
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
