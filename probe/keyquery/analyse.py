"""A checkpoint and sentences → everything that is measured about its queries and keys."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from probe.alignment.align import Pairs, source_of
from probe.alignment.fitting import scorable
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint, Sides
from probe.errors import PairsError, Problem
from probe.gold.pairs import GoldFile
from probe.gold.rows import GoldRow
from probe.keyquery.clouds import Clouds, collect
from probe.keyquery.interventions import intervene
from probe.keyquery.matched import (
    Matches,
    argmax_matches,
    cosine_contrast,
    cosine_counts,
    cosine_difference,
    gold_matches,
    linear_cka,
)
from probe.keyquery.measure import half_sample_estimate, half_splits, measure
from probe.keyquery.moments import effective_rank, norm_profile, scale_ratio
from probe.keyquery.report import PACKAGES, KeyQueryReport
from probe.keyquery.two_samples import only_numpy, require_analysis, subsample
from probe.keyquery.values import Analysis, CloudFacts, MatchedFacts, Measurement, Plane, Settings
from probe.keyquery.views import VIEWS, View, outside_share, planes, span_basis, view
from probe.output.provenance import checkpoint_files, versions
from probe.stats import known

DEFAULT = Settings()
LEAST_SENTENCES = 10
"""Folds of a classifier and halves of a split must hold some sentences each."""


def key_query(
    opened: OpenCheckpoint | str | Path | Iterable[OpenCheckpoint],
    pairs: Pairs = None,
    *,
    texts: Sequence[str] | str | Path | None = None,
    settings: Settings = DEFAULT,
    progress: Callable[[str], None] = lambda part: None,
) -> KeyQueryReport:
    """How far the queries of checkpoints lie from their keys, and what follows from it.

    Args:
        opened: a checkpoint, or what `load` takes, or several open ones.
        pairs: annotated rows, their file or its path; default: those that come with the package. Where none are of a
            checkpoint's tokenizers, their texts are linked by rule. Matched tokens are sure links.
        texts: your own texts instead, or a file of them; matched tokens are then the largest weights, and there are no
            interventions.
        settings: sizes and seeds.
        progress: is told what goes on.

    Raises:
        CheckpointError: a checkpoint cannot be opened.
        PairsError: fewer than ten sentences, or none can be used.
        MissingExtraError: scikit-learn or POT is not installed.

    Example:
        >>> import probe
        >>> few = probe.read_pairs("alignments/gold.tsv")[:10]
        >>> probe.key_query("demo", few)
        <KeyQueryReport on 10 rows: demo (demo/student ← demo/teacher, 10 sentences)>
    """
    require_analysis()
    source = source_of(pairs, texts)
    analyses: list[Analysis] = []
    for one in opened if isinstance(opened, Iterable) and not isinstance(opened, str) else [opened]:
        open_ = one if isinstance(one, OpenCheckpoint) else load(one)

        def tell(part: str, name: str = open_.checkpoint.name) -> None:
            progress(f"{name}: {part}")

        if isinstance(source, GoldFile):
            rows = scorable(open_, source).rows
            sides = [(row.student, row.teacher) for row in rows]
        else:
            rows, sides = None, [open_.tokenize(text) for text in source.texts]
        analyses.append(_analyse(open_, sides, rows, settings, tell))
    return KeyQueryReport(source.name, source.sha256, settings, versions(PACKAGES), tuple(analyses))


def _analyse(
    open_: OpenCheckpoint,
    sides: Sequence[Sides],
    gold: Sequence[GoldRow] | None,
    settings: Settings,
    progress: Callable[[str], None],
) -> Analysis:
    require_analysis()
    only_numpy()
    if len(sides) < LEAST_SENTENCES:
        raise PairsError(
            Problem(
                "sentences",
                f"at least {LEAST_SENTENCES} of them",
                f"{len(sides)}",
                "Add some: intervals are over sentences.",
            )
        )
    from threadpoolctl import threadpool_limits

    # Thousands of small products: threads would wait for each other longer than they work.
    with threadpool_limits(limits=1, user_api="blas"):
        return _analysis(open_, sides, gold, settings, progress)


def _analysis(
    open_: OpenCheckpoint,
    sides: Sequence[Sides],
    gold: Sequence[GoldRow] | None,
    settings: Settings,
    progress: Callable[[str], None],
) -> Analysis:
    checkpoint = open_.checkpoint
    projectors = [checkpoint.query, *(open_.untrained_query(seed) for seed in range(settings.untrained_seeds))]
    bases = [span_basis(projector) for projector in projectors]
    progress("clouds")
    trained, *untrained = collect(open_, sides, projectors)
    matches = argmax_matches(trained) if gold is None else gold_matches(gold)
    clouds: list[CloudFacts] = []
    measurements: list[Measurement] = []
    matched: list[MatchedFacts] = []
    pictures: list[Plane] = []
    for name in VIEWS:
        progress(f"view {name}")
        seen, *others = (
            view(both.queries.points, both.keys.points, basis, name, settings.components)
            for both, basis in zip((trained, *untrained), bases, strict=True)
        )
        measurements += _measured(trained, seen, others, settings)
        clouds.append(_cloud_facts(seen, others))
        matched.append(_matched_facts(trained, seen, others, matches, settings))
        pictures += planes(_few(seen, settings), seed=settings.seed)
    if gold is not None:
        progress("interventions")
    keys = trained.keys
    return Analysis(
        checkpoint=checkpoint.name,
        method=checkpoint.method,
        criterion=checkpoint.criterion,
        steps=checkpoint.steps,
        pair=f"{checkpoint.student.name} ← {checkpoint.teacher.name}",
        key_scale=checkpoint.scales.key,
        key_scale_is_estimate=checkpoint.scales.key_is_estimate,
        files=checkpoint_files(checkpoint.path),
        sentences=len(sides),
        query_tokens=len(trained.queries.points),
        key_tokens=len(keys.points),
        width=keys.points.shape[1],
        span=bases[0].shape[1],
        outside=outside_share(keys.points, bases[0]),
        outside_untrained=float(np.mean([outside_share(keys.points, basis) for basis in bases[1:]])),
        matched_by=matches.by,
        clouds=tuple(clouds),
        measurements=tuple(measurements),
        matched=tuple(matched),
        interventions=() if gold is None else tuple(intervene(trained, gold)),
        planes=tuple(pictures),
    )


def _measured(trained: Clouds, seen: View, untrained: Sequence[View], settings: Settings) -> list[Measurement]:
    """All distances in a view as it is, and with scale taken out."""

    def at(ours: View, theirs: Sequence[View], unscaled: Sequence[Measurement] = ()) -> list[Measurement]:
        return measure(ours.name, _in(trained, ours), [_in(trained, other) for other in theirs], settings, unscaled)

    as_it_is = at(seen, untrained)
    return as_it_is + at(seen.shape(), [other.shape() for other in untrained], as_it_is)


def _in(clouds: Clouds, seen: View) -> Clouds:
    """The same tokens in the coordinates of a view."""
    return Clouds(clouds.queries.moved(seen.queries), clouds.keys.moved(seen.keys))


def _few(seen: View, settings: Settings) -> View:
    def few(points: np.ndarray) -> np.ndarray:
        return points[subsample(len(points), settings.subsample, settings.seed)]

    return replace(seen, queries=few(seen.queries), keys=few(seen.keys))


def _cloud_facts(seen: View, untrained: Sequence[View]) -> CloudFacts:
    return CloudFacts(
        view=seen.name,
        dimensions=seen.keys.shape[1],
        kept_queries=seen.kept_queries,
        kept_keys=seen.kept_keys,
        scale_ratio=scale_ratio(seen.queries, seen.keys),
        scale_ratio_untrained=float(np.mean([scale_ratio(other.queries, other.keys) for other in untrained])),
        norms_queries=norm_profile(seen.queries),
        norms_keys=norm_profile(seen.keys),
        rank_queries=effective_rank(seen.queries),
        rank_keys=effective_rank(seen.keys),
    )


def _matched_facts(
    clouds: Clouds, seen: View, untrained: Sequence[View], matches: Matches, settings: Settings
) -> MatchedFacts:
    rows, columns = matches.indices(clouds)
    chosen = subsample(len(rows), settings.moment_subsample, settings.seed)
    rows, columns = rows[chosen], columns[chosen]
    sentence = clouds.queries.sentence[rows]
    x, y = seen.queries[rows], seen.keys[columns]
    halves = half_splits(clouds.sentences, settings.splits, settings.seed)
    spread = [linear_cka(x[half[sentence]], y[half[sentence]]) for half in halves]
    shuffled = np.random.default_rng(settings.seed).permutation(len(columns))
    other_cka = np.mean([linear_cka(other.queries[rows], other.keys[columns]) for other in untrained])
    other_cosines = [cosine_contrast(cosine_counts(_in(clouds, other), matches).sum(axis=0))[2] for other in untrained]
    near, far, difference = cosine_difference(_in(clouds, seen), matches)
    return MatchedFacts(
        view=seen.name,
        cka=half_sample_estimate(linear_cka(x, y), spread),
        cka_shuffled=known(linear_cka(x, y[shuffled])),
        cka_untrained=known(float(other_cka)),
        cosine_matched=near.value,
        cosine_unmatched=far.value,
        cosine_difference=difference,
        cosine_difference_untrained=known(float(np.mean(other_cosines))),
    )
