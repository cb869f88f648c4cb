import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import ROOT
from torch import Tensor, nn

from benchmarks.golden import __main__ as command
from benchmarks.golden import runs, stored
from benchmarks.golden.comparison import LIMITS, TENSOR_RUNS, Deviation, deviations
from benchmarks.golden.stored import LEFT_OUT, Golden, RunName, chunk_mask
from probe.attention import bigrams
from probe.training.criteria import cma, dual_space, matching, views
from probe.training.criteria.published import published_chunks
from probe.training.criteria.views import Counts, Positions, Tokens

DIRECTORY = ROOT / "tests" / "golden"
GOLDEN = Golden.load(DIRECTORY)
CMA = RunName("dual_space_kd_with_cma", "forward_kl")
CMA_VARIANT = RunName("dual_space_kd_with_cma(hparam variant)", "forward_kl")
CLA = RunName("dual_space_kd_with_cla", "forward_kl")
CLP = RunName("dual_space_kd_with_clp", "forward_kl")
DSKD = RunName("dual_space_kd", "forward_kl")
MINED = RunName("min_edit_dis_kld(alias broken by clone = bf16 semantics)", "-")
KEY_QUERY = {"gan": "dual_space_kd_with_cma_plus_kq_matching[gan]", "ct": "dual_space_kd_with_cma_plus_kq_matching[ct]"}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads round differently, and wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def over(found: list[Deviation]) -> list[Deviation]:
    """Deviations beyond their limit; one that is not a number is beyond any."""
    return [each for each in found if not each.value <= LIMITS[each.kind]]


def title(name: RunName) -> str:
    return name.run if name.objective == "-" else f"{name.run}-{name.objective}"


# Parity


@pytest.mark.parametrize("name", GOLDEN.runs, ids=title)
def test_a_run_is_that_of_the_published_code(name: RunName):
    found = list(deviations(GOLDEN, name))
    missed = [f"{each.kind} {each.what}: {each.value:.1e} > {LIMITS[each.kind]:.0e}" for each in over(found)]
    assert not missed, "\n".join(missed)
    assert {"loss", "log", "gradient norm"} <= {each.kind for each in found}


def test_one_run_is_left_out():
    stored = [RunName(run, objective) for run, each in GOLDEN.numbers["runs"].items() for objective in each]
    assert (len(stored), len(GOLDEN.runs)) == (83, 82)
    assert set(stored) - set(GOLDEN.runs) == {RunName(LEFT_OUT, "-")}


def test_every_stored_tensor_is_compared():
    """A run whose stored name is misspelt would be compared with nothing."""
    compared = set()
    for name in GOLDEN.runs:
        if name.run in TENSOR_RUNS and name.objective in ("-", "forward_kl"):
            stored = TENSOR_RUNS[name.run]
            kinds = ("tensor", "gradient")
            compared |= {f"{stored}.{d.what}" for d in deviations(GOLDEN, name) if d.kind in kinds}
    chunks = {f"{case}.{what}" for case in ("cross", "cross_trunc") for what in ("chunk_mask", "s_groups", "t_groups")}
    assert compared == set(GOLDEN.expected) - chunks


@pytest.mark.parametrize("case", GOLDEN.numbers["chunk_masks"], ids=lambda case: case["name"])
def test_published_chunks(case: dict[str, Any]):
    found = published_chunks(case["student_offsets"], case["teacher_offsets"])
    np.testing.assert_array_equal(found.mask, np.array(case["mask"], dtype=bool))
    assert (found.student.tolist(), found.teacher.tolist()) == (case["s_groups"], case["t_groups"])
    assert found.chunks == case["max_group"]


def test_there_are_all_cases_of_chunks():
    assert len(GOLDEN.numbers["chunk_masks"]) == 26


@pytest.mark.parametrize("case", ["cross", "cross_trunc"])
def test_published_chunks_of_a_batch(case: str):
    ends = [GOLDEN.given[f"inputs.{case}.{side}offsets"].tolist() for side in ("", "teacher_qwen_")]
    found = [published_chunks(student, teacher) for student, teacher in zip(*ends, strict=True)]
    expected = [GOLDEN.expected[f"{case}.{what}"].numpy() for what in ("chunk_mask", "s_groups", "t_groups")]
    np.testing.assert_array_equal(np.stack([each.mask for each in found]), expected[0].astype(bool))
    np.testing.assert_array_equal(np.stack([each.student for each in found]), expected[1])
    np.testing.assert_array_equal(np.stack([each.teacher for each in found]), expected[2])
    np.testing.assert_array_equal(chunk_mask(GOLDEN, case).numpy(), expected[0].astype(bool))
    assert max(each.chunks for each in found) == GOLDEN.numbers[f"{case}_chunk_max_group"]


# Key-query matching alone


def norms(parameters: dict[str, Tensor]) -> dict[str, float | None]:
    return {name: None if each.grad is None else each.grad.norm().item() for name, each in parameters.items()}


@pytest.mark.parametrize("adversary", ["gan", "ct"])
def test_the_released_matching_loss_reaches_the_query_projector_and_its_networks_alone(adversary: str):
    study = json.loads((DIRECTORY / "grad_study.json").read_text())[adversary]["kq_loss_only/as_called"]
    name = RunName(KEY_QUERY[adversary], "forward_kl")
    outcome = runs.run(GOLDEN, name)
    criterion, student, side = outcome.criterion, outcome.student, outcome.teacher
    assert side is not None
    assert criterion.scales is not None
    outcome.student_model.zero_grad()
    criterion.zero_grad()
    q, k = cma.queries(student.tokens, criterion.projectors), cma.keys(side.view.tokens, criterion.scales)
    counts = Counts(GOLDEN.entry(name)["batch_denom"], 1)
    loss = matching.key_query_loss(criterion.step(student, side, counts), q, k).loss
    loss.backward()
    assert loss.item() * counts.student == pytest.approx(study["kq_loss"], rel=1e-5)
    expected = study["grad_norm_of_kq_loss_over_batch_denom"]
    query = [each.grad for key, each in runs.projector_parameters(criterion).items() if key.startswith("query")]
    total = torch.cat([each.flatten() for each in query]).norm().item()
    assert total == pytest.approx(expected["projectors.query"], rel=1e-4)
    networks = norms(runs.network_parameters(criterion))
    stored = {key: value for key, value in expected.items() if key.startswith("kq_") and value is not None}
    assert networks == pytest.approx(stored, rel=1e-4)
    others = {key: each for key, each in runs.projector_parameters(criterion).items() if not key.startswith("query")}
    assert set(norms(others).values()) == {None} == {expected[f"projectors.{each}"] for each in ("t2s", "s2t")}
    models = [outcome.student_model, *GOLDEN.teachers.values()]
    assert all(each.grad is None for model in models for each in model.parameters())


@pytest.mark.parametrize("adversary", ["gan", "ct"])
def test_at_rate_zero_the_networks_have_a_gradient_and_it_is_zero(adversary: str):
    study = json.loads((DIRECTORY / "grad_study.json").read_text())[adversary]["grad_norm/kq_rate=0"]
    outcome = runs.run(GOLDEN, RunName(KEY_QUERY[adversary], "forward_kl,kq_rate=0"))
    stored = {key: value for key, value in study.items() if key.startswith("kq_") and value is not None}
    assert norms(runs.network_parameters(outcome.criterion)) == stored
    assert set(stored.values()) == {0.0}


# The command


def copy_with(directory: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The golden numbers with three runs left, and something changed in them."""
    shutil.copytree(DIRECTORY, directory)
    numbers = json.loads((directory / "golden.json").read_text())
    numbers["runs"] = {
        name: numbers["runs"][name] for name in ("cross_entropy", "universal_logit_distillation", CLP.run)
    }
    change(numbers["runs"])
    (directory / "golden.json").write_text(json.dumps(numbers))
    return str(directory)


def test_the_command_prints_a_row_for_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main([copy_with(tmp_path / "copy", lambda runs: None)]) == 0
    out, err = capsys.readouterr()
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 1 + 1 + 6
    assert "| dual_space_kd_with_clp | js_divergence | " in out
    assert "8 runs; the worst deviation is 0." in out
    assert not err


@pytest.mark.parametrize("factor", [1 + 1e-3, 1 - 1e-3, float("nan")])
def test_the_command_fails_if_one_number_is_off(tmp_path: Path, factor: float):
    def change(runs: dict[str, Any]) -> None:
        runs["universal_logit_distillation"]["-"]["loss"] *= factor

    assert command.main([copy_with(tmp_path / "copy", change)]) == 1


def test_the_command_says_that_there_are_no_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main([str(tmp_path / "none")]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1
    assert "expected golden numbers; got no golden.json" in err


# Seen red: what the check is for must push it over its limits


def embed_with_gradient(table: nn.Embedding, positions: Positions) -> Tokens:
    """As in `views`, but not detached from the table."""
    return Tokens(bigrams(table(positions.inputs), table(positions.targets)), positions.targets, positions.mask)


def with_guide(change: Callable[..., dual_space.Guide]) -> Callable[..., Any]:
    """The losses of a vocabulary, with something else for a guide."""
    plain = dual_space.vocabulary_losses

    def losses(*arguments: Any, guide: dual_space.Guide | None = None, **options: Any) -> Any:
        return plain(*arguments, guide=None if guide is None else change(guide), **options)

    return losses


def plus(extra: Callable[[Tensor, Tensor, dual_space.Guide], Tensor]) -> Callable[..., Any]:
    """The losses of a vocabulary, with the gradient of something more and the value of nothing more."""
    plain = dual_space.vocabulary_losses

    def losses(states: Tensor, head: Tensor, *rest: Any, guide: dual_space.Guide, **options: Any) -> Any:
        losses = plain(states, head, *rest, guide=guide, **options)
        more = extra(states, head, guide)
        return losses._replace(loss=losses.loss + more - more.detach())

    return losses


def through_head(states: Tensor, head: Tensor, guide: dual_space.Guide) -> Tensor:
    """The guide's own cross-entropy, with a gradient to its head."""
    logits = guide.states.detach() @ head.T
    return guide.label_weight * nn.functional.cross_entropy(logits, guide.labels, reduction="sum")


def through_guide(states: Tensor, head: Tensor, guide: dual_space.Guide) -> Tensor:
    """The divergence, with a gradient to the guide."""
    logits = guide.states @ guide.head.T
    q = torch.log_softmax(states.detach() @ head.detach().T / guide.temperature, -1)
    p = torch.log_softmax(logits / (guide.temperature * guide.guide_temperature), -1)
    hits = (logits.argmax(-1) == guide.labels) if guide.only_hits else torch.ones(len(q))
    return guide.weight * ((p.exp() * (p - q)).sum(-1) * hits).sum()


def all_true(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *arguments: torch.ones_like(plain(*arguments))


def transposed(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *arguments: plain(*arguments).mT


def scales_with(**changes: float) -> Callable[..., Any]:
    plain = runs.batch_scales
    return lambda view: replace(plain(view), **changes)


def objective_with(**changes: Any) -> Callable[..., Any]:
    plain = runs._objective
    return lambda entry: replace(plain(entry), **changes)


FLIPS: dict[str, tuple[RunName, Any, str, Any]] = {
    "the student's bigrams carry a gradient": (CMA, views, "embed", embed_with_gradient),
    "the guide's head carries a gradient": (DSKD, dual_space, "vocabulary_losses", plus(through_head)),
    "the guide carries a gradient": (DSKD, dual_space, "vocabulary_losses", plus(through_guide)),
    "the guide carries a gradient where it hits": (CMA, dual_space, "vocabulary_losses", plus(through_guide)),
    "keys are not divided": (CMA, runs, "batch_scales", scales_with(key=1.0)),
    "states are not divided": (CLP, runs, "batch_scales", scales_with(hidden=1.0)),
    "targets are not divided": (CLA, runs, "batch_scales", scales_with(target=1.0)),
    "chunks of averages are transposed": (CLP, runs, "chunk_mask", transposed(chunk_mask)),
    "chunks of attention are transposed": (CLA, runs, "chunk_mask", transposed(chunk_mask)),
    "all positions are one chunk": (CLA, runs, "chunk_mask", all_true(chunk_mask)),
    "all positions of averages are one chunk": (CLP, runs, "chunk_mask", all_true(chunk_mask)),
    "padding is not masked": (CMA, cma, "add_published_masks", lambda logits, *masks: logits),
    "misses of the guide count": (
        CMA, dual_space, "vocabulary_losses", with_guide(lambda guide: replace(guide, only_hits=False))
    ),
    "only hits count without attention": (
        DSKD, dual_space, "vocabulary_losses", with_guide(lambda guide: replace(guide, only_hits=True))
    ),
    "the links of time warping are empty": (
        MINED, stored, "warped_links", lambda partner, s, t, ids: np.zeros((len(s), len(t)), dtype=bool)
    ),
    "teacher_temperature is dropped": (CMA_VARIANT, runs, "_objective", objective_with(teacher_temperature=1.0)),
    "the temperature is off by one percent": (CMA, runs, "_objective", objective_with(temperature=2.02)),
    "adaptive KL has another tail": (
        RunName(CMA.run, "adaptive_kl"), runs, "_objective", objective_with(alpha=0.6)
    ),
    "adaptive KL takes its temperature once": (
        RunName(CMA.run, "adaptive_kl"), runs, "_objective", objective_with(reference=False)
    ),
    "the skew is another": (
        RunName(CMA.run, "skewed_forward_kl"), runs, "_objective", objective_with(skew=0.11)
    ),
    "the divergence is another": (CMA, runs, "_objective", objective_with(divergence="reverse_kl")),
    "gradients are not reversed": (RunName(KEY_QUERY["gan"], "forward_kl"), matching, "reverse_gradient", lambda x: x),
    "transport is not reversed": (RunName(KEY_QUERY["ct"], "forward_kl"), matching, "reverse_gradient", lambda x: x),
}  # fmt: skip


@pytest.mark.parametrize("flip", FLIPS)
def test_what_is_wrong_is_seen(flip: str, monkeypatch: pytest.MonkeyPatch):
    name, module, attribute, wrong = FLIPS[flip]
    monkeypatch.setattr(module, attribute, wrong)
    assert over(list(deviations(GOLDEN, name)))
