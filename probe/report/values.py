"""What an alignment probe found: counts per sentence and method, from which every figure and interval follows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from probe.aligners.links import ALIGNERS
from probe.gold.rows import PHENOMENA
from probe.report.triples import Mark, TripleScores, score_triples
from probe.scoring.scores import COUNTS, METRICS, SLICE_METRICS, link_metrics, metrics, slice_metrics
from probe.scoring.truth import SLICES
from probe.stats import FEW, bootstrap_interval

BESIDE = ("lexical", "diagonal", "bigram")
"""What figures of the probed method are shown beside, where there is room for few."""

LENGTHS = {"1 to 10 tokens": (1, 10), "11 to 20": (11, 20), "21 to 40": (21, 40), "more than 40": (41, 10**9)}
"""Sentences by their student tokens."""

ROWS, SURE = COUNTS.index("rows"), COUNTS.index("sure")


@dataclass(frozen=True)
class Intervals:
    """Figures with their bounds, method × metric; `difference` is the first method minus each."""

    value: Float[np.ndarray, "methods metrics"]
    low: Float[np.ndarray, "methods metrics"]
    high: Float[np.ndarray, "methods metrics"]
    difference: Float[np.ndarray, "methods metrics"]
    difference_low: Float[np.ndarray, "methods metrics"]
    difference_high: Float[np.ndarray, "methods metrics"]


@dataclass(frozen=True)
class Group:
    """What was found on some of the sentences, or on some of their rows."""

    name: str
    sentences: int
    rows: int
    values: Float[np.ndarray, "methods some_metrics"]
    low: Float[np.ndarray, " some_metrics"]
    """95 % bounds of the first method; NaN of few sentences."""
    high: Float[np.ndarray, " some_metrics"]


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
class ProbeReport:
    """Counts per sentence × method and where they come from. The first method is the one that is probed.

    All counts are sums over one sentence, so that figures are ratios of their sums.

    Example:
        >>> from pathlib import Path
        >>> import probe
        >>> from probe.scoring.scores import METRICS
        >>> path = Path("alignments/second.tsv")
        >>> report = probe.align_pairs(probe.find_checkpoint("demo"), probe.read_pairs(path), path, ["lexical"])
        >>> top_1 = report.intervals.value[:, METRICS.index("top-1")]
        >>> {method: f"{value:.0%}" for method, value in zip(report.methods, top_1, strict=True)}
        {'cma': '42%', 'uniform': '3%', 'lexical': '44%'}
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
    """By `probe.scoring.scores.COUNTS`, of A over student tokens."""
    backward: Float[np.ndarray, "sentences methods counts"]
    """The same of A′ over teacher tokens; NaN of maps without it."""
    slices: Float[np.ndarray, "sentences methods slices slice_counts"]
    """By kind of token and reading of the row (`probe.scoring.truth.SLICES`)."""
    links: Float[np.ndarray, "sentences methods aligners link_counts"]
    """Of the hard links that each aligner (`probe.aligners.links.ALIGNERS`) makes of the maps."""
    mass: Float[np.ndarray, "sentences methods destinations"]
    """Where the weight of linked student tokens goes (`probe.scoring.destinations.DESTINATIONS`)."""

    def __repr__(self) -> str:
        """What was probed on what, in a line."""
        found = f"{len(self.sentences)} sentences, {', '.join(self.methods)}"
        return f"<ProbeReport of {self.checkpoint} ({self.origin.pair}): {found}>"

    @property
    def checkpoint(self) -> str:
        """The name of what was probed."""
        return self.origin.checkpoint

    @cached_property
    def intervals(self) -> Intervals:
        """All figures of A, their differences to the first method, and 95 % bounds of both over sentences."""
        return _intervals(self.counts)

    @cached_property
    def backward_intervals(self) -> Intervals:
        """The same of A′."""
        return _intervals(self.backward)

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
            counts = self.counts[mask]
            rows = int(counts[:, 0, ROWS].sum())
            if not rows:
                continue
            low, high = _bounds(counts[:, 0], metrics)
            found.append(Group(name, len(counts), rows, metrics(counts.sum(axis=0)), low, high))
        return tuple(found)

    @cached_property
    def by_slice(self) -> tuple[Group, ...]:
        """Student tokens by kind, and all rows under other readings; in the order of `SLICES`, without empty ones."""
        first = self.slices[:, 0]
        flat = first.reshape(len(first), -1)

        def statistic(summed: Float[np.ndarray, "*batch flat"]) -> Float[np.ndarray, "*batch figures"]:
            values = slice_metrics(summed.reshape(*summed.shape[:-1], *first.shape[1:]))
            return values.reshape(*summed.shape[:-1], -1)

        low, high = (bound.reshape(-1, len(SLICE_METRICS)) for bound in _bounds(flat, statistic))
        values = slice_metrics(self.slices.sum(axis=0))
        found: list[Group] = []
        for k, name in enumerate(SLICES):
            sentences, rows = int((first[:, k, 0] > 0).sum()), int(first[:, k, 0].sum())
            known = sentences >= FEW
            bounds = (low[k], high[k]) if known else (np.full(len(SLICE_METRICS), np.nan),) * 2
            if rows:
                found.append(Group(name, sentences, rows, values[:, k], *bounds))
        return tuple(found)

    @cached_property
    def targets_minus_inputs(self) -> tuple[float, float, float]:
        """Top-1 against T minus top-1 against I on the rows that tell them apart, with 95 % bounds, first method.

        Below nought the attention is read one token off, or follows x_i more than x_{i+1}.
        """
        places = [SLICES.index(f"{reading}, if T, I, P differ") for reading in "TI"]
        counts = self.slices[:, 0, places].reshape(len(self.slices), -1)

        def statistic(summed: Float[np.ndarray, "*batch flat"]) -> Float[np.ndarray, "*batch 1"]:
            values = slice_metrics(summed.reshape(*summed.shape[:-1], 2, -1))[..., 0]
            return values[..., :1] - values[..., 1:]

        low, high = _bounds(counts, statistic)
        return float(statistic(counts.sum(axis=0))[0]), float(low[0]), float(high[0])

    @cached_property
    def by_aligner(self) -> tuple[Group, ...]:
        """Precision, recall, F1 and AER of the hard links of each aligner, over all sentences."""
        sure = np.broadcast_to(self.counts[:, :, None, SURE, None], (*self.links.shape[:-1], 1))
        counts = np.concatenate([self.links, sure], axis=-1)
        first = counts[:, 0].reshape(len(counts), -1)

        def statistic(summed: Float[np.ndarray, "*batch flat"]) -> Float[np.ndarray, "*batch figures"]:
            links = summed.reshape(*summed.shape[:-1], len(ALIGNERS), -1)
            return link_metrics(links).reshape(*summed.shape[:-1], -1)

        low, high = (bound.reshape(len(ALIGNERS), -1) for bound in _bounds(first, statistic))
        values = link_metrics(counts.sum(axis=0))
        return tuple(
            Group(name, len(self.sentences), self.rows, values[:, k], low[k], high[k])
            for k, name in enumerate(ALIGNERS)
        )

    @cached_property
    def destinations(self) -> Group:
        """Share of the weight by where it goes, over student tokens with a sure link; the shares sum to one."""
        first = np.concatenate([self.mass[:, 0], self.counts[:, 0, ROWS, None]], axis=1)
        low, high = _bounds(first, lambda summed: summed[..., :-1] / summed[..., -1:])
        shares = self.mass.sum(axis=0) / self.counts[..., ROWS].sum(axis=0)[:, None]
        return Group("all rows", len(self.sentences), self.rows, shares, low, high)

    @cached_property
    def by_triple(self) -> list[TripleScores]:
        """The probed method on minimal triples, and what it is shown beside; empty where there are none."""
        shown = [self.methods[0], *(name for name in BESIDE if name in self.methods)]
        places = [self.methods.index(name) for name in shown]
        return score_triples(self.triples, shown, self.counts[:, places])


def _bounds(
    counts: Float[np.ndarray, "sentences flat"],
    statistic: Callable[[Float[np.ndarray, "*batch flat"]], Float[np.ndarray, "*batch figures"]],
) -> tuple[Float[np.ndarray, " figures"], Float[np.ndarray, " figures"]]:
    """95 % bounds over sentences; NaN of few, which say too little of others."""
    if len(counts) >= FEW:
        return bootstrap_interval(counts, statistic)
    unknown = np.full_like(statistic(counts.sum(axis=0)), np.nan)
    return unknown, unknown


def _intervals(counts: Float[np.ndarray, "sentences methods counts"]) -> Intervals:
    sentences, methods, size = counts.shape

    def statistics(summed: Float[np.ndarray, "*batch flat"]) -> Float[np.ndarray, "*batch figures"]:
        values = metrics(summed.reshape(*summed.shape[:-1], methods, size))
        both = np.stack([values, values[..., :1, :] - values], axis=-3)
        return both.reshape(*summed.shape[:-1], -1)

    flat = counts.reshape(sentences, -1)
    shape = (2, methods, len(METRICS))
    value, difference = statistics(flat.sum(axis=0)).reshape(shape)
    low, high = (bound.reshape(shape) for bound in _bounds(flat, statistics))
    return Intervals(value, low[0], high[0], difference, low[1], high[1])
