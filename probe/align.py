"""Gold pairs × methods → scores: the alignment probe."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from probe import references
from probe.attention import CrossModelAttention, softmax
from probe.checkpoint import Checkpoint
from probe.chunks import chunk_mask
from probe.cma import Logits, OpenCheckpoint, sharpening_factor
from probe.errors import PairsError, Problem
from probe.maps import AttentionMap
from probe.models import OpenModel
from probe.pair_rows import GoldRow
from probe.pairs import GoldFile, declared_vocabularies
from probe.report import ProbeReport
from probe.scores import entropy, score
from probe.triples import mark_of

Counts = Float[np.ndarray, " counts"]
Weights = Float[np.ndarray, "student_targets teacher_targets"]
View = Callable[[Logits, GoldRow], Weights]

CMA, CLA, RANDOM = "cma", "cla", "random"
RANDOM_SEEDS = (0, 1, 2)
SHARPNESS_ROWS = 100
"""Sentences on which untrained projectors are made as sharp as the trained one; more would only take memory."""

KEY_SCALE_FACTORS = (0.8, 1.25)
"""Where the key scale is an estimate, what it is multiplied by to show how much depends on it."""

REFERENCES: dict[str, Callable[[GoldRow], AttentionMap]] = {
    "uniform": references.uniform,
    "diagonal": references.diagonal,
    "lexical": references.lexical,
    "overlap": references.overlap,
    "chunk": references.chunk,
    "gold": references.gold,
    "bigram": references.bigram,
    "target-only": references.target_only,
}
"""Methods that need no checkpoint; what each is stands in `probe.references`."""


def align_pairs(open_: OpenCheckpoint, gold: GoldFile, path: Path) -> ProbeReport:
    """Score cma, its untrained twin and all references on the rows that fit the checkpoint's tokenizers.

    Raises:
        PairsError: no row fits, or a row claims these tokenizers but has other pieces than they produce.
    """
    rows = fitting_rows(open_, gold, path)
    views = _views(open_.checkpoint)
    queries = [open_.checkpoint.query, *(open_.untrained_query(seed) for seed in RANDOM_SEEDS)]
    sample = [open_.attend(row.student, row.teacher, queries) for row in rows[:SHARPNESS_ROWS]]
    rest = (open_.attend(row.student, row.teacher, queries) for row in rows[SHARPNESS_ROWS:])
    factors = _random_factors(sample)
    scores: dict[str, list[Counts]] = {name: [] for name in (*views, RANDOM)}
    for row, (trained, *untrained) in zip(rows, chain(sample, rest), strict=True):
        for name, view in views.items():
            scores[name].append(_score(name, row, view(trained.logits, row)))
        drawn = (softmax(u.logits * factor, axis=-1) for u, factor in zip(untrained, factors, strict=True))
        scores[RANDOM].append(np.mean([_score(RANDOM, row, weights) for weights in drawn], axis=0))
    for name, method in REFERENCES.items():
        scores[name] = [score(method(row), row) for row in rows]
    return ProbeReport(
        checkpoint=open_.checkpoint.name,
        method=open_.checkpoint.method,
        criterion=open_.checkpoint.criterion,
        steps=open_.checkpoint.steps,
        pair=f"{open_.checkpoint.student.name} ← {open_.checkpoint.teacher.name}",
        key_scale=open_.checkpoint.scales.key,
        key_scale_is_estimate=open_.checkpoint.scales.key_is_estimate,
        gold=str(path),
        gold_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        sentences=tuple(row.id for row in rows),
        other_sentences=len(gold.rows) - len(rows),
        phenomena=tuple(row.phenomena for row in rows),
        triples=tuple(mark_of(row.note) for row in rows),
        methods=tuple(scores),
        counts=np.stack([np.stack(of_rows) for of_rows in scores.values()], axis=1),
    )


def _views(checkpoint: Checkpoint) -> dict[str, View]:
    """What is made of the trained logits: attention as it is, and what the checkpoint's kind asks for beside it."""
    views: dict[str, View] = {CMA: lambda logits, row: softmax(logits, axis=-1)}
    if checkpoint.method == CLA:
        views[f"{CLA} mask"] = lambda logits, row: softmax(logits, axis=-1, mask=_chunks_and_eos(row))
    if checkpoint.scales.key_is_estimate:
        for factor in KEY_SCALE_FACTORS:
            views[f"{CMA} ×{factor:g}"] = lambda logits, row, factor=factor: softmax(logits / factor, axis=-1)
    return views


def _chunks_and_eos(row: GoldRow) -> Bool[np.ndarray, "student_targets teacher_targets"]:
    mask = np.pad(chunk_mask(row.student, row.teacher), ((0, 1), (0, 1)))
    mask[-1, -1] = True
    return mask


def fitting_rows(open_: OpenCheckpoint, gold: GoldFile, path: Path) -> list[GoldRow]:
    """Rows whose tokens both tokenizers of the checkpoint really produce, whatever the file calls them.

    Raises:
        PairsError: none fits, or a row is declared for these very vocabularies and yet has other pieces.
    """
    student = open_.student.produces([row.student for row in gold.rows])
    teacher = open_.teacher.produces([row.teacher for row in gold.rows])
    records = open_.checkpoint.student, open_.checkpoint.teacher
    own = tuple(record.vocabulary_sha256 for record in records)
    declared = declared_vocabularies(gold)
    problems: list[Problem] = []
    for number, (row, *fits) in enumerate(zip(gold.rows, student, teacher, strict=True)):
        if all(fits) or tuple(declared.get(name) for name in row.pair.split("~")) != own:
            continue
        line = f":{gold.lines[number]}" if gold.lines else ""
        sides = (("student", row.student, open_.student), ("teacher", row.teacher, open_.teacher))
        for (side, text, model), fit in zip(sides, fits, strict=True):
            if not fit:
                where = f"{path.name}{line}, row {row.id}, {side}_tokens"
                problems.append(_foreign_pieces(row, where, text.pieces, model))
    if problems:
        raise PairsError(*problems)
    rows = [row for row, *fits in zip(gold.rows, student, teacher, strict=True) if all(fits)]
    if not rows:
        raise PairsError(
            Problem(
                path.name,
                f"rows tokenised as {records[0].name} and {records[1].name} do it",
                f"rows for {', '.join(sorted({row.pair for row in gold.rows})) or 'nothing'}",
                "Name a checkpoint of one of those pairs, or annotate rows for this one.",
            )
        )
    return rows


def _foreign_pieces(row: GoldRow, where: str, pieces: Sequence[str], model: OpenModel) -> Problem:
    own = model.tokenizer.pieces([row.text])[0]
    return Problem(
        where,
        f"the tokenizer's pieces {' '.join(own)}",
        " ".join(pieces),
        "Tokenise the text again and mend the links.",
    )


def _random_factors(sample: Sequence[Sequence[CrossModelAttention]]) -> list[float]:
    """For each untrained projector, the factor that makes its logits as sharp as the trained ones on a sample."""
    sharpness = float(np.concatenate([entropy(trained.over_teacher) for trained, *_ in sample]).mean())
    return [
        sharpening_factor([attentions[1 + seed].logits for attentions in sample], sharpness)
        for seed in range(len(RANDOM_SEEDS))
    ]


def _score(method: str, row: GoldRow, weights: Weights) -> Counts:
    return score(AttentionMap(method, row.student, row.teacher, weights), row)
