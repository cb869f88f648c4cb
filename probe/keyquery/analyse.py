"""A checkpoint and texts → everything that is measured about its queries and keys."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from probe.checkpoints.opened import OpenCheckpoint, Sides
from probe.errors import PairsError, Problem
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
from probe.keyquery.two_samples import only_numpy, require_analysis, subsample
from probe.keyquery.values import Analysis, CloudFacts, MatchedFacts, Measurement, Plane, Settings
from probe.keyquery.views import VIEWS, View, outside_share, planes, span_basis, view
from probe.output.provenance import checkpoint_files
from probe.stats import known

LEAST_TEXTS = 10
"""Folds of a classifier and halves of a split must hold some sentences each."""


def analyse_gold(
    open_: OpenCheckpoint, rows: Sequence[GoldRow], settings: Settings, progress: Callable[[str], None]
) -> Analysis:
    """Analyse a checkpoint on annotated rows that fit its tokenizers; matched tokens are sure links.

    Raises:
        PairsError: fewer than ten rows.
        MissingExtraError: scikit-learn or POT is not installed.
    """
    return _analyse(open_, [(row.student, row.teacher) for row in rows], rows, settings, progress)


def analyse_texts(
    open_: OpenCheckpoint, texts: Sequence[str], settings: Settings, progress: Callable[[str], None]
) -> Analysis:
    """Analyse a checkpoint on any texts; matched tokens are the argmax pairs of A, and there are no interventions.

    Raises:
        PairsError: fewer than ten texts.
        MissingExtraError: scikit-learn or POT is not installed.
    """
    return _analyse(open_, [open_.tokenize(text) for text in texts], None, settings, progress)


def _analyse(
    open_: OpenCheckpoint,
    sides: Sequence[Sides],
    gold: Sequence[GoldRow] | None,
    settings: Settings,
    progress: Callable[[str], None],
) -> Analysis:
    require_analysis()
    only_numpy()
    if len(sides) < LEAST_TEXTS:
        raise PairsError(
            Problem("texts", f"at least {LEAST_TEXTS} of them", f"{len(sides)}", "Add texts: intervals are over texts.")
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
