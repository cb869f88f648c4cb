import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from probe.checkpoints.checkpoint import Scales
from probe.training.criteria import matching
from probe.training.criteria.cma import keys, queries
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.matching import Adversary, Highway, Transport, key_query_loss, match_norms
from probe.training.criteria.settings import Objective
from probe.training.criteria.step import Side
from probe.training.criteria.views import Counts, Positions, View, embed

STUDENT, TEACHER = 4, 6
TOKENS = 9
LENGTHS = ((6, 6), (4, 3))
SCALES = Scales(key=0.5, hidden=1.0, target=1.0)
ADVERSARIES: dict[str, Literal["cma-ga", "cma-ct"]] = {"gan": "cma-ga", "ct": "cma-ct"}


class Pair(NamedTuple):
    """A batch of two examples; what is padded holds junk."""

    student: View
    teacher: Side
    tables: tuple[Tensor, Tensor]
    counts: Counts


def a_pair(*, seed: int = 0, padding: int = 0, rows: tuple[int, ...] = (0, 1), junk: int = 0) -> Pair:
    """``padding`` positions more than the rows need, with arbitrary tokens and states; both sides are equally long."""
    given, noise = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(junk)
    longest = max(max(LENGTHS[row]) for row in rows) + padding
    views, tables, counts = [], [], []
    for side, width in enumerate((STUDENT, TEACHER)):
        table = torch.randn((TOKENS, width), generator=given, requires_grad=True)
        head = torch.randn((TOKENS, width), generator=given, requires_grad=side == 0)
        inputs, targets = (torch.randint(TOKENS, (len(LENGTHS), longest), generator=noise) for _ in range(2))
        states = 5 * torch.randn((len(LENGTHS), longest, width), generator=noise)
        mask = torch.zeros((len(LENGTHS), longest), dtype=torch.bool)
        for row, lengths in enumerate(LENGTHS):
            ids = torch.randint(TOKENS, (lengths[side] + 1,), generator=given)
            known = torch.randn((lengths[side], width), generator=given)
            if row in rows:
                count = lengths[side]
                inputs[row, :count], targets[row, :count], states[row, :count] = ids[:-1], ids[1:], known
                mask[row, :count] = True
        inputs, targets, states, mask = (x[list(rows)] for x in (inputs, targets, states, mask))
        where = torch.arange(longest).expand_as(inputs)
        tokens = embed(table, Positions(inputs, mask.long(), None, where, inputs, targets, mask))
        views.append(View(tokens, states.requires_grad_(side == 0), head))
        tables.append(table)
        counts.append(sum(lengths[side] for lengths in LENGTHS))
    return Pair(views[0], Side(views[1]), (tables[0], tables[1]), Counts(*counts))


def a_criterion(method: Literal["cma", "cma-ga", "cma-ct"], **options: Any) -> Criterion:
    torch.manual_seed(0)
    objective = Objective(method=method, kq_hidden=5, **options)
    return Criterion(objective, student=STUDENT, teacher=TEACHER, seed=0, scales=SCALES)


def matching_loss(criterion: Criterion, pair: Pair) -> Tensor:
    """L_kq alone."""
    q, k = queries(pair.student.tokens, criterion.projectors), keys(pair.teacher.view.tokens, SCALES)
    return key_query_loss(criterion.step(pair.student, pair.teacher, pair.counts), q, k).loss


def gradients(loss: Tensor, module: nn.Module) -> dict[str, Tensor]:
    """Of those parameters that have one."""
    named = dict(module.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: each for name, each in zip(named, found, strict=True) if each is not None}


def copies(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [each.detach().clone() for each in parameters]


# The released critic: an optimizer never sees it


def train(criterion: Criterion, steps: int) -> dict[str, list[Tensor]]:
    """Steps of what is trained, student and projectors and networks; what became of each."""
    pair = a_pair()
    student = [pair.student.states, pair.student.head]
    optimizer = torch.optim.AdamW(
        [
            {"params": student, "lr": 5e-4},
            {"params": list(criterion.projectors.parameters()), "lr": 1e-3},
            {"params": criterion.trained_networks, "lr": 1e-3},
        ]
    )
    for _ in range(steps):
        optimizer.zero_grad()
        criterion(pair.student, pair.teacher).loss.backward()
        optimizer.step()
    assert criterion.networks is not None
    parts = {name: list(criterion.projectors[name].tensors.values()) for name in ("query", "t2s", "s2t")}
    return {"student": copies(student), "networks": copies(criterion.networks.parameters())} | {
        name: copies(tensors) for name, tensors in parts.items()
    }


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_released_networks_have_gradients_and_never_move(adversary: str):
    criterion = a_criterion(ADVERSARIES[adversary], critic="released").eval()
    assert criterion.networks is not None
    before = copies(criterion.networks.parameters())
    assert criterion.trained_networks == []
    after = train(criterion, 5)
    assert all(torch.equal(a, b) for a, b in zip(before, after["networks"], strict=True))
    assert all(each.grad is not None and each.grad.any() for each in criterion.networks.parameters())


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_trained_networks_are_all_given_to_the_optimizer_and_move(adversary: str):
    criterion = a_criterion(ADVERSARIES[adversary]).eval()
    assert criterion.networks is not None
    names = [name for name, _ in criterion.networks.named_parameters()]
    before = copies(criterion.networks.parameters())
    assert [id(each) for each in criterion.trained_networks] == [id(each) for each in criterion.networks.parameters()]
    after = train(criterion, 5)
    moved = {n for n, a, b in zip(names, before, after["networks"], strict=True) if (a - b).abs().max() > 1e-3}
    assert moved == {name for name in names if not name.startswith("feature_")}


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("critic", ["released", "trained", "norm-only"])
def test_in_the_first_step_matching_changes_the_query_projector_alone(
    adversary: str, critic: Literal["released", "trained", "norm-only"]
):
    methods = [a_criterion(ADVERSARIES[adversary], critic=critic, kq_rate=rate).eval() for rate in (1.0, 0.0)]
    first, second = (after_one_step(criterion) for criterion in methods)
    changes = {
        name: max((a - b).abs().max().item() for a, b in zip(first[name], second[name], strict=True)) for name in first
    }
    assert changes["query"] > 1e-4
    assert max(changes[name] for name in ("student", "t2s", "s2t")) <= 1e-6


def after_one_step(criterion: Criterion) -> dict[str, list[Tensor]]:
    pair = a_pair()
    parts = {name: list(criterion.projectors[name].tensors.values()) for name in ("query", "t2s", "s2t")}
    parts["student"] = [pair.student.states, pair.student.head]
    optimizer = torch.optim.Adam([each for part in parts.values() for each in part], lr=1e-3)
    criterion(pair.student, pair.teacher).loss.backward()
    optimizer.step()
    return {name: copies(part) for name, part in parts.items()}


# The trained critic's story


class Clouds(NamedTuple):
    """Queries are a linear map of random bigrams; keys lie elsewhere and closer together."""

    bigrams: Tensor
    query: nn.Linear
    keys: Tensor
    critic: Adversary
    mask: Tensor

    def matching(self) -> matching.Matching:
        counts = Counts(int(self.mask.sum()), int(self.mask.sum()))
        return self.critic.trained(self.query(self.bigrams), self.keys, self.mask, self.mask, counts)

    def accuracy(self) -> float:
        accuracy = self.matching().accuracy
        assert accuracy is not None
        return accuracy.item()

    def distance(self) -> float:
        """Between the means."""
        return (self.query(self.bigrams) - self.keys).mean((0, 1)).norm().item()

    def fit(self, steps: int, *optimizers: torch.optim.Optimizer) -> list[float]:
        accuracies = []
        for _ in range(steps):
            for optimizer in optimizers:
                optimizer.zero_grad()
            self.matching().loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            accuracies.append(self.accuracy())
        return accuracies


def some_clouds(seed: int, points: int = 300, width: int = 8) -> Clouds:
    torch.manual_seed(seed)
    bigrams, query = torch.randn(1, points, width), nn.Linear(width, width)
    cloud = 0.7 * torch.randn(1, points, width) + 1.0
    return Clouds(bigrams, query, cloud, Adversary(width, 16).eval(), torch.ones(1, points, dtype=torch.bool))


def critics_optimizer(clouds: Clouds) -> torch.optim.Optimizer:
    """Strong weight decay keeps the critic from running round the queries in circles."""
    return torch.optim.AdamW(clouds.critic.parameters(), lr=5e-3, betas=(0.0, 0.99), weight_decay=8.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_critic_learns_to_tell_queries_from_keys_and_then_is_fooled(seed: int):
    clouds = some_clouds(seed)
    start = clouds.distance()
    clouds.fit(60, torch.optim.Adam(clouds.critic.parameters(), lr=1e-2))
    assert clouds.accuracy() > 0.9
    assert clouds.distance() == start
    opponent = torch.optim.Adam(clouds.query.parameters(), lr=2e-2, betas=(0.0, 0.99))
    last = clouds.fit(500, critics_optimizer(clouds), opponent)[-50:]
    assert 0.4 < sum(last) / len(last) < 0.65
    assert clouds.distance() < start / 4
    assert clouds.matching().loss.item() == pytest.approx(2 * math.log(2), abs=0.02)


def test_a_critic_without_opponent_is_not_fooled():
    """The end of the story is the queries' doing, and not the weight decay's."""
    clouds = some_clouds(0)
    clouds.fit(60, torch.optim.Adam(clouds.critic.parameters(), lr=1e-2))
    assert clouds.fit(200, critics_optimizer(clouds))[-1] > 0.8


def test_against_a_fixed_critic_queries_go_to_where_it_sees_keys():
    clouds = some_clouds(0)
    clouds.fit(60, torch.optim.Adam(clouds.critic.parameters(), lr=1e-2))
    start, accuracy = clouds.distance(), clouds.accuracy()
    clouds.fit(60, torch.optim.Adam(clouds.query.parameters(), lr=1e-2))
    assert clouds.distance() < 0.8 * start
    assert clouds.accuracy() < 0.65 < accuracy


def test_a_critic_that_knows_nothing_costs_two_bits_and_no_query_is_right():
    clouds = some_clouds(0)
    clouds = clouds._replace(bigrams=clouds.bigrams.double(), keys=clouds.keys.double())
    for module in (clouds.query, clouds.critic):
        module.double()
    with torch.no_grad():
        for each in clouds.critic.critic.second.parameters():
            each.zero_()
    assert clouds.matching().loss.item() == pytest.approx(2 * math.log(2), rel=1e-14)
    assert clouds.accuracy() == 0


@pytest.mark.parametrize("verdict", [1.0, -1.0])
def test_accuracy_is_the_mean_of_both_shares(verdict: float):
    """A critic that calls everything one thing is right about all of one kind, however many there are of each."""
    torch.manual_seed(0)
    critic = Adversary(3, 2).eval()
    with torch.no_grad():
        critic.critic.second.weight.zero_()
        critic.critic.second.bias.fill_(verdict)
    masks = torch.ones(1, 9, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    found = critic.trained(torch.randn(1, 9, 3), torch.randn(1, 2, 3), *masks, Counts(9, 2))
    assert found.accuracy is not None
    assert found.accuracy.item() == pytest.approx(0.5)
    # One kind costs ln(1 + 1/e), the other ln(1 + e) = 1 + ln(1 + 1/e).
    assert found.loss.item() == pytest.approx(1 + 2 * math.log(1 + math.exp(-1)))


def test_a_highway_layer_passes_what_its_gate_leaves():
    layer = Highway(2).eval()
    with torch.no_grad():
        layer.map.weight.zero_()
        layer.map.bias.copy_(torch.tensor([0.5, -2.0]))
    x = torch.tensor([[3.0, -1.0]])
    shares = [1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(2.0))]
    expected = [shares[0] * 0.5 + (1 - shares[0]) * 3.0, (1 - shares[1]) * -1.0]
    assert layer(x)[0].tolist() == pytest.approx(expected)


# Whose gradient is reversed


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_query_and_navigators_get_the_negative_gradient_of_the_loss(adversary: str, monkeypatch: pytest.MonkeyPatch):
    criterion = a_criterion(ADVERSARIES[adversary]).eval()
    reversed_ = gradients(matching_loss(criterion, a_pair()), criterion)
    monkeypatch.setattr(matching, "reverse_gradient", lambda x: x)
    plain = gradients(matching_loss(criterion, a_pair()), criterion)
    assert reversed_.keys() == plain.keys()
    assert {"projectors.query_0_weight", "projectors.query_0_bias"} < plain.keys()
    for name, gradient in plain.items():
        sign = -1 if "query" in name or ".navigator." in name else 1
        assert gradient.any(), name
        torch.testing.assert_close(reversed_[name], sign * gradient, msg=name)


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_in_the_criterion_it_is_that_gradient_times_the_rate(adversary: str):
    criteria = [a_criterion(ADVERSARIES[adversary], kq_rate=rate).eval() for rate in (0.7, 0.0)]
    pair = a_pair()
    both = [gradients(criterion(pair.student, pair.teacher, pair.counts).loss, criterion) for criterion in criteria]
    alone = gradients(matching_loss(criteria[0], pair), criteria[0])
    for name in ("projectors.query_0_weight", "networks.critic.first.weight"):
        torch.testing.assert_close(both[0][name] - both[1][name], 0.7 * alone[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["cma", "cma-ga", "cma-ct"])
@pytest.mark.parametrize("critic", ["trained", "released", "norm-only"])
def test_embeddings_get_no_gradient(method: Literal["cma", "cma-ga", "cma-ct"], critic: Any):
    pair = a_pair()
    a_criterion(method, critic=critic)(pair.student, pair.teacher).loss.backward()
    assert pair.student.states.grad is not None
    assert [table.grad for table in pair.tables] == [None, None]


# Padding, and parts of a batch


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("critic", ["trained", "norm-only"])
def test_padding_plays_no_part_in_trained_matching(adversary: str, critic: Any):
    criterion = a_criterion(ADVERSARIES[adversary], critic=critic).eval()
    losses = [
        matching_loss(criterion, a_pair(padding=padding, junk=junk)) for padding, junk in ((0, 0), (0, 1), (3, 2))
    ]
    both = [gradients(loss, criterion) for loss in losses]
    for loss, found in zip(losses[1:], both[1:], strict=True):
        torch.testing.assert_close(loss, losses[0], rtol=1e-6, atol=1e-6)
        for name, gradient in both[0].items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("padding", [0, 3])
def test_padding_is_part_of_released_matching(adversary: str, padding: int):
    criterion = a_criterion(ADVERSARIES[adversary], critic="released").eval()
    plain = matching_loss(criterion, a_pair()).item()
    assert abs(matching_loss(criterion, a_pair(padding=padding, junk=1)).item() - plain) > 1e-4


def test_released_matching_is_a_mean_divided_by_the_targets_once_more():
    criterion = a_criterion("cma-ga", critic="released").eval()
    assert isinstance(criterion.networks, Adversary)
    pair = a_pair()
    q, k = queries(pair.student.tokens, criterion.projectors), keys(pair.teacher.view.tokens, SCALES)
    real, fake = criterion.networks.critic(q), criterion.networks.critic(k)
    expected = (nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()) / pair.counts.student
    torch.testing.assert_close(matching_loss(criterion, pair), expected)


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_parts_of_a_batch_add_up_to_the_whole(adversary: str):
    criterion = a_criterion(ADVERSARIES[adversary]).eval()
    whole = matching_loss(criterion, a_pair())
    parts = sum(matching_loss(criterion, a_pair(rows=(row,))) for row in (0, 1))
    torch.testing.assert_close(whole, parts, rtol=1e-6, atol=1e-6)
    first, second = gradients(whole, criterion), gradients(parts, criterion)
    for name, gradient in first.items():
        torch.testing.assert_close(second[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


def test_accuracies_of_parts_add_up_too():
    criterion = a_criterion("cma-ga").eval()
    whole, *parts = (
        criterion(pair.student, pair.teacher, pair.counts).log["critic_accuracy"].item()
        for pair in (a_pair(), a_pair(rows=(0,)), a_pair(rows=(1,)))
    )
    assert whole == pytest.approx(sum(parts))


# Conditional transport


def transport(criterion: Criterion, pair: Pair) -> Tensor:
    """CT as its formula says, sentence by sentence: the mean of what transport to keys and to queries costs."""
    networks = criterion.networks
    assert isinstance(networks, Transport)
    q, k = queries(pair.student.tokens, criterion.projectors), keys(pair.teacher.view.tokens, SCALES)
    to_keys = to_queries = torch.zeros(())
    for row in range(len(q)):
        points = q[row][pair.student.tokens.mask[row]], k[row][pair.teacher.view.tokens.mask[row]]
        critics, navigators = (
            [nn.functional.normalize(net(x), dim=-1) for x in points] for net in (networks.critic, networks.navigator)
        )
        cost = (critics[0][:, None] - critics[1][None]).norm(dim=-1)
        products = navigators[0] @ navigators[1].T
        to_queries = to_queries + (products.softmax(0) * cost).sum()
        to_keys = to_keys + (products.softmax(1) * cost).sum()
    return (to_queries / pair.counts.teacher + to_keys / pair.counts.student) / 2


def test_the_loss_is_the_negative_of_the_transport_cost():
    criterion = a_criterion("cma-ct").eval()
    assert matching_loss(criterion, a_pair()).item() == pytest.approx(-transport(criterion, a_pair()).item(), rel=1e-5)


@pytest.mark.parametrize(("who", "raises"), [("networks.critic.", True), (".navigator.", False), ("query", False)])
def test_critics_raise_the_transport_cost_and_navigators_and_queries_lower_it(who: str, raises: bool):
    criterion, pair = a_criterion("cma-ct").eval(), a_pair()
    before = transport(criterion, pair).item()
    found = gradients(matching_loss(criterion, pair), criterion)
    movers = {name: each for name, each in criterion.named_parameters() if who in name and name in found}
    assert movers
    size = torch.cat([found[name].flatten() for name in movers]).norm()
    with torch.no_grad():
        for name, each in movers.items():
            each -= 0.02 * found[name] / size
    change = transport(criterion, pair).item() - before
    assert change > 1e-5 if raises else change < -1e-5


def test_released_transport_needs_equal_lengths():
    criterion = a_criterion("cma-ct", critic="released")
    assert isinstance(criterion.networks, Transport)
    with pytest.raises(RuntimeError):
        criterion.networks.released(torch.randn(1, 3, 2 * TEACHER), torch.randn(1, 4, 2 * TEACHER))


# Lengths alone


def test_equal_lengths_cost_nothing():
    torch.manual_seed(0)
    q, k = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    mask = torch.ones(2, 5, dtype=torch.bool)
    k = k * q.square().mean().sqrt() / k.square().mean().sqrt()
    assert match_norms(q, k, mask, mask).loss.item() == pytest.approx(0, abs=1e-12)
    assert match_norms(q, math.e * k, mask, mask).loss.item() == pytest.approx(1, rel=1e-5)
    assert match_norms(math.e * q, k, mask, mask).loss.item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_only_the_ratio_of_lengths_counts(scale: float):
    torch.manual_seed(0)
    q, k = torch.randn(2, 5, 4), 3 * torch.randn(2, 5, 4)
    mask = torch.rand(2, 5) < 0.7
    plain, scaled = match_norms(q, k, mask, mask).loss, match_norms(scale * q, scale * k, mask, mask).loss
    assert plain > 0.1
    torch.testing.assert_close(plain, scaled)


def test_lengths_alone_move_the_query_and_need_no_network():
    criterion = a_criterion("cma-ga", critic="norm-only")
    assert criterion.networks is None
    assert criterion.trained_networks == []
    pair = a_pair()
    before = matching_loss(criterion, pair)
    found = gradients(before, criterion)
    assert found.keys() == {"projectors.query_0_weight", "projectors.query_0_bias"}
    with torch.no_grad():
        for name, each in criterion.named_parameters():
            if name in found:
                each -= 0.01 * found[name]
    assert matching_loss(criterion, pair) < before


# Rate zero


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("critic", ["trained", "released"])
def test_at_rate_zero_the_same_random_numbers_are_drawn(adversary: str, critic: Any):
    states = []
    for rate in (1.0, 0.0):
        criterion, pair = a_criterion(ADVERSARIES[adversary], critic=critic, kq_rate=rate).train(), a_pair()
        torch.manual_seed(7)
        before = torch.get_rng_state()
        criterion(pair.student, pair.teacher)
        states.append(torch.get_rng_state())
        assert not torch.equal(before, states[-1])
    assert torch.equal(*states)


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("critic", ["trained", "released", "norm-only"])
def test_at_rate_zero_the_loss_is_that_of_attention_alone(adversary: str, critic: Any):
    pair = a_pair()
    criterion, plain = a_criterion(ADVERSARIES[adversary], critic=critic, kq_rate=0.0).eval(), a_criterion("cma").eval()
    first, second = (each(pair.student, pair.teacher) for each in (criterion, plain))
    assert torch.equal(first.loss, second.loss)
    assert first.log["kq_loss"].abs() > 1e-3
    found, expected = gradients(first.loss, criterion), gradients(second.loss, plain)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)
    assert not any(gradient.any() for name, gradient in found.items() if name.startswith("networks."))
