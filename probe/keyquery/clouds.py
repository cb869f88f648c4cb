"""Clouds: the queries and the scaled keys at all response positions of many sentences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.attention import Logits, bigrams, is_sum_of_halves, scaled_products
from probe.checkpoints.open_model import OpenModel
from probe.checkpoints.opened import OpenCheckpoint, Sides
from probe.checkpoints.queries import Queries
from probe.keyquery.moments import Moments, blocks, moments, pair_moments
from probe.keyquery.threads import threads
from probe.projectors import Projector
from probe.tokens import TokenizedText


@dataclass(frozen=True, eq=False)
class Cloud:
    """One point for each response position, sentence after sentence; positions of equal bigrams share theirs."""

    distinct: Float[np.ndarray, "bigrams width"]
    """The point of each bigram that occurs."""
    bigram: Int[np.ndarray, " tokens"]
    """Which of them is at each position."""
    sentence: Int[np.ndarray, " tokens"]
    """Number of the sentence that a position is of."""
    eos: Bool[np.ndarray, " tokens"]
    """Whether the target is end of sequence."""
    of_tokens: Callable[[Int[np.ndarray, " bigrams"]], Moments] | None = None
    """Moments from how often each bigram is there, where the points are linear in the embeddings of two tokens."""

    def __len__(self) -> int:
        """How many positions there are."""
        return len(self.bigram)

    @property
    def points(self) -> Float[np.ndarray, "tokens width"]:
        """The point at each position. Of a wide cloud this is large."""
        return self.distinct[self.bigram]

    def at(self, tokens: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some width"]:
        """The points at some positions."""
        return self.distinct[self.bigram[tokens]]

    @cached_property
    def moments(self) -> Moments:
        """Those of all positions."""
        return self.moments_at(np.arange(len(self)))

    def moments_at(self, tokens: Int[np.ndarray, " some"]) -> Moments:
        """Those of some positions, of which equal ones are computed once."""
        times = np.bincount(self.bigram[tokens], minlength=len(self.distinct))
        if self.of_tokens is not None:
            return self.of_tokens(times)
        some = np.flatnonzero(times)
        return moments(self.distinct[some], times[some])

    @cached_property
    def lengths(self) -> Float[np.ndarray, " bigrams"]:
        """‖x‖ of each bigram, in float64."""
        return np.sqrt(np.einsum("nd,nd->n", self.distinct, self.distinct, dtype=np.float64))

    @property
    def norms(self) -> Float[np.ndarray, " tokens"]:
        """‖x‖ at each position, in float64."""
        return self.lengths[self.bigram]

    def moved(self, points: Float[np.ndarray, "tokens other_width"]) -> "Cloud":
        """The same tokens at other points, which must be equal for equal bigrams."""
        numbers, first = np.unique(self.bigram, return_index=True)
        distinct = np.zeros((len(self.distinct), points.shape[1]), points.dtype)
        distinct[numbers] = points[first]
        return Cloud(distinct, self.bigram, self.sentence, self.eos)

    def along(self, axes: Float[np.ndarray, "width few"], shift: Float[np.ndarray, " few"]) -> "Cloud":
        """The same tokens in the coordinates along some axes, and then shifted."""
        distinct = np.concatenate([block @ axes + shift for _, block in blocks(self.distinct)])
        return Cloud(distinct, self.bigram, self.sentence, self.eos)

    def of(self, number: int) -> slice:
        """Where the points of a sentence lie."""
        begin, end = np.searchsorted(self.sentence, [number, number + 1])
        return slice(int(begin), int(end))


@dataclass(frozen=True)
class Clouds:
    """Queries and keys of the same sentences."""

    queries: Cloud
    keys: Cloud

    @property
    def sentences(self) -> int:
        """How many sentences there are."""
        return int(self.keys.sentence[-1]) + 1


def collect(open_: OpenCheckpoint, sides: Sequence[Sides], projectors: Sequence[Projector]) -> list[Clouds]:
    """Queries under each projector, and the keys, which are the same for all.

    Args:
        open_: the checkpoint; its tables are read and its key scale divides the keys.
        sides: each sentence, cut by both tokenizers; at least one.
        projectors: the trained query projector, untrained ones, or any other of these widths.
    """
    texts = [[side[role] for side in sides] for role in (0, 1)]
    pairs, positions = _positions(open_.teacher, texts[1])
    rows, places = _rows(open_.teacher, pairs)
    rows = rows / np.float32(open_.checkpoint.scales.key)
    keys = Cloud(bigrams(*(rows[half] for half in places.T)), *positions, partial(pair_moments, rows, places))
    pairs, positions = _positions(open_.student, texts[0])
    embedded = partial(pair_moments, *_rows(open_.student, pairs))

    def queries(projector: Projector) -> Cloud:
        distinct = Queries.of(open_.student, projector, [])(pairs)
        if not is_sum_of_halves(projector):
            return Cloud(distinct, *positions)
        weight, bias = (projector.tensors[f"{projector.layers[0].index}.{name}"] for name in ("weight", "bias"))
        return Cloud(distinct, *positions, lambda times: embedded(times).along(weight.T, bias))

    with threads() as pool:
        return [Clouds(own, keys) for own in pool.map(queries, projectors)]


def _rows(
    model: OpenModel, pairs: Int[np.ndarray, "bigrams 2"]
) -> tuple[Float[np.ndarray, "tokens width"], Int[np.ndarray, "bigrams 2"]]:
    """The embedding of each token that is in a pair, and the places of the pairs' tokens among them."""
    ids, places = np.unique(pairs, return_inverse=True)
    return model.finite_rows(ids), places.reshape(-1, 2)


Positions = tuple[Int[np.ndarray, " tokens"], Int[np.ndarray, " tokens"], Bool[np.ndarray, " tokens"]]


def _positions(model: OpenModel, texts: Sequence[TokenizedText]) -> tuple[Int[np.ndarray, "bigrams 2"], Positions]:
    """The distinct pairs of input and target; for each position its pair, its sentence, and whether it is the last."""
    ids = [model.ids(text) for text in texts]
    inputs, targets = np.concatenate([one[:-1] for one in ids]), np.concatenate([one[1:] for one in ids])
    sizes = np.array([len(one) - 1 for one in ids])
    eos = np.zeros(len(inputs), dtype=bool)
    eos[np.cumsum(sizes) - 1] = True
    most = int(targets.max()) + 1  # as one number, for numpy sorts numbers many times faster than rows
    found, bigram = np.unique(inputs * most + targets, return_inverse=True)
    pairs = np.stack(np.divmod(found, most), axis=1)
    return pairs, (bigram, np.repeat(np.arange(len(ids)), sizes), eos)


def sentence_logits(clouds: Clouds, number: int) -> Logits:
    """q_i · k_j / sqrt(width) of one sentence. Equal bigrams are multiplied once, so that ties stay ties."""
    (queries, rows), (keys, columns) = (_distinct(cloud, number) for cloud in (clouds.queries, clouds.keys))
    return scaled_products(queries, keys)[rows][:, columns]


def _distinct(cloud: Cloud, number: int) -> tuple[np.ndarray, np.ndarray]:
    numbers, which = np.unique(cloud.bigram[cloud.of(number)], return_inverse=True)
    return cloud.distinct[numbers], which
