"""An attention that is being trained, scored on texts that rules link for its two tokenizers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from probe.alignment.align import SHARPNESS, align_maps
from probe.alignment.methods import CMA, CMA_GRID
from probe.alignment.token_spans import token_spans
from probe.attention import CrossModelAttention, bigrams, cross_model_attention, scaled_products
from probe.errors import ArgumentError, PairsError, Problem, TokenError
from probe.exchange.given_maps import GivenMaps
from probe.gold.by_rule import read_texts
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import GoldRow
from probe.gold.rules import rule_links
from probe.maps import AttentionMap
from probe.report.report import ProbeReport
from probe.report.values import BY_RULE, ROWS, beyond_overview
from probe.scoring.destinations import TOKEN
from probe.stats import Estimate, estimates
from probe.watch.side import Side

Attention = Callable[[list[int], list[int]], Any]
"""Called with the ids of a text on both sides, each with EOS behind; returns what `as_weights` takes."""
SAMPLE = 64
"""Texts of the gold data that are scored where none are given."""
CALL = "Return the weights of A, or (A, A'), each of shape (student ids, teacher ids)."


@dataclass(frozen=True)
class QueryAttention:
    """The attention of DSKD between two embedding tables, from its query projector as it is now.

    It is called with the ids of a text on both sides, each with EOS behind. Row i is the position whose *target* is
    student id i; keys are teacher embeddings of input and target, divided by `key_scale`.

    Attributes:
        query: takes (positions, 2 · student width) to (positions, 2 · teacher width), as ``projectors["query"]``.
        student_embeddings: takes ids to embeddings, as ``student.get_input_embeddings()``.
        teacher_embeddings: likewise.
        key_scale: what keys are divided by: in DSKD their standard deviation over the batch.
        before: ids of the tokens that stand before a response, the student's and the teacher's; default: EOS.

    Example:
        >>> import probe, torch
        >>> student, teacher = torch.nn.Embedding(2048, 4), torch.nn.Embedding(2048, 6)
        >>> attention = probe.QueryAttention(torch.nn.Linear(8, 12), student, teacher, key_scale=1.0)
        >>> attention([5, 6, 0], [7, 2]).over_teacher.shape
        torch.Size([3, 2])
    """

    query: Callable[[Any], Any]
    student_embeddings: Callable[[Any], Any]
    teacher_embeddings: Callable[[Any], Any]
    key_scale: float
    before: tuple[int, int] | None = None

    def __call__(self, student_ids: list[int], teacher_ids: list[int]) -> CrossModelAttention:
        """A and A' of a text."""
        first = (student_ids[-1], teacher_ids[-1]) if self.before is None else self.before
        # In single precision, as in DSKD: rows of a softmax in half precision do not sum to one.
        queries = self.query(_bigrams(self.student_embeddings, [first[0], *student_ids])).float()
        keys = _bigrams(self.teacher_embeddings, [first[1], *teacher_ids]).float() / self.key_scale
        return cross_model_attention(scaled_products(queries, keys.to(queries)))


def _bigrams(embeddings: Any, ids: list[int]) -> Any:
    import torch

    weight = next(iter(embeddings.parameters()), None) if hasattr(embeddings, "parameters") else None
    found = embeddings(torch.tensor(ids, device=None if weight is None else weight.device))
    return bigrams(found[:-1], found[1:])


@dataclass(frozen=True)
class Exam:
    """Rows that an attention is scored on, with the ids of their tokens and EOS behind."""

    rows: tuple[GoldRow, ...]
    ids: tuple[tuple[list[int], list[int]], ...]
    source: str

    def report(self, attention: Attention) -> ProbeReport:
        """The attention on all rows, and decoded by order if it gives A' as well.

        Raises:
            ArgumentError: it returns no weights of these shapes.
            MapError: they do not sum to one.
        """
        maps = {row.id: self.map(attention, number) for number, row in enumerate(self.rows)}
        given = GivenMaps(CMA, (), maps)
        report = align_maps(given, GoldFile(self.rows, ()), [CMA_GRID], parts=(SHARPNESS,))
        return replace(report, origin=replace(report.origin, gold=self.source))

    @cached_property
    def shown(self) -> int:
        """The number of the text that is drawn: a short one, the same at each step."""
        return sorted(range(len(self.rows)), key=lambda n: (self.rows[n].sizes, n))[len(self.rows) // 4]

    def map(self, attention: Attention, number: int) -> AttentionMap:
        """The map of one of the texts."""
        ids, row = self.ids[number], self.rows[number]
        over_teacher, over_student = as_weights(attention(*map(list, ids)), (len(ids[0]), len(ids[1])))
        return AttentionMap(CMA, row.student, row.teacher, over_teacher, over_student)


def score_attention(
    attention: Attention,
    student_tokenizer: object,
    teacher_tokenizer: object,
    *,
    texts: Sequence[str] | None = None,
) -> ProbeReport:
    """Score an attention as it is now, on texts that are linked by rule for two tokenizers.

    Args:
        attention: a `QueryAttention`, or a function of the ids of a text on both sides, each with EOS behind. It
            returns weights A of shape (student ids, teacher ids) whose row i is the position with target i, or (A, A').
        student_tokenizer: what `align_tokens` takes, with an ``eos_token_id``.
        teacher_tokenizer: likewise.
        texts: responses; default: 64 texts of the gold data.

    Returns:
        The report, whose methods are ``cma`` and, with A', ``cma-grid``: decoded by the order of both texts.

    Raises:
        ArgumentError: an argument is not what it should be, or the attention returns no such weights.
        MapError: its rows do not sum to one.
        PairsError: no text can be linked.

    Example:
        >>> import numpy as np, probe
        >>> equal = lambda student_ids, teacher_ids: np.full((len(student_ids), len(teacher_ids)), 1 / len(teacher_ids))
        >>> probe.score_attention(equal, "bundled:demo/student", "bundled:demo/teacher")["cma"].top1
        0.0247 [0.0211, 0.0287]
    """
    if not callable(attention):
        raise ArgumentError.of("attention", "a function of two lists of ids", attention, CALL)
    sides = Side.of(student_tokenizer, "student"), Side.of(teacher_tokenizer, "teacher")
    return exam(*sides, texts).report(attention)


def exam(student: Side, teacher: Side, texts: Sequence[str] | None = None) -> Exam:
    """Texts cut by both sides and linked by rule. Those that a tokenizer changes are left out.

    Raises:
        PairsError: none is left.
    """
    ends = [student.eos_id], [teacher.eos_id]
    given = _sample() if texts is None else read_texts(texts).by_id
    rows: list[GoldRow] = []
    ids: list[tuple[list[int], list[int]]] = []
    for id_, text in given.items():
        try:
            ours, theirs = (token_spans([text], side.reader, side.role, False)[0] for side in (student, teacher))
        except TokenError:
            continue
        cut = ours.tokenized(), theirs.tokenized()
        links = rule_links(*cut)
        if links.sure:
            rows.append(GoldRow(id_, "student~teacher", *cut, links.sure, links.possible, (), ""))
            ids.append(([*ours.ids, *ends[0]], [*theirs.ids, *ends[1]]))
    if not rows:
        remedy = "Its tokens have no place in them (lower case, accents): use another tokenizer, or other texts."
        raise PairsError(Problem("texts", "at least one that both tokenizers keep as it is", "none", remedy))
    name = "gold texts" if texts is None else "texts"
    return Exam(tuple(rows), tuple(ids), f"{len(rows)} {name}{BY_RULE}")


def _sample() -> dict[str, str]:
    """Some of the gold texts, evenly from all, each once."""
    first = {row.text: row.id for row in reversed(list(read_pairs()))}
    by_id = sorted((id_, text) for text, id_ in first.items())
    return dict(by_id[:: max(len(by_id) // SAMPLE, 1)][:SAMPLE])


def as_weights(
    returned: Any, shape: tuple[int, int]
) -> tuple[Float[np.ndarray, "student teacher"], Float[np.ndarray, "student teacher"] | None]:
    """A and A' as arrays, of what an attention returns: A, (A, A'), or a `CrossModelAttention`.

    Raises:
        ArgumentError: it is none of these, or of another shape.
    """
    if isinstance(returned, CrossModelAttention):
        returned = returned.over_teacher, returned.over_student
    both = returned if isinstance(returned, tuple) else (returned, None)
    found = [None if one is None else _array(one) for one in both]
    if len(found) != 2 or found[0] is None or any(one is not None and one.shape != shape for one in found):
        shapes = " and ".join("nothing" if one is None else str(one.shape) for one in found)
        raise ArgumentError(Problem("attention", f"weights of shape {shape}", shapes, CALL))
    return found[0], found[1]


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, which may be on another device and of half precision
        values = values.detach().float().cpu()
    return np.asarray(values, dtype=np.float64)


def attention_figures(report: ProbeReport) -> dict[str, Estimate]:
    """What of a report is logged, by name."""
    figures = report[CMA]
    found = {
        "top-1": figures.top1,
        "MRR": figures.mrr,
        "mass at common entropy": figures.mass_at_common_entropy,
        "repeat confusion": _repeat_confusion(report),
    }
    decoded = {"decoded top-1": report[CMA_GRID].top1} if CMA_GRID in report.methods else {}
    return found | decoded


def _repeat_confusion(report: ProbeReport) -> Estimate:
    """The mean weight on the same token at another place, over student tokens with a sure link."""
    same = beyond_overview(report.mass)[:, 0, TOKEN]
    shares = np.stack([same, report.counts[:, 0, ROWS]], axis=1)
    return estimates(shares, lambda summed: summed[..., :1] / summed[..., 1:]).at(0)
