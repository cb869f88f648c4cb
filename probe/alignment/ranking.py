"""Aligners × texts of a pair of tokenizers → their ranking: the report of ``probe-aligners``."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from probe.aligners.grid import grid, posterior_map
from probe.aligners.links import argmax, argmax_over_student
from probe.aligners.of_attention import Method, simalign_links, soft_dtw, token_similarity
from probe.aligners.of_tools import TOOL_ALIGNERS, ToolAligner
from probe.alignment.align import Pairs, source_of
from probe.alignment.fitting import Scorable, linked_by_rule, scorable
from probe.checkpoints.loading import load
from probe.checkpoints.open_model import named_tokenizer
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import ArgumentError, PairsError, Problem, option
from probe.exchange.given_maps import GivenMaps, given_maps
from probe.gold.by_rule import Texts
from probe.gold.drafts import short_name
from probe.gold.pairs import GoldFile
from probe.gold.rows import GoldRow, Link
from probe.maps import AttentionMap
from probe.output.provenance import versions
from probe.report.aligner_report import AlignerReport, ranked
from probe.scoring.hard_links import count_links
from probe.scoring.scores import top_1
from probe.scoring.truth import Truth

PACKAGES = ("cma-probe", "numpy", "scipy", "tokenizers")
SIMALIGN: tuple[tuple[Method, str], ...] = (
    ("simalign inter", "pairs that are each other's most similar token"),
    ("simalign itermax", "the same, and once more among tokens that are left"),
    ("simalign matching", "the one-to-one links with the largest sum of cosines"),
)
GAMMA = 0.1
"""Of soft-DTW over costs of one minus the cosine; not tuned."""


@dataclass(frozen=True)
class Aligned:
    """The links of one text, and the weights that they were taken from, where there are any."""

    links: Set[Link]
    weights: AttentionMap | None = None


@dataclass(frozen=True)
class Candidate:
    """An aligner that is ranked."""

    name: str
    note: str
    used_by: str


@dataclass(frozen=True)
class Family:
    """Aligners that are computed together, because they share most of their work."""

    candidates: tuple[Candidate, ...]
    align: Callable[[GoldRow], Sequence[Aligned]]
    """Of each of them the links of a row."""


def rank_aligners(
    pairs: Pairs = None,
    *,
    texts: Sequence[str] | str | Path | None = None,
    student: str | None = None,
    teacher: str | None = None,
    checkpoint: OpenCheckpoint | str | None = None,
    maps: Sequence[str | Path] = (),
    command: str = "",
) -> dict[str, AlignerReport]:
    """Rank the aligners of distillation and word-alignment tools on texts of two tokenizers, by pair.

    Args:
        pairs: annotated rows, their file or its path; default: those that come with the package, all pairs of them.
        texts: your own texts instead, or a file of them, to be linked by rule; they need two tokenizers.
        student: a model directory, a ``tokenizer.json``, a hub id, or a bundled model, of which only the tokenizer is
            read. With it, texts are cut anew and linked by rule.
        teacher: likewise.
        checkpoint: ranks what needs vectors as well: simalign, soft-DTW and the attention itself, plain and decoded.
        maps: files of maps or links of another tool, as ``probe-align --maps`` takes them.
        command: for the record.

    Raises:
        PairsError: no text can be scored.
        CheckpointError: a model or a checkpoint cannot be opened.

    Example:
        >>> import probe
        >>> sides = {"student": "bundled:demo/student", "teacher": "bundled:demo/teacher"}
        >>> report = probe.rank_aligners(texts=["Return the maximum of the list."], **sides)["student~teacher"]
        >>> report.names[0], report.names[-1]
        ('byte chunks', 'time warping')
    """
    source = source_of(pairs, texts)
    opened = load(checkpoint) if isinstance(checkpoint, str) else checkpoint
    scored = _rows(source, student, teacher, opened)
    families = [*_of_tools(), *([_of_checkpoint(opened)] if opened else [])]
    # Links without tokens are told apart by their order, which is that of the file.
    ordered = source if isinstance(source, GoldFile) and student is None else GoldFile(scored.rows, ())
    given = [given_maps(Path(one), ordered) for one in maps]
    reports: dict[str, AlignerReport] = {}
    for pair, rows in _by_pair(scored.rows).items():
        of_pair = [one for one in given if any(row.id in one.maps for row in rows)]
        kept = [row for row in rows if all(row.id in one.maps for one in of_pair)]
        if kept:
            reports[pair] = _report(pair, kept, [*families, *map(_of_maps, of_pair)], scored, command)
    if not reports:
        remedy = "Give all files links of the same texts."
        raise PairsError(Problem(scored.source, "texts that all aligners have links of", "none", remedy))
    return reports


def _rows(
    source: GoldFile | Texts, student: str | None, teacher: str | None, opened: OpenCheckpoint | None
) -> Scorable:
    """The rows of a gold file as they are, those that fit a checkpoint, or texts cut by two tokenizers."""
    if opened is not None and (student or teacher):
        remedy = f"Leave {option('--student')} and {option('--teacher')} out, or {option('--checkpoint')}."
        raise ArgumentError.of("aligners", "a checkpoint or two tokenizers", "both", remedy)
    if opened is not None:
        return scorable(opened, source)
    if student is not None and teacher is not None:
        pair = f"{short_name(student)}~{short_name(teacher)}"
        return linked_by_rule(source, named_tokenizer(student), named_tokenizer(teacher), pair)
    if student is not None or teacher is not None:
        remedy = f"Name the other one with {option('--teacher' if student else '--student')}."
        raise ArgumentError.of("aligners", "two tokenizers", "one", remedy)
    if isinstance(source, Texts):
        remedy = f"Name both with {option('--student')} and {option('--teacher')}."
        raise PairsError(Problem(source.name, "two tokenizers to cut these texts", "none", remedy))
    return Scorable(source.rows, 0, source.name, source.sha256)


def _by_pair(rows: Sequence[GoldRow]) -> dict[str, list[GoldRow]]:
    found: dict[str, list[GoldRow]] = {}
    for row in sorted(rows, key=lambda row: row.id):  # resampling draws by place, which is none of the file's
        found.setdefault(row.pair, []).append(row)
    return found


def _report(
    pair: str, rows: Sequence[GoldRow], families: Sequence[Family], scored: Scorable, command: str
) -> AlignerReport:
    candidates = [one for family in families for one in family.candidates]
    found = [[one for family in families for one in family.align(row)] for row in rows]
    links = [[count_links(one.links, row) for one in of_row] for of_row, row in zip(found, rows, strict=True)]
    counts = np.array([[one.counts for one in of_row] for of_row in links])
    hits = np.array([[_hits(one.weights, row) for one in of_row] for of_row, row in zip(found, rows, strict=True)])
    order = ranked(counts)
    return AlignerReport(
        pair=pair,
        source=scored.source,
        source_sha256=scored.sha256,
        names=tuple(candidates[k].name for k in order),
        notes=tuple((candidates[k].note, candidates[k].used_by) for k in order),
        sentences=tuple(row.id for row in rows),
        phenomena=tuple(row.phenomena for row in rows),
        counts=counts[:, order],
        largest=np.array([[one.largest for one in of_row] for of_row in links])[:, order],
        hits=hits[:, order],
        versions=versions(PACKAGES),
        command=command,
    )


def _hits(weights: AttentionMap | None, row: GoldRow) -> tuple[float, float]:
    if weights is None:
        return np.nan, np.nan
    truth = Truth(row)
    found = top_1(weights.weights[truth.linked].astype(np.float64), truth.sure[truth.linked])
    return float(found.sum()), float(len(found))


def _of_tools() -> list[Family]:
    def family(one: ToolAligner) -> Family:
        candidate = Candidate(one.name, one.note, one.used_by)
        return Family((candidate,), lambda row: [Aligned(one.links(row.student, row.teacher))])

    return [family(one) for one in TOOL_ALIGNERS]


def _of_checkpoint(opened: OpenCheckpoint) -> Family:
    """What needs vectors: cosines of queries and keys, and the attention that is made of them."""
    name = opened.checkpoint.name

    def align(row: GoldRow) -> list[Aligned]:
        queries, keys = opened.vectors(row.student, row.teacher)
        similarity = token_similarity(queries[:-1], keys[:-1])  # without the end of sequence
        posterior = soft_dtw(1 - similarity.astype(np.float64), GAMMA)
        map_ = opened.map(row)
        return [
            *(Aligned(simalign_links(similarity, method)) for method, _ in SIMALIGN),
            _of_both_sides(posterior_map("soft-DTW", row.student, row.teacher, posterior)),
            Aligned(_places(argmax(map_.weights, map_.weights)), map_),
            _of_both_sides(grid(map_)),
        ]

    similar = f"simalign (ca1932a), over queries and keys of {name}"
    candidates = [
        *(Candidate(method, note, similar) for method, note in SIMALIGN),
        Candidate("soft-DTW", "the expected monotone path by cosines", f"DWA-KD, over queries and keys of {name}"),
        Candidate("cma", "the largest weight of each student token", name),
        Candidate("cma-grid", "the attention decoded by the order of both texts", name),
    ]
    return Family(tuple(candidates), align)


def _of_both_sides(map_: AttentionMap) -> Aligned:
    """Of paths: the largest cells of each student token, and of each teacher token."""
    a, b = map_.weights, map_.over_student
    return Aligned(_places(argmax(a, a) if b is None else argmax(a, b) | argmax_over_student(a, b)), map_)


def _places(links: Bool[np.ndarray, "student teacher"]) -> frozenset[Link]:
    return frozenset(zip(*(axis.tolist() for axis in np.nonzero(links)), strict=True))


def _of_maps(given: GivenMaps) -> Family:
    """Somebody's links; of weights that are not all equal, the largest of each student token."""

    def align(row: GoldRow) -> list[Aligned]:
        map_ = given.maps[row.id]
        inner = map_.weights[:-1, :-1]
        linked = inner > 0
        if all(len(np.unique(weights[on])) <= 1 for weights, on in zip(inner, linked, strict=True)):
            return [Aligned(_places(linked))]
        return [Aligned(_places(argmax(map_.weights, map_.weights)), map_)]

    return Family((Candidate(given.name, "as given", ", ".join(name for name, _ in given.files)),), align)
