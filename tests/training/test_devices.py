"""Everything that trains, on a card that is not there; see `card`. Results are those of the processor."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState
from card import CARD, OnCard, card
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from trainer_runs import recipe_of, save_pair

from probe.functional.losses import token_losses
from probe.functional.refit import SampledVocabulary
from probe.functional.report import FitSettings
from probe.models.tokenizer import Tokenizer
from probe.training.criteria.logits import Workspace
from probe.training.criteria.settings import METHODS, CriticName, DivergenceName, MaskName, Method
from probe.training.criteria.views import Counts, plain_head
from probe.training.evaluation.generate import GenerationSettings, generate
from probe.training.evaluation.likelihood import predicted
from probe.training.examples import Encoded, Example, tokenize
from probe.training.recipe import Recipe
from probe.training.teacher.states import teacher_expectations, teacher_states
from probe.training.teacher.teacher import Teacher
from probe.training.trainer.batches import Collate
from probe.training.trainer.run import sum_in_one_order, training_arguments
from probe.training.trainer.setup import prepare
from probe.training.vocabulary_map import main as map_vocabularies

T = TypeVar("T")
EXAMPLES = [Example("Return", "the path of the file"), Example("Read a menu", "twice."), Example("a", "b")]
LENGTHS = {"max_prompt": 24, "max_length": 64}
ROWS = 6
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = save_pair(tmp_path_factory.mktemp("pair"))
    directories = [str(place / side) for side in ("student", "teacher")]
    assert map_vocabularies([*directories, "--out", str(place / "map.json"), "--workers", "1"]) == 0
    return place


@pytest.fixture(autouse=True)
def loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are loaded as ever, without going through the card."""
    load = transformers.AutoModelForCausalLM.from_pretrained

    def loaded(*args: Any, **options: Any) -> Any:
        with _disable_current_modes():
            return load(*args, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", loaded)


@contextmanager
def at(device: torch.device) -> Generator[None]:
    """Run models on the device."""
    with pytest.MonkeyPatch.context() as patch, card() if device == CARD else nullcontext():
        patch.setattr("probe.training.teacher.teacher.running_device", lambda: device)
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
        yield
        torch.use_deterministic_algorithms(False)


def on_both(found: Callable[[torch.device], T]) -> tuple[T, T]:
    """What is found on the processor and on the card."""
    with at(CPU):
        here = found(CPU)
    with at(CARD):
        return here, found(CARD)


def a_model(directory: Path, device: torch.device = CPU) -> Any:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return model.eval().to(device)


def on(device: torch.device, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.to(device) for key, value in batch.items()}


# A step


def a_step(recipe: Recipe, device: torch.device) -> dict[str, Tensor]:
    """Parts of the log and gradients of the first step."""
    if device == CARD:
        sum_in_one_order(recipe)
    run = prepare(recipe)
    teacher = run.distiller._teacher
    assert teacher is None or teacher.head.device == device
    distiller = run.distiller.eval().to(device)
    batch = on(device, Collate(run.train)(range(ROWS)))
    masks = (batch.get(f"{side}_mask", torch.zeros(1)) for side in ("student", "teacher"))
    counts = Counts(*(int(mask.sum()) for mask in masks), int(batch["links"].sum()) if "links" in batch else 0)
    found = distiller(batch, counts, 0.25)
    found["loss"].backward()
    gradients = {name: one.grad for name, one in distiller.named_parameters() if one.grad is not None}
    assert all(isinstance(one, OnCard) == (device == CARD) for one in (*gradients.values(), *found["log"].values()))
    return {name: one.detach().cpu() for name, one in (gradients | found["log"]).items()}


def parts_of(place: Path, method: Method, **objective: Any) -> dict[str, dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {"objective": {"method": method, **objective}}
    if METHODS[method].tokenizers == "one":
        parts["teacher"] = {"source": str(place / "sibling")}
    if not METHODS[method].teacher:
        parts["teacher"] = {"source": None}
    if METHODS[method].map_file:
        parts["objective"]["vocabulary_map"] = str(place / "map.json")
    return parts


def check(place: Path, scratch: Path, parts: dict[str, Any]) -> None:
    recipe = recipe_of(place, scratch / "tiny.toml", data={"max_rows": ROWS}, **parts)
    here, there = on_both(lambda device: a_step(recipe, device))
    assert here.keys() == there.keys()
    for name, one in here.items():
        torch.testing.assert_close(there[name], one, rtol=1e-4, atol=1e-6, msg=f"{name}: {one} and {there[name]}")


@pytest.mark.parametrize(
    ("method", "cached"), [*((method, True) for method in get_args(Method)), ("cma", False), ("mined", False)]
)
def test_a_step_of_each_method(place: Path, tmp_path: Path, method: Method, cached: bool):
    parts = parts_of(place, method)
    parts["teacher"] = parts.get("teacher", {}) | {"cached": cached}
    check(place, tmp_path, parts)


@pytest.mark.parametrize("divergence", get_args(DivergenceName))
def test_each_divergence(place: Path, tmp_path: Path, divergence: DivergenceName):
    check(place, tmp_path, parts_of(place, "cma", divergence=divergence))


@pytest.mark.parametrize("critic", get_args(CriticName))
@pytest.mark.parametrize("method", ["cma-ga", "cma-ct"])
def test_each_critic(place: Path, tmp_path: Path, method: Method, critic: CriticName):
    # The released transport needs two sides of one length.
    check(place, tmp_path, parts_of(place, method, critic=critic, reference=critic == "released"))


@pytest.mark.parametrize("mask", get_args(MaskName))
def test_each_mask(place: Path, tmp_path: Path, mask: MaskName):
    check(place, tmp_path, parts_of(place, "cla", mask=mask))


@pytest.mark.parametrize(
    "objective",
    [
        {"decoder": "grid"},
        {"decoder": "diagonal"},
        {"reference": True},
        {"reference": True, "divergence": "adaptive_kl"},
        {"only_projectors": True},
        {"start": "pseudo-inverse"},
    ],
)
def test_each_other_setting(place: Path, tmp_path: Path, objective: dict[str, Any]):
    check(place, tmp_path, parts_of(place, "cma", **objective))


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # which peft asks
@pytest.mark.parametrize("train", ["body", "lora", "nothing"])
def test_whatever_of_the_student_is_trained(place: Path, tmp_path: Path, train: str):
    check(place, tmp_path, {**parts_of(place, "cma"), "student": {"source": str(place / "steady"), "train": train}})


def test_expectations(place: Path, tmp_path: Path):
    check(place, tmp_path, parts_of(place, "cma") | {"teacher": {"expectations": True}})


# A teacher on the card


@pytest.fixture
def encoded(place: Path) -> list[Encoded]:
    tokenizer = Tokenizer.load(place / "teacher")
    return [tokenize(example, tokenizer) for example in EXAMPLES]


def test_the_pass_over_a_corpus(place: Path, encoded: list[Encoded], tmp_path: Path):
    def made(device: torch.device) -> tuple[np.ndarray, np.ndarray]:
        model = a_model(place / "teacher", device)
        states = teacher_states(model.get_decoder(), "tiny", encoded, tmp_path / f"{device}.npy")
        head = model.get_output_embeddings().weight
        expected = teacher_expectations(states, head, 2.0, "tiny", tmp_path / f"{device}-expected.npy")
        return states.states, expected.states

    for here, there in zip(*on_both(made), strict=True):
        np.testing.assert_allclose(there, here, atol=1e-5)


def test_a_head_is_looked_at_where_it_is(place: Path):
    with at(CARD):
        assert isinstance(plain_head(a_model(place / "teacher", CARD)), OnCard)


@pytest.mark.parametrize("device_map", [{}, {"": "cpu"}])
def test_a_tied_head_goes_with_its_table(place: Path, device_map: dict[str, str]):
    model = a_model(place / "student")
    model.hf_device_map = device_map
    head = model.get_output_embeddings().weight.detach()
    assert model.config.tie_word_embeddings
    with at(CARD):
        moved = Teacher(model.get_input_embeddings(), head, model).to(CARD)
    assert moved.head is moved.embeddings.weight
    assert all(isinstance(one, OnCard) for one in model.parameters())


def test_one_process_runs_on_one_card(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    arguments = training_arguments(recipe_of(place, tmp_path / "tiny.toml"), tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)
    assert arguments.device.type == "cuda"
    assert arguments.train_batch_size == 4


# The student on the card


def test_likelihoods(place: Path):
    tokenizer = Tokenizer.load(place / "student")

    def numbers(device: str) -> list[Any]:
        model = a_model(place / "student", device)
        bits, accuracy, fitted = predicted(model, tokenizer, EXAMPLES, **LENGTHS, fit=True)
        return [bits, accuracy, fitted.bits_per_byte, fitted.temperature, *fitted.nats]

    here, there = on_both(numbers)
    np.testing.assert_allclose(there, here, rtol=1e-4)


def test_likelihoods_of_a_model_as_it_is_stored(place: Path):
    """A card holds it in bfloat16, if that is what its file has."""
    tokenizer, model = Tokenizer.load(place / "student"), a_model(place / "student").bfloat16()
    rounded = predicted(model, tokenizer, EXAMPLES, **LENGTHS)
    exact = predicted(model.float(), tokenizer, EXAMPLES, **LENGTHS)
    assert rounded.bits_per_byte == pytest.approx(exact.bits_per_byte, rel=1e-2)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_responses(place: Path, temperature: float):
    tokenizer = Tokenizer.load(place / "student")
    settings = GenerationSettings(temperature, top_p=0.9, no_repeat_ngram_size=3, max_prompt=24, max_length=30)

    def written(device: torch.device) -> list[str]:
        model = a_model(place / "student", device)
        return generate(model, tokenizer, ["Read", "a b"], settings, batch_size=2, seed=10)

    here, there = on_both(written)
    assert here == there


# The functional probe


def test_token_losses():
    given = torch.randn(5, 4), torch.randn(7, 4), torch.tensor([0, 3, 6, 6, 1])

    def losses(device: torch.device) -> Tensor:
        nll, hits = token_losses(*(one.to(device) for one in given), Workspace())
        return torch.stack([nll, hits.to(nll.dtype)]).cpu()

    here, there = on_both(losses)
    torch.testing.assert_close(there, here)


def test_a_sampled_vocabulary():
    states, head, labels = torch.randn(3, 4), torch.randn(9, 4), torch.tensor([0, 3, -100])

    def loss(device: torch.device) -> Tensor:
        made = SampledVocabulary(head.to(device), labels.to(device), FitSettings(sampled=2))
        return made.loss(states.to(device), labels.to(device), made.draw(), Workspace()).cpu()

    here, there = on_both(loss)
    torch.testing.assert_close(there, here)
