"""Aligners × texts of a pair of tokenizers → their ranking: the report of ``probe-aligners``."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from probe.aligners.grid import grid
from probe.aligners.links import argmax, path
from probe.aligners.of_attention import Method, simalign_links, soft_dtw, token_similarity
from probe.aligners.of_tools import TOOL_ALIGNERS
from probe.alignment.align import Pairs, source_of
from probe.alignment.fitting import scorable
from probe.checkpoints.loading import load
from probe.checkpoints.open_model import tokenizer_of
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import ArgumentError, PairsError, Problem, option
from probe.exchange.given_maps import GivenMaps, given_maps
from probe.gold.by_rule import Texts, rows_by_rule
from probe.gold.drafts import short_name
from probe.gold.pairs import GoldFile
from probe.gold.rows import GoldRow, Link
from probe.maps import AttentionMap, with_eos
from probe.models.sources import resolve
from probe.models.tokenizer import FILE, Tokenizer
from probe.output.provenance import versions
from probe.report.aligner_report import AlignerReport, ranked
from probe.report.values import BY_RULE
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
    align: Callable[[GoldRow], Aligned]


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
    groups = _rows(source, student, teacher, opened)
    candidates = [*_of_tools(), *(_of_checkpoint(opened) if opened else [])]
    # Links without tokens are told apart by their order, which is that of the file.
    ordered = source if isinstance(source, GoldFile) and student is None else groups.as_file
    given = [given_maps(Path(one), ordered) for one in maps]
    reports: dict[str, AlignerReport] = {}
    for pair, rows in groups.by_pair.items():
        of_pair = [one for one in given if any(row.id in one.maps for row in rows)]
        kept = [row for row in rows if all(row.id in one.maps for one in of_pair)]
        if kept:
            reports[pair] = _report(pair, kept, [*candidates, *map(_of_maps, of_pair)], groups, command)
    if not reports:
        remedy = "Give all files links of the same texts."
        raise PairsError(Problem(groups.source, "texts that all aligners have links of", "none", remedy))
    return reports


@dataclass(frozen=True)
class _Rows:
    by_pair: Mapping[str, Sequence[GoldRow]]
    source: str
    sha256: str

    @property
    def as_file(self) -> GoldFile:
        """All of them."""
        return GoldFile(tuple(row for rows in self.by_pair.values() for row in rows), ())


def _rows(source: GoldFile | Texts, student: str | None, teacher: str | None, opened: OpenCheckpoint | None) -> _Rows:
    """The rows of a gold file as they are, those that fit a checkpoint, or texts cut by two tokenizers."""
    if opened is not None and (student or teacher):
        remedy = f"Leave {option('--student')} and {option('--teacher')} out, or {option('--checkpoint')}."
        raise ArgumentError.of("aligners", "a checkpoint or two tokenizers", "both", remedy)
    if opened is not None:
        found = scorable(opened, source)
        return _Rows(_by_pair(found.rows), found.source, found.sha256)
    if student is not None and teacher is not None:
        return _cut(source, student, teacher)
    if student is not None or teacher is not None:
        remedy = f"Name the other one with {option('--teacher' if student else '--student')}."
        raise ArgumentError.of("aligners", "two tokenizers", "one", remedy)
    if isinstance(source, Texts):
        remedy = f"Name both with {option('--student')} and {option('--teacher')}."
        raise PairsError(Problem(source.name, "two tokenizers to cut these texts", "none", remedy))
    return _Rows(_by_pair(source.rows), source.name, source.sha256)


def _by_pair(rows: Sequence[GoldRow]) -> dict[str, list[GoldRow]]:
    found: dict[str, list[GoldRow]] = {}
    for row in sorted(rows, key=lambda row: row.id):  # resampling draws by place, which is none of the file's
        found.setdefault(row.pair, []).append(row)
    return found


def _cut(source: GoldFile | Texts, student: str, teacher: str) -> _Rows:
    """Texts cut by two tokenizers and linked by rule; each text once."""
    if isinstance(source, GoldFile):
        source = Texts({row.id: row.text for row in source}, source.name, source.sha256)
    first: dict[str, str] = {}
    for id_, text in source.by_id.items():
        first.setdefault(text, id_)
    texts = {id_: text for text, id_ in first.items()}
    pair = f"{short_name(student)}~{short_name(teacher)}"
    found = rows_by_rule(texts, _tokenizer(student), _tokenizer(teacher), pair)
    return _Rows(_by_pair(found.rows), f"{source.name}{BY_RULE}", GoldFile(found.rows, ()).sha256)


def _tokenizer(source: str) -> Tokenizer:
    if Path(source).name == FILE and Path(source).is_file():
        return Tokenizer.load(Path(source).parent)
    return tokenizer_of(resolve(source, Path.cwd()))


def _report(
    pair: str, rows: Sequence[GoldRow], candidates: Sequence[Candidate], source: _Rows, command: str
) -> AlignerReport:
    counts, largest, hits = [], [], []
    for row in rows:
        found = [one.align(row) for one in candidates]
        of_links = [count_links(one.links, row) for one in found]
        counts.append([one.counts for one in of_links])
        largest.append([one.largest for one in of_links])
        hits.append([_hits(one.weights, row) for one in found])
    order = ranked([one.name for one in candidates], np.array(counts))
    return AlignerReport(
        pair=pair,
        source=source.source,
        source_sha256=source.sha256,
        names=tuple(candidates[k].name for k in order),
        notes=tuple((candidates[k].note, candidates[k].used_by) for k in order),
        sentences=tuple(row.id for row in rows),
        phenomena=tuple(row.phenomena for row in rows),
        counts=np.array(counts)[:, order],
        largest=np.array(largest)[:, order],
        hits=np.array(hits)[:, order],
        versions=versions(PACKAGES),
        command=command,
    )


def _hits(weights: AttentionMap | None, row: GoldRow) -> tuple[float, float]:
    if weights is None:
        return np.nan, np.nan
    truth = Truth(row)
    found = top_1(weights.weights[truth.linked].astype(np.float64), truth.sure[truth.linked])
    return float(found.sum()), float(len(found))


def _of_tools() -> list[Candidate]:
    def align(links: Callable[..., Set[Link]]) -> Callable[[GoldRow], Aligned]:
        return lambda row: Aligned(links(row.student, row.teacher))

    return [Candidate(one.name, one.note, one.used_by, align(one.links)) for one in TOOL_ALIGNERS]


def _of_checkpoint(opened: OpenCheckpoint) -> list[Candidate]:
    """What needs vectors: cosines of queries and keys, and the attention that is made of them."""
    name = opened.checkpoint.name

    def similarity(row: GoldRow) -> Float[np.ndarray, "student teacher"]:
        queries, keys = opened.vectors(row.student, row.teacher)
        return token_similarity(queries[:-1], keys[:-1])  # without the end of sequence

    def of_simalign(method: Method) -> Callable[[GoldRow], Aligned]:
        return lambda row: Aligned(simalign_links(similarity(row), method))

    def of_soft_dtw(row: GoldRow) -> Aligned:
        posterior = soft_dtw(1 - similarity(row).astype(np.float64), GAMMA)
        return _of_posterior(row, "soft-DTW", posterior)

    def of_attention(row: GoldRow) -> Aligned:
        map_ = opened.map(row)
        return Aligned(_places(argmax(map_.weights, map_.weights)), map_)

    def of_grid(row: GoldRow) -> Aligned:
        attention = opened.attend(row.student, row.teacher, opened.checkpoint.query)
        return Aligned(_places(path(attention.over_teacher, attention.over_student)), grid(opened.map(row)))

    similar = f"simalign (ca1932a), over queries and keys of {name}"
    return [
        *(Candidate(method, note, similar, of_simalign(method)) for method, note in SIMALIGN),
        Candidate("soft-DTW", "the expected monotone path by cosines", f"DWA-KD, over vectors of {name}", of_soft_dtw),
        Candidate("cma", "the largest weight of each student token", name, of_attention),
        Candidate("cma-grid", "the attention decoded by the order of both texts", name, of_grid),
    ]


def _of_posterior(row: GoldRow, method: str, posterior: Float[np.ndarray, "student teacher"]) -> Aligned:
    """The largest cells of rows and of columns."""
    links = (posterior == posterior.max(axis=1, keepdims=True)) | (posterior == posterior.max(axis=0, keepdims=True))
    return Aligned(_places(links), AttentionMap(method, row.student, row.teacher, with_eos(posterior)))


def _places(links: Bool[np.ndarray, "student teacher"]) -> frozenset[Link]:
    return frozenset(zip(*(axis.tolist() for axis in np.nonzero(links)), strict=True))


def _of_maps(given: GivenMaps) -> Candidate:
    """Somebody's links; of weights that are not all equal, the largest of each student token."""

    def align(row: GoldRow) -> Aligned:
        map_ = given.maps[row.id]
        inner = map_.weights[:-1, :-1]
        linked = inner > 0
        if all(len(np.unique(weights[on])) <= 1 for weights, on in zip(inner, linked, strict=True)):
            return Aligned(_places(linked))
        return Aligned(_places(argmax(map_.weights, map_.weights)), map_)

    return Candidate(given.name, "as given", ", ".join(name for name, _ in given.files), align)
