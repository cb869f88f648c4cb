from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
import transformers
from directories import CONFIGS, STUDENT_WIDTH, TEACHER_WIDTH
from torch import Tensor
from torch.nn import functional as F

from probe.checkpoints.checkpoint import Scales
from probe.errors import TrainingError
from probe.training.criteria.criterion import Criterion
from probe.training.criteria.links import place_links
from probe.training.criteria.logits import Workspace
from probe.training.criteria.published import batch_scales
from probe.training.criteria.settings import METHODS as NEEDS
from probe.training.criteria.settings import DivergenceName, Method, Objective
from probe.training.criteria.step import Side, Terms
from probe.training.criteria.teacher_space import expectations
from probe.training.criteria.views import Counts, Positions, View, embed, frozen_view, response_positions, view
from probe.training.criteria.vocabulary import MappedHead
from probe.training.examples import Encoded
from probe.training.parts import ObjectivePart
from probe.training.recipe import part_of

METHODS: tuple[Method, ...] = get_args(Method)
DIVERGENCES: tuple[DivergenceName, ...] = get_args(DivergenceName)
WIDTHS = {"student": 6, "teacher": 10}
TOKENS = {"student": 7, "teacher": 11}
SCALES = Scales(key=0.7, hidden=1.3, target=0.4)
ONE_TOKENIZER = ("kd", "dskd")
LINKED = ("cla", "clp", "mined", "eta")
CROSS_MODEL = ("cma", "cla", "clp", "cma-ga", "cma-ct")
SUMS = ("sft", "kd", "dskd", "cma", "cla", "clp", "uld", "mined")
"""Methods whose loss is a sum over tokens, divided by the counts of the batch."""


# Batches: rows of either side, which are padded only on their way into a view


class Row(NamedTuple):
    inputs: Tensor
    targets: Tensor
    states: Tensor


class Model(NamedTuple):
    table: Tensor
    head: Tensor


class Batch(NamedTuple):
    students: list[Row]
    teachers: list[Row]
    links: list[np.ndarray]
    student: Model
    teacher: Model

    def rows(self, *which: int) -> "Batch":
        parts = ([part[i] for i in which] for part in (self.students, self.teachers, self.links))
        return Batch(*parts, self.student, self.teacher)

    @property
    def counts(self) -> Counts:
        targets = [sum(len(row.targets) for row in rows) for rows in (self.students, self.teachers)]
        return Counts(*targets, pairs=sum(int(links.sum()) for links in self.links))

    @property
    def learned(self) -> dict[str, Tensor]:
        """What of the student has gradients."""
        return {"head": self.student.head, **{f"states {i}": row.states for i, row in enumerate(self.students)}}


def a_model(side: str, rng: torch.Generator, *, tokens: int | None = None) -> Model:
    shape = (tokens or TOKENS[side], WIDTHS[side])
    return Model(*(torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(2)))


def a_row(length: int, model: Model, rng: torch.Generator, targets: Tensor | None = None) -> Row:
    ids = torch.randint(len(model.table), (length + 1,), generator=rng)
    states = torch.randn((length, model.table.shape[1]), generator=rng, dtype=torch.float64)
    return Row(ids[:-1], ids[1:] if targets is None else targets, states)


def a_batch(
    method: str,
    seed: int = 0,
    *,
    lengths: Sequence[tuple[int, int]] = ((6, 7), (3, 2), (5, 5)),
    teacher_tokens: int = 0,
) -> Batch:
    """Rows that fit a method: with one tokenizer both sides have the same targets; some positions have no partner."""
    rng = torch.Generator().manual_seed(seed)
    same = method in ONE_TOKENIZER
    student = a_model("student", rng)
    teacher = a_model("teacher", rng, tokens=teacher_tokens or (TOKENS["student"] if same else None))
    students = [a_row(length, student, rng) for length, _ in lengths]
    others = [None if not same else row.targets for row in students]
    teachers = [a_row(a if same else b, teacher, rng, targets) for (a, b), targets in zip(lengths, others, strict=True)]
    links = []
    for one, other in zip(students, teachers, strict=True):
        linked = np.eye(len(one.targets), len(other.targets), dtype=bool)
        if method in ("cla", "clp"):
            linked |= np.eye(len(one.targets), len(other.targets), k=1, dtype=bool)
        linked[1] = False
        links.append(linked)
    for leaf in (student.head, *(row.states for row in students)):
        leaf.requires_grad_(True)
    return Batch(students, teachers, links, student, teacher)


def pad(values: Sequence[Tensor], length: int, padding: Tensor) -> Tensor:
    """Each value followed by as much of the padding as it takes."""
    return torch.stack([torch.cat([value, padding[: length - len(value)]]) for value in values])


def view_of(model: Model, rows: Sequence[Row], padding: int = 0, *, junk: int = 0) -> View:
    """A view whose padding holds arbitrary tokens and large states."""
    rng = torch.Generator().manual_seed(junk)
    length = max(len(row.targets) for row in rows) + padding
    ids = torch.randint(len(model.table), (length,), generator=rng)
    states = 9 * torch.randn((length, model.head.shape[1]), generator=rng, dtype=model.head.dtype)
    mask = torch.stack([torch.arange(length) < len(row.targets) for row in rows])
    inputs, targets = (pad([row[i] for row in rows], length, ids) for i in (0, 1))
    where = torch.arange(length).expand_as(inputs)
    positions = Positions(inputs, mask.long(), None, where, inputs, targets, mask)
    return View(embed(model.table, positions), pad([row.states for row in rows], length, states), model.head)


def sides(batch: Batch, padding: tuple[int, int] = (0, 0), *, junk: int = 0) -> tuple[View, Side]:
    student = view_of(batch.student, batch.students, padding[0], junk=junk)
    teacher = view_of(batch.teacher, batch.teachers, padding[1], junk=junk)
    return student, Side(teacher, place_links(batch.links, student.tokens.mask, teacher.tokens.mask))


def a_criterion(
    method: Method, batch: Batch | None = None, scales: Scales | None = SCALES, **options: Any
) -> Criterion:
    torch.manual_seed(0)
    vocabulary_map = torch.tensor([3, -1, 0, 1, 1, 5, 6, -1, 2, 4, 3])
    mapped = None
    if method == "mined" and batch is not None:
        mapped = MappedHead(batch.teacher.head, vocabulary_map, TOKENS["student"])
    criterion = Criterion(
        Objective(**({"method": method, "kq_hidden": 4, "kd_rate": 0.3, "teacher_temperature": 1.7} | options)),
        **WIDTHS,
        seed=0,
        scales=scales,
        mapped_head=mapped,
        student_of_teacher=vocabulary_map if method == "eta" else None,
    )
    return criterion.double().eval()


class Result(NamedTuple):
    terms: Terms
    gradients: dict[str, Tensor]
    """Zeros stand for none."""


def gradients(loss: Tensor, criterion: Criterion, batch: Batch) -> dict[str, Tensor]:
    leaves = batch.learned | dict(criterion.named_parameters())
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if each is None else each
        for (name, leaf), each in zip(leaves.items(), found, strict=True)
    }


def compute(
    criterion: Criterion, batch: Batch, padding: tuple[int, int] = (0, 0), counts: Counts | None = None, junk: int = 0
) -> Result:
    terms = criterion(*sides(batch, padding, junk=junk), counts)
    return Result(terms, gradients(terms.loss, criterion, batch))


def assert_same(first: Result, second: Result, tolerance: float = 1e-7) -> None:
    torch.testing.assert_close(first.terms.loss, second.terms.loss, rtol=tolerance, atol=tolerance / 10)
    assert first.gradients.keys() == second.gradients.keys()
    for name, gradient in first.gradients.items():
        torch.testing.assert_close(gradient, second.gradients[name], rtol=tolerance, atol=tolerance / 10, msg=name)


# What every method does


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_a_finite_loss_and_trains_the_student_and_its_own_projectors(method: Method):
    batch = a_batch(method)
    criterion = a_criterion(method, batch)
    result = compute(criterion, batch)
    assert set(criterion.projectors.structures) == set(NEEDS[method].projectors)
    assert all(value.isfinite().all() for value in (result.terms.loss, *result.terms.log.values()))
    assert result.terms.log["loss"].item() == pytest.approx(result.terms.loss.item())
    for name, gradient in result.gradients.items():
        trained = "feature_" not in name  # of the released transport alone
        assert gradient.isfinite().all(), name
        assert gradient.any() == trained, name


@pytest.mark.parametrize("method", METHODS)
def test_of_real_models_the_student_learns_and_the_teacher_does_not(method: Method):
    torch.manual_seed(0)
    names = ("gpt2", "gpt2") if method in ONE_TOKENIZER else ("gpt2", "llama")
    student, teacher = (
        transformers.AutoModelForCausalLM.from_config(deepcopy(CONFIGS[name])).eval().requires_grad_(True)
        for name in names
    )
    rng = np.random.default_rng(0)
    encoded = [Encoded(rng.integers(3, 300, length), 3) for length in (9, 12)]
    positions = response_positions(encoded)
    others = response_positions(encoded if method in ONE_TOKENIZER else [Encoded(each.ids[1:], 4) for each in encoded])
    seen = frozen_view(teacher, others)
    links = torch.eye(positions.mask.shape[1], others.mask.shape[1], dtype=torch.bool).expand(2, -1, -1)
    width = STUDENT_WIDTH if method in ONE_TOKENIZER else TEACHER_WIDTH
    vocabulary_map = torch.arange(len(seen.head)) % 320
    criterion = Criterion(
        Objective(method=method, kq_hidden=4),
        student=STUDENT_WIDTH,
        teacher=width,
        seed=0,
        scales=SCALES,
        mapped_head=MappedHead(seen.head, vocabulary_map, 320),
        student_of_teacher=vocabulary_map,
    )
    terms = criterion(view(student, positions), Side(seen, links & positions.mask[..., None] & others.mask[:, None]))
    terms.loss.backward()
    assert terms.loss.isfinite()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in student.parameters())
    assert all(each.grad is None for each in teacher.parameters())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_method_works_in_float32_and_with_heads_in_half_precision(method: Method, dtype: torch.dtype):
    batch = a_batch(method)
    expected = a_criterion(method, batch)(*sides(batch)).loss.item()

    def lower(view: View) -> View:
        tokens = view.tokens._replace(bigrams=view.tokens.bigrams.float())
        return View(tokens, view.states.detach().float(), view.head.detach().to(dtype))

    student, side = sides(batch)
    student, side = lower(student), side._replace(view=lower(side.view))
    student.states.requires_grad_(True)
    student.head.requires_grad_(True)
    criterion = a_criterion(method, batch._replace(teacher=Model(batch.teacher.table, side.view.head))).float()
    terms = criterion(student, side)
    terms.loss.backward()
    assert terms.loss.item() == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 0.02)
    assert student.states.grad is not None
    assert student.head.grad is not None
    assert (student.states.grad.dtype, student.head.grad.dtype) == (torch.float32, dtype)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "cma-ct"])
@pytest.mark.parametrize("padding", [(3, 0), (0, 4), (2, 1)])
def test_padding_plays_no_part(method: Method, padding: tuple[int, int]):
    batch = a_batch(method)
    criterion = a_criterion(method, batch)
    assert_same(compute(criterion, batch), compute(criterion, batch, padding, junk=1))


@pytest.mark.parametrize("method", SUMS)
def test_parts_of_a_batch_add_up_to_the_whole(method: Method):
    """Also: a mate of another length, hence with other padding, changes nothing of a row's share."""
    batch = a_batch(method)
    criterion = a_criterion(method, batch)
    whole = compute(criterion, batch)
    parts = [compute(criterion, batch.rows(*which), counts=batch.counts) for which in ((0,), (1, 2))]
    total = sum(part.terms.loss for part in parts)
    torch.testing.assert_close(total, whole.terms.loss, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(parts[0].gradients["states 0"], whole.gradients["states 0"], rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(parts[1].gradients["states 1"], whole.gradients["states 2"], rtol=1e-7, atol=1e-8)
    for name in ("head", *dict(criterion.named_parameters())):
        both = parts[0].gradients[name] + parts[1].gradients[name]
        torch.testing.assert_close(both, whole.gradients[name], rtol=1e-7, atol=1e-8, msg=name)


def test_a_batch_mate_without_links_does_not_touch_exactly_aligned_tokens():
    batch = a_batch("eta")
    batch.links[1][:] = False
    criterion = a_criterion("eta", batch)
    whole, alone = compute(criterion, batch), compute(criterion, batch.rows(0, 2), counts=batch.counts)
    for name in ("states 0", *dict(criterion.named_parameters())):
        torch.testing.assert_close(whole.gradients[name], alone.gradients[name], rtol=1e-7, atol=1e-8, msg=name)
    mate = F.cross_entropy(batch.students[1].states @ batch.student.head.T, batch.students[1].targets, reduction="sum")
    share = 0.7 * mate / batch.counts.student
    torch.testing.assert_close(whole.terms.loss, alone.terms.loss + share, rtol=1e-7, atol=1e-8)


def test_with_scales_of_the_batch_parts_do_not_add_up_as_published():
    batch = a_batch("cma")

    def loss(*which: int, padding: tuple[int, int] = (0, 0)) -> float:
        part = batch.rows(*which)
        scales = batch_scales(sides(part, padding)[1].view)
        return compute(a_criterion("cma", scales=scales, reference=True), part, padding, batch.counts).terms.loss.item()

    assert abs(loss(0) + loss(1, 2) - loss(0, 1, 2)) > 1e-3
    assert abs(loss(0, 1, 2, padding=(0, 9)) - loss(0, 1, 2)) > 1e-3


def test_with_fixed_scales_the_published_masks_are_the_same_attention():
    batch = a_batch("cma")
    assert_same(compute(a_criterion("cma", reference=True), batch), compute(a_criterion("cma"), batch))


@pytest.mark.parametrize("method", ["sft", "kd", "dskd", "cma", "uld", "mined", "eta"])
def test_chunks_of_one_row_are_the_whole(method: Method):
    batch = a_batch(method)
    whole, pieces = (a_criterion(method, batch) for _ in range(2))
    pieces.workspace = Workspace(1)
    assert_same(compute(whole, batch), compute(pieces, batch))


# What is missing


@pytest.mark.parametrize(
    ("method", "missing", "message"),
    [
        *((method, "teacher", f"method {method}: expected a teacher; got none") for method in METHODS[1:]),
        *((method, "links", f"method {method}: expected links between") for method in LINKED),
        *((method, "scales", f"method {method}: expected scales; got none") for method in CROSS_MODEL),
        *((method, "value scales", "scales: expected hidden and target scales; got none") for method in CROSS_MODEL),
        ("mined", "maps", "method mined: expected the teacher's head in the student's vocabulary; got none"),
        ("eta", "maps", "method eta: expected a map of teacher to student tokens; got none"),
    ],
)
def test_what_a_method_misses_is_named(method: Method, missing: str, message: str):
    batch = a_batch(method)
    scales = {"scales": None, "value scales": Scales(key=1.0, hidden=None, target=None)}.get(missing, SCALES)
    criterion = a_criterion(method, batch, scales=scales)
    if missing == "maps":
        criterion.mapped_head = criterion.student_of_teacher = None
    student, side = sides(batch)
    teacher = None if missing == "teacher" else side._replace(links=None) if missing == "links" else side
    with pytest.raises(TrainingError) as caught:
        criterion(student, teacher)
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)


@pytest.mark.parametrize("method", ["sft", "kd", "uld"])
def test_what_a_method_does_not_use_may_be_missing(method: Method):
    batch = a_batch(method)
    student, side = sides(batch)
    teacher = None if method == "sft" else side._replace(links=None)
    assert a_criterion(method, scales=None)(student, teacher).loss.isfinite()


@pytest.mark.parametrize("method", ONE_TOKENIZER)
@pytest.mark.parametrize("wrong", ["another token", "another length"])
def test_one_tokenizer_means_the_same_tokens(method: Method, wrong: str):
    batch = a_batch(method)
    if wrong == "another token":
        batch.teachers[0].targets[0] = (batch.students[0].targets[0] + 1) % TOKENS["student"]
        teachers = batch.teachers
    else:
        teachers = [*batch.teachers[:-1], Row(*(part[:-1] for part in batch.teachers[-1]))]
    # Clones, for with one tokenizer both sides hold the same targets.
    students = [row._replace(targets=row.targets.clone()) for row in batch.students]
    if wrong == "another token":
        students[0].targets[0] = (students[0].targets[0] + 1) % TOKENS["student"]
    links = [np.ones((len(a.targets), len(b.targets)), bool) for a, b in zip(students, teachers, strict=True)]
    student, side = sides(batch._replace(students=students, teachers=teachers, links=links))
    with pytest.raises(TrainingError, match="the same tokens on both sides"):
        a_criterion(method)(student, side)


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: value} for name in ("kd_rate", "skew", "alpha", "links_moved") for value in (-0.1, 1.1, float("nan"))),
        *(
            {name: value}
            for name in ("temperature", "teacher_temperature")
            for value in (0.0, -1.0, float("nan"), float("inf"))
        ),
        *({name: value} for name in ("kq_rate", "s2t_rate") for value in (-0.1, float("nan"), float("inf"))),
        *({"kq_hidden": value} for value in (0, -1)),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]):
    with pytest.raises(TrainingError, match="Mend the number that is out of range") as caught:
        Objective(**wrong)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "edge", [{"kd_rate": 0.0}, {"kd_rate": 1.0}, {"skew": 0.0}, {"alpha": 1.0}, {"kq_rate": 0.0}, {"kq_hidden": 1}]
)
def test_numbers_at_the_edge_are_taken(edge: dict[str, Any]):
    Objective(**edge)


# Against plain formulas, with all logits at once and gradients by autograd


def dense_divergence(objective: Objective, log_p: Tensor, log_q: Tensor) -> Tensor:
    p, q = log_p.exp(), log_q.exp()

    def kl(first: Tensor, second: Tensor) -> Tensor:
        return (first * (first.log() - second.log())).sum(-1)

    match objective.divergence:
        case "forward_kl":
            return kl(p, q)
        case "reverse_kl":
            return kl(q, p)
        case "skewed_forward_kl":
            return kl(p, objective.skew * p + (1 - objective.skew) * q)
        case "skewed_reverse_kl":
            return kl(q, (1 - objective.skew) * p + objective.skew * q)
        case "js_divergence":
            return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2
        case "adaptive_kl":
            weights = []
            for one, other in zip(p.tolist(), q.tolist(), strict=True):
                order = sorted(range(len(one)), key=one.__getitem__)
                tail = [i for n, i in enumerate(order) if sum(one[j] for j in order[: n + 1]) <= objective.alpha]
                gaps = [abs(a - b) for a, b in zip(one, other, strict=True)]
                weights.append(sum(gaps[i] for i in tail) / sum(gaps))
            in_tail = torch.tensor(weights, dtype=p.dtype)
            return (1 - in_tail) * kl(p, q) + in_tail * kl(q, p)


def drawn(objective: Objective, guide: Tensor, student: Tensor, guide_temperature: float = 1.0) -> Tensor:
    """D of the guide's logits, which are fixed, and the student's."""
    t = objective.temperature
    return dense_divergence(
        objective, torch.log_softmax(guide.detach() / (t * guide_temperature), -1), torch.log_softmax(student / t, -1)
    )


def dense_ce(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="sum")


def linear(criterion: Criterion, name: str) -> Callable[[Tensor], Tensor]:
    tensors = criterion.projectors[name].tensors
    return lambda x: F.linear(x, tensors["0.weight"], tensors["0.bias"])


def pairs(batch: Batch) -> Iterator[tuple[Row, Row, Tensor, Tensor]]:
    """Both sides of each example, without padding, and their bigrams."""
    for student, teacher in zip(batch.students, batch.teachers, strict=True):
        both = ((student, batch.student.table), (teacher, batch.teacher.table))
        yield student, teacher, *(torch.cat([table[row.inputs], table[row.targets]], -1) for row, table in both)


def dense_cma(criterion: Criterion, batch: Batch) -> tuple[Tensor, int]:
    """The docstrings of `cma` and `dual_space`, example by example; and how often t2s hits."""
    objective, head, other_head = criterion.objective, batch.student.head, batch.teacher.head
    query, t2s, s2t = (linear(criterion, name) for name in ("query", "t2s", "s2t"))
    width = WIDTHS["teacher"]
    ce = kd = torch.zeros((), dtype=torch.float64)
    hits = 0
    for student, teacher, student_bigrams, teacher_bigrams in pairs(batch):
        products = query(student_bigrams) @ (teacher_bigrams / SCALES.key).T / (2 * width) ** 0.5
        values = t2s(teacher.states / SCALES.hidden + teacher_bigrams[:, width:] / SCALES.target)
        t2s_logits = products.softmax(1) @ values @ head.detach().T
        s2t_logits = products.softmax(0).T @ s2t(student.states) @ other_head.T
        student_logits = student.states @ head.T
        hit = t2s_logits.argmax(-1) == student.targets
        hits += int(hit.sum())
        ce = ce + dense_ce(student_logits, student.targets)
        kd = kd + dense_ce(t2s_logits, student.targets)
        kd = kd + (hit * drawn(objective, t2s_logits, student_logits, objective.teacher_temperature)).sum()
        forward = replace(objective, divergence="forward_kl")
        kd = kd + drawn(forward, teacher.states @ other_head.T, s2t_logits).sum()
    rate = objective.kd_rate
    return ((1 - rate) * ce + rate * kd) / batch.counts.student, hits


@pytest.mark.parametrize("name", DIVERGENCES)
def test_cma_is_what_its_formulas_say(name: DivergenceName):
    batch = a_batch("cma", seed=3)
    criterion = a_criterion("cma", divergence=name, alpha=0.6)
    loss, hits = dense_cma(criterion, batch)
    assert 2 <= hits <= batch.counts.student - 2
    ours = compute(criterion, batch, padding=(1, 2))
    assert_same(ours, Result(Terms(loss, {}), gradients(loss, criterion, batch)))
    assert ours.terms.log["t2s_acc"].item() == pytest.approx(hits / batch.counts.student)


class Pairs(NamedTuple):
    """What `eta` says of its pairs."""

    loss: Tensor
    kept: int
    hits: int
    means: dict[str, float]
    """Over the linked pairs."""


def dense_eta(criterion: Criterion, batch: Batch, vocabulary_map: Tensor) -> Pairs:
    """The docstring of `eta`, pair by pair."""
    objective, head, other_head = criterion.objective, batch.student.head, batch.teacher.head
    t2s, s2t = (linear(criterion, name) for name in ("t2s", "s2t"))
    ce = torch.zeros((), dtype=torch.float64)
    terms: list[list[Tensor]] = []
    found: list[tuple[bool, bool]] = []
    for (student, teacher, *_), links in zip(pairs(batch), batch.links, strict=True):
        student_logits, teacher_logits = student.states @ head.T, teacher.states @ other_head.T
        ce = ce + dense_ce(student_logits, student.targets)
        for i, j in zip(*links.nonzero(), strict=True):
            predicted = vocabulary_map[teacher_logits[j].argmax()]
            if predicted < 0:
                continue
            t2s_logits, s2t_logits = t2s(teacher.states[j]) @ head.detach().T, s2t(student.states[i]) @ other_head.T
            found.append((bool(t2s_logits.argmax() == predicted), bool(s2t_logits.argmax() == teacher.targets[j])))
            terms.append(
                [
                    dense_ce(t2s_logits[None], predicted[None]),
                    found[-1][0] * drawn(objective, t2s_logits[None], student_logits[i][None])[0],
                    drawn(objective, teacher_logits[j][None], s2t_logits[None])[0],
                ]
            )
    linked = sum(int(links.sum()) for links in batch.links)
    means = [torch.stack(each).sum() / linked for each in zip(*terms, strict=True)]
    rate = objective.kd_rate
    loss = (1 - rate) * ce / batch.counts.student + rate * sum(means)
    hits, right = (sum(each) for each in zip(*found, strict=True))
    names = ("t2s_ce_loss", "t2s_kd_loss", "s2t_kd_loss", "t2s_agreement", "s2t_acc")
    values = [*(each.item() for each in means), hits / linked, right / linked]
    return Pairs(loss, len(terms), hits, dict(zip(names, values, strict=True)))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_eta_is_what_its_formulas_say(name: DivergenceName):
    batch = a_batch("eta", seed=4, lengths=((9, 8), (3, 4), (7, 7)))
    criterion = a_criterion("eta", divergence=name, alpha=0.6)
    assert criterion.student_of_teacher is not None
    expected = dense_eta(criterion, batch, criterion.student_of_teacher)
    linked = sum(int(links.sum()) for links in batch.links)
    assert 0 < expected.hits < expected.kept < linked < batch.counts.student
    assert expected.means["s2t_acc"] > 0
    ours = compute(criterion, batch, padding=(1, 2))
    assert_same(ours, Result(Terms(expected.loss, {}), gradients(expected.loss, criterion, batch)))
    shares = {"kept_ratio": expected.kept / batch.counts.student, "align_ratio": linked / batch.counts.student}
    for key, value in (expected.means | shares).items():
        assert ours.terms.log[key].item() == pytest.approx(value, rel=1e-6), key


@pytest.mark.parametrize("teacher_tokens", [5, 11])
def test_uld_is_what_its_formula_says(teacher_tokens: int):
    batch = a_batch("uld", teacher_tokens=teacher_tokens)
    criterion = a_criterion("uld")
    loss = torch.zeros((), dtype=torch.float64)
    for student, teacher, *_ in pairs(batch):
        logits = student.states @ batch.student.head.T
        loss = loss + 0.7 * dense_ce(logits, student.targets)
        length = min(len(student.targets), len(teacher.targets))
        q, p = logits[:length].softmax(-1), (teacher.states @ batch.teacher.head.T)[:length].softmax(-1)
        q, p = (F.pad(x.sort(-1, descending=True).values, (0, 11 - x.shape[-1])) for x in (q, p))
        loss = loss + 0.3 * (q - p).abs().sum()
    loss = loss / batch.counts.student
    assert_same(compute(criterion, batch), Result(Terms(loss, {}), gradients(loss, criterion, batch)))


def test_mined_is_what_its_formula_says():
    batch = a_batch("mined")
    criterion = a_criterion("mined", batch)
    # The first teacher token of each student token speaks for it: 3 ← 0, 0 ← 2, 1 ← 3, 5 ← 5, 6 ← 6, 2 ← 8, 4 ← 9.
    speaks = batch.teacher.head[[2, 3, 8, 0, 9, 5, 6]]
    loss = torch.zeros((), dtype=torch.float64)
    for (student, teacher, *_), links in zip(pairs(batch), batch.links, strict=True):
        logits = student.states @ batch.student.head.T
        loss = loss + 0.7 * dense_ce(logits, student.targets)
        for i, linked in enumerate(links):
            if linked.any():
                guide = teacher.states[linked.argmax()] @ speaks.T
                loss = loss + 0.3 * drawn(criterion.objective, guide[None], logits[i][None]).sum()
            else:
                loss = loss + 0.3 * dense_ce(
                    logits[i][None] / criterion.objective.temperature, student.targets[i][None]
                )
    loss = loss / batch.counts.student
    assert_same(compute(criterion, batch), Result(Terms(loss, {}), gradients(loss, criterion, batch)))


def test_student_tokens_that_no_teacher_token_maps_to_have_no_probability():
    head = torch.randn((4, 3), generator=torch.Generator().manual_seed(0))
    mapped = MappedHead(head, torch.tensor([2, -1, 2, 0]), 5)
    logits = torch.ones(3) @ mapped.weight.T + mapped.offset
    p = logits.softmax(-1)
    expected = (head[[3, 0]].sum(-1)).softmax(-1)
    torch.testing.assert_close(p[[0, 2]], expected)
    assert p[[1, 3, 4]].tolist() == [0, 0, 0]


def test_eta_without_any_pair_is_fine_tuning():
    batch = a_batch("eta")
    for links in batch.links:
        links[:] = False
    result, plain = compute(a_criterion("eta"), batch), compute(a_criterion("sft"), batch)
    assert result.terms.loss.item() == pytest.approx(0.7 * plain.terms.loss.item())
    assert all(value.isfinite().all() for value in (*result.terms.log.values(), *result.gradients.values()))


def dense_dskd(criterion: Criterion, batch: Batch) -> Tensor:
    objective, head, other_head = criterion.objective, batch.student.head, batch.teacher.head
    t2s, s2t = (linear(criterion, name) for name in ("t2s", "s2t"))
    loss = torch.zeros((), dtype=torch.float64)
    for student, teacher, *_ in pairs(batch):
        t2s_logits, student_logits = t2s(teacher.states) @ head.detach().T, student.states @ head.T
        forward = replace(objective, divergence="forward_kl")
        kd = dense_ce(t2s_logits, student.targets) + drawn(objective, t2s_logits, student_logits).sum()
        kd = kd + drawn(forward, teacher.states @ other_head.T, s2t(student.states) @ other_head.T).sum()
        ce = dense_ce(student_logits, student.targets)
        loss = loss + (1 - objective.kd_rate) * ce + objective.kd_rate * kd
    return loss / batch.counts.student


@pytest.mark.parametrize("name", DIVERGENCES)
def test_dual_space_distillation_is_what_its_formulas_say(name: DivergenceName):
    batch = a_batch("dskd")
    criterion = a_criterion("dskd", divergence=name)
    loss = dense_dskd(criterion, batch)
    assert_same(compute(criterion, batch), Result(Terms(loss, {}), gradients(loss, criterion, batch)))


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("teacher_tokens", [5, 7, 9])
def test_heads_of_different_length_meet_in_their_common_part(name: DivergenceName, teacher_tokens: int):
    batch = a_batch("kd", teacher_tokens=teacher_tokens)
    for row, other in zip(batch.students, batch.teachers, strict=True):
        row.targets.remainder_(min(teacher_tokens, TOKENS["student"]))
        assert other.targets is row.targets
    batch.teachers[:] = [row._replace(inputs=row.inputs % teacher_tokens) for row in batch.teachers]
    criterion = a_criterion("kd", divergence=name)
    loss = torch.zeros((), dtype=torch.float64)
    shared = min(teacher_tokens, TOKENS["student"])
    for student, teacher, *_ in pairs(batch):
        logits, other = student.states @ batch.student.head.T, teacher.states @ batch.teacher.head.T
        loss = loss + 0.7 * dense_ce(logits, student.targets)
        loss = loss + 0.3 * drawn(criterion.objective, other[:, :shared], logits[:, :shared]).sum()
    loss = loss / batch.counts.student
    assert_same(compute(criterion, batch), Result(Terms(loss, {}), gradients(loss, criterion, batch)))


def test_fine_tuning_is_cross_entropy():
    batch = a_batch("sft")
    criterion = a_criterion("sft")
    loss = sum(dense_ce(row.states @ batch.student.head.T, row.targets) for row in batch.students)
    loss = loss / batch.counts.student
    assert_same(compute(criterion, batch), Result(Terms(loss, {}), gradients(loss, criterion, batch)))


@pytest.mark.parametrize("method", ["cma", "cla", "clp", "dskd"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_cached_expectations_change_nothing(method: Method, temperature: float):
    batch = a_batch(method)
    criterion = a_criterion(method, temperature=temperature)
    plain = compute(criterion, batch)
    student, side = sides(batch)
    expected = expectations(side.view.flat_states, side.view.head, temperature, Workspace(100))
    terms = criterion(student, side._replace(expected=expected))
    assert_same(plain, Result(terms, gradients(terms.loss, criterion, batch)))
    assert terms.log["s2t_acc"] == plain.terms.log["s2t_acc"]
    # They are used, and not made again.
    other = criterion(student, side._replace(expected=expected._replace(entropies=expected.entropies + 1)))
    share = 0.3 * batch.counts.teacher / batch.counts.student
    assert (terms.loss - other.loss).item() == pytest.approx(share)


# Projectors alone, and positions without a partner


@pytest.mark.parametrize("method", ["dskd", "cma", "cla", "clp", "eta"])
def test_only_projectors_drops_both_divergences(method: Method):
    batch = a_batch(method)
    if method in ("cla", "clp"):
        batch.links[0][1] = True
    criterion = a_criterion(method, only_projectors=True)
    result = compute(criterion, batch)
    log = result.terms.log
    ours = 0.7 * log["nll_loss"] + 0.3 * log["t2s_ce_loss"]
    torch.testing.assert_close(result.terms.loss.detach(), ours.to(torch.float64))
    assert log.keys().isdisjoint({"t2s_kd_loss", "s2t_kd_loss", "s2t_acc"})
    plain = compute(a_criterion("sft"), batch)
    for name in ("head", "states 0", "states 2"):
        torch.testing.assert_close(result.gradients[name], 0.7 * plain.gradients[name])
    assert not any(gradient.any() for name, gradient in result.gradients.items() if "s2t" in name)
    assert result.gradients["projectors.t2s_0_weight"].any()


@pytest.mark.parametrize("method", ["cla", "clp"])
def test_student_targets_without_a_partner_say_nothing_to_t2s(method: Method):
    batch = a_batch(method)
    alone = batch.rows(0, 2)
    batch.links[1][:] = False
    criterion = a_criterion(method)
    whole = compute(criterion, batch)
    part = compute(criterion, alone, counts=batch.counts)
    for key in ("t2s_ce_loss", "t2s_kd_loss", "t2s_acc", "max_t2s_prob"):
        torch.testing.assert_close(whole.terms.log[key], part.terms.log[key], rtol=1e-7, atol=1e-8, msg=key)
    for name in ("query_0_weight", "t2s_0_weight", "t2s_0_bias", "s2t_0_weight", "s2t_0_bias"):
        if f"projectors.{name}" in whole.gradients:
            ours, theirs = (result.gradients[f"projectors.{name}"] for result in (whole, part))
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8, msg=name)
    plain = compute(a_criterion("sft"), batch)
    torch.testing.assert_close(whole.gradients["states 1"], 0.7 * plain.gradients["states 1"], rtol=1e-7, atol=1e-8)
    attention = whole.terms.attention
    assert attention is not None
    assert not attention.over_teacher[1].any()
    finite = [whole.terms.loss, *whole.terms.log.values(), *whole.gradients.values(), *attention[1:]]
    assert all(value.isfinite().all() for value in finite)


@pytest.mark.parametrize("method", ["cla", "clp"])
def test_teacher_targets_without_a_partner_say_nothing_to_s2t(method: Method):
    batch = a_batch(method)
    alone = batch.rows(0, 2)
    batch.links[1][:] = False
    criterion = a_criterion(method)
    whole, part = compute(criterion, batch), compute(criterion, alone, counts=batch.counts)
    torch.testing.assert_close(whole.terms.log["s2t_kd_loss"], part.terms.log["s2t_kd_loss"], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("method", ["cla", "clp"])
def test_as_published_targets_without_a_partner_count(method: Method):
    batch = a_batch(method)
    ours, published = (compute(a_criterion(method, reference=reference), batch) for reference in (False, True))
    assert published.terms.log["t2s_ce_loss"] > ours.terms.log["t2s_ce_loss"] + 0.1


def test_clp_is_cla_with_equal_weights():
    batch = a_batch("clp")
    student, side = sides(batch)
    attention = a_criterion("clp")(student, side).attention
    assert attention is not None
    assert side.links is not None
    for links, weights in zip(side.links, attention.over_teacher, strict=True):
        expected = links / links.sum(-1, keepdim=True).clamp(min=1)
        torch.testing.assert_close(weights, expected.to(weights.dtype))
    for links, weights in zip(side.links, attention.over_student, strict=True):
        expected = links / links.sum(0, keepdim=True).clamp(min=1)
        torch.testing.assert_close(weights, expected.to(weights.dtype))


def test_cla_with_all_links_is_cma():
    batch = a_batch("cla")
    for links in batch.links:
        links[:] = True
    assert_same(compute(a_criterion("cla"), batch), compute(a_criterion("cma"), batch))


# What is changed on purpose, to see what it does


def test_uniform_gives_equal_weight_to_the_whole_response():
    batch = a_batch("uniform")
    attention = a_criterion("uniform")(*sides(batch, (2, 1))).attention
    assert attention is not None
    for row, (one, other) in enumerate(zip(batch.students, batch.teachers, strict=True)):
        students, teachers = len(one.targets), len(other.targets)
        weights = attention.over_teacher[row, :students]
        torch.testing.assert_close(weights[:, :teachers], torch.full_like(weights[:, :teachers], 1 / teachers))
        assert not weights[:, teachers:].any()
        weights = attention.over_student[row, :, :teachers]
        torch.testing.assert_close(weights[:students], torch.full_like(weights[:students], 1 / students))
        assert not weights[students:].any()


def test_uniform_is_clp_with_all_links():
    batch = a_batch("clp")
    for links in batch.links:
        links[:] = True
    assert_same(compute(a_criterion("clp"), batch), compute(a_criterion("uniform"), batch))


@pytest.mark.parametrize(("mask", "masked"), [("forward", "over_teacher"), ("backward", "over_student")])
def test_one_attention_is_masked_and_the_other_is_that_of_cma(mask: str, masked: str):
    batch = a_batch("cla")
    every = a_criterion("cla", mask=mask), a_criterion("cla"), a_criterion("cma")
    found, cla, cma = (criterion(*sides(batch)).attention for criterion in every)
    assert found is not None
    for name in ("over_teacher", "over_student"):
        torch.testing.assert_close(getattr(found, name), getattr(cla if name == masked else cma, name))


@pytest.mark.parametrize("mask", ["not earlier", "not later"])
def test_weight_is_cut_on_one_side_of_the_chunk(mask: str):
    batch = a_batch("cla")
    attention = a_criterion("cla", mask=mask)(*sides(batch)).attention
    assert attention is not None
    for row, links in enumerate(batch.links):
        for axis, weights in ((1, attention.over_teacher[row]), (0, attention.over_student[row].T)):
            for i, linked in enumerate(links if axis else links.T):
                places = np.flatnonzero(linked)
                open_ = np.zeros(len(linked), dtype=bool)
                if len(places):
                    open_[slice(places[0], None) if mask == "not earlier" else slice(places[-1] + 1)] = True
                np.testing.assert_array_equal(weights[i, : len(linked)].detach().numpy() > 0, open_)


@pytest.mark.parametrize("method", ["cma", "cla", "uniform", "dskd", "eta"])
def test_rates_weigh_the_last_two_terms(method: Method):
    batch = a_batch(method)
    plain = compute(a_criterion(method), batch).terms
    changed = compute(a_criterion(method, divergence_rate=0.25, s2t_rate=3.0), batch).terms
    for name, value in plain.log.items():
        if name != "loss":
            torch.testing.assert_close(changed.log[name], value, rtol=1e-7, atol=1e-9, msg=name)
    expected = plain.loss + 0.3 * (-0.75 * plain.log["t2s_kd_loss"] + 2.0 * plain.log["s2t_kd_loss"])
    torch.testing.assert_close(changed.loss, expected, rtol=1e-7, atol=1e-9)


def test_without_its_divergence_the_student_learns_nothing_from_t2s():
    batch = a_batch("cma")
    found = compute(a_criterion("cma", divergence_rate=0.0, s2t_rate=0.0), batch).gradients
    plain = compute(a_criterion("sft"), batch).gradients
    torch.testing.assert_close(found["head"], 0.7 * plain["head"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "cma", "mask": "forward"}, "the method cla"),
        ({"method": "clp", "mask": "forward"}, "the method cla"),
        ({"method": "cla", "mask": "forward", "reference": True}, "not in reference mode"),
        ({"method": "cma", "links_moved": 0.5}, r"a method of chunks \(cla, clp\)"),
        ({"method": "cla", "links_dropped": 0.5, "reference": True}, "not in reference mode"),
        ({"method": "cla", "links_moved": 0.6, "links_dropped": 0.6}, "at most 1 together"),
    ],
)
def test_interventions_that_do_not_fit_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(TrainingError, match=message) as caught:
        Objective(**options)
    assert len(caught.value.problems) == 1
    with pytest.raises(TrainingError, match=message):
        part_of(ObjectivePart, options, "recipe")
