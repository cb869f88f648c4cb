"""The queries of pairs of tokens, made of each token once: of one linear map they are sums."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from probe.attention import bigrams, half_queries, is_sum_of_halves
from probe.checkpoints.open_model import OpenModel
from probe.projectors import Projector, project
from probe.tokens import TokenizedText

KEPT = 1 << 24
"""Numbers of a projector's tokens that are kept for all texts, 64 MB; of more, each text is projected by itself."""

MEAN = -1
"""Stands in a pair for no token but the mean: a query with it sees its other half alone, and keeps its usual size."""

Pairs = Int[np.ndarray, "pairs 2"]
Rows = Float[np.ndarray, "tokens width"]


@dataclass(frozen=True)
class Queries:
    """What a query projector makes of pairs of input and target, from parts that each token has once.

    Equal pairs have exactly equal queries.
    """

    model: OpenModel
    query: Projector
    mean: Float[np.ndarray, " two_widths"]
    """The embeddings of `MEAN`."""
    ids: Int[np.ndarray, " tokens"]
    """The tokens, in order; `MEAN` is always among them."""
    inputs: Rows
    """What each token gives to a query as its input: if that is no sum, its embedding."""
    targets: Rows
    """The same as its target."""

    @classmethod
    def of(
        cls,
        model: OpenModel,
        query: Projector,
        texts: Sequence[TokenizedText],
        mean: Float[np.ndarray, " two_widths"] | None = None,
    ) -> "Queries":
        """Those of the tokens of some texts, if they are few enough to keep; default of the mean: zeros."""
        ids = np.unique(np.concatenate([[MEAN], *(model.ids(text) for text in texts)]))
        width = model.table.width
        largest = max((len(bias) for name, bias in query.tensors.items() if name.endswith("bias")), default=width)
        if len(texts) > 1 and 2 * len(ids) * largest > KEPT:
            ids = ids[:1]
        return cls._of_tokens(model, query, np.zeros(2 * width, np.float32) if mean is None else mean, ids)

    @classmethod
    def _of_tokens(
        cls,
        model: OpenModel,
        query: Projector,
        mean: Float[np.ndarray, " two_widths"],
        ids: Int[np.ndarray, " tokens"],
    ) -> "Queries":
        embedded = model.finite_rows(ids[1:])
        inputs, targets = (np.concatenate([half[None], embedded]) for half in np.split(mean, 2))
        if is_sum_of_halves(query):
            with np.errstate(over="ignore", invalid="ignore"):  # logits that are not finite are refused
                inputs, targets = half_queries(query, inputs, targets)
        return cls(model, query, mean, ids, inputs, targets)

    def __call__(self, pairs: Pairs) -> Float[np.ndarray, "pairs width"]:
        """The queries of some pairs of tokens."""
        places = np.searchsorted(self.ids, pairs).clip(max=len(self.ids) - 1)
        if not np.array_equal(self.ids[places], pairs):  # a token is not kept
            ids = np.unique([MEAN, *pairs.ravel()])
            return self._of_tokens(self.model, self.query, self.mean, ids)(pairs)
        inputs, targets = self.inputs[places[:, 0]], self.targets[places[:, 1]]
        with np.errstate(over="ignore", invalid="ignore"):
            return inputs + targets if is_sum_of_halves(self.query) else project(self.query, bigrams(inputs, targets))
