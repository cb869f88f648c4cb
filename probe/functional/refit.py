"""W_t2s fitted anew to an attention, so that each is judged by values of its own.

The trained W_t2s has learnt from the trained attention: it makes the best of what that mixes, and another attention is
judged by values made for somebody else. It is refitted on other texts than those it is judged on.

Fitting takes the softmax over all targets of the texts and a fresh sample of the rest of the vocabulary, whose
exponentials stand for the others' too (sampled softmax, Jean et al. 2015): a tenth of the work where the vocabulary is
large, and exact where it is small. Judging takes all of the vocabulary.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.checkpoints.checkpoint import Scales
from probe.functional.losses import t2s_states
from probe.functional.report import FitSettings
from probe.functional.texts import Text
from probe.projectors import T2S
from probe.training.criteria.logits import Workspace
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.views import IGNORED
from probe.training.criteria.vocabulary import vocabulary_losses
from probe.training.examples import epoch_batches


@dataclass(frozen=True)
class FitTexts:
    """Texts with an attention to each, and which of their targets count."""

    texts: Sequence[Text]
    weights: Sequence[Tensor]
    """A of each."""
    labels: Sequence[Tensor]
    """Student targets, -100 where one does not count."""

    @classmethod
    def of(cls, texts: Sequence[Text], weights: Sequence[Tensor], counted: Sequence[np.ndarray]) -> "FitTexts":
        """Texts whose targets count where ``counted`` is not zero."""
        masks = (torch.from_numpy(of.astype(bool)) for of in counted)
        labels = [torch.where(mask, t.student_targets, IGNORED) for t, mask in zip(texts, masks, strict=True)]
        return cls(texts, weights, labels)

    def some(self, numbers: Sequence[int]) -> "FitTexts":
        """Those of the given numbers."""
        texts, weights = [self.texts[i] for i in numbers], [self.weights[i] for i in numbers]
        return FitTexts(texts, weights, [self.labels[i] for i in numbers])

    def states(self, projectors: Projectors, scales: Scales) -> Float[Tensor, "targets student_width"]:
        """The t2s states of all targets."""
        return t2s_states(projectors, scales, self.texts, self.weights)


class Refit(NamedTuple):
    """Projectors with another t2s, and its mean cross-entropy over the steps of the last epoch, in nats."""

    projectors: Projectors
    last_loss: float


def refit(
    start: Projectors,
    scales: Scales,
    head: Float[Tensor, "vocabulary student_width"],
    data: FitTexts,
    settings: FitSettings,
    workspace: Workspace,
) -> Refit:
    """t2s fitted to an attention by cross-entropy at the targets that count, beginning with ``start``."""
    projectors = deepcopy(start).requires_grad_(True)
    optimizer = torch.optim.Adam(list(projectors[T2S].tensors.values()), lr=settings.learning_rate)
    steps = settings.epochs * math.ceil(len(data.texts) / settings.batch_sentences)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    vocabulary = SampledVocabulary(head, torch.cat(list(data.labels)), settings)
    lengths = [len(of) for of in data.labels]
    total = counted = 0.0
    for epoch in range(settings.epochs):
        total = counted = 0.0
        for batch in epoch_batches(lengths, settings.batch_sentences, settings.seed, epoch):
            some = data.some(batch)
            labels = torch.cat(list(some.labels))
            loss = vocabulary.loss(some.states(projectors, scales), labels, vocabulary.draw(), workspace)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            targets = int((labels != IGNORED).sum())
            total, counted = total + targets * float(loss.detach()), counted + targets
    return Refit(projectors.requires_grad_(False), total / max(1, counted))


class SampledVocabulary:
    """A head's rows for some tokens, always the same, and for others that are drawn anew each time."""

    def __init__(self, head: Float[Tensor, "vocabulary width"], labels: Int[Tensor, " labels"], settings: FitSettings):
        self._head, self._kept = head, labels[labels != IGNORED].unique()
        others = torch.ones(len(head), dtype=torch.bool, device=head.device)
        others[self._kept] = False
        self._others = others.nonzero()[:, 0]
        self._count = min(settings.sampled, len(self._others))
        self._random = torch.Generator().manual_seed(settings.seed)

    def draw(self) -> Int[Tensor, " drawn"]:
        """Tokens that stand for all others."""
        return self._others[torch.randperm(len(self._others), generator=self._random)[: self._count]]

    def loss(
        self,
        states: Float[Tensor, "rows width"],
        labels: Int[Tensor, " rows"],
        drawn: Int[Tensor, " drawn"],
        workspace: Workspace,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy at the labels, all of which are among those kept, or ignored; zero where all are."""
        # One more column, met by a one, adds to each logit the logarithm of how many tokens it stands for.
        logs = torch.zeros(len(self._kept) + len(drawn), 1, device=self._head.device)
        if len(drawn):
            logs[len(self._kept) :] = math.log(len(self._others) / len(drawn))
        head = torch.cat([self._head[torch.cat([self._kept, drawn])], logs], dim=1)
        states = torch.cat([states, states.new_ones(len(states), 1)], dim=1)
        counts = labels != IGNORED
        places = torch.where(counts, torch.searchsorted(self._kept, labels.clamp(min=0)), IGNORED)
        weight = 1 / max(1, int(counts.sum()))
        return vocabulary_losses(states, head, places, workspace, label_weight=weight).loss
