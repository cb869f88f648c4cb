"""Key-query matching: draw the distribution of queries to that of keys (Section 3 of the key-query matching paper).

GAN (``cma-ga``): a critic D learns to tell keys from queries; the query projector learns, by the reversed gradient, to
fool it. GRL is the identity with its gradient negated:

    L_kq = mean_i BCE(D(GRL(q_i)), 0) + mean_j BCE(D(k_j), 1)                        at equilibrium 2 · ln 2

Conditional transport (``cma-ct``, Zheng and Zhou 2021): critics c and navigators n, cost_ij = ‖c(q_i) - c(k_j)‖ and
plans π by softmax of n(q_i) · n(k_j) over either axis:

    CT   = ½ mean_j Σ_i π(i | j) cost_ij + ½ mean_i Σ_j π(j | i) cost_ij             L_kq = - CT

Critics raise CT; query projector and navigators lower it, by reversed gradients.

Networks that are ``trained`` see response positions alone, and L_kq joins the loss after token normalisation.
``released`` is what the published code does: the networks stay at their random start, because they are in no optimizer;
queries stand where keys should and the other way round; means run over all positions, padding included, and are
divided by the number of targets once more. ``norm-only`` has no network: it matches the length of queries to that of
keys.
"""

from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from probe.attention import softmax
from probe.training.criteria.cma import Keys, Queries, attended, attention_over_all, queries_and_keys
from probe.training.criteria.settings import Objective
from probe.training.criteria.step import Step, Terms
from probe.training.criteria.views import Counts

DROPOUT, SLOPE, NORM_FLOOR = 0.1, 0.1, 1e-6
"""Of the published networks: dropout before the first map, slope of the leaky rectifier, what norms are raised by."""

StudentMask = Bool[Tensor, "batch student"]
TeacherMask = Bool[Tensor, "batch teacher"]


class Matching(NamedTuple):
    """The matching loss, and how well the critic tells keys from queries where there is one."""

    loss: Float[Tensor, ""]
    accuracy: Float[Tensor, ""] | None = None
    """Mean of the shares of queries and of keys that it gets right; 1/2 is chance."""


class Highway(nn.Module):
    """σ(g) · relu(g) + (1 - σ(g)) · x with g = W x + b: the first layer of every critic."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Apply the layer, then dropout."""
        gate = self.map(x)
        share = torch.sigmoid(gate)
        return self.dropout(share * F.relu(gate) + (1.0 - share) * x)


class Network(nn.Module):
    """Two maps with a leaky rectifier between them, behind a highway layer if one is given."""

    def __init__(self, width: int, hidden: int, out: int, highway: Highway | None = None) -> None:
        super().__init__()
        self.highway = highway
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, out)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Apply the network."""
        if self.highway is not None:
            x = self.highway(x)
        return self.second(F.leaky_relu(self.first(x), SLOPE))

    def unit(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Its output at length one."""
        y = self(x)
        return y / (y.norm(dim=-1, keepdim=True) + NORM_FLOOR)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        return -upstream[0]


def reverse_gradient(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """GRL: the identity, whose gradient is negated."""
    return _Reverse.apply(x)  # type: ignore[no-any-return]


class Adversary(nn.Module):
    """Discriminator of the GAN."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.critic = Network(width, hidden, 1, Highway(width))

    def trained(
        self, queries: Queries, keys: Keys, student: StudentMask, teacher: TeacherMask, counts: Counts
    ) -> Matching:
        """Keys are real (1), queries fake (0); one minimising step trains the critic, and through GRL its opponent."""
        fake = self.critic(reverse_gradient(queries[student]))[:, 0]
        real = self.critic(keys[teacher])[:, 0]
        on_queries = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake), reduction="sum")
        on_keys = F.binary_cross_entropy_with_logits(real, torch.ones_like(real), reduction="sum")
        right = (fake < 0).sum() / counts.student, (real > 0).sum() / counts.teacher
        return Matching(on_queries / counts.student + on_keys / counts.teacher, (right[0] + right[1]) / 2)

    def released(self, queries: Queries, keys: Keys) -> Matching:
        """Queries are called real and keys fake, over all positions; no optimizer holds the critic."""
        real = self.critic(reverse_gradient(queries))
        fake = self.critic(keys)
        on_queries = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
        on_keys = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
        return Matching(on_queries + on_keys)


class Transport(nn.Module):
    """Critics and navigators of conditional transport: one pair between positions, one between features."""

    def __init__(self, width: int, hidden: int, *, between_features: bool) -> None:
        super().__init__()
        self.critic = Network(width, hidden, hidden, Highway(width))
        self.navigator = Network(width, hidden, hidden)
        # The released variant alone: a feature is the vector of its values at all positions, which has a meaning only
        # where both sides are padded to one length.
        if between_features:
            self.feature_critic = Network(width, hidden, hidden, Highway(width))
            self.feature_navigator = Network(width, hidden, hidden)

    def trained(
        self, queries: Queries, keys: Keys, student: StudentMask, teacher: TeacherMask, counts: Counts
    ) -> Matching:
        """Transport between the positions of each sentence; critics raise its cost, navigators and queries lower it."""
        cost = torch.cdist(self.critic.unit(reverse_gradient(queries)), self.critic.unit(keys))
        # The plan's own gradient is reversed once more: what lowers the cost raises the loss, which is its negative.
        plan = reverse_gradient(self.navigator.unit(queries) @ self.navigator.unit(keys).mT)
        to_queries = (cost * softmax(plan, axis=-2, mask=student[:, :, None])).sum(-2)
        to_keys = (cost * softmax(plan, axis=-1, mask=teacher[:, None, :])).sum(-1)
        means = (to_queries * teacher).sum() / counts.teacher, (to_keys * student).sum() / counts.student
        return Matching(-(means[0] + means[1]) / 2)

    def released(self, queries: Queries, keys: Keys) -> Matching:
        """Over all positions, between positions and between features; queries stand first, as keys should.

        Raises:
            RuntimeError: the two sides are padded to different lengths.
        """
        first, second = reverse_gradient(queries), keys
        both = (first, second)
        positions = [net.unit(x) for net in (self.critic, self.navigator) for x in both]
        features = [net.unit(x).mT for net in (self.feature_critic, self.feature_navigator) for x in both]
        return Matching(-_transport(*positions) - _transport(*features))


def _transport(first: Tensor, second: Tensor, plan_first: Tensor, plan_second: Tensor) -> Float[Tensor, ""]:
    """CT of the module's head, with both plans; what is transported lies on the second axis from the end."""
    cost = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    plan = plan_first @ plan_second.mT
    backward, forward = torch.softmax(plan, -2), torch.softmax(plan, -1)
    return ((cost * backward).sum(-2).mean() + (cost * forward).sum(-1).mean()) / 2


def match_norms(queries: Queries, keys: Keys, student: StudentMask, teacher: TeacherMask) -> Matching:
    """(ln rms‖q‖ - ln rms‖k‖)² over response positions: the control that uses lengths alone."""
    lengths = [vectors[mask].square().mean().log() / 2 for vectors, mask in ((queries, student), (keys, teacher))]
    return Matching((lengths[0] - lengths[1]).square())


def adversary(objective: Objective, width: int) -> Adversary | None:
    """The networks of cma-ga for keys of a width; the control has none."""
    return None if objective.critic == "norm-only" else Adversary(width, objective.kq_hidden)


def transport(objective: Objective, width: int) -> Transport | None:
    """The networks of cma-ct."""
    if objective.critic == "norm-only":
        return None
    return Transport(width, objective.kq_hidden, between_features=objective.critic == "released")


def key_query_loss(step: Step, queries: Queries, keys: Keys) -> Matching:
    """L_kq as it joins the loss, before ``kq_rate``: for the released networks a mean divided by the target count."""
    networks = cast("Adversary | Transport | None", step.networks)
    if networks is None:
        return match_norms(queries, keys, *step.masks)
    if step.objective.critic == "released":
        matching = networks.released(queries, keys)
        return matching._replace(loss=matching.loss / step.counts.student)
    return networks.trained(queries, keys, *step.masks, step.counts)


def matched(step: Step) -> Terms:
    """Cross-model attention with L_kq beside it."""
    q, k = queries_and_keys(step)
    terms = attended(step, attention_over_all(step, q, k))
    matching = key_query_loss(step, q, k)
    loss = terms.loss + step.objective.kq_rate * matching.loss
    log = terms.log | {"loss": loss.detach(), "kq_loss": matching.loss.detach()}
    if matching.accuracy is not None:
        log["critic_accuracy"] = matching.accuracy
    return terms._replace(loss=loss, log=log)
