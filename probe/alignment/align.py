"""Gold pairs × methods → scores: the alignment probe."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from probe.aligners.grid import grid
from probe.alignment.fitting import Scorable, scorable
from probe.alignment.methods import (
    CMA_GRID,
    RANDOM_SEEDS,
    SAMPLE_CELLS,
    MapsOf,
    calibration_sample,
    checkpoint_maps,
    chosen_references,
)
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import ArgumentError
from probe.exchange.given_maps import GivenMaps
from probe.gold.by_rule import Texts, read_texts
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import GoldRow
from probe.gold.triples import mark_of
from probe.maps import AttentionMap
from probe.output.provenance import checkpoint_files, versions
from probe.report.report import ProbeReport
from probe.report.values import Origin
from probe.scoring.scores import COUNTS, count, count_of_aligners, score
from probe.scoring.sharpness import common_power
from probe.scoring.truth import Truth

Pairs = GoldFile | Texts | Sequence[GoldRow] | str | Path | None
PACKAGES = ("cma-probe", "numpy", "scipy", "tokenizers")
SHARPNESS, BACKWARD, LINKS = PARTS = "sharpness", "backward", "links"
"""What is counted beside ranks: what depends on the sharpness of a map; its backward attention; the links of aligners.

An overview and its verdict tell none of it, and it takes most of the time.
"""
COMMON_ENTROPY = 0.5
"""Mean entropy, as a share of log m, that maps are brought to where the attention mass of methods is compared."""
MOST_CELLS = 1 << 20
"""Of the maps that are scored at once. Those of usual sentences are; those of a text of 1,000 tokens one by one."""


def align(
    opened: OpenCheckpoint | str | Path,
    pairs: Pairs = None,
    *,
    texts: Sequence[str] | str | Path | None = None,
    methods: Sequence[str] | None = None,
) -> ProbeReport:
    """Score the attention of a checkpoint, its ablations and floors, and the references on the rows that fit it.

    Where no row has the tokens of its tokenizers, the texts of the file are cut by them and linked by rule.

    Args:
        opened: the checkpoint, or what `load` takes.
        pairs: annotated rows, their file or its path; default: those that come with the package. Rows of other
            tokenizers are counted and left out.
        texts: your own texts instead, or a file of them as ``probe-align --texts`` takes it, to be linked by rule.
        methods: what to score beside the attention; default: all.

    Raises:
        CheckpointError: the checkpoint cannot be opened.
        PairsError: a row claims these tokenizers but has other tokens than they produce, or no text can be linked.
        MapError: a method is not known.

    Example:
        >>> import probe
        >>> report = probe.align("demo")
        >>> report
        <ProbeReport of demo (demo/student ← demo/teacher), bundled gold.tsv: top-1 43.3 % [36.8, 50.4], 43 sentences>
        >>> report["diagonal"].top1
        0.433 [0.377, 0.491]
        >>> print(report.verdict.splitlines()[0])
        demo aligns better than chance, but no better than position alone or equal spelling.
    """
    if not isinstance(opened, OpenCheckpoint | str | Path):
        raise ArgumentError.of("align", "an open checkpoint, or its name", opened, 'Write align(probe.load("demo")).')
    if isinstance(opened, str | Path):
        opened = load(opened)
    return align_rows(opened, scorable(opened, source_of(pairs, texts)), methods)


def source_of(pairs: Pairs = None, texts: Sequence[str] | str | Path | None = None) -> GoldFile | Texts:
    """What to score on: a gold file, its rows or its path, else texts or their file; the bundled gold file by default.

    Rows of the judged layer are left out: they are scored apart.

    Raises:
        PairsError: it cannot be read.
    """
    if texts is not None:
        if pairs is not None:
            raise ArgumentError.of("align", "pairs or texts", texts, "Leave one of them out.")
        return read_texts(texts)
    if isinstance(pairs, Texts):
        return pairs
    if isinstance(pairs, GoldFile):
        return pairs.unjudged
    if pairs is None or isinstance(pairs, str | Path):
        return read_pairs(pairs).unjudged
    if not isinstance(pairs, Sequence) or not all(isinstance(row, GoldRow) for row in pairs):
        remedy = 'Write pairs="my.tsv", or texts=[…] for sentences without links.'
        raise ArgumentError.of("pairs", "a gold file, its path or rows", pairs, remedy)
    return GoldFile(tuple(pairs), ()).unjudged


def align_rows(
    open_: OpenCheckpoint,
    found: Scorable,
    methods: Sequence[str] | None = None,
    command: str = "",
    *,
    parts: Collection[str] = PARTS,
) -> ProbeReport:
    """The same on given rows.

    Args:
        open_: the checkpoint.
        found: the rows.
        methods: see `align`.
        command: for the record.
        parts: those of `PARTS` that are counted.
    """
    others, rows = chosen_references(methods, both=not {BACKWARD, LINKS}.isdisjoint(parts)), found.rows
    own = checkpoint_maps(open_, rows, methods)
    checkpoint = open_.checkpoint
    models = (checkpoint.student, checkpoint.teacher)
    origin = Origin(
        checkpoint=checkpoint.name,
        method=checkpoint.method,
        criterion=checkpoint.criterion,
        steps=checkpoint.steps,
        pair=f"{checkpoint.student.name} ← {checkpoint.teacher.name}",
        scales=tuple((name, getattr(checkpoint.scales, name)) for name in ("key", "hidden", "target")),
        key_scale_is_estimate=checkpoint.scales.key_is_estimate,
        files=checkpoint_files(checkpoint.path),
        tables=tuple((source.source, source.sha256) for model in models for source in model.sources[:1]),
        random_seeds=RANDOM_SEEDS if own.untrained else (),
        gold=found.source,
        gold_sha256=found.sha256,
        **_record(command),
    )
    return _report(origin, rows, found.others, lambda row: chain(own(row), others(row)), parts)


def align_maps(
    given: GivenMaps,
    gold: GoldFile,
    methods: Sequence[str] | None = None,
    command: str = "",
    *,
    parts: Collection[str] = PARTS,
) -> ProbeReport:
    """Score maps or links that somebody else made on the rows that they are of; see `align_rows`."""
    others = chosen_references(methods, both=not {BACKWARD, LINKS}.isdisjoint(parts))
    rows = [row for row in gold.rows if row.id in given.maps]
    both = all(given.maps[row.id].over_student is not None for row in rows)
    decoded = both and (methods is None or CMA_GRID in methods)

    def own(row: GoldRow) -> Iterator[tuple[str, AttentionMap]]:
        map_ = given.maps[row.id]
        yield given.name, map_
        if decoded:
            yield f"{given.name}-grid", grid(map_)

    origin = Origin(
        checkpoint=given.name,
        method="maps",
        criterion="as given",
        steps=None,
        pair=", ".join(sorted({row.pair.replace("~", " ← ") for row in rows})),
        scales=(),
        key_scale_is_estimate=False,
        files=given.files,
        tables=(),
        random_seeds=(),
        gold=gold.name,
        gold_sha256=gold.sha256,
        **_record(command),
    )
    return _report(
        origin,
        rows,
        len(gold.rows) - len(rows),
        lambda row: chain(own(row), others(row)),
        parts,
    )


def _record(command: str) -> dict[str, Any]:
    return {"versions": versions(PACKAGES), "command": command}


def _report(
    origin: Origin, rows: Sequence[GoldRow], other_rows: int, maps_of: MapsOf, parts: Collection[str]
) -> ProbeReport:
    rows = sorted(rows, key=lambda row: row.id)  # resampling draws by place, which is none of the file's
    # Thousands of small products: threads would wait for each other longer than they work.
    with threadpool_limits(limits=1, user_api="blas"):
        counted = _all_counted(rows, maps_of, parts)
    found = [of_row for _, of_row in counted]
    return ProbeReport(
        origin=origin,
        sentences=tuple(row.id for row in rows),
        other_sentences=other_rows,
        lengths=tuple(len(row.student.tokens) for row in rows),
        phenomena=tuple(row.phenomena for row in rows),
        triples=tuple(mark_of(row.note) for row in rows),
        methods=counted[0][0],
        **{part: np.stack([of_row[part] for of_row in found]) for part in found[0]},
    )


def _all_counted(
    rows: Sequence[GoldRow], maps_of: MapsOf, parts: Collection[str]
) -> list[tuple[tuple[str, ...], dict[str, np.ndarray]]]:
    """`_counted` of every row."""
    kept: dict[str, list[tuple[str, AttentionMap]]] = {}
    powers = None
    if SHARPNESS in parts:
        sample = calibration_sample(rows)
        few = SAMPLE_CELLS // len(sample)
        drawn = [(row, sample[row.id]) for row in rows if row.id in sample]
        kept = {row.id: list(maps_of(row)) for row, _ in drawn if _cells(row) <= few}
        powers = _powers([(kept.get(row.id) or maps_of(row), tokens) for row, tokens in drawn])
    return [_counted(row, iter(kept.get(row.id) or maps_of(row)), powers, parts) for row in rows]


def _cells(row: GoldRow) -> int:
    """Of one map."""
    return (row.sizes[0] + 1) * (row.sizes[1] + 1)


def _powers(drawn: Iterable[tuple[Iterable[tuple[str, AttentionMap]], list[int]]]) -> dict[str, float | None]:
    """By method, what brings the linked rows of its maps to the common entropy; None where nothing does."""
    linked: dict[str, list[np.ndarray]] = {}
    for maps, tokens in drawn:
        for name, map_ in maps:
            weights = map_.weights[tokens]
            del map_  # or it would be held while the next is made
            closed = (weights <= 0).any(axis=1)  # one such row tells that there is no power; the others take memory
            linked.setdefault(name, []).append(weights[closed][:1] if closed.any() else weights)
    return {name: common_power(linked.pop(name), COMMON_ENTROPY) for name in tuple(linked)}


def _counted(
    row: GoldRow,
    maps: Iterator[tuple[str, AttentionMap]],
    powers: Mapping[str, float | None] | None,
    wanted: Collection[str],
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """The methods, and by them the arrays of a report for one sentence; of several maps of a method their means."""
    truth, backward_truth = Truth(row), Truth(row.reversed) if BACKWARD in wanted else None
    names: list[str] = []
    parts: dict[str, list[np.ndarray]] = {}
    for group in _groups(maps, MOST_CELLS // _cells(row)):
        names += (name for name, _ in group)
        flat = [map_ for _, map_ in group]
        scores = score(flat, truth, None if powers is None else [powers[name] for name, _ in group])
        found = {part: values for part, values in vars(scores).items() if values is not None}
        if backward_truth is not None:
            found["backward"] = _count_backward(flat, backward_truth)
        if LINKS in wanted:
            found["links"] = count_of_aligners(flat, truth)
        for part, values in found.items():
            parts.setdefault(part, []).append(values)
        del group, flat  # or they would be held while the next are made
    methods = tuple(dict.fromkeys(names))
    starts = [names.index(name) for name in methods]
    sizes = np.array([names.count(name) for name in methods])

    def means(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts) / sizes.reshape(-1, *[1] * (values.ndim - 1))

    return methods, {part: means(np.concatenate(values)) for part, values in parts.items()}


def _count_backward(maps: Sequence[AttentionMap], truth: Truth) -> Float[np.ndarray, "maps counts"]:
    """`COUNTS` of the backward attention; NaN of maps without it."""
    found = np.full((len(maps), len(COUNTS)), np.nan)
    known = [map_.over_student is not None for map_ in maps]
    if any(known):
        found[known] = count([map_.reversed for map_ in maps if map_.over_student is not None], truth)
    return found


def _groups(maps: Iterator[tuple[str, AttentionMap]], most: int) -> Iterator[Sequence[tuple[str, AttentionMap]]]:
    """So many maps at a time; at least one."""
    while group := list(islice(maps, max(most, 1))):
        yield group
        del group  # or it would be held while the next is made
