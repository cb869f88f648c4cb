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
from torch import Tensor

from probe.aligners.exact_tokens import exact_byte_links
from probe.aligners.strings import without_marks
from probe.aligners.time_warping import one_to_one
from probe.chunks import chunk_mask
from probe.tokens import TokenizedText
from probe.training.criteria.settings import ChunkSide, Objective, named
from probe.training.examples import Cut
from probe.training.vocabulary_map import Vocabulary, read_vocabulary_map

REMEMBERED = 1 << 14
"""Rows whose links are kept; they are made again in the next epoch otherwise, a millisecond each."""

Pairs = Bool[np.ndarray, "student teacher"]
Links = Callable[[int], Pairs]
"""The links of a row, by its number."""


def links_of(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut, seed: int) -> Links | None:
    """What gives the links of a row when a batch first needs them; None for methods that need none.

    Args:
        objective: its method names what makes them.
        texts: the responses.
        student: the rows in its tokens.
        teacher: the same.
        seed: of what is moved or dropped.
    """
    if objective.needs.links is None:
        return None
    right: Links = named(objective.needs.links)(objective, texts, student, teacher)
    moved, dropped = objective.links_moved, objective.links_dropped

    def changed(row: int) -> Pairs:
        return broken(right(row), moved, dropped, np.random.default_rng([seed, row]))

    return lru_cache(REMEMBERED)(changed if moved or dropped else right)


def chunks(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut) -> Links:
    """Links of chunks; see `chunk_links`."""
    return lambda row: chunk_links(*_responses(texts, row, student, teacher), objective.chunk_side)


def exact(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut) -> Links:
    """Links of equal tokens; see `exact_links`."""
    return lambda row: exact_links(*_responses(texts, row, student, teacher))


def warped(objective: Objective, texts: Sequence[str], student: Cut, teacher: Cut) -> Links:
    """Links of MinED; see `warped_links`."""
    vocabularies = [Vocabulary.of(cut.tokenizer) for cut in (student, teacher)]
    sizes = [max(*vocabulary.pieces, *vocabulary.special) + 1 for vocabulary in vocabularies]
    path = Path(objective.vocabulary_map or "")
    student_of_teacher = read_vocabulary_map(path, teacher_rows=sizes[1], student_rows=sizes[0])

    def strings(vocabulary: Vocabulary, tokens: Int[np.ndarray, " positions"]) -> list[str]:
        return without_marks([vocabulary.pieces.get(int(token), "") for token in tokens])

    def links(row: int) -> Pairs:
        ours, theirs = student.train[row].inputs, teacher.train[row].inputs
        partner = one_to_one(strings(vocabularies[1], theirs), strings(vocabularies[0], ours))
        return warped_links(partner, ours, theirs, student_of_teacher)

    return links


def broken(links: Pairs, moved: float, dropped: float, rng: np.random.Generator) -> Pairs:
    """The links of chunks, some of them wrong on purpose.

    Chunks are drawn without replacement, and the same numbers draw the same chunks to be moved or to be dropped. Moved
    ones exchange their teacher positions among those of equal size, in a circle; one that is left alone takes those of
    another chunk, of equal size if there is one. So a chunk that is moved has no right link, unless it is the only one.

    Args:
        links: of chunks, so that student positions with a link in common have all in common.
        moved: share of chunks, as near as their number allows.
        dropped: the same; at most 1 together.
        rng: draws.
    """
    columns = [np.flatnonzero(row) for row in links]
    chunks = {int(one[0]): one for one in columns if len(one)}  # teacher positions, by the first of them
    order = [sorted(chunks)[k] for k in rng.permutation(len(chunks))]
    lost = round(dropped * len(order))
    goes = order[lost : lost + round(moved * len(order))]
    to = chunks | dict.fromkeys(order[:lost], np.array([], dtype=np.int64))
    for size in sorted({len(chunks[begin]) for begin in goes}):
        circle = [begin for begin in goes if len(chunks[begin]) == size]
        to |= {begin: chunks[after] for begin, after in zip(circle, [*circle[1:], circle[0]], strict=True)}
        others = [begin for begin in sorted(chunks) if begin != circle[0]]
        if len(circle) == 1 and others:
            to[circle[0]] = chunks[int(rng.choice([one for one in others if len(chunks[one]) == size] or others))]
    found = np.zeros_like(links)
    for row, one in enumerate(columns):
        if len(one):
            found[row, to[int(one[0])]] = True
    return found


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
    for link in exact_byte_links(student.text, teacher.text):
        same[link] = True
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


def place_links(
    links: Sequence[Bool[np.ndarray, "_ _"]],
    student: Bool[Tensor, "batch student"],
    teacher: Bool[Tensor, "batch teacher"],
) -> Bool[Tensor, "batch student teacher"]:
    """The links of several examples at the positions of a batch that have a target, whatever is padded around them."""
    placed = student[:, :, None] & teacher[:, None, :]
    placed[placed.clone()] = torch.cat([torch.from_numpy(one).flatten() for one in links]).to(placed.device)
    return placed
