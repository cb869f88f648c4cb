"""What the analysis found: frozen values of plain numbers, so that a report that is read back equals what was written.

A figure that does not exist, such as top-1 of sentences without gold, is None.
"""

from dataclasses import dataclass

from probe.errors import ArgumentError, option
from probe.stats import Estimate

Numbers = tuple[float, ...]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes and the seed: with them, and the sentences, every figure can be computed again."""

    components: int = 32
    """Leading principal components that the views forward and backward are cut to."""
    splits: int = 10
    """Random halves of the sentences that distances are averaged over."""
    untrained_seeds: int = 3
    subsample: int = 1000
    """Points of each cloud that MMD, energy distance, classifiers and pictures are given at most."""
    moment_subsample: int = 10_000
    """The same for Fréchet distance and CKA, which are linear in points: of each half, and of matched tokens."""
    sliced_subsample: int = 5000
    """The same for the sliced Wasserstein distance, which sorts."""
    permutations: int = 500
    projections: int = 100
    """Random directions of the sliced Wasserstein distance."""
    classifier_splits: int = 3
    """Halves of the keys that a classifier is tried on for its floor."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 32:
            remedy = "Numpy takes no other ones."
            raise ArgumentError.of(option("--seed"), "a whole number from 0 to 4294967295", self.seed, remedy)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One distance in one view: of queries and keys, of two halves of the keys, of untrained queries and keys."""

    view: str
    distance: str
    pair: Estimate
    floor: float | None
    untrained: float | None
    p_value: float | None
    halves: Numbers
    """Of queries and keys, for each halving of the sentences, which is the same for all checkpoints; else empty."""


@dataclass(frozen=True, slots=True)
class CloudFacts:
    """Size and form of both clouds in one view; `kept` is the share of variance that the view's coordinates hold."""

    view: str
    dimensions: int
    kept_queries: float
    kept_keys: float
    scale_ratio: float
    scale_ratio_untrained: float
    norms_queries: Numbers
    norms_keys: Numbers
    rank_queries: float
    rank_keys: float


@dataclass(frozen=True, slots=True)
class MatchedFacts:
    """Tokens that belong together, in one view: CKA, and mean cosines of matched and unmatched cells."""

    view: str
    cka: Estimate
    cka_shuffled: float | None
    cka_untrained: float | None
    cosine_matched: float | None
    cosine_unmatched: float | None
    cosine_difference: Estimate
    cosine_difference_untrained: float | None


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a change of the queries does to the attention on gold; each `_change` is against the trained queries.

    `frechet` is the Fréchet distance to the keys that is left, of all tokens in the raw view.
    """

    name: str
    frechet: float
    top_1: float | None
    top_1_change: Estimate
    mass: float | None
    mass_change: Estimate
    backward_top_1: float | None
    backward_top_1_change: Estimate


@dataclass(frozen=True, slots=True)
class Plane:
    """Both clouds in two dimensions, for a picture: a subsample of points, and what share of variance each axis has."""

    view: str
    method: str
    explained: Numbers
    queries: tuple[Point, ...]
    keys: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """One checkpoint."""

    checkpoint: str
    method: str
    criterion: str
    steps: int | None
    pair: str
    key_scale: float
    key_scale_is_estimate: bool
    files: tuple[tuple[str, str], ...]
    """Name and SHA-256 of the checkpoint's files."""
    sentences: int
    query_tokens: int
    key_tokens: int
    width: int
    span: int
    """Dimension of the span of [W_q, b], out of `width`."""
    outside: float
    """Share of the keys' variance outside that span: no query can meet it."""
    outside_untrained: float
    matched_by: str
    clouds: tuple[CloudFacts, ...]
    measurements: tuple[Measurement, ...]
    matched: tuple[MatchedFacts, ...]
    interventions: tuple[Intervention, ...]
    planes: tuple[Plane, ...]

    def measurement(self, view: str, distance: str) -> Measurement:
        """The measurement of a distance in a view."""
        return next(m for m in self.measurements if (m.view, m.distance) == (view, distance))
