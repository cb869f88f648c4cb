"""What an alignment probe found: counts per sentence and method, from which every figure and interval follows."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.aligners.links import ALIGNERS
from probe.errors import MapError, Problem, ReportError
from probe.gold.rows import PHENOMENA
from probe.gold.triples import Mark, cluster_of
from probe.report.triples import TripleScores, score_triples
from probe.scoring.scores import COUNTS, link_metrics, metrics, slice_metrics
from probe.scoring.truth import KINDS, SLICES
from probe.stats import Estimate, Estimates, Statistic, by_cluster, estimates, paired_difference

BESIDE = ("lexical", "diagonal", "bigram")
"""What figures of the probed method are shown beside, where there is room for few."""

BY_RULE = ", linked by rule"
"""Stands behind the name of texts that no annotator linked."""

LENGTHS = {"1 to 10 tokens": (1, 10), "11 to 20": (11, 20), "21 to 40": (21, 40), "more than 40": (41, 10**9)}
"""Sentences by their student tokens."""

ROWS, SURE = COUNTS.index("rows"), COUNTS.index("sure")


@dataclass(frozen=True)
class Group:
    """What was found on some of the sentences, or on some of their rows."""

    name: str
    sentences: int
    rows: int
    figures: Estimates
    """Method × metric; intervals of the first method alone."""


@dataclass(frozen=True)
class Origin:
    """What was probed and where it comes from."""

    checkpoint: str
    method: str
    criterion: str
    steps: int | None
    pair: str
    scales: tuple[tuple[str, float | None], ...]
    """What keys, hidden states and targets are divided by; none where maps were given."""
    key_scale_is_estimate: bool
    files: tuple[tuple[str, str], ...]
    """Name and SHA-256 of the files that were probed."""
    tables: tuple[tuple[str, str], ...]
    """Source and identity of both embedding tables."""
    gold: str
    gold_sha256: str
    versions: tuple[tuple[str, str], ...]
    random_seeds: tuple[int, ...]
    command: str = ""


@dataclass(frozen=True)
class Findings:
    """Counts per sentence × method and where they come from. The first method is the one that is probed.

    All counts are sums over one sentence, so that figures are ratios of their sums.

    What users get is a `probe.report.report.ProbeReport`, which also says what its figures mean.
    """

    origin: Origin
    sentences: tuple[str, ...]
    other_sentences: int
    lengths: tuple[int, ...]
    """Student tokens of each sentence."""
    phenomena: tuple[tuple[str, ...], ...]
    """What the annotators tagged each sentence with."""
    triples: tuple[Mark | None, ...]
    """Which minimal triple each sentence belongs to."""
    methods: tuple[str, ...]
    counts: Float[np.ndarray, "sentences methods counts"]
    """By `probe.scoring.scores.COUNTS`, of the forward attention over student tokens."""
    slices: Float[np.ndarray, "sentences methods slices slice_counts"]
    """By kind of token and reading of the row (`probe.scoring.truth.SLICES`)."""
    mass: Float[np.ndarray, "sentences methods destinations"] | None = None
    """Where the attention mass of linked student tokens goes (`probe.scoring.destinations.DESTINATIONS`). None of an
    overview, whose counts of entropy, of distance and at the common entropy are NaN."""
    backward: Float[np.ndarray, "sentences methods counts"] | None = None
    """Counts of the backward attention over teacher tokens; NaN of maps without it. None of an overview."""
    links: Float[np.ndarray, "sentences methods aligners link_counts"] | None = None
    """Of the hard links that each aligner (`probe.aligners.links.ALIGNERS`) makes of the maps. None of an overview."""

    @property
    def checkpoint(self) -> str:
        """The name of what was probed."""
        return self.origin.checkpoint

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """What each sentence is resampled with: its minimal triple, or itself alone."""
        return tuple(map(cluster_of, self.sentences, self.triples))

    def clustered(
        self,
        counts: Float[np.ndarray, "sentences ..."],
        chosen: Bool[np.ndarray, " sentences"] | list[int] | slice = slice(None),
    ) -> Float[np.ndarray, "clusters ..."]:
        """Counts by what is resampled together, of all sentences or of those chosen by mask or by number."""
        places = np.arange(len(self.sentences))[chosen]
        return by_cluster(counts[places], [self.clusters[k] for k in places])

    @cached_property
    def _forward(self) -> Estimates:
        return estimates(self.clustered(self.counts), _with_differences)

    @cached_property
    def _backward(self) -> Estimates:
        return estimates(self.clustered(beyond_overview(self.backward)), _with_differences)

    @property
    def intervals(self) -> Estimates:
        """All figures of the forward attention, method × metric."""
        return self._forward[0]

    @property
    def differences(self) -> Estimates:
        """How much more the first method has of each than each method."""
        return self._forward[1]

    @property
    def backward_intervals(self) -> Estimates:
        """All figures of the backward attention."""
        return self._backward[0]

    @property
    def backward_differences(self) -> Estimates:
        """The differences of the backward attention."""
        return self._backward[1]

    @property
    def rows(self) -> int:
        """Student targets with a sure link: what the row metrics are means over."""
        return int(self.counts[:, 0, ROWS].sum())

    @cached_property
    def sentence_means(self) -> Float[np.ndarray, "methods metrics"]:
        """Means over sentences of each sentence's own figures; the headline pools tokens instead."""
        with np.errstate(invalid="ignore"):
            values = metrics(self.counts)
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)

    @cached_property
    def by_phenomenon(self) -> tuple[Group, ...]:
        """Sentences with each tag, in the order of the closed list."""
        chosen = {name: np.array([name in tags for tags in self.phenomena]) for name in PHENOMENA}
        return self._by_sentences(chosen)

    @cached_property
    def by_length(self) -> tuple[Group, ...]:
        """Sentences by their number of student tokens."""
        lengths = np.array(self.lengths)
        return self._by_sentences({n: (low <= lengths) & (lengths <= high) for n, (low, high) in LENGTHS.items()})

    def _by_sentences(self, chosen: dict[str, Bool[np.ndarray, " sentences"]]) -> tuple[Group, ...]:
        found: list[Group] = []
        for name, mask in chosen.items():
            counts = self.clustered(self.counts, mask)
            if rows := int(counts[:, 0, ROWS].sum()):
                found.append(Group(name, int(mask.sum()), rows, _of_methods(counts, metrics)))
        return tuple(found)

    @cached_property
    def by_slice(self) -> tuple[Group, ...]:
        """Student tokens by kind, and all rows under other readings; in the order of `SLICES`, without empty ones."""
        rows, together = self.slices[:, 0, :, 0], self.clustered(self.slices)
        sentences, enough = (rows > 0).sum(axis=0), (together[:, 0, :, 0] > 0).sum(axis=0)
        found = _of_methods(together, slice_metrics, enough[:, None])
        sizes = zip(SLICES, sentences.tolist(), rows.sum(axis=0).astype(int).tolist(), strict=True)
        return tuple(Group(*size, found[:, k]) for k, size in enumerate(sizes) if size[-1])

    def groups(self, section: str) -> tuple[Group, ...]:
        """The groups of the section ``phenomenon``, ``length`` or ``token``."""
        if section == "token":
            return tuple(one for one in self.by_slice if one.name in KINDS)
        return self.by_length if section == "length" else self.by_phenomenon

    def against(self, section: str, method: str) -> dict[str, Estimate]:
        """By group of a section, top-1 of the first method minus that of another, on sentences that have the group.

        Raises:
            MapError: the method was not scored.
        """
        if method not in self.methods:
            remedy = f"Choose one of {', '.join(self.methods)}."
            raise MapError(Problem(method, "a method of this report", "none of that name", remedy))
        m = self.methods.index(method)
        found: dict[str, Estimate] = {}
        for one in self.groups(section):
            counts, statistic = self._counts_of(section, one.name)
            found[one.name] = paired_difference(counts[:, m], counts[:, 0], partial(_first_metric, statistic)).at()
        return found

    def _counts_of(self, section: str, group: str) -> tuple[Float[np.ndarray, "clusters methods counts"], Statistic]:
        if section == "token":
            counts = self.slices[:, :, SLICES.index(group)]
            return self.clustered(counts, counts[:, 0, 0] > 0), slice_metrics
        if section == "length":
            low, high = LENGTHS[group]
            chosen = [low <= length <= high for length in self.lengths]
        else:
            chosen = [group in tags for tags in self.phenomena]
        return self.clustered(self.counts, np.array(chosen)), metrics

    @cached_property
    def targets_minus_inputs(self) -> Estimate:
        """Top-1 by target minus top-1 by input, on the rows where the readings differ, first method.

        Below zero the attention is read one token off, or it follows the inputs more than the targets.
        """
        targets, inputs = (
            self.clustered(self.slices[:, 0, SLICES.index(f"by {reading}, where they differ")])
            for reading in ("target", "input")
        )
        return paired_difference(inputs, targets, lambda summed: slice_metrics(summed)[..., 0]).at()

    @cached_property
    def by_aligner(self) -> tuple[Group, ...]:
        """Precision, recall, F1 and AER of the hard links of each aligner, over all sentences."""
        links = beyond_overview(self.links)
        sure = np.broadcast_to(self.counts[:, :, None, SURE, None], (*links.shape[:-1], 1))
        counts = np.concatenate([links, sure], axis=-1)
        found = _of_methods(self.clustered(counts), link_metrics)
        return tuple(Group(name, len(counts), self.rows, found[:, k]) for k, name in enumerate(ALIGNERS))

    @cached_property
    def destinations(self) -> Group:
        """Share of the attention mass by where it goes, over student tokens with a sure link; the shares sum to one."""
        counts = np.concatenate([beyond_overview(self.mass), self.counts[:, :, ROWS, None]], axis=-1)
        found = _of_methods(self.clustered(counts), shares_of_rows)
        return Group("all rows", len(counts), self.rows, found)

    @cached_property
    def by_triple(self) -> list[TripleScores]:
        """The probed method on minimal triples, and what it is shown beside; empty where there are none."""
        shown = [self.methods[0], *(name for name in BESIDE if name in self.methods)]
        places = [self.methods.index(name) for name in shown]
        return score_triples(self.triples, shown, self.counts[:, places])


def beyond_overview(counts: np.ndarray | None) -> np.ndarray:
    """Counts that an overview leaves out.

    Raises:
        ReportError: they were left out.
    """
    if counts is None:
        remedy = "Score with probe.align, which counts everything."
        raise ReportError(
            Problem("report", "attention mass, backward attention and links of aligners", "an overview", remedy)
        )
    return counts


def _first_metric(statistic: Statistic, summed: Float[np.ndarray, "*batch counts"]) -> Any:
    return statistic(summed)[..., 0]


def shares_of_rows(summed: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch shares"]:
    """Sums as shares of the number of rows, which stands behind them."""
    return summed[..., :-1] / summed[..., -1:]


def _with_differences(
    summed: Float[np.ndarray, "*batch methods counts"],
) -> Float[np.ndarray, "*batch 2 methods metrics"]:
    """All figures of all methods, and what the first has more than each."""
    values = metrics(summed)
    return np.stack([values, values[..., :1, :] - values], axis=-3)


def _of_methods(
    counts: Float[np.ndarray, "sentences methods *counts"],
    statistic: Statistic,
    sentences: Int[np.ndarray, "..."] | None = None,
) -> Estimates:
    """Figures of all methods, with intervals of the first alone: those of others are read nowhere, and take long."""
    first, value = estimates(counts[:, :1], statistic, sentences), statistic(counts.sum(axis=0))
    others = np.full_like(value[1:], np.nan)
    return Estimates(value, *(np.concatenate([end, others]) for end in (first.low, first.high)))
