"""A checkpoint and sentences → everything that is measured about its queries and keys."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from probe.alignment.align import Pairs, source_of
from probe.alignment.fitting import scorable
from probe.checkpoints.loading import load
from probe.checkpoints.opened import OpenCheckpoint, Sides
from probe.errors import PairsError, Problem
from probe.gold.pairs import GoldFile
from probe.gold.rows import GoldRow
from probe.keyquery.classifier import quiet
from probe.keyquery.clouds import Clouds, collect
from probe.keyquery.interventions import intervene
from probe.keyquery.matched import (
    Matches,
    argmax_matches,
    cka,
    cosine_contrast,
    cosine_counts,
    cosine_difference,
    cross_hsic,
    gold_matches,
    normalised,
    own_hsic,
)
from probe.keyquery.measure import half_sample_estimate, half_splits, measure
from probe.keyquery.moments import effective_rank, norm_profile
from probe.keyquery.report import PACKAGES, KeyQueryReport
from probe.keyquery.threads import threads
from probe.keyquery.two_samples import only_numpy, require_analysis, subsample
from probe.keyquery.values import Analysis, CloudFacts, MatchedFacts, Measurement, Plane, Settings
from probe.keyquery.views import VIEWS, View, outside_share, planes, span_basis, views
from probe.output.provenance import checkpoint_files, versions
from probe.stats import known
from probe.tokens import TokenizedText

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
            rows, sides = None, _cut(open_, source.texts)
        analyses.append(_analyse(open_, sides, rows, settings, tell))
    return KeyQueryReport(source.name, source.sha256, settings, versions(PACKAGES), tuple(analyses))


def _cut(open_: OpenCheckpoint, texts: Sequence[str]) -> list[Sides]:
    """All texts at once: a tokenizer remembers on disk what it cut together, and need not be read again for it."""
    cut = (model.tokenizer.pieces(texts) for model in (open_.student, open_.teacher))
    students, teachers = ([*map(TokenizedText.from_pieces, texts, pieces)] for pieces in cut)
    return list(zip(students, teachers, strict=True))


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
    # Thousands of small products: threads would wait for each other longer than they work.
    with threadpool_limits(limits=1, user_api="blas"), quiet():
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
    progress("clouds")
    trained, *untrained = collect(open_, sides, projectors)
    matches = argmax_matches(trained) if gold is None else gold_matches(trained, gold)
    with threads() as pool:
        fits = pool.map(attrgetter("moments"), [trained.keys, *(both.queries for both in (trained, *untrained))])
        bases = list(pool.map(span_basis, projectors))
        list(fits)  # all views need those of the keys, and would make them several times
        seen = list(pool.map(partial(views, components=settings.components), [trained, *untrained], bases))
    with threads() as pool:  # of one view after the other, each would end with a thread alone
        waiting = [pool.submit(_of_view, own, others, matches, settings) for own, *others in zip(*seen, strict=True)]
        found: list[ViewFacts] = []
        for name, one in zip(VIEWS, waiting, strict=True):
            progress(f"view {name}")
            found.append(one.result())
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
        query_tokens=len(trained.queries),
        key_tokens=len(keys),
        width=keys.distinct.shape[1],
        span=bases[0].shape[1],
        outside=outside_share(keys.moments, bases[0]),
        outside_untrained=float(np.mean([outside_share(keys.moments, basis) for basis in bases[1:]])),
        matched_by=matches.by,
        clouds=tuple(one.cloud for one in found),
        measurements=tuple(one for view in found for one in view.measurements),
        matched=tuple(one.matched for one in found),
        interventions=() if gold is None else tuple(intervene(trained, gold)),
        planes=tuple(one for view in found for one in view.planes),
    )


class ViewFacts(NamedTuple):
    """What is found in a view."""

    measurements: list[Measurement]
    cloud: CloudFacts
    matched: MatchedFacts
    planes: list[Plane]


def _of_view(seen: View, others: Sequence[View], matches: Matches, settings: Settings) -> ViewFacts:
    untrained, both = [other.clouds for other in others], (seen.clouds.queries, seen.clouds.keys)
    few = [cloud.at(subsample(len(cloud), settings.subsample, settings.seed)) for cloud in both]
    return ViewFacts(
        measure(seen.name, seen.clouds, untrained, settings),
        _cloud_facts(seen, untrained),
        _matched_facts(seen, untrained, matches, settings),
        planes(seen.name, *few, seed=settings.seed),
    )


def _cloud_facts(seen: View, untrained: Sequence[Clouds]) -> CloudFacts:
    queries, keys = seen.clouds.queries, seen.clouds.keys
    ratios = [clouds.queries.moments.size / clouds.keys.moments.size for clouds in (seen.clouds, *untrained)]
    return CloudFacts(
        view=seen.name,
        dimensions=keys.distinct.shape[1],
        kept_queries=seen.kept_queries,
        kept_keys=seen.kept_keys,
        scale_ratio=ratios[0],
        scale_ratio_untrained=float(np.mean(ratios[1:])),
        norms_queries=norm_profile(queries.norms),
        norms_keys=norm_profile(keys.norms),
        rank_queries=effective_rank(queries.moments),
        rank_keys=effective_rank(keys.moments),
    )


def _matched_facts(seen: View, untrained: Sequence[Clouds], matches: Matches, settings: Settings) -> MatchedFacts:
    chosen = subsample(len(matches.matched[0]), settings.moment_subsample, settings.seed)
    rows, columns = (tokens[chosen] for tokens in matches.matched)
    sentence = seen.clouds.queries.sentence[rows]
    shuffled = columns[np.random.default_rng(settings.seed).permutation(len(columns))]
    halves = [half[sentence] for half in half_splits(seen.clouds.sentences, settings.splits, settings.seed)]
    every = [seen.clouds, *untrained]
    with threads() as pool:
        crossed = [pool.submit(cross_hsic, clouds, rows, columns) for clouds in every]
        by_chance = pool.submit(cross_hsic, seen.clouds, rows, shuffled)
        of_queries = [pool.submit(own_hsic, clouds.queries, rows) for clouds in every]
        # In the raw view all have the same keys, and these are the same in any order.
        of_keys = {keys: pool.submit(own_hsic, keys, columns) for keys in {clouds.keys for clouds in every}}
        spread = [pool.submit(cka, seen.clouds, rows[half], columns[half]) for half in halves]
        contrasts = [pool.submit(cosine_counts, clouds, matches) for clouds in untrained]
    own = [(one.result(), of_keys[clouds.keys].result()) for one, clouds in zip(of_queries, every, strict=True)]
    whole, *others = (normalised(one.result(), *alone) for one, alone in zip(crossed, own, strict=True))
    near, far, difference = cosine_difference(seen.clouds, matches)
    return MatchedFacts(
        view=seen.name,
        cka=half_sample_estimate(whole, [one.result() for one in spread]),
        cka_shuffled=known(normalised(by_chance.result(), *own[0])),
        cka_untrained=known(float(np.mean(others))),
        cosine_matched=near.value,
        cosine_unmatched=far.value,
        cosine_difference=difference,
        cosine_difference_untrained=known(
            float(np.mean([cosine_contrast(one.result().sum(axis=0))[2] for one in contrasts]))
        ),
    )
